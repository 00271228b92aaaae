"""Tensors that remember how they were computed, and the walk back that gives gradients."""

from . import tensor  # noqa: F401 (first: the functions need the class, its operators need them)
