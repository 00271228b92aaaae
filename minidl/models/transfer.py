"""Network surgery: a new head on a trained body, and which layers are trained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ..errors import GraphError
from ..nn import Input, Model, Sequential, Symbol
from ..nn.layers import (
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    RandomFlip,
    RandomRotation,
    RandomZoom,
)
from ..nn.model import find_layer
from ..nn.tree import leaves, map_tree
from .blocks import fc_head

POOLINGS: dict[str | None, Callable[..., Any]] = {
    None: Flatten, "avg": GlobalAveragePooling2D, "max": GlobalMaxPooling2D}
"""Layers that make rows of outputs (N, H, W, C), by the names of `train.features.POOLINGS`."""


def with_head(body: Any, head: Callable[[Symbol], Any], name: str | None = None) -> Model:
    """Return a body with a head on its output, as one graph; all layers of the body are shared.

    Args:
        body: a `Model` or `Sequential` with one input and one output; `up_to` cuts one.
        head: returns the new output of the body's, such as `blocks.fc_head` with its classes.

    >>> from .minivggnet import minivggnet
    >>> body = minivggnet((32, 32, 3)).up_to("pool1")
    >>> with_head(body, partial(fc_head, classes=5, units=16)).output_shape
    (None, 5)
    """
    x, y = _again(body.to_graph())
    return Model(x, head(y), name=name)


def _again(graph: Model) -> tuple[Symbol, Any]:
    """Return input and output of the same layers, called anew.

    So the names of layers that were cut off are free.
    """
    old = graph.inputs[0]
    x = Input(old.shape[1:], old.node.name, old.dtype.name)
    known: dict[Symbol, Symbol] = {old: x}

    def new(leaf: Any) -> Any:
        return known[leaf] if isinstance(leaf, Symbol) else leaf

    for node in graph.nodes:
        args, options = map_tree(new, (node.args, node.options))
        made = node.layer(*args, **options)
        known.update(zip(node.symbols, leaves(made), strict=True))
    return x, map_tree(new, graph.outputs)


def fine_tuned(network: Callable[..., Any], input_shape: tuple[int, int, int], classes: int,
               units: int = 256, pooling: str | None = None, weights: Any = None) -> Model:
    """Return a network's body with the book's new head on it (`blocks.fc_head`).

    Args:
        network: a function of `minidl.models` that takes `include_top`, and `weights`.
        units, pooling: of the head.
        weights: of the body: a file, "imagenet", or None for random ones.

    >>> from .vgg16 import vgg16
    >>> fine_tuned(vgg16, (64, 64, 3), 17).count_parameters()
    15243601
    """
    body = network(input_shape, include_top=False, **given(weights))
    head = partial(fc_head, classes=classes, units=units, pooling=pooling)
    return with_head(body, head, f"{body.name}_fc_head")


def given(weights: Any) -> dict[str, Any]:
    """Return the argument `weights` where there are some, for networks that may have none.

    >>> given(None), given("vgg16.h5")
    ({}, {'weights': 'vgg16.h5'})
    """
    return {} if weights is None else {"weights": weights}


def train_from(model: Any, first: int | str | None) -> list[str]:
    """Freeze the layers before one, let it and those after it be trained; return their names.

    Weights that are not trained keep their bits, a frozen batch normalisation keeps and uses its
    moving statistics, and backward ends at the lowest layer that is trained. Compile the model
    anew, as an optimizer has moments of the weights that were trained before.

    Args:
        first: name or position among `model.layers`, negative ones from the end; None freezes all.

    Raises:
        GraphError: there is no such layer.

    >>> model = Sequential([Input((4,)), Dense(3, name="one"), Dense(2, name="two")])
    >>> train_from(model, -1), model.layers[0].trainable
    (['two'], False)
    """
    names = list(model.named_children())
    start = len(names)
    if isinstance(first, int):
        start = names.index(_name(model, find_layer(model, model.layers, first)))
    elif first is not None:
        if first not in names:
            find_layer(model, model.layers, first)
            raise GraphError("train_from", f"layer {first!r} lies inside another one",
                             f"there are {', '.join(names)}",
                             f"Name {first.partition('/')[0]!r}, or set trainable inside it.")
        start = names.index(first)
    for number, layer in enumerate(model.named_children().values()):
        layer.trainable = number >= start
    return names[start:]


def _name(model: Any, layer: Any) -> str:
    return next(name for name, found in model.named_children().items() if found is layer)


def joined(body: Any, head: Any, pooling: str | None = None) -> Model:
    """Return a frozen body, its outputs as rows, and a model for such rows on it, as one model.

    Args:
        pooling: how outputs become rows: None flattens them, "avg" and "max" are over positions.
    """
    body.trainable = False
    rows = POOLINGS[pooling](name="features")
    return with_head(body, lambda y: head(rows(y) if y.ndim > 2 else y),
                     f"{body.name or 'body'}_{head.name}")


# ---- heads and networks of experiments -----------------------------------------------------


def softmax_regression(features: int, classes: int = 2) -> Sequential:
    """Return logistic regression on features (N, F) as a network: one dense layer, softmax.

    >>> softmax_regression(512, 3).count_parameters()
    1539
    """
    return Sequential([Input((features,)), Dense(classes, activation="softmax", name="labels")],
                      name="softmax_regression")


def cats_dogs_head(features: int) -> Sequential:
    """Return the head of the lectures on features (N, F): dropout, dense 256, one sigmoid."""
    return Sequential([Input((features,)), Dropout(0.5, name="head_dropout"),
                       Dense(256, name="head_dense"),
                       Dense(1, activation="sigmoid", name="head_label")], name="cats_dogs_head")


def cats_dogs_vgg16(weights: Any = None) -> Model:
    """Return augmentation, the body of VGG16, dense 256, dropout, one sigmoid (lecture 5.18).

    Photos (N, 180, 180, 3) to the probability (N, 1). They are mirrored, turned by up to 36
    degrees and zoomed by up to 20 % in training.

    >>> cats_dogs_vgg16().count_parameters()
    17992001
    """
    from .vgg16 import vgg16

    body = vgg16((180, 180, 3), include_top=False, **given(weights))
    x = Input((180, 180, 3))
    layers = [RandomFlip("horizontal", name="flip"), RandomRotation(0.1, name="rotation"),
              RandomZoom(0.2, name="zoom"), *body.layers, Flatten(name="flatten"),
              Dense(256, name="head_dense"), Dropout(0.5, name="head_dropout"),
              Dense(1, activation="sigmoid", name="head_label")]
    y = x
    for layer in layers:
        y = layer(y)
    return Model(x, y, name="cats_dogs_vgg16")
