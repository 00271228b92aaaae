"""CALTECH-101 by SqueezeNet's features and logistic regression, as the book does by VGG16's."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from .animals_features import RECIPE as ANIMALS
from .animals_features import STANDARDISED
from .sets import caltech101

RECIPE = replace(
    ANIMALS,
    name="caltech101_features",
    printed="0.9558, rank-5 0.9945 (VGG16)",
    data=caltech101(227, Preprocess("squeezenet")),
    model=partial(softmax_regression, 512, classes=101),
    notes=f"The book takes VGG16 (caltech101_vgg16). {STANDARDISED}",
)
