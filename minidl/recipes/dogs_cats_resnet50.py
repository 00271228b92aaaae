"""Dogs vs. Cats by ResNet50's features and logistic regression, as in the book."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import resnet50
from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from .animals_features import RECIPE as ANIMALS
from .animals_features import STANDARDISED
from .recipe import Features
from .sets import dogs_vs_cats

RECIPE = replace(
    ANIMALS,
    name="dogs_cats_resnet50",
    source="book, chapter 10",
    printed="test 0.9869",
    data=dogs_vs_cats(224, "stretch", Preprocess("resnet50"), (0.25,)),
    pretrained="resnet50",
    features=Features(partial(resnet50, include_top=False), "avg_pool", batch_size=16),
    model=partial(softmax_regression, 2048, classes=2),
    notes=f"The book's grid has 0.001 twice, once for 0.0001. {STANDARDISED}",
)
