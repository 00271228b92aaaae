"""Error classes with one message form: where, what came, what was expected, what to do."""

from __future__ import annotations


def message(where: str, got: str, expected: str = "", remedy: str = "") -> str:
    """Compose an error text from its four parts; empty parts are left out.

    >>> print(message("conv2d", "got x of shape (3,)", "expected (N, H, W, C)", "Add the axes."))
    conv2d: got x of shape (3,); expected (N, H, W, C). Add the axes.
    """
    text = f"{where}: {got}" if where else got
    if expected:
        text += f"; {expected}"
    whole = f"{text}. {remedy}" if remedy else text
    return whole if whole.endswith((".", "?")) else f"{whole}."


class MinidlError(Exception):
    """Base of every error that minidl raises on purpose.

    Args:
        where: the op, layer (by its full name in the model), file or argument.
        got: what came.
        expected: what would have been right.
        remedy: what to do about it.
    """

    def __init__(self, where: str, got: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(message(where, got, expected, remedy))
        self.where = where
        self.got = got
        self.expected = expected
        self.remedy = remedy

    def inside(self, place: str) -> MinidlError:
        """Return the same error with the enclosing layer's name put in front."""
        where = f"{place}, {self.where}" if self.where else place
        return type(self)(where, self.got, self.expected, self.remedy)

    def __reduce__(self) -> tuple[type[MinidlError], tuple[str, str, str, str]]:
        return type(self), (self.where, self.got, self.expected, self.remedy)


class ShapeError(MinidlError, ValueError):
    """An array has the wrong number of axes or the wrong lengths."""


class DTypeError(MinidlError, TypeError):
    """An array has the wrong element type."""


class ArgumentError(MinidlError, ValueError):
    """An argument has a value that makes no sense here."""


class GraphError(MinidlError, ValueError):
    """A layer graph is not connected as it must be."""


class AutogradError(MinidlError, RuntimeError):
    """A gradient was asked for that cannot be given."""


class SavedArrayChangedError(AutogradError):
    """An array that backward still needs was changed after it was saved."""


class DeviceError(MinidlError, RuntimeError):
    """A device or its software is missing, or two devices were mixed."""


class DataError(MinidlError, ValueError):
    """A data set or one of its files is missing, damaged or of the wrong kind."""


class CheckpointError(MinidlError, ValueError):
    """A saved model or checkpoint cannot be written, read or does not fit."""


class FormatError(MinidlError, ValueError):
    """A file of another framework is damaged, not allowed, or does not fit the model."""


class NotFiniteError(MinidlError, ArithmeticError):
    """A value became infinite or not a number where that was to be an error."""
