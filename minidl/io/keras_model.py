"""Models from the architecture that a file of Keras holds, with its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, FormatError, MinidlError
from ..nn import Model, Sequential, Symbol
from ..nn.merge import Arithmetic
from ..nn.module import Module
from ..nn.tree import leaves
from .keras_entries import (
    at,
    bounded,
    config_of,
    first_input,
    input_of,
    name_of,
    numbered,
)
from .keras_files import open_keras
from .keras_graph import Call, Ref, calls_of, damaged, filled, in_order, structure
from .keras_layers import OPERATIONS, Rule, custom_rule, layer_from, rule_of
from .keras_partners import renamed
from .keras_values import Room
from .match import match
from .report import Report

_IN_CONFIG = "momentum and epsilon"  # begins the note of `match` that files without a config need
MODELS = ("Functional", "Model", "Sequential")


def load_keras(path: str | Path, trust: bool = False,
               custom_objects: Mapping[str, type[Module]] | None = None, show: bool = True) -> Any:
    """Return the model that a file of Keras holds: a `.keras` archive, or an HDF5 file with config.

    Sequential and functional models, nested ones too, of layers that minidl has. Nothing in the
    file is run.

    Args:
        trust: read the file in this process, not in a child that may crash.
        custom_objects: layers of minidl by the names of classes that are not Keras's; they are
            made with the arguments that the file has for them.
        show: print what every weight was matched with.

    Raises:
        FormatError: the file is damaged or refused, or has what minidl has no layer for.
    """
    model, report = load_with_report(Path(path), trust, custom_objects)
    if show:
        report.show()
    return model


def load_with_report(path: Path, trust: bool = False,
                     custom_objects: Mapping[str, type[Module]] | None = None
                     ) -> tuple[Any, Report]:
    """Return the model of a file, and the table of its weights."""
    file = open_keras(path, trust)
    if file.config is None:
        raise FormatError(file.source, "it has weights but no architecture",
                          "expected a file of model.save(...)",
                          "Build the network and give it to load_weights(model, path).")
    builder = _Builder(sum(a.size for a in file.arrays.values()), dict(custom_objects or {}))
    try:
        model = builder.model(file.config)
    except MinidlError as error:
        where = ", ".join(filter(None, (file.source, error.where)))
        raise FormatError(where, error.got, error.expected, error.remedy) from error
    report = match(model, renamed(file, model, builder.places))
    report.notes = [note for note in report.notes if not note.startswith(_IN_CONFIG)]
    return model, report


# ---- building ------------------------------------------------------------------------------


@dataclass
class _Made:
    """A layer that was made, and how many calls of layers a call of it runs."""

    layer: Any
    cost: int = 1


@dataclass
class _Builder:
    """Makes layers and models from configs.

    Attributes:
        elements: how many numbers the file has for weights.
        places: where the file has the weights of each layer, by the layer's path here: its path in
            version 3, and the layer's group in version 2.
    """

    elements: int
    custom: dict[str, type[Module]]
    places: dict[str, str] = field(default_factory=dict)
    inside: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        self.room = Room(self.elements)

    def model(self, config: Any) -> Any:
        """Return the model of a whole config."""
        entry = config if isinstance(config, Mapping) else {}
        if entry.get("class_name") not in MODELS:
            raise ArgumentError("", f"it holds {str(entry.get('class_name'))[:60]!r}",
                                f"expected one of {', '.join(MODELS)}",
                                "Build the network and load the weights alone (load_weights).")
        return self.nested(entry).layer

    def nested(self, entry: Mapping[str, Any]) -> _Made:
        kind, config = entry["class_name"], entry.get("config")
        if len(self.inside) > 8:
            raise damaged("it has models in models, more than 8 deep")
        if kind == "Sequential":
            return self.sequential(entry, config)
        if not isinstance(config, Mapping):
            raise damaged("the config of a model is no dict")
        return self.functional(config)

    @contextmanager
    def within(self, name: str, part: str) -> Iterator[None]:
        """Note that what is made now lies in a model; `part` is its place in the file."""
        before, self.inside = self.inside, (*self.inside, (name, part))
        try:
            yield
        finally:
            self.inside = before

    def note(self, name: str, part: str) -> None:
        ours = "/".join((*(n for n, _ in self.inside), name))
        self.places[ours] = "/".join((*(p for _, p in self.inside), part))

    def make(self, entry: Mapping[str, Any], part: str, axes: int | None) -> _Made:
        """Return the layer or model of an entry."""
        kind, config, name = entry.get("class_name"), config_of(entry), name_of(entry)
        self.note(name, part)
        with at(name, kind):
            if kind in MODELS and kind not in self.custom:
                with self.within(name, part):
                    return self.nested(entry)
            return _Made(layer_from(self.rule(kind), config, name, axes, self.room))

    def rule(self, kind: Any) -> Rule:
        if kind in self.custom:
            return custom_rule(self.custom[kind])
        return rule_of(kind)

    # ---- sequential ----

    def sequential(self, entry: Mapping[str, Any], config: Any) -> _Made:
        """Return a chain of layers; old files have the list of layers alone."""
        config = {"layers": config} if isinstance(config, list) else config
        entries = config.get("layers") if isinstance(config, Mapping) else None
        if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
            raise damaged("the layers of a Sequential are no list of dicts")
        name = config.get("name") or entry.get("name")
        model, cost = Sequential(name=name if isinstance(name, str) else None), 1
        start = first_input(entry, config, entries)
        if start is not None:
            model.add(start)
        for inner, part in numbered(entries):
            with at(name_of(inner), inner.get("class_name")):
                axes = None if start is None else len(model.output_shape)
                made = self.make(inner, part, axes)
                model.add(made.layer)
            cost = bounded(cost + made.cost)
        return _Made(model, cost)

    # ---- functional ----

    def functional(self, config: Mapping[str, Any]) -> _Made:
        """Return a graph of layers."""
        entries = config.get("layers")
        if not isinstance(entries, list) or not all(isinstance(e, Mapping) for e in entries):
            raise damaged("the layers of a model are no list of dicts")
        found = {name_of(e): (e, part) for e, part in numbered(entries, inputs=True)}
        inputs = {n: input_of(e) for n, (e, _) in found.items() if e["class_name"] == "InputLayer"}
        graph = _Graph(self, found, {(n, 0): [s] for n, s in inputs.items()})
        cost = graph.run({n: self.calls(n, e) for n, (e, _) in found.items() if n not in inputs},
                         set(inputs))
        ins = [graph.end(r) for r in leaves(structure(config.get("input_layers")))]
        outs = filled(structure(config.get("output_layers")), graph.end)
        name = config.get("name")
        return _Made(Model(ins[0] if len(ins) == 1 else ins, outs,
                           name=name if isinstance(name, str) else None), cost)

    def calls(self, name: str, entry: Mapping[str, Any]) -> list[Call]:
        with at(name, entry["class_name"]):
            return calls_of(name, str(entry["class_name"]), entry.get("inbound_nodes", []))


@dataclass
class _Graph:
    """Calls the layers of a functional config on symbols."""

    builder: _Builder
    entries: dict[str, tuple[Mapping[str, Any], str]]
    results: dict[tuple[str, int], list[Symbol]]
    made: dict[str, _Made] = field(default_factory=dict)

    @property
    def models(self) -> dict[str, int]:
        """Layers that are models; they have a call of their own, so theirs count from 1."""
        return {name: 1 for name, (e, _) in self.entries.items() if e["class_name"] in MODELS}

    def run(self, calls: Mapping[str, list[Call]], inputs: set[str]) -> int:
        """Call everything; return how many calls of layers that takes."""
        cost, first = 1, self.models
        for call, number in in_order(calls, inputs, first):
            entry, part = self.entries[call.layer]
            args = filled(call.args, lambda r, c=call: self.symbol(
                r, first.get(r.layer, 0) if c.listed else 0))
            with at(call.layer, entry["class_name"]):
                y, made = self.call(entry, part, args)
            self.results[(call.layer, number)] = list(leaves(y))
            cost = bounded(cost + made.cost)
        return cost

    def call(self, entry: Mapping[str, Any], part: str, args: list[Any]) -> tuple[Any, _Made]:
        if len(args) == 2 and entry["class_name"] in OPERATIONS:
            return _arithmetic(OPERATIONS[entry["class_name"]], args), _Made(None)
        if len(args) != 1:
            raise ArgumentError("", f"it is called with {len(args)} arguments", "expected one, "
                                "a tensor or a list of tensors", "")
        name = name_of(entry)
        if name not in self.made:
            symbol = next((leaf for leaf in leaves(args) if isinstance(leaf, Symbol)), None)
            axes = None if symbol is None else symbol.ndim
            self.made[name] = self.builder.make(entry, part, axes)
        return self.made[name].layer(args[0]), self.made[name]

    def symbol(self, r: Ref, first: int) -> Symbol:
        """Return what a reference means; `first` is the number of the layer's first call."""
        results = self.results.get((r.layer, r.call - first), [])
        if r.output >= len(results):
            raise damaged(f'there is no output {r.output} of call {r.call} of "{r.layer}"')
        return results[r.output]

    def end(self, r: Ref) -> Symbol:
        """Return an input or output of the whole; models among them count from 1 here."""
        first = self.models.get(r.layer, 0)
        counted = first if (r.layer, r.call - first) in self.results else 0
        return self.symbol(r, counted)


def _arithmetic(operation: str, args: list[Any]) -> Symbol:
    """Return the result of an operation on two tensors, or on a tensor and a number."""
    first, second = args
    if isinstance(first, Symbol) and isinstance(second, Symbol):
        return Arithmetic(operation)([first, second])
    swapped = isinstance(second, Symbol)
    symbol, constant = (second, first) if swapped else (first, second)
    names = {"subtract": "reverse_subtract", "divide": "reverse_divide"}
    if not isinstance(constant, (int, float)) or (swapped and operation == "power"):
        raise ArgumentError("", f"it computes with {str(constant)[:60]}", "expected a number", "")
    return Arithmetic(names.get(operation, operation) if swapped else operation, constant)(symbol)
