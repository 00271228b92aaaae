"""Which layer of a file is which layer of the model, where their names do not say.

Names that both sides share decide first. If then all that is left fits in order, order decides.
Otherwise the two sequences are aligned so that the most layers fit; what has the same partner in
all best alignments has found it, and the rest is decided by what alone fits, then by how much the
names resemble each other. What is still open is left open: equal shapes are no reason to guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cache

import numpy as np

from .groups import FITS, NO, OTHER_SHAPE, PARTLY, Group, Layer, level

MOST_CELLS = 1_000_000  # of an alignment's table; ResNet-152 has 96,000
MARGIN = 0.05           # by which a name must resemble more than the next one
WEIGHTS = {FITS: 1_000_000, PARTLY: 1}

Level = Callable[[int, int], int]


@dataclass
class Pairs:
    """The result.

    Attributes:
        groups: the group of each layer by the layer's path.
        by_name: paths of layers whose partner the likeness of names decided.
        unclear: layers with several groups that fit equally well.
    """

    groups: dict[str, Group] = field(default_factory=dict)
    by_name: list[str] = field(default_factory=list)
    unclear: dict[str, list[str]] = field(default_factory=dict)


def pair(layers: Sequence[Layer], groups: Sequence[Group], in_order: bool = True) -> Pairs:
    """Pair layers of a model with groups of a file.

    Args:
        in_order: whether the file's order means something; an alphabetical one does not.
    """
    pairs = Pairs()
    level_of = _levels(layers, groups)
    same = _same_names(layers, groups)
    for i, j in same.items():
        if level_of(i, j) != NO:
            pairs.groups[layers[i].path] = groups[j]
    left = [i for i in range(len(layers)) if i not in same]
    used = set(same.values())
    right = [j for j in range(len(groups)) if j not in used]
    for i, j in _decide(layers, groups, left, right, level_of, in_order, pairs):
        pairs.groups[layers[i].path] = groups[j]
    return pairs


def _levels(layers: Sequence[Layer], groups: Sequence[Group]) -> Level:
    """Return how well layer i and group j fit; shortcuts go with shortcuts where both sides say."""
    ours, theirs = [_shortcut(x.path) for x in layers], [_shortcut(x.prefix) for x in groups]
    both = any(ours) and any(theirs)
    known: dict[tuple[object, object], int] = {}

    def found(i: int, j: int) -> int:
        if both and ours[i] != theirs[j]:
            return NO
        key = layers[i].signature, groups[j].signature
        if key not in known:
            known[key] = level(layers[i], groups[j])
        return known[key]

    return cache(found)


_SHORTCUT = re.compile(
    r"downsample|shortcut|proj(ection)?(?![a-z])|skip|branch1(?!\d)|(^|_)0_(conv|bn)$")


def _shortcut(name: str) -> bool:
    return _SHORTCUT.search(name) is not None


# ---- names that are the same ---------------------------------------------------------------


def _same_names(layers: Sequence[Layer], groups: Sequence[Group]) -> dict[int, int]:
    """Return the groups of layers that have the same name.

    Names that minidl numbered ("conv2d_1") count only if all of them occur: elsewhere, the numbers
    may have begun with another layer.
    """
    theirs = {name: j for j, name in enumerate(_bare([g.prefix for g in groups]))}
    found = {i: theirs[name] for i, layer in enumerate(layers)
             if (name := _plain(layer.path)) in theirs}
    if len(found) == len(layers):
        return found
    return {i: j for i, j in found.items() if not layers[i].automatic}


def _plain(name: str) -> str:
    """Return a name with one kind of separator, and without a part that repeats the one before."""
    parts = name.replace("/", ".").split(".")
    return ".".join(p for p, before in zip(parts, [None, *parts], strict=False) if p != before)


def _bare(prefixes: Sequence[str]) -> list[str]:
    """Return plain names without the beginning that all of them share."""
    parts = [_plain(prefix).split(".") for prefix in prefixes]
    shared = 0
    while parts and all(len(p) > shared + 1 and p[shared] == parts[0][shared] for p in parts):
        shared += 1
    return [".".join(p[shared:]) for p in parts]


# ---- order ---------------------------------------------------------------------------------


def _decide(layers: Sequence[Layer], groups: Sequence[Group], left: list[int], right: list[int],
            level_of: Level, in_order: bool, pairs: Pairs) -> list[tuple[int, int]]:
    """Return pairs of the remaining layers and groups."""
    whole = list(zip(left, right, strict=False))
    if len(left) == len(right) and all(level_of(i, j) == FITS for i, j in whole):
        return whole
    if not in_order:
        whole = _kind_by_kind(layers, groups, left, right)
        if len(whole) == len(left) and all(level_of(i, j) == FITS for i, j in whole):
            return whole
    if len(left) * len(right) > MOST_CELLS:
        pairs.unclear = {layers[i].path: [] for i in left}
        return []
    found = _aligned(left, right, level_of)
    found += _crossing(layers, groups, left, right, found, level_of, pairs)
    return found + _other_shapes(left, right, found, level_of)


def _kind_by_kind(layers: Sequence[Layer], groups: Sequence[Group], left: list[int],
                  right: list[int]) -> list[tuple[int, int]]:
    """Pair in order among layers of one kind: as many arrays, the first with as many axes."""
    def sorted_out(members: list[int], key: Callable[[int], object]) -> dict[object, list[int]]:
        found: dict[object, list[int]] = {}
        for member in members:
            found.setdefault(key(member), []).append(member)
        return found

    ours = sorted_out(left, lambda i: (len(layers[i].slots), max(
        len(s.turn.theirs) for s in layers[i].slots)))
    theirs = sorted_out(right, lambda j: (len(groups[j].arrays), max(
        len(shape) for _, shape in groups[j].arrays.values())))
    if {k: len(v) for k, v in ours.items()} != {k: len(v) for k, v in theirs.items()}:
        return []
    return [pair for kind in ours for pair in zip(ours[kind], theirs[kind], strict=True)]


def _aligned(left: list[int], right: list[int], level_of: Level) -> list[tuple[int, int]]:
    """Return the pairs that all best alignments share."""
    weights = np.array([[WEIGHTS.get(level_of(i, j), 0) for j in right] for i in left], np.int64)
    if not weights.size:
        return []
    before = _best(weights)
    after = _best(weights[::-1, ::-1])[::-1, ::-1]
    best = before[-1, -1]
    on_best = (weights > 0) & (before[:-1, :-1] + weights + after[1:, 1:] == best)
    alone = on_best & (on_best.sum(0) == 1) & (on_best.sum(1) == 1)[:, None]
    return [(left[a], right[b]) for a, b in np.argwhere(alone)]


def _best(weights: np.ndarray) -> np.ndarray:
    """Return the weight of the best alignment of the first a layers and the first b groups."""
    rows, columns = weights.shape
    table = np.zeros((rows + 1, columns + 1), np.int64)
    for a in range(rows):
        table[a + 1, 1:] = np.maximum(table[a, 1:], table[a, :-1] + weights[a])
        table[a + 1] = np.maximum.accumulate(table[a + 1])
    return table


# ---- what is left --------------------------------------------------------------------------


def _crossing(layers: Sequence[Layer], groups: Sequence[Group], left: list[int], right: list[int],
              found: list[tuple[int, int]], level_of: Level, pairs: Pairs
              ) -> list[tuple[int, int]]:
    """Pair what fits one other alone, then what has by far the most similar name."""
    taken_left, taken_right = {i for i, _ in found}, {j for _, j in found}
    free = [j for j in right if j not in taken_right]
    options = {i: fits for i in left if i not in taken_left
               if (fits := _fitting(i, free, level_of))}
    likeness = cache(lambda i, j: _likeness(layers[i].path, groups[j].prefix))
    made: list[tuple[int, int]] = []
    while True:
        step = _alone(options) or _most_alike(options, likeness)
        if step is None:
            break
        i, j = step
        if len(options.pop(i)) > 1 or any(j in others for others in options.values()):
            pairs.by_name.append(layers[i].path)
        made.append(step)
        options = {k: rest for k, js in options.items() if (rest := [o for o in js if o != j])}
    pairs.unclear.update({layers[i].path: [groups[j].prefix for j in js]
                          for i, js in options.items()})
    return made


def _fitting(i: int, right: list[int], level_of: Level) -> list[int]:
    levels = {j: level_of(i, j) for j in right}
    best = max(levels.values(), default=NO)
    return [j for j, this in levels.items() if this == best] if best >= PARTLY else []


def _alone(options: dict[int, list[int]]) -> tuple[int, int] | None:
    """Return a pair whose members fit nothing else."""
    wanted: dict[int, int] = {}
    for js in options.values():
        for j in js:
            wanted[j] = wanted.get(j, 0) + 1
    return next(((i, js[0]) for i, js in options.items() if len(js) == 1 and wanted[js[0]] == 1),
                None)


def _most_alike(options: dict[int, list[int]], likeness: Callable[[int, int], float]
                ) -> tuple[int, int] | None:
    """Return a pair whose names resemble each other clearly more than those of any rival pair."""
    if sum(map(len, options.values())) > 10_000:
        return None
    scored = sorted(((likeness(i, j), i, j) for i, js in options.items() for j in js),
                    reverse=True)
    for score, i, j in scored:
        rivals = [other for other, a, b in scored if (a == i) != (b == j)]
        if score > max(rivals, default=0.0) + MARGIN:
            return i, j
    return None


_ALIKE = {"shortcut": "downsample projection skip proj", "conv": "convolution conv2d",
          "bn": "norm batchnorm normalization", "block": "layer stage",
          "fc": "linear dense classifier predictions head"}
_WORDS = {word: same for same, words in _ALIKE.items() for word in words.split()}


def _likeness(ours: str, theirs: str) -> float:
    return SequenceMatcher(None, _words(ours), _words(theirs), autojunk=False).ratio()


@cache
def _words(name: str) -> list[str]:
    return [_WORDS.get(word, word) for word in re.findall(r"[a-z]+|\d+", name.lower())]


def _other_shapes(left: list[int], right: list[int], found: list[tuple[int, int]],
                  level_of: Level) -> list[tuple[int, int]]:
    """Pair what is left of one kind but of other shapes, in order, for the report to name both."""
    done_left, done_right = {i for i, _ in found}, {j for _, j in found}
    free = [j for j in right if j not in done_right]
    made = []
    for i in left:
        if i not in done_left:
            j = next((j for j in free if level_of(i, j) == OTHER_SHAPE), None)
            if j is not None:
                made.append((i, j))
                free.remove(j)
    return made
