"""Putting the arrays of a file into a model: matched, turned, all or nothing, and checked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import FormatError
from .groups import IGNORED, Group, Layer, Slot, groups_of, layers_of, partners
from .layout import Layout, orders
from .pairing import pair
from .report import Report, Row, Shape, named_shapes

Names = Mapping[str, str | None] | Callable[[str], str | None]


@dataclass(frozen=True)
class Weights:
    """The arrays of a file of another framework.

    Attributes:
        arrays: by their names in the file, in the file's order.
        layout: how kernels and flattened images lie in it.
        source: the file and its format, for texts.
        in_order: whether the order means something; that of sorted names does not.
        notes: what the reader has to say, for the report.
    """

    arrays: dict[str, np.ndarray]
    layout: Layout
    source: str
    in_order: bool = True
    notes: tuple[str, ...] = ()


@dataclass
class _Plan:
    """Where every array is to go; `rows` and `arrays` belong together."""

    report: Report
    slots: list[Slot] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)


def match(model: Any, weights: Weights, names: Names | None = None, strict: bool = True) -> Report:
    """Put the arrays of a file into the model's parameters and buffers, all or nothing.

    Layers with weights are matched by name where both sides have the same names, otherwise in
    order, by kind and shape. Kernels are transposed, and what follows a flattened image is put into
    our order, as the file's layout asks for.

    Args:
        names: for layers or single weights of the model ("conv1", "conv1/bias"), the file's prefix
            or array; None leaves the model's own values. Or a function from the path of a layer to
            a prefix. Whatever it does not name is matched by itself.
        strict: raise where anything is missing, left over or of another shape; otherwise what fits
            is loaded, and the report says what did not.

    Raises:
        FormatError: the file does not fit, several assignments are possible, or `names` names what
            is not there. The model is unchanged then.

    >>> from minidl.nn import Input, Sequential
    >>> from minidl.nn.layers import Dense
    >>> model = Sequential([Input((3,)), Dense(2, use_bias=False, name="fc")])
    >>> file = Weights({"fc.weight": np.ones((2, 3), "f4")}, "channels_first", "a torch file")
    >>> report = match(model, file)
    >>> report.rows[0].ours, report.rows[0].theirs, report.rows[0].turned
    ('fc/kernel', 'fc.weight', 'axes (1, 0)')
    >>> report.check
    "turned back, all 1 arrays equal the file's bit by bit"
    """
    found, notes = orders(model)
    layers = layers_of(model, weights.layout, found)
    _built(model, layers, weights)
    first = weights.layout == "channels_first"
    plan = _Plan(Report(weights.source, notes=[*weights.notes, *(notes if first else ())]))
    chosen = _chosen(layers, weights, names, plan)
    _pair_rest(layers, weights, chosen, plan)
    _settle(layers, weights, plan)
    if strict:
        _complete(plan.report, weights)
    _fill(plan)
    return plan.report


def _built(model: Any, layers: list[Layer], weights: Weights) -> None:
    unbuilt = [path or "the model" for path, m in model.named_modules().items() if not m.built]
    if not layers or any(not m.built for m in model.leaf_modules()):
        raise FormatError(weights.source, f"{', '.join(unbuilt[:3]) or 'the model'} has no weights "
                          "yet", "expected a model with weights",
                          "Call the model once, or give it an Input.")


# ---- what `names` says ---------------------------------------------------------------------


def _chosen(layers: list[Layer], weights: Weights, names: Names | None, plan: _Plan) -> set[str]:
    """Plan what `names` says; return the paths of the layers and weights that it settles."""
    if names is None:
        return set()
    if callable(names):
        answers = {layer.path: names(layer.path) for layer in layers}
        names = {path: name for path, name in answers.items() if name is not None}
    by_path = {layer.path: layer for layer in layers}
    slots = {slot.path: slot for layer in layers for slot in layer.slots}
    groups = {group.prefix: group for group in groups_of(weights.arrays)}
    for path, name in names.items():
        if path not in by_path and path not in slots:
            raise _unknown(path, [*by_path, *slots], "layer or weight", "the model")
        if name is None:
            plan.kept.update(s.path for s in by_path[path].slots) if path in by_path else (
                plan.kept.add(path))
        elif path in by_path:
            prefix = name.rstrip("./")
            if prefix not in groups:
                raise _unknown(name, list(groups), "layer", weights.source)
            _join(by_path[path], groups[prefix], weights, plan)
        else:
            if name not in weights.arrays:
                raise _unknown(name, list(weights.arrays), "array", weights.source)
            _plan(slots[path], name, weights, plan)
    return set(names) | plan.kept


def _unknown(name: str, known: list[str], what: str, where: str) -> FormatError:
    near = difflib.get_close_matches(name, known, 3, 0.4) or known[:3]
    return FormatError("names", f"{where} has no {what} {name!r}", f"it has {', '.join(near)}",
                       "Write {\"the model's path\": \"the file's name\"}.")


def _join(layer: Layer, group: Group, weights: Weights, plan: _Plan) -> None:
    """Plan every weight of a layer that the group has an array for."""
    parts = partners(layer, group)
    for slot in layer.slots:
        if slot.role in parts:
            _plan(slot, group.arrays[parts[slot.role]][0], weights, plan)


def _plan(slot: Slot, name: str, weights: Weights, plan: _Plan) -> None:
    array = weights.arrays[name]
    fits = array.shape == slot.turn.theirs
    if fits and slot.tensor.dtype.kind == "f" and array.dtype.kind != "f":
        raise FormatError(weights.source, f"{name} holds {array.dtype}", f"{slot.path} expects "
                          "floating-point numbers", "Save the weights before quantising them.")
    plan.report.rows.append(Row(slot.path, slot.turn.ours, name, array.shape,
                                slot.turn.text if fits else "shapes differ", fits))
    if fits:
        plan.used.add(name)
        plan.slots.append(slot)
        plan.arrays.append(array)


# ---- the rest ------------------------------------------------------------------------------


def _pair_rest(layers: list[Layer], weights: Weights, chosen: set[str], plan: _Plan) -> None:
    """Plan the layers and weights that `names` did not settle."""
    open_layers = [Layer(x.path, x.kind, x.automatic, [s for s in x.slots if s.path not in chosen])
                   for x in layers if x.path not in chosen]
    open_layers = [x for x in open_layers if x.slots]
    groups = groups_of({n: a for n, a in weights.arrays.items() if n not in plan.used})
    pairs = pair(open_layers, groups, weights.in_order)
    if pairs.unclear:
        raise _unclear(pairs.unclear, weights)
    for layer in open_layers:
        if layer.path in pairs.groups:
            _join(layer, pairs.groups[layer.path], weights, plan)
    if pairs.by_name:
        plan.report.notes.append("several layers of one shape: the likeness of names decided for "
                                 f"{', '.join(pairs.by_name)}")
    order = {slot.path: i for i, slot in enumerate(s for layer in layers for s in layer.slots)}
    plan.report.rows.sort(key=lambda row: order[row.ours])


def _unclear(unclear: dict[str, list[str]], weights: Weights) -> FormatError:
    path, options = next(iter(unclear.items()))
    shown = ", ".join(options[:4]) or "any of the file's"
    return FormatError(weights.source, f"layer {path!r} could be {shown}",
                       f"{len(unclear)} layers fit several of the file's equally well",
                       f'Say which: names={{"{path}": "{(options or ["..."])[0]}", ...}}.')


def _settle(layers: list[Layer], weights: Weights, plan: _Plan) -> None:
    """Note what is left on both sides, and what looks wrong."""
    report, arrays = plan.report, weights.arrays
    settled = {row.ours for row in report.rows} | plan.kept
    report.missing = {s.path: s.turn.ours for layer in layers for s in layer.slots
                      if s.path not in settled}
    rest = set(arrays) - {row.theirs for row in report.rows}
    ignored = {n for n in rest if n.endswith(IGNORED)}
    known = {_place(array) for array in plan.arrays}
    twins = {n for n in rest - ignored if arrays[n].size and _place(arrays[n]) in known}
    left = rest - ignored - twins
    report.left_over = {name: arrays[name].shape for name in arrays if name in left}
    roles = {slot.role for slot in plan.slots}
    report.notes += [text for text, said in (
        (f"kept as they are, as names says: {', '.join(sorted(plan.kept))}", plan.kept),
        (f"passed over: {len(ignored)} {IGNORED[0]}", ignored),
        (f"the same arrays under a second name: {', '.join(sorted(twins))}", twins),
        ("momentum and epsilon of batch normalisation are not in such a file; the model's hold",
         "moving_variance" in roles)) if said]
    for slot, array in zip(plan.slots, plan.arrays, strict=True):
        report.notes += _doubts(slot, array)


def _place(array: np.ndarray) -> tuple[int, Shape, Shape]:
    """Return what two names of one array share."""
    return array.__array_interface__["data"][0], array.shape, array.strides


def _doubts(slot: Slot, array: np.ndarray) -> list[str]:
    """Return what no trained weight should hold."""
    if array.dtype.kind != "f":
        return []
    wrong = int(array.size - np.isfinite(array).sum())
    found = [f"{slot.path} holds {wrong:,} values that are not finite"] if wrong else []
    if slot.role == "moving_variance" and (array < 0).any():
        found.append(f"{slot.path} holds negative variances")
    return found


def _complete(report: Report, weights: Weights) -> None:
    """Raise unless everything found its partner."""
    if report.complete:
        return
    differ = [f"{r.ours} {r.shape} and {r.theirs} {r.their_shape}" for r in report.rows
              if not r.loaded]
    wrong = [f"shapes differ: {'; '.join(differ[:8])}"] if differ else []
    wrong += [f"the file lacks {named_shapes(report.missing)}"] if report.missing else []
    wrong += [f"the model lacks {named_shapes(report.left_over)}"] if report.left_over else []
    raise FormatError(weights.source, f"does not fit the model: {'; '.join(wrong)}",
                      "expected a partner for every array",
                      "Give names={...} where partners have other names, None for weights that are "
                      "to keep their values, or strict=False to load what fits.")


# ---- filling -------------------------------------------------------------------------------


def _fill(plan: _Plan) -> None:
    """Write the arrays into the model, and compare what is there then with the file."""
    turned = [np.ascontiguousarray(slot.turn.to_ours(array), slot.tensor.dtype)
              for slot, array in zip(plan.slots, plan.arrays, strict=True)]
    for slot, array in zip(plan.slots, turned, strict=True):
        slot.tensor.assign(array)
    plan.report.check = _check(plan)


def _check(plan: _Plan) -> str:
    """Turn the model's weights back and compare them bit by bit with the file."""
    wrong, rounded = [], 0
    for slot, array in zip(plan.slots, plan.arrays, strict=True):
        here = slot.turn.to_theirs(slot.tensor.array)
        wanted = array.astype(here.dtype, copy=False)
        rounded += array.dtype.itemsize > here.dtype.itemsize
        if not np.array_equal(_bits(here), _bits(wanted)):
            wrong.append(slot.path)
    if wrong:
        raise FormatError(plan.report.source, f"{', '.join(wrong)} hold other values than the file",
                          "expected the same bits", "This is a fault of minidl: please report it.")
    text = f"turned back, all {len(plan.slots)} arrays equal the file's bit by bit"
    return f"{text}, {rounded} of them rounded to the model's type" if rounded else text


def _bits(array: np.ndarray) -> np.ndarray:
    """Return floats as whole numbers, so that NaN equals itself."""
    return array.view(f"u{array.itemsize}")
