"""Animals by VGG16's features and logistic regression, as in the book."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import vgg16
from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from .animals_features import RECIPE as SMALL
from .animals_features import STANDARDISED
from .recipe import Features
from .sets import animals

FEATURES = Features(partial(vgg16, include_top=False), "block5_pool")

RECIPE = replace(
    SMALL,
    name="animals_vgg16",
    source="book, chapter 3",
    printed="0.98",
    data=animals(224, Preprocess("vgg16")),
    pretrained="vgg16",
    features=FEATURES,
    model=partial(softmax_regression, 25_088, classes=3),
    notes=STANDARDISED,
)
