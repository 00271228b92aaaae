"""The networks of the lectures, each a function that returns a fresh model."""

from __future__ import annotations

from .lecture_mnist import lecture_mnist
from .lecture_mnist_wide import lecture_mnist_wide
from .mnist_convnet import mnist_convnet

__all__ = ["lecture_mnist", "lecture_mnist_wide", "mnist_convnet"]
