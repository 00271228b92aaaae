"""The networks that are timed: those of the zoo, each with a batch of random data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from measure import serve

import minidl as dl
from minidl.models.zoo import ENTRIES, Entry
from minidl.nn import Model
from minidl.nn.layers import Embedding, Rescaling

INFERENCE = ("vgg16", "squeezenet", "efficientnet_lite0")
"""Networks whose sources use them as they are, to compute features: no loss, no update."""

NUMBERED = ("nll", "sparse_categorical_crossentropy")
"""Losses that take the numbers of classes; others take one-hot rows."""


@dataclass
class Case:
    """A model with a batch.

    Attributes:
        x: images (N, H, W, C), sequences (N, L, C) or ids (N, L).
        y: labels as the loss wants them.
        numbers: of the classes (N,).
        trains: whether a step is one of training.
    """

    entry: Entry
    model: Any
    x: np.ndarray
    y: np.ndarray
    numbers: np.ndarray
    trains: bool


LARGE = {
    **dict.fromkeys(("lecture_mnist", "lecture_mnist_wide", "mnist_convnet", "lenet",
                     "telemetry_conv1d"), 1024),
    **dict.fromkeys(("lab1_cifar", "lab_cifar", "shallownet", "minivggnet", "minigooglenet",
                     "resnet_cifar", "imdb_conv1d", "alexnet", "squeezenet"), 512),
    **dict.fromkeys(("deepergooglenet", "resnet_tiny_imagenet", "resnet18", "resnet34", "resnet50",
                     "efficientnet_lite0"), 256),
    **dict.fromkeys(("cats_dogs_small", "vgg16", "googlenet"), 128)}
"""Large batches for a GPU: what a step needs fits 40 GB by far (ResNet-50: 19 GiB)."""


def batch_of(entry: Entry) -> int:
    """Return how many samples a step has."""
    return getattr(entry, "bench_batch", None) or entry.batch


def batch_size(name: str, which: str) -> int:
    """Return a network's batch: that of its "source", its "large" one, or the number given.

    >>> batch_size("resnet50", "source"), batch_size("lenet", "large"), batch_size("lenet", "8")
    (256, 1024, 8)
    """
    named = {"source": ENTRIES[name].batch, "large": LARGE[name]}
    return named[which] if which in named else int(which)


def case(name: str, samples: int | None = None, batch: int | None = None, predict: bool = False
         ) -> Case:
    """Return a network of the zoo; weights and data are the same in every process.

    Args:
        samples: of the batch, the first ones.
        batch: samples of a step; by default as many as the CPU's benchmark takes.
        predict: a step is one of `predict`, not of training.
    """
    entry = ENTRIES[name]
    dl.random.seed(0)
    model = _body(entry)
    graph: Model = model.to_graph()
    rng = np.random.default_rng(0)
    x = _inputs(graph, rng, (batch or batch_of(entry), *entry.input_shape))
    y, numbers = labels(rng, entry.loss, len(x), graph.output_shape[-1])
    return Case(entry, model, x[:samples], y[:samples], numbers[:samples],
                trains=not predict and name not in INFERENCE)


def _body(entry: Entry) -> Any:
    if entry.name in INFERENCE:
        return entry.build(include_top=False)  # type: ignore[call-arg]
    return entry.build()


def _inputs(graph: Model, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    first = graph.nodes[0].layer
    if isinstance(first, Embedding):
        return rng.integers(0, first.shape[0], shape)
    x = rng.standard_normal(shape, np.float32)
    return (x * 64 + 128).clip(0, 255) if isinstance(first, Rescaling) else x


def labels(rng: np.random.Generator, loss: str, count: int, outputs: int
           ) -> tuple[np.ndarray, np.ndarray]:
    """Return labels for a loss, and the numbers of the classes (N,)."""
    numbers = rng.integers(0, max(outputs, 2), count)
    if outputs == 1:
        return numbers[:, None].astype(np.float32), numbers
    return (numbers if loss in NUMBERED else np.eye(outputs, dtype=np.float32)[numbers]), numbers


def chosen(names: Sequence[str] | None) -> list[str]:
    """Return the names of networks that are asked for, all by default."""
    unknown = set(names or ()) - set(ENTRIES)
    if unknown:
        raise SystemExit(f"no network {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}")
    return list(names or ENTRIES)


if __name__ == "__main__":
    serve({"chosen": chosen})
