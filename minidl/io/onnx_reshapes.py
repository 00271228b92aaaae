"""Operators of the ONNX format that rearrange: flatten, reshape, transpose, concat, pad.

Tensors of a file are channels first, symbols channels last. A transposition moves nothing, it
changes which axis is which; layers that need a certain order put the symbol right.
"""

from __future__ import annotations

from math import prod

from ..nn import layers as L  # noqa: N812
from .onnx_call import Call
from .onnx_flow import Flow, Known

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def flatten(call: Call) -> Flow:
    """Return all axes but the batch as one."""
    flow = call.flow()
    if call.get("axis", 1) not in (1, 1 - flow.ndim):
        raise call.refuse(f"has axis={call.get('axis', 1)}", "expected 1: samples stay apart")
    return _flat(call, flow)


def _flat(call: Call, flow: Flow) -> Flow:
    """Return features; of images they lie as minidl has them, and `Flow.flat` says so."""
    if flow.ndim == 2:
        return flow
    shape = flow.symbol.shape[1:]
    if flow.axes != (0, flow.ndim - 1, *range(1, flow.ndim - 1)) or None in shape:
        stored = call.as_stored(flow)
        return Flow(call.apply(L.Flatten(), stored.symbol), (0, 1))
    lengths = tuple(n or 0 for n in shape)
    one = lengths[-1] == 1 or max(lengths[:-1]) == 1  # then the order does not matter
    return Flow(call.apply(L.Flatten(), flow.symbol), (0, 1), None if one else lengths)


def reshape(call: Call) -> Flow:
    """Return the elements of each sample in another shape."""
    target, flow, as_zero = call.inputs[1], call.flow(), call.get("allowzero", 0)
    if not isinstance(target, Known):
        raise call.refuse("has a shape that depends on the data", "expected a constant one")
    wanted = tuple(_resolved(call, flow.trial(i), [int(n) for n in target.trials[i].ravel()],
                             as_zero) for i in range(2))
    return _reshaped(call, flow, wanted)  # type: ignore[arg-type]


