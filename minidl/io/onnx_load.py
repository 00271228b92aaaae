"""Networks of other frameworks, read from files of the ONNX format as models of minidl."""

from __future__ import annotations

from pathlib import Path

from ..nn import Model
from .onnx_check import self_check
from .onnx_file import PathLike, parse
from .onnx_reader import Reader
from .onnx_report import OnnxReport, shape_text

COLUMNS = ("Node", "Operator", "Layer", "Type", "Output")


def load_onnx(path: PathLike, check: bool = True, verbose: bool = True) -> Model:
    """Return the network in a file of the ONNX format as a model that can be trained and changed.

    The model takes and returns channels last, (N, H, W, C), whatever the file has; a table of what
    became of each node is printed.

    Args:
        check: compute a small network with `onnx.reference` too, and compare.
        verbose: print the table.

    Raises:
        FormatError: the file is damaged, or holds what has no counterpart; node, operator and
            attribute are named.

    >>> from minidl.io import save_onnx
    >>> from minidl.models import lenet
    >>> report = save_onnx(lenet(), "lenet.onnx")
    >>> load_onnx("lenet.onnx", verbose=False).output_shape
    (None, 10)
    """
    model, report = import_onnx(path, check)
    if verbose:
        report.show()
    return model


def import_onnx(path: PathLike, check: bool = True) -> tuple[Model, OnnxReport]:
    """Return what `load_onnx` returns, and the table instead of printing it."""
    file = Path(path)
    reader = Reader(file, parse(file))
    model = reader.model()
    title = f"{file}: ONNX, operator set {reader.opset}, by {_maker(reader)}"
    report = OnnxReport(title, COLUMNS, reader.rows, _notes(reader, model))
    if check:
        report.notes.append(self_check(reader, model))
    return model, report


def _maker(reader: Reader) -> str:
    name = f"{reader.proto.producer_name} {reader.proto.producer_version}".strip()
    return name[:60] or "an unknown program"


def _notes(reader: Reader, model: Model) -> list[str]:
    notes = [f'Input "{flow.symbol.node.name}": {shape_text(flow.symbol.shape)}, channels last'
             f"{_was(flow.axes)}." for flow in reader.inputs]
    if reader.folded:
        notes.append(f"{reader.folded} nodes compute shapes and constants; they are done.")
    if reader.unused:
        names = ", ".join(reader.unused[:5]) + (", ..." if len(reader.unused) > 5 else "")
        notes.append(f"Left over: {len(reader.unused)} weights that no node uses: {names}.")
    notes.append(f"{model.count_parameters():,} weights.")
    return notes


def _was(axes: tuple[int, ...]) -> str:
    return "" if axes == tuple(range(len(axes))) else "; the file has channels first"
