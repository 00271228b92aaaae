"""Helper threads that take ranges of a call without waking up for it (see `board.py`).

A helper that has seen nothing on the board for a while sleeps until a call rings.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numba import typeof
from numba.core import types

from . import board
from .board import END, FAILURE, INT, LINE, MISSING, PARTS, code_of

Range = tuple[int, int]
PATIENCE = 30_000  # looks at the board before a helper goes to sleep: about a millisecond

# ---- the helpers ---------------------------------------------------------------------------


class _Job:
    """A Python function and the parts that it is still to be called for."""

    def __init__(self, function: Callable[[int, int, int], Any], todo: Iterator[Range]) -> None:
        self._function: Callable[[int, int, int], Any] | None = function
        self._todo = todo  # of a list: its next() is atomic
        self.errors: list[BaseException] = []

    def run(self, slot: int) -> None:
        for start, stop in self._todo:
            self._function(start, stop, slot)  # type: ignore[misc] # nobody runs it once it is over

    def forget(self) -> None:
        """Let go of the function: the team keeps the job until the next one."""
        self._function = None


class _Helper:
    """A thread that takes part in calls, or sleeps until its bell rings."""

    def __init__(self, team: Team, slot: int) -> None:
        self._team, self._slot = team, slot
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._asleep = False
        self.thread = threading.Thread(target=self._attend, name=f"minidl-{slot}", daemon=True)
        self.thread.start()

    def wake(self) -> None:
        """Ring if it sleeps or is about to."""
        if self._asleep:
            self._asleep = False
            self._bell.put(None)

    def _attend(self) -> None:
        np.seterr(all="ignore")  # as the waist does, but every thread has its own
        team, patience = self._team, PATIENCE
        while (found := team.serve(team.board, self._slot, patience)) != END:
            if found == PARTS:
                team.take_part(self._slot)
            elif patience == PATIENCE:  # look once more: who called meanwhile did not ring
                self._asleep, patience = True, 1
                continue
            else:
                self._bell.get()
            self._asleep, patience = False, PATIENCE


class Edges(NamedTuple):
    """Where parts begin and end.

    Attributes:
        array: (count, 2), int64.
        address: where that lies.
    """

    array: np.ndarray
    address: int

    @classmethod
    def of(cls, parts: Sequence[Range]) -> Edges:
        """Return the edges of parts (start, stop)."""
        array = np.array(parts, np.int64).reshape(-1, 2)
        return cls(array, array.ctypes.data)


class _Versions:
    """The addresses of a loop, compiled for various types of arguments.

    Attributes:
        address: where pairs of (number of the types, address of the loop) lie, zeros at the end.
    """

    def __init__(self, loop: Any, slots: int) -> None:
        self._loop, self._first = loop, (INT,) * (2 + slots)
        self._tables = [np.zeros(2, np.int64)]  # another thread may still look into an old one
        self.address = self._tables[-1].ctypes.data

    def add(self, arguments: tuple[Any, ...]) -> None:
        """Compile the loop for such arguments."""
        kinds = typeof(arguments)
        self._loop.compile((*self._first, *kinds))
        version = self._loop.overloads[(*self._first, *kinds)]
        if version.signature.return_type != types.none:
            raise TypeError(f"{self._loop} returns {version.signature.return_type}, not None")
        place = version.library.get_pointer_to_function(version.fndesc.llvm_func_name)
        new = np.array([code_of(kinds), place], np.int64)
        self._tables.append(np.concatenate([new, self._tables[-1]]))
        self.address = self._tables[-1].ctypes.data


class Team:
    """The helpers of this process and what a call needs to share its parts with them.

    Args:
        compiled: decorator that compiles a function and keeps the result on disk.
    """

    def __init__(self, compiled: Callable[[Any], Any]) -> None:
        self.serve = compiled(board.serve.py_func)
        self._claim, self._open, self._close, self._enter, self._leave = (
            compiled(f.py_func) for f in (board.claim, board.open_board, board.close_board,
                                          board.enter_call, board.leave_call))
        self._forms = compiled(board.shared), compiled(board.shared_with_slot)
        self._versions: dict[tuple[Any, bool], _Versions] = {}
        self._begin()
        atexit.register(self._dismiss)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Start without helpers; a forked process does not have its parent's."""
        self._words = np.zeros((board.SIZE + LINE) // 8, np.int64)
        self.board = self._words.ctypes.data + -self._words.ctypes.data % LINE
        self._helpers: list[_Helper] = []
        self._starting = threading.Lock()
        self._job: _Job | None = None

    def _dismiss(self) -> None:
        """End the helpers before Python takes their machine code away."""
        self._words[(self.board - self._words.ctypes.data + board.CLOSED) // 8] = 1
        for helper in self._helpers:
            helper.wake()
        for helper in self._helpers:
            helper.thread.join(1)

    def _call_helpers(self, count: int) -> None:
        if len(self._helpers) < count:
            self._start_helpers(count)
        for helper in self._helpers[:count]:
            helper.wake()

    def _start_helpers(self, count: int) -> None:
        self.serve(self.board, 0, 0)  # compiles it
        with self._starting, contextlib.suppress(RuntimeError):  # no threads left: fewer will do
            while len(self._helpers) < count:
                self._helpers.append(_Helper(self, len(self._helpers) + 1))

    def share(self, loop: Any, edges: Edges, helpers: int, slots: bool, arguments: tuple[Any, ...]
              ) -> None:
        """Run a compiled loop(start, stop, [slot,] *arguments) for all parts.

        Args:
            slots: whether the loop takes a slot.
        """
        versions = self._versions.get((loop, slots))
        if versions is None:
            versions = self._versions[loop, slots] = _Versions(loop, slots)
        if helpers:
            self._call_helpers(helpers)
        run, count = self._forms[slots], len(edges.array)
        end = run(self.board, versions.address, edges.address, count, helpers, *arguments)
        if end == MISSING:
            versions.add(arguments)
            end = run(self.board, versions.address, edges.address, count, helpers, *arguments)
        if end == FAILURE:
            for start, stop in edges.array.tolist():  # the same again, for the error itself
                loop(start, stop, *[0] * slots, *arguments)

    def run(self, function: Callable[[int, int, int], Any], parts: Sequence[Range], helpers: int
            ) -> None:
        """Call function(start, stop, slot) for all parts.

        An error of one call is raised when no other call runs any more.
        """
        job = _Job(function, iter(parts))
        if not self._claim(self.board):
            job.run(0)
            return
        try:
            self._job = job
            self._open(self.board, 0, 0, len(parts), helpers)
            self._call_helpers(helpers)
            job.run(0)
        finally:
            self._close(self.board)
            job.forget()
        for error in job.errors:
            raise error

    def take_part(self, slot: int) -> None:
        """Run parts of the present call as a helper, if it still runs."""
        if not self._enter(self.board, slot):
            return
        job: Any = self._job
        try:
            job.run(slot)
        except BaseException as error:
            job.errors.append(error)
        finally:
            self._leave(self.board)
