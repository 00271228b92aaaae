"""Flowers with VGG16, fine-tuned as in the book: head, then the last block, too."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..models import vgg16
from ..models.transfer import fine_tuned
from ..optim import SGD, RMSprop
from .flowers_finetune import DATA
from .flowers_finetune import RECIPE as SMALL
from .prepare import one_hot, unit_range_bgr
from .recipe import Stage
from .sets import flowers

SIZE = 224

RECIPE = replace(
    SMALL,
    name="flowers_vgg16_finetune",
    source="book, chapter 5",
    data=flowers(SIZE, unit_range_bgr, label=one_hot, augment=DATA.augment),
    pretrained="vgg16",
    model=partial(fine_tuned, vgg16, (SIZE, SIZE, 3), classes=5),
    stages=(Stage(25, partial(RMSprop, learning_rate=0.001), "flatten"),
            Stage(100, partial(SGD, learning_rate=0.001), "block5_conv1")),
    epochs=125,
    notes="Pixels are scaled to 0 to 1, as in the book, though the weights are used to others; "
          "their order is B, G, R, as OpenCV reads them and Keras' weights want them. The book has "
          "17 kinds, and does not divide them in proportion.",
)
