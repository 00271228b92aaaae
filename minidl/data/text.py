"""Text as numbers: words, a vocabulary of the most frequent ones, sequences of equal length."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .order import at_least

PADDING, START, UNKNOWN = 0, 1, 2
"""Numbers that stand for no word: filling, the start of a text, a word outside the vocabulary."""

_RESERVED = 3
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BREAK = re.compile(r"<br\s*/?>", re.I)


def tokenize(text: str) -> list[str]:
    """Return the words of a text, in lower case, without line breaks of HTML and punctuation.

    A word is a run of letters and digits; an apostrophe between two of them belongs to it.

    >>> tokenize("I didn't <br />like 'Jaws 2' - at all!")
    ['i', "didn't", 'like', 'jaws', '2', 'at', 'all']
    """
    return _WORD.findall(_BREAK.sub(" ", text).lower())


class Vocabulary:
    """Words and their numbers, the most frequent word first, from number 3 on.

    0 is padding, 1 the start of a text and 2 an unknown word, as in Keras's IMDB data set; so
    numbers are below `size`, the number of rows that an `Embedding` needs.

    Args:
        words: without the three special ones, in order.

    >>> vocabulary = Vocabulary(["the", "film"])
    >>> vocabulary.encode("The film, the book")
    [1, 3, 4, 3, 2]
    >>> vocabulary.decode([0, 0, 1, 3, 4, 2])
    'the film ?'
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._number = {word: i for i, word in enumerate(self.words, _RESERVED)}

    @property
    def size(self) -> int:
        """Number of words and special numbers."""
        return len(self.words) + _RESERVED

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's words, with the start in front."""
        number = self._number
        return [START, *(number.get(word, UNKNOWN) for word in tokenize(text))]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the words of numbers; "?" stands for an unknown one."""
        return " ".join("?" if n == UNKNOWN else self.words[n - _RESERVED]
                        for n in map(int, numbers) if n not in (PADDING, START))


class Counter:
    """Turns texts into numbers in one pass, in the order in which words are first met.

    >>> counter = Counter()
    >>> rows = [counter.numbers(text) for text in ("b a", "a c")]
    >>> vocabulary, table = counter.vocabulary(5, rows)
    >>> vocabulary.words, table.tolist()
    (('a', 'b'), [4, 3, 2])
    """

    def __init__(self) -> None:
        self._met: defaultdict[str, int] = defaultdict(count().__next__)

    def numbers(self, text: str) -> np.ndarray:
        """Return the words of a text as numbers of this counter: int32 (words,)."""
        met = self._met
        return np.array([met[word] for word in tokenize(text)], np.int32)

    def vocabulary(self, size: int, rows: Sequence[np.ndarray],
                   skip_top: int = 0) -> tuple[Vocabulary, np.ndarray]:
        """Return the vocabulary of the most frequent words of `rows`, and the way to it.

        Words that are equally frequent stand in the order of the alphabet.

        Args:
            size: largest number of words, the three special numbers included.
            rows: texts, as `numbers` gave them.
            skip_top: the most frequent words, this many, become unknown.

        Returns:
            The vocabulary, and a table from numbers of this counter to its numbers (met,).
        """
        words = np.array(list(self._met), dtype=object)
        often = np.bincount(np.concatenate([[], *rows]).astype(np.int64), minlength=len(words))
        ranked = sorted(np.flatnonzero(often).tolist(), key=lambda i: (-often[i], words[i]))
        kept = ranked[:max(size - _RESERVED, 0)]
        table = np.full(len(words), UNKNOWN, np.int32)
        table[kept[skip_top:]] = np.arange(skip_top, len(kept)) + _RESERVED
        return Vocabulary(words[kept]), table


def pad_sequences(sequences: Sequence[Any], maxlen: int | None = None, dtype: Any = "int32",
                  padding: str = "pre", truncating: str = "pre", value: float = 0) -> np.ndarray:
    """Return sequences of different lengths as one array (N, maxlen).

    Args:
        sequences: of numbers.
        maxlen: length of all; None takes the longest.
        padding: "pre" fills short ones in front, "post" at the end.
        truncating: "pre" cuts long ones in front, "post" at the end.
        value: what fills them.

    Raises:
        ArgumentError: an option has no such value.

    >>> pad_sequences([[1, 2, 3], [4]], maxlen=2).tolist()
    [[2, 3], [0, 4]]
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ArgumentError("pad_sequences", f"got {name}={side!r}",
                                'expected "pre" or "post"', f"Change {name}.")
    longest = max(map(len, sequences), default=0)
    length = longest if maxlen is None else at_least("pad_sequences", "maxlen", maxlen, 1)
    out = np.full((len(sequences), length), value, dtype)
    for row, given in zip(out, sequences, strict=True):
        kept = given[-length:] if truncating == "pre" else given[:length]
        if len(kept):
            row[slice(-len(kept), None) if padding == "pre" else slice(len(kept))] = kept
    return out
