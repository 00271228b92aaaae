"""Dogs and cats with AlexNet, as in the book: mean colour, patches, ten crops."""

from __future__ import annotations

from ..data import RandomCrop, Resize
from ..models import alexnet
from ..optim import Adam
from .prepare import as_float, book_affine, mean_colour, one_hot
from .recipe import Recipe
from .sets import dogs_vs_cats

SIZE = (227, 227)

RECIPE = Recipe(
    name="alexnet_dogs_cats",
    source="book, chapter 10",
    printed="test 0.9260, by ten crops 0.9400",
    data=dogs_vs_cats(
        256, "crop", as_float, (0.1, 0.1), (*SIZE, 3), label=one_hot, crop=RandomCrop(*SIZE),
        test_crop=Resize(*SIZE), mean=mean_colour, augment=(book_affine(
            rotation=20, width_shift=0.2, height_shift=0.2, shear=0.15, zoom=0.15,
            horizontal_flip=True),)),
    model=alexnet,
    optimizer=Adam,
    loss="binary_crossentropy",
    epochs=75,
    batch_size=128,
    test_batch_size=64,
    workers=1,
    ten_crops=SIZE,
    notes="Every test photo is counted: the book's plain figure leaves out 4 of 2,500. Photos come "
          "in another order in every epoch; in the book's they stay in that of the file.",
)


