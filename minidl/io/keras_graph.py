"""The graph in a config of Keras: which call takes which results, in both versions' notation.

Version 2 has a call as a list of [layer, call, output, options]; version 3 has its arguments, in
which tensors are dicts with a `keras_history` of [layer, call, output].
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError
from ..nn.tree import leaves, map_tree

CALLS = 5000


@dataclass(frozen=True)
class Ref:
    """An output of a call of a layer."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Call:
    """A call of a layer: arguments with a `Ref` for every tensor.

    Attributes:
        listed: it is in the notation of version 2.
    """

    layer: str
    args: list[Any]
    listed: bool

    @property
    def refs(self) -> list[Ref]:
        """The results that it takes."""
        return [leaf for leaf in leaves(self.args) if isinstance(leaf, Ref)]


def damaged(what: str) -> ArgumentError:
    """Return the error for a config that is not as Keras writes them."""
    return ArgumentError("", what, "expected a config as Keras writes it", "Fetch it again.")


def ref(value: Any) -> Ref:
    """Return what [layer, call, output] refers to."""
    if not (isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str)
            and all(isinstance(n, int) and n >= 0 for n in value[1:3])):
        raise damaged(f"got {str(value)[:80]} for a reference to a layer's output")
    return Ref(value[0], value[1], value[2])


def calls_of(name: str, kind: str, nodes: Any) -> list[Call]:
    """Return the calls of a layer from its `inbound_nodes`."""
    if not isinstance(nodes, list):
        raise damaged("its inbound_nodes are no list")
    return [_listed(name, kind, node) if isinstance(node, list) else _call(name, kind, node)
            for node in nodes]


def _listed(name: str, kind: str, node: list[Any]) -> Call:
    """Return a call in the notation of version 2."""
    for entry in node:
        _check_options(kind, entry[3] if isinstance(entry, list) and len(entry) > 3 else {})
    refs = [ref(entry) for entry in node]
    return Call(name, refs if len(refs) == 1 else [refs], True)


def _call(name: str, kind: str, node: Any) -> Call:
    """Return a call in the notation of version 3."""
    if not isinstance(node, Mapping) or not isinstance(node.get("args"), list):
        raise damaged(f"got {str(node)[:80]} for a call")
    options = dict(node.get("kwargs") or {})
    args = [*node["args"], *(options.pop(k) for k in ("inputs",) if k in options)]
    _check_options(kind, options)
    return Call(name, [_tensors(arg) for arg in args], False)


def _tensors(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") != "__keras_tensor__":
            raise ArgumentError("", f"the argument {str(value)[:80]} is not supported",
                                "expected tensors and numbers", "")
        return ref(value.get("config", {}).get("keras_history"))
    return [_tensors(part) for part in value] if isinstance(value, list) else value


def _check_options(kind: str, options: Any) -> None:
    """Raise for arguments of a call that would change what it does.

    `training` false is what use is; layers of chance have true as their default in version 3.
    """
    if not isinstance(options, Mapping):
        raise damaged(f"got {str(options)[:80]} for the options of a call")
    for key, value in options.items():
        fine = value is None or (key == "training" and (
            value is False or (value is True and kind.startswith("Random"))))
        if not fine:
            raise ArgumentError("", f"it is called with {key}={value!r}, which is not supported",
                                "expected None" + (" or False" if key == "training" else ""), "")


def in_order(calls: Mapping[str, list[Call]], inputs: set[str], first: Mapping[str, int]
             ) -> Iterator[tuple[Call, int]]:
    """Yield each call with its number after all whose results it takes, else as in the file.

    Args:
        calls: of each layer.
        inputs: names of input layers.
        first: the number that version 2 gives the first call of a layer: 1 for models.
    """
    ids = [(name, i) for name, several in calls.items() for i in range(len(several))]
    if len(ids) > CALLS:
        raise damaged(f"it has {len(ids)} calls of layers, more than {CALLS}")
    places = {key: place for place, key in enumerate(ids)}
    waiting: dict[int, int] = {}
    users: dict[int, list[int]] = {}
    for place, (name, i) in enumerate(ids):
        call = calls[name][i]
        needed = {_place(r, call, places, inputs, first) for r in call.refs} - {-1}
        waiting[place] = len(needed)
        for other in needed:
            users.setdefault(other, []).append(place)
    yield from ((calls[ids[p][0]][ids[p][1]], ids[p][1]) for p in _sorted(waiting, users))


def _place(r: Ref, call: Call, places: Mapping[tuple[str, int], int], inputs: set[str],
           first: Mapping[str, int]) -> int:
    """Return the place of the call that a reference means, -1 for an input."""
    if r.layer in inputs:
        return -1
    number = r.call - first.get(r.layer, 0) if call.listed else r.call
    if (r.layer, number) not in places:
        raise damaged(f'it takes call {r.call} of the layer "{r.layer}", which is not there')
    return places[(r.layer, number)]


def _sorted(waiting: dict[int, int], users: dict[int, list[int]]) -> Iterator[int]:
    ready = [place for place, count in waiting.items() if not count]
    heapq.heapify(ready)
    done = 0
    while ready:
        place = heapq.heappop(ready)
        done += 1
        yield place
        for user in users.get(place, ()):
            waiting[user] -= 1
            if not waiting[user]:
                heapq.heappush(ready, user)
    if done < len(waiting):
        raise damaged("its layers take each other's results in a circle")


def structure(value: Any) -> Any:
    """Return the inputs or outputs of a config with a `Ref` for each; a list of one is that one."""
    if isinstance(value, Mapping):
        return {key: structure(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], str):
        return ref(value)
    if not isinstance(value, list) or not value:
        raise damaged(f"got {str(value)[:80]} for inputs or outputs")
    parts = [structure(part) for part in value]
    return parts[0] if len(parts) == 1 else parts


def filled(tree: Any, find: Any) -> Any:
    """Return arguments with symbols for references."""
    return map_tree(lambda leaf: find(leaf) if isinstance(leaf, Ref) else leaf, tree)