def _resolved(call: Call, shape: tuple[int, ...], target: list[int], as_zero: int
              ) -> tuple[int, ...]:
    """Return a shape with 0 (as before) and -1 (the rest) filled in, the batch first."""
    if call.batch and target[:1] == [call.batch]:
        target = [shape[0], *target[1:]]
    lengths = [shape[i] if n == 0 and not as_zero and i < len(shape) else n
               for i, n in enumerate(target)]
    rest = prod(n for n in lengths if n != -1)
    return tuple(prod(shape) // max(rest, 1) if n == -1 else n for n in lengths)


def _reshaped(call: Call, flow: Flow, wanted: Shapes) -> Flow:
    """Return a tensor in another shape, given for both trial sizes."""
    for trial, shape in enumerate(wanted):
        if not shape or shape[0] != flow.trial(trial)[0] or prod(shape) != prod(flow.trial(trial)):
            raise call.refuse(f"makes {shape} of {flow.trial(trial)}, the batch being "
                              f"{flow.trial(trial)[0]}", "expected samples to stay apart")
    rest = tuple(a if a == b else None for a, b in zip(*(s[1:] for s in wanted), strict=True))
    if len(rest) == len(flow.shape) - 1 and wanted[0] == flow.trial(0):
        return flow
    if len(rest) == 1:
        return _flat(call, call.straight(flow) if flow.ndim == 2 else flow)
    if flow.flat and rest == (flow.flat[-1], *flow.flat[:-1]):
        image = call.apply(L.Reshape(flow.flat), flow.symbol)
        return Flow(image, (0, len(rest), *range(1, len(rest))))
    if rest.count(None) > 1:
        raise call.refuse("changes lengths that the file leaves open",
                          "expected an input of fixed height and width",
                          "Export it with a fixed size; the batch may stay open.")
    stored = call.as_stored(flow)
    target = tuple(-1 if n is None else n for n in rest)
    return Flow(call.apply(L.Reshape(target), stored.symbol), tuple(range(len(rest) + 1)))


def _given_axes(call: Call) -> list[int] | None:
    given = call.array(1)
    if given is not None:
        return [int(a) for a in given.ravel()]
    return list(call.get("axes", ())) if "axes" in call.attributes else None


def squeeze(call: Call) -> Flow:
    """Return a tensor without axes of length 1."""
    flow, axes = call.flow(), _given_axes(call)
    if axes is None:
        axes = [a for a in range(1, flow.ndim) if flow.shape[a] == 1]
    dropped = {a % flow.ndim for a in axes}
    first, second = (tuple(n for a, n in enumerate(flow.trial(i)) if a not in dropped)
                     for i in range(2))
    return _reshaped(call, flow, (first, second))


def unsqueeze(call: Call) -> Flow:
    """Return a tensor with more axes of length 1."""
    flow, axes = call.flow(), _given_axes(call) or []
    places = tuple(a % (flow.ndim + len(axes)) for a in axes)
    first, second = (_with_ones(flow.trial(i), places) for i in range(2))
    return _reshaped(call, flow, (first, second))


def _with_ones(shape: tuple[int, ...], places: tuple[int, ...]) -> tuple[int, ...]:
    longer = list(shape)
    for place in sorted(places):
        longer.insert(place, 1)
    return tuple(longer)


def transpose(call: Call) -> Flow:
    """Return a tensor with its axes in another order: nothing moves until a layer needs it."""
    flow = call.flow()
    order = call.get("perm", tuple(range(flow.ndim))[::-1])
    if sorted(order) != list(range(flow.ndim)) or order[0]:
        raise call.refuse(f"has perm={list(order)}", "expected the batch to stay first")
    return Flow(flow.symbol, tuple(flow.axes[a] for a in order), flow.flat)


def concat(call: Call) -> Flow:
    """Return tensors side by side."""
    flows = [call.straight(call.flow(i)) for i in range(len(call.inputs))]
    axis = call.get("axis", 1) % flows[0].ndim
    if axis == 0 or len({flow.ndim for flow in flows}) != 1:
        raise call.refuse(f"joins along axis {axis} of {flows[0].ndim}",
                          "expected tensors of as many axes, and another axis than the batch")
    flows = [call.arranged(flow, flows[0].axes) for flow in flows]
    place = flows[0].axes[axis]
    layer = L.Concatenate(-1 if place == flows[0].ndim - 1 else place)
    return flows[0].of(call.apply(layer, [flow.symbol for flow in flows]))


def pad(call: Call) -> Flow:
    """Return zeros around images or sequences."""
    call.need("mode", "constant")
    flow, pads, value = call.channels_last(call.flow()), _pads(call), call.array(2)
    filled = call.get("value", 0.0) if value is None else float(value.reshape(-1)[0])
    pairs = dict.fromkeys(range(flow.ndim), (0, 0))
    axes = call.array(3)
    over = range(flow.ndim) if axes is None else [int(a) % flow.ndim for a in axes.ravel()]
    for axis, before, after in zip(over, pads[:len(over)], pads[len(over):], strict=True):
        pairs[flow.axes[axis]] = (before, after)
    if filled or min(pads) < 0 or any(pairs[0]) or any(pairs[flow.ndim - 1]) or (
            flow.ndim not in (3, 4)):
        raise call.refuse(f"pads by {list(pads)} with {filled}",
                          "expected zeros around height and width")
    if flow.ndim == 3:
        return flow.of(call.apply(L.ZeroPadding1D(pairs[1]), flow.symbol))
    return flow.of(call.apply(L.ZeroPadding2D((pairs[1], pairs[2])), flow.symbol))


def _pads(call: Call) -> tuple[int, ...]:
    given = call.array(1)
    return call.get("pads", (0,)) if given is None else tuple(int(n) for n in given.ravel())
