"""Flowers by VGG16's features and logistic regression, as in the book."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from .animals_features import STANDARDISED
from .animals_vgg16 import RECIPE as ANIMALS
from .sets import flowers

RECIPE = replace(
    ANIMALS,
    name="flowers_vgg16",
    printed="0.9206, rank-5 0.9941 (Flowers-17)",
    data=flowers(224, Preprocess("vgg16"), fit="stretch"),
    model=partial(softmax_regression, 25_088, classes=5),
    notes=f"The book has 17 kinds with 80 photos each. {STANDARDISED}",
)
