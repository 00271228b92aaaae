"""Flowers by SqueezeNet's features and logistic regression, as the book does by VGG16's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from .animals_features import RECIPE as ANIMALS
from .animals_features import STANDARDISED
from .sets import flowers

RECIPE = replace(
    ANIMALS,
    name="flowers_features",
    printed="0.9206 (VGG16, Flowers-17)",
    data=flowers(227, Preprocess("squeezenet"), fit="stretch"),
    model=partial(softmax_regression, 512, classes=5),
    notes=f"The book takes VGG16 (flowers_vgg16); it has 17 kinds. {STANDARDISED}",
)
