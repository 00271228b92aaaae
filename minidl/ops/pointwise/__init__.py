"""Ops that work element by element, a line each."""

from . import op  # noqa: F401
