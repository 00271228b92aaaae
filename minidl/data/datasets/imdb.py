"""IMDB film reviews: 25,000 + 25,000 texts, half of them in favour (Maas et al., 2011)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import DataError
from ..order import at_least, checked_seed, permutation
from ..text import START, Counter, Vocabulary, pad_sequences
from .published import Published

Part = tuple[np.ndarray, np.ndarray]

CLASS_NAMES = ("negative", "positive")
"""Names of the classes, by label."""

PUBLISHED = Published("imdb", "aclImdb", ("train", "test"),
                      ("https://ai.stanford.edu/~amaas/data/sentiment/",), "aclImdb_v1.tar.gz",
                      "7c2ac02c03563afcf9b574c7e56c153a")
"""The archive of the reviews."""

FOLDERS = ("neg", "pos")
"""Of a part's reviews, by label."""


class Imdb(NamedTuple):
    """The reviews as numbers, and the vocabulary that they are numbers of."""

    train: Part
    test: Part
    vocabulary: Vocabulary


def load_data(data: str | os.PathLike[str] | None = None, num_words: int = 10000,
              maxlen: int = 500, skip_top: int = 0, seed: int = 0) -> tuple[Part, Part]:
    """Return the reviews as sequences of word numbers, from a folder or downloaded once.

    Words are those of `data.text.tokenize`, numbered by how frequent they are in the training
    part, from 3 on. 0 is padding, 1 the start of a review, 2 a word that is not kept. Reviews are
    padded and cut in front.

    Args:
        data: a folder that holds `aclImdb`, or is it; None downloads it (84 MB) unless that was
            done before.
        num_words: numbers are below it, so 9,997 words are kept by default.
        maxlen: length of every sequence.
        skip_top: the most frequent words, this many, are not kept.
        seed: order of the reviews in each part; on disk all negative ones come first.

    Returns:
        (x_train, y_train), (x_test, y_test); x is int32 (N, maxlen), y int64 (N,), 1 = positive.

    Raises:
        DataError: a folder is missing or empty, or there is no network.

    >>> (x_train, y_train), (x_test, y_test) = load_data()  # doctest: +SKIP
    """
    found = load(data, num_words, maxlen, skip_top, seed)
    return found.train, found.test


def load(data: str | os.PathLike[str] | None = None, num_words: int = 10000, maxlen: int = 500,
         skip_top: int = 0, seed: int = 0) -> Imdb:
    """Return what `load_data` returns, and the vocabulary, to encode and decode reviews with.

    >>> reviews = load()  # doctest: +SKIP
    >>> reviews.vocabulary.decode(reviews.train[0][0])  # doctest: +SKIP
    """
    at_least("imdb", "num_words", num_words, 4)
    at_least("imdb", "maxlen", maxlen, 1)
    at_least("imdb", "skip_top", skip_top, 0)
    checked_seed("imdb", seed)
    folder, counter = PUBLISHED.folder(data), Counter()
    (train, y_train), (test, y_test) = (_read(folder / part, counter) for part in ("train", "test"))
    vocabulary, table = counter.vocabulary(num_words, train, skip_top)
    x_train, x_test = (_encoded(rows, table, maxlen) for rows in (train, test))
    return Imdb(_shuffled(x_train, y_train, seed), _shuffled(x_test, y_test, seed), vocabulary)


def _read(part: Path, counter: Counter) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the reviews of a part, negative ones first, sorted by name; and their labels."""
    rows: list[np.ndarray] = []
    sizes = []
    for folder in (part / name for name in FOLDERS):
        names = sorted(name for name in _listed(folder) if name.endswith(".txt"))
        if not names:
            raise DataError(str(folder), "there are no reviews in it", "expected ID_RATING.txt",
                            "Unpack the archive again.")
        rows += [counter.numbers(_text(folder / name)) for name in names]
        sizes.append(len(names))
    return rows, np.repeat(np.arange(len(FOLDERS)), sizes)


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise DataError(str(folder), f"the folder cannot be read ({error.strerror})",
                        "expected a folder of reviews", "Unpack the archive again.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"the review cannot be read ({error})", "expected UTF-8 text",
                        "Unpack the archive again.") from error


def _encoded(rows: list[np.ndarray], table: np.ndarray, maxlen: int) -> np.ndarray:
    start = np.array([START], np.int32)
    return pad_sequences([np.concatenate([start, table[row]]) for row in rows], maxlen)


def _shuffled(x: np.ndarray, y: np.ndarray, seed: int) -> Part:
    order = permutation(len(x), seed)
    return x[order], y[order]
