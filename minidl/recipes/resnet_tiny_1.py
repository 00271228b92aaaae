"""ResNet on Tiny ImageNet, the book's experiment 1: a rate that falls in steps."""

from __future__ import annotations

from functools import partial

from ..models import resnet_tiny_imagenet
from ..optim import SGD
from .deepergooglenet_tiny_1 import DATA, SHUFFLED
from .recipe import Recipe
from .schedule import stages

RECIPE = Recipe(
    name="resnet_tiny_1",
    source="book, chapter 12, experiment 1",
    printed="validation 0.5314; test 0.5310, rank-5 0.7543",
    data=DATA,
    model=resnet_tiny_imagenet,
    optimizer=partial(SGD, momentum=0.9),
    schedule=stages((25, 1e-1), (10, 1e-2), (5, 1e-3)),
    loss="categorical_crossentropy",
    metrics=("accuracy", "top_5_accuracy"),
    epochs=40,
    test_batch_size=250,
    workers=1,
    notes=f"The listing of this experiment is lost: network and optimizer are those of the second. "
          f"{SHUFFLED}",
)
