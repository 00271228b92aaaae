"""The table of the networks: what each is built by, and what its source trains it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import optim
from ..nn import Module
from .alexnet import alexnet
from .cats_dogs_small import cats_dogs_small
from .deepergooglenet import deepergooglenet
from .efficientnet_lite0 import efficientnet_lite0
from .googlenet import googlenet
from .imdb_conv1d import LENGTH, imdb_conv1d
from .lab1_cifar import lab1_cifar
from .lab_cifar import lab_cifar
from .lecture_mnist import lecture_mnist
from .lecture_mnist_wide import lecture_mnist_wide
from .lenet import lenet
from .minigooglenet import minigooglenet
from .minivggnet import minivggnet
from .mnist_convnet import mnist_convnet
from .resnet18 import resnet18
from .resnet34 import resnet34
from .resnet50 import resnet50
from .resnet_cifar import resnet_cifar
from .resnet_tiny_imagenet import resnet_tiny_imagenet
from .shallownet import shallownet
from .squeezenet import squeezenet
from .telemetry_conv1d import telemetry_conv1d
from .vgg16 import vgg16


@dataclass(frozen=True)
class Entry:
    """A network and the training that its source gives it.

    Attributes:
        name: of the network; `minidl.models` has its function under this name.
        build: returns a fresh model.
        input_shape: of one sample.
        classes: how many the network tells apart; one output may stand for two.
        batch: samples in a training step of the source.
        optimizer: its name and settings.
        loss: its name.
        source: where the network, and its training, are from.
        parameters: weights and moving statistics, as Keras counts.
        bench_batch: samples in a step of the benchmarks, where it is not `batch`.
    """

    name: str
    build: Callable[[], Module]
    input_shape: tuple[int, ...]
    classes: int
    batch: int
    optimizer: Mapping[str, Any]
    loss: str
    source: str
    parameters: int
    bench_batch: int | None = None

    def new_optimizer(self) -> optim.Optimizer:
        """Return a fresh optimizer with the source's settings.

        >>> ENTRIES["lecture_mnist"].new_optimizer().settings["momentum"]
        0.5
        """
        settings = {key: value for key, value in self.optimizer.items() if key != "name"}
        return getattr(optim, self.optimizer["name"])(**settings)


def _sgd(learning_rate: float, momentum: float = 0.9, **settings: Any) -> dict[str, Any]:
    return {"name": "SGD", "learning_rate": learning_rate, "momentum": momentum, **settings}


def _adam(learning_rate: float = 0.001) -> dict[str, Any]:
    return {"name": "Adam", "learning_rate": learning_rate}


_RMSPROP = {"name": "RMSprop", "learning_rate": 0.001}
_RMSPROP_MOMENTUM = {"name": "RMSprop", "learning_rate": 0.016, "momentum": 0.9, "epsilon": 1e-3}
_NLL, _CLASSES, _BINARY = "nll", "categorical_crossentropy", "binary_crossentropy"
_MNIST, _CIFAR, _TINY, _IMAGENET = (28, 28, 1), (32, 32, 3), (64, 64, 3), (224, 224, 3)

_LECTURES = (
    Entry("lab1_cifar", lab1_cifar, (24, 24, 3), 10, 100, _adam(1e-4), _CLASSES,
          "laboratory work (TensorFlow)", 731_850),
    Entry("lecture_mnist", lecture_mnist, _MNIST, 10, 64, _sgd(0.01, 0.5), _NLL,
          "lecture 4 (PyTorch)", 21_840),
    Entry("lecture_mnist_wide", lecture_mnist_wide, _MNIST, 10, 64, _adam(), _CLASSES,
          "lecture 4 (Keras)", 3_274_634),
    Entry("mnist_convnet", mnist_convnet, _MNIST, 10, 64, _RMSPROP, _CLASSES,
          "lecture 5.17 (Keras)", 93_322),
    Entry("lab_cifar", lab_cifar, _CIFAR, 10, 32, _sgd(0.01, time_decay=0.01 / 25), _CLASSES,
          "laboratory work (Keras)", 4_293_194),
    Entry("cats_dogs_small", cats_dogs_small, (180, 180, 3), 2, 32, _adam(), _BINARY,
          "lecture 5.18 (Keras)", 991_041),
    Entry("telemetry_conv1d", telemetry_conv1d, (9, 1), 2, 128, _adam(), _BINARY,
          "lecture 5.19 (Keras)", 67_073),
    Entry("imdb_conv1d", imdb_conv1d, (LENGTH,), 2, 128, _RMSPROP, _BINARY,
          "lectures 4 and 5 (Keras); batch not stated", 1_315_937),
)
_BOOK = (
    Entry("shallownet", shallownet, _CIFAR, 10, 32, _sgd(0.01, 0.0), _CLASSES,
          "book, named only; training as is usual", 328_586),
    Entry("lenet", lenet, _MNIST, 10, 128, _sgd(0.01, 0.0), _CLASSES,
          "book, named only; training as is usual", 1_256_080),
    Entry("minivggnet", minivggnet, _CIFAR, 10, 64,
          _sgd(0.01, nesterov=True, time_decay=0.01 / 40), _CLASSES,
          "book, chapters 2 and 6", 2_171_178),
    Entry("alexnet", alexnet, (227, 227, 3), 2, 128, _adam(), _BINARY, "book, chapter 10",
          58_327_810, bench_batch=32),
    Entry("vgg16", vgg16, _IMAGENET, 1000, 32, _sgd(0.001, 0.0), _CLASSES,
          "book, chapters 3 to 5: the training is fine-tuning", 138_357_544),
    Entry("minigooglenet", minigooglenet, _CIFAR, 10, 64, _sgd(0.005), _CLASSES,
          "book, chapter 11, experiment 3", 1_656_250),
    Entry("deepergooglenet", deepergooglenet, _TINY, 200, 64, _adam(), _CLASSES,
          "book, chapter 11, experiment 3", 3_667_976),
    Entry("resnet_cifar", resnet_cifar, _CIFAR, 10, 128, _sgd(0.1), _CLASSES,
          "book, chapter 12, experiments 3 and 4", 886_102),
    Entry("resnet_tiny_imagenet", resnet_tiny_imagenet, _TINY, 200, 64, _sgd(0.1), _CLASSES,
          "book, chapter 12", 2_265_748),
)
_PAPERS = (
    Entry("googlenet", googlenet, _IMAGENET, 1000, 32, _sgd(0.01), _CLASSES,
          "Szegedy et al. 2014; batch and rate of its Caffe release", 6_998_552),
    Entry("resnet18", resnet18, _IMAGENET, 1000, 256, _sgd(0.1), _CLASSES,
          "He et al. 2015", 11_699_112, bench_batch=32),
    Entry("resnet34", resnet34, _IMAGENET, 1000, 256, _sgd(0.1), _CLASSES,
          "He et al. 2015", 21_814_696, bench_batch=32),
    Entry("resnet50", resnet50, _IMAGENET, 1000, 256, _sgd(0.1), _CLASSES,
          "He et al. 2015, in Keras' form; book, chapter 10: features", 25_636_712,
          bench_batch=32),
    Entry("squeezenet", squeezenet, (227, 227, 3), 1000, 512, _sgd(0.04), _CLASSES,
          "Iandola et al. 2016, version 1.1", 1_235_496, bench_batch=32),
    Entry("efficientnet_lite0", efficientnet_lite0, _IMAGENET, 1000, 256, _RMSPROP_MOMENTUM,
          _CLASSES, "Tan and Le 2019, TensorFlow's lite variant", 4_694_024, bench_batch=32),
)

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _LECTURES + _BOOK + _PAPERS}
"""All networks by name."""
