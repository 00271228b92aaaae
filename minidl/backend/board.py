"""The board: how a call and the helper threads find each other, in machine code.

Waking a thread that waits on a lock takes 10 to 100 microseconds, as long as many kernels run, and
Python code on two threads waits for the interpreter's lock in turn. So helpers wait in machine
code, outside that lock, with their eyes on a board in memory. A call writes on the board how many
parts it has and where its compiled loop and its arguments lie; whoever is free takes the next part,
and the caller goes on when all parts are done. That costs a microsecond or two.

There is one board: a call that comes while another one holds it, from a user's thread or from
inside a part, runs its parts alone, so nobody ever waits for somebody who waits.

The words of the board (64 bits, each in a cache line of its own) are read and written by atomic
instructions, in one order for all threads:

    BUSY     how many calls hold the board or try to
    OPEN     1 while helpers may enter
    INSIDE   how many helpers have entered or try to
    NEXT     the part that is taken next, of COUNT
    HELPERS  helpers of slots up to this one may enter; slot 0 is the caller
    TASK     address of the function that runs a part, 0 where parts are Python calls
    DATA     address of what it works on
    FAILED   1 after a part that raised
    CLOSED   1 when Python ends

A helper first counts itself INSIDE, then looks whether the board is OPEN; the caller first takes
OPEN back, then waits until nobody is INSIDE. So what a helper that has entered reads stays valid.
"""

from __future__ import annotations

import hashlib
import os
import platform
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line
BUSY, OPEN, INSIDE, NEXT, COUNT, HELPERS, TASK, DATA, FAILED, CLOSED = range(0, 10 * LINE, LINE)
SIZE = 10 * LINE
NOTHING, PARTS, END = 0, 1, 2  # what a helper has found on the board
FAILURE, MISSING = 1, 2  # what became of a call, 0 if all is well

# ---- instructions --------------------------------------------------------------------------

INT, _I64 = types.int64, ir.IntType(64)
_PAUSE = {"x86_64": ("llvm.x86.sse2.pause", ()), "amd64": ("llvm.x86.sse2.pause", ()),
          "arm64": ("llvm.aarch64.hint", (1,)), "aarch64": ("llvm.aarch64.hint", (1,))}
_give_way = types.ExternalFunction("SwitchToThread" if os.name == "nt" else "sched_yield",
                                   types.int32())


def _place(builder: Any, board: Any, word: Any) -> Any:
    return builder.inttoptr(builder.add(board, word), _I64.as_pointer())


@intrinsic
def _load(typing, board, word):
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_place(builder, *args), "seq_cst", 8)
    return INT(INT, INT), emit


@intrinsic
def _store(typing, board, word, value):
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _place(builder, *args[:2]), "seq_cst", 8)
    return types.void(INT, INT, INT), emit


@intrinsic
def _add(typing, board, word, value):
    """Add to a word and return what it was before."""
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _place(builder, *args[:2]), args[2], "seq_cst")
    return INT(INT, INT, INT), emit


@intrinsic
def _pause(typing):
    """Tell the processor that this is a loop that waits."""
    name, numbers = _PAUSE.get(platform.machine().lower(), ("", ()))

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if name:
            values = [ir.Constant(ir.IntType(32), n) for n in numbers]
            kind = ir.FunctionType(ir.VoidType(), [v.type for v in values])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
    return types.void(), emit


# ---- compiled loops by address -------------------------------------------------------------

# A call's data are (address of the loop, address of the edges, arguments of the loop). A part is a
# function (address of the data, number of the part, slot) -> 1 if the loop raised.
_PART = ir.FunctionType(_I64, [_I64] * 3)


@intrinsic
def _run_part(typing, part, data, number, slot):
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(builder.inttoptr(args[0], _PART.as_pointer()), args[1:])
    return INT(INT, INT, INT, INT), emit


@intrinsic
def _address(typing, values):
    """Return where a tuple lies as long as the function that asks runs."""
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once_value(builder, args[0]), _I64)
    return INT(values), emit


def _part_maker(with_slot: bool) -> Any:
    """Return what gives the address of the part function for data of some type."""
    @intrinsic
    def part(typing, data):
        def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            function = ir.Function(builder.module, _PART, builder.module.get_unique_name("part"))
            function.linkage = "internal"
            _write_part(context, function, data, with_slot)
            return builder.ptrtoint(function, _I64)
        return INT(data), emit
    return part


def _write_part(context: Any, function: Any, data: types.Tuple, with_slot: bool) -> None:
    """Write loop(edges[number, 0], edges[number, 1], [slot,] *arguments)."""
    builder = ir.IRBuilder(function.append_basic_block())
    place, number, slot = function.args
    values = builder.load(builder.inttoptr(place, context.get_value_type(data).as_pointer()))
    loop, edges, arguments = cgutils.unpack_tuple(builder, values, 3)
    first = builder.gep(builder.inttoptr(edges, _I64.as_pointer()),
                        [builder.mul(number, _I64(2))])
    given = [builder.load(first), builder.load(builder.gep(first, [_I64(1)]))]
    given += [slot] * with_slot + cgutils.unpack_tuple(builder, arguments, data[2].count)
    kinds = (INT,) * (2 + with_slot) + tuple(data[2])
    kind = context.call_conv.get_function_type(types.none, kinds)
    status, _ = context.call_conv.call_function(
        builder, builder.inttoptr(loop, kind.as_pointer()), types.none, kinds, given)
    builder.ret(builder.zext(status.is_error, _I64))


