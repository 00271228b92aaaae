"""Ops that rearrange: views, indices, concat, pad."""

from . import op  # noqa: F401
from .op import Index as Index
