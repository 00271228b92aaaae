"""Animals by SqueezeNet's features and logistic regression: the book's way with a small network."""

from __future__ import annotations

from functools import partial

from ..models import squeezenet
from ..models.imagenet import Preprocess
from ..models.transfer import softmax_regression
from ..optim import SGD
from .recipe import Features, Recipe
from .sets import animals

STANDARDISED = ("Features are standardised, which makes smaller values of C the best. One "
                "regression tells all classes apart (L-BFGS); the book's fits one a class "
                "(liblinear). Photos are resized by area, not by the nearest pixel.")

RECIPE = Recipe(
    name="animals_features",
    source="book, chapter 3, with SqueezeNet",
    printed="0.98 (VGG16)",
    data=animals(227, Preprocess("squeezenet")),
    pretrained="squeezenet",
    features=Features(partial(squeezenet, include_top=False), pooling="avg"),
    grid=(0.0001, 0.001, 0.01, 0.1, 1.0),  # of the book's chapter 10
    model=partial(softmax_regression, 512, classes=3),
    optimizer=SGD,
    loss="sparse_categorical_crossentropy",
    epochs=1,
    notes=f"The book takes VGG16 (animals_vgg16). {STANDARDISED}",
)
