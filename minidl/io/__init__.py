"""Weights and models of other frameworks, read and written without them."""

from __future__ import annotations
