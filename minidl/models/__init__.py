"""The networks of the lectures and of the book, each a function that returns a fresh model.

`minidl.models.zoo.ENTRIES` has them in a table, `minidl.models.blocks` what they are made of,
`minidl.models.imagenet` what goes with weights that were trained on ImageNet.
"""

from __future__ import annotations

from . import blocks, imagenet, zoo
from .alexnet import alexnet
from .cats_dogs_small import cats_dogs_small
from .deepergooglenet import deepergooglenet
from .efficientnet_lite0 import efficientnet_lite0
from .googlenet import googlenet
from .imdb_conv1d import imdb_conv1d
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

__all__ = [
    "alexnet", "blocks", "cats_dogs_small", "deepergooglenet", "efficientnet_lite0", "googlenet",
    "imagenet", "imdb_conv1d", "lab1_cifar", "lab_cifar", "lecture_mnist", "lecture_mnist_wide",
    "lenet", "minigooglenet", "minivggnet", "mnist_convnet", "resnet18", "resnet34", "resnet50",
    "resnet_cifar", "resnet_tiny_imagenet", "shallownet", "squeezenet", "telemetry_conv1d",
    "vgg16", "zoo",
]