_part, _part_with_slot = _part_maker(False), _part_maker(True)


def code_of(kind: types.Type) -> int:
    """Return a number for a type, the same in every process."""
    return int.from_bytes(hashlib.sha256(str(kind).encode()).digest()[:7], "little")


@intrinsic
def _code(typing, values):
    """Return the number of the type of some values."""
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _I64(code_of(values))
    return INT(values), emit


# ---- at the board, in machine code ---------------------------------------------------------


@njit
def _wait(turn):
    """Pass a moment; now and then let other programs run."""
    _pause()
    if turn & 255 == 255:
        _give_way()


@njit
def _take(board):
    """Return the number of the next part, -1 where none is left."""
    part = _add(board, NEXT, 1)
    return part if part < _load(board, COUNT) else -1


@njit
def _run_parts(board, slot):
    task, data, part = _load(board, TASK), _load(board, DATA), _take(board)
    while part >= 0:
        if _run_part(task, data, part, slot):
            _store(board, FAILED, 1)
        part = _take(board)


@njit
def claim(board):
    """Say whether the board is the caller's now."""
    if _add(board, BUSY, 1) == 0:
        return True
    _add(board, BUSY, -1)
    return False


@njit
def open_board(board, task, data, count, helpers):
    """Offer parts to helpers of slots up to `helpers`; task is 0 for Python calls."""
    _store(board, TASK, task)
    _store(board, DATA, data)
    _store(board, COUNT, count)
    _store(board, HELPERS, helpers)
    _store(board, FAILED, 0)
    _store(board, NEXT, 0)
    _store(board, OPEN, 1)


@njit
def close_board(board):
    """Wait until no helper is inside, give the board away, and say whether a part raised.

    COUNT stays as it is: a helper that has just drawn its part still compares the two.
    """
    _store(board, OPEN, 0)
    turn = 0
    while _load(board, INSIDE):
        turn += 1
        _wait(turn)
    failed = _load(board, FAILED)
    _add(board, BUSY, -1)
    return failed


@njit
def _enter(board, slot):
    """Enter as a helper of this slot where one may; say whether."""
    _add(board, INSIDE, 1)
    if _load(board, OPEN) and slot <= _load(board, HELPERS):
        return True
    _add(board, INSIDE, -1)
    return False


@njit
def enter_call(board, slot):
    """Enter where parts are Python calls; say whether."""
    if not _enter(board, slot):
        return False
    if _load(board, TASK) == 0:
        return True
    _add(board, INSIDE, -1)
    return False


@njit
def leave_call(board):
    """Leave when no part is left."""
    _store(board, COUNT, 0)
    _add(board, INSIDE, -1)


@njit
def _offer(board, task, data, count, helpers):
    """Run all parts, with helpers where the board is free, and say whether one raised."""
    if not claim(board):
        failed = 0
        for part in range(count):
            failed |= _run_part(task, data, part, 0)
        return failed
    open_board(board, task, data, count, helpers)
    _run_parts(board, 0)
    return close_board(board)


@njit
def serve(board, slot, patience):
    """Take part in calls; return when there are Python parts, or nothing for a while."""
    turn = 0
    while turn < patience:
        if _load(board, CLOSED):
            return END
        if (_load(board, OPEN) and slot <= _load(board, HELPERS)
                and _load(board, NEXT) < _load(board, COUNT)):
            if _load(board, TASK) == 0:
                return PARTS
            if _enter(board, slot):  # the same call, or another one by now
                if _load(board, TASK):
                    _run_parts(board, slot)
                _add(board, INSIDE, -1)
            turn = 0
        turn += 1
        _wait(turn)
    return NOTHING


@njit
def _find(table, code):
    """Return the address beside a code in a table, 0 where it is missing."""
    while _load(table, 0):
        if _load(table, 0) == code:
            return _load(table, 8)
        table += 16
    return 0


def shared(board: int, table: int, edges: int, count: int, helpers: int, *arguments: Any) -> int:
    """Run loop(start, stop, *arguments) for all edges; the table has the loop by their types."""
    loop = _find(table, _code(arguments))  # type: ignore[call-arg]
    if loop == 0:
        return MISSING
    data = (loop, edges, arguments)
    return _offer(board, _part(data), _address(data), count, helpers)


def shared_with_slot(board: int, table: int, edges: int, count: int, helpers: int,
                     *arguments: Any) -> int:
    """Run loop(start, stop, slot, *arguments) for all edges."""
    loop = _find(table, _code(arguments))  # type: ignore[call-arg]
    if loop == 0:
        return MISSING
    data = (loop, edges, arguments)
    return _offer(board, _part_with_slot(data), _address(data), count, helpers)
