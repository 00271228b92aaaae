"""Weights and models of other frameworks, read and written without them."""

from __future__ import annotations

from .keras_model import load_keras
from .keras_save import save_keras
from .keras_write import save_keras_weights
from .load import load_weights, read_weights
from .onnx_load import import_onnx, load_onnx
from .onnx_report import OnnxReport
from .onnx_save import save_onnx
from .safetensors_file import save_torch

__all__ = ["OnnxReport", "import_onnx", "load_keras", "load_onnx", "load_weights", "read_weights",
           "save_keras", "save_keras_weights", "save_onnx", "save_torch"]
