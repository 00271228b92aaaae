"""The command line `minidl`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from ..errors import MinidlError
from .options import COMMANDS, parser

OK, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses; WRONG, for a wrong command line, is argparse's."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0, 1 after an error, 130 after Ctrl+C.

    A wrong command line ends the program with status 2; without a command there is help, too.

    Args:
        argv: the words after `minidl`; those of the process by default.

    >>> main(["list"])  # doctest: +SKIP
    0
    """
    arguments = parser().parse_args(argv)
    if arguments.command is None:
        parser().print_help(sys.stderr)
        return WRONG
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has gone: `minidl list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (MinidlError, OSError, MemoryError) as error:
        if arguments.debug:
            raise
        print(f"error: {_text(error)}", file=sys.stderr)
        return FAILED


def _run(arguments: argparse.Namespace) -> int:
    module, _, function = COMMANDS[arguments.command][0].partition(":")
    command = getattr(importlib.import_module(f".{module}", __package__), function)
    status = command(arguments) or OK
    sys.stdout.flush()  # so that a closed pipe is noticed here
    return status


def _text(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory. Try a smaller --batch-size or --limit."
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}."
    return " ".join(str(error).split())
