"""Weights and models of other frameworks, read and written without them."""

from __future__ import annotations

from .onnx_report import OnnxReport
from .onnx_save import save_onnx

__all__ = ["OnnxReport", "save_onnx"]
