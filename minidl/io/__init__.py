"""Weights and models of other frameworks, read and written without them."""

from __future__ import annotations

from .onnx_load import import_onnx, load_onnx
from .onnx_report import OnnxReport
from .onnx_save import save_onnx

__all__ = ["OnnxReport", "import_onnx", "load_onnx", "save_onnx"]
