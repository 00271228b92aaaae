"""Flowers with SqueezeNet, fine-tuned: a new head on a frozen body, then the last modules, too."""

from __future__ import annotations

from functools import partial

from ..models import squeezenet
from ..models.imagenet import Preprocess
from ..models.transfer import fine_tuned
from ..optim import SGD, RMSprop
from .prepare import book_affine, one_hot
from .recipe import Recipe, Stage
from .sets import flowers

SIZE = 128
DATA = flowers(SIZE, Preprocess("squeezenet"), label=one_hot, augment=(book_affine(
    rotation=30, width_shift=0.1, height_shift=0.1, shear=0.2, zoom=0.2, horizontal_flip=True),))

RECIPE = Recipe(
    name="flowers_finetune",
    source="book, chapter 5, with SqueezeNet",
    printed="0.90 after the warm-up, 0.94 at the end (VGG16, Flowers-17)",
    data=DATA,
    pretrained="squeezenet",
    model=partial(fine_tuned, squeezenet, (SIZE, SIZE, 3), classes=5, pooling="avg"),
    stages=(Stage(10, partial(RMSprop, learning_rate=0.001), "flatten"),
            Stage(20, partial(SGD, learning_rate=0.001, momentum=0.9), "fire6_squeeze1x1")),
    optimizer=partial(RMSprop, learning_rate=0.001),
    loss="categorical_crossentropy",
    epochs=30,
    batch_size=32,
    test_batch_size=64,
    workers=1,
    notes="The book takes VGG16 (flowers_vgg16_finetune) and photos of 224 pixels from 0 to 1, "
          "flattens the outputs, and trains for 125 epochs, without momentum.",
)
