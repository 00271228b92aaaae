"""CALTECH-101 by VGG16's features and logistic regression, as in the book."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from .animals_vgg16 import RECIPE as ANIMALS
from .sets import caltech101

RECIPE = replace(
    ANIMALS,
    name="caltech101_vgg16",
    printed="0.9558, rank-5 0.9945",
    data=caltech101(224, Preprocess("vgg16")),
    model=partial(softmax_regression, 25_088, classes=101),
)
