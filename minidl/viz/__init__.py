"""Pictures of data, weights, activations and training; every function returns a Figure.

Figures are made without matplotlib's global state, so nothing opens a window and nothing has to be
closed; `save` writes one, and a notebook shows it as the value of a cell.
"""

from __future__ import annotations

from .augmented import augmented_grid
from .confusion import confusion_matrix
from .curves import training_curves
from .features import activations, feature_maps
from .figure import save
from .images import image_grid
from .kernels import filters
from .rates import learning_rates

__all__ = [
    "activations", "augmented_grid", "confusion_matrix", "feature_maps", "filters", "image_grid",
    "learning_rates", "save", "training_curves",
]
