"""Telemetry, as taught: convolutions along nine readings tell whether all is normal."""

from __future__ import annotations

from ..models import telemetry_conv1d
from ..optim import Adam
from .recipe import Recipe
from .sets import shuttle

RECIPE = Recipe(
    name="telemetry_conv1d",
    source="lecture 5.19 (Keras)",
    printed="training 0.9341, validation 0.9190",
    data=shuttle(),
    model=telemetry_conv1d,
    optimizer=Adam,
    loss="binary_crossentropy",
    epochs=30,
    batch_size=128,
    notes="The lecture's telemetry was never published; this is the Shuttle's, standardised and "
          "divided with its seven states in proportion. The lecture trains for 500 epochs or more.",
)
