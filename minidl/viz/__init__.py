"""Pictures of data, weights, activations and training; nearly every function returns a Figure.

Figures are made without matplotlib's global state, so nothing opens a window and nothing has to be
closed; `save` writes one, and a notebook shows it as the value of a cell. What a picture of numbers
shows can be had as an array, too, without matplotlib: `grad_cam_values` gives that of `grad_cam`,
and so on. `lecture_view` returns a page for the browser.
"""

from __future__ import annotations

from .augmented import augmented_grid
from .cam import class_activation_map, class_activation_values, grad_cam, grad_cam_values
from .confusion import confusion_matrix
from .curves import training_curves
from .features import activations, feature_maps
from .figure import save
from .images import image_grid
from .kernels import filters
from .lecture import Page, lecture_view
from .patterns import Patterns, filter_pattern, filter_patterns, pattern_values
from .rates import learning_rates
from .sensitivity import occlusion_map, occlusion_values, saliency, saliency_values
from .worst import mistakes, worst_mistakes

__all__ = [
    "Page", "Patterns", "activations", "augmented_grid", "class_activation_map",
    "class_activation_values", "confusion_matrix", "feature_maps", "filter_pattern",
    "filter_patterns", "filters", "grad_cam", "grad_cam_values", "image_grid", "learning_rates",
    "lecture_view", "mistakes", "occlusion_map", "occlusion_values", "pattern_values", "saliency",
    "saliency_values", "save", "training_curves", "worst_mistakes",
]
