"""The demo: lecture_mnist on the digits that come with minidl."""

from __future__ import annotations

from dataclasses import replace

from ..models.lecture_mnist import MEAN, STD
from .lecture_mnist import RECIPE as LECTURE_MNIST
from .prepare import normalised
from .sets import digits

RECIPE = replace(
    LECTURE_MNIST,
    name="demo",
    source="lecture_mnist, fewer digits",
    printed="none",
    data=digits(normalised(MEAN, STD)),
    epochs=15,
    notes="The lecture's 3 epochs are for 60,000 digits; 10,000 need more.",
)
