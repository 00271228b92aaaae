"""Running a model to see what it does: in which mode, and with which functions called on the way.

Modes and hooks are for the length of a block; after it the model is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

from . import config, dispatch

PRODUCTS = ("conv", "linear", "matmul")
"""How the names of ops begin whose work is multiply-adds."""


def multiply_adds(call: dispatch.Call) -> int:
    """Return the multiply-adds of a call, 0 for an op that makes no products."""
    return call.plan.flops // 2 if call.plan.op.name.startswith(PRODUCTS) else 0


class _Block:
    """Those who run a model in one mode at the same time, and the modules that they changed."""

    def __init__(self) -> None:
        self.users = 0
        self.changed: list[Any] = []


_blocks: dict[tuple[int, bool], _Block] = {}
_lock = Lock()


@contextmanager
def mode(model: Any, training: bool) -> Iterator[None]:
    """Let a model and all modules inside be in training or not, for the block.

    Of several blocks at the same time, of threads that predict, say, the last one to end puts the
    modules back.
    """
    key = id(model), training
    with _lock:
        block = _blocks.setdefault(key, _Block())
        block.users += 1
        changed = [module for module in model.modules() if module.training != training]
        block.changed += changed
        for module in changed:
            module.training = training
    try:
        yield
    finally:
        with _lock:
            block.users -= 1
            if not block.users:
                del _blocks[key]
                for module in block.changed:
                    module.training = not training


@contextmanager
def inference(model: Any) -> Iterator[None]:
    """Let a model be out of training and nothing be recorded for gradients, for the block."""
    with mode(model, training=False), config.no_grad():
        yield


@contextmanager
def hooked(modules: Iterable[Any], before: Callable[..., Any], after: Callable[..., Any],
           op: dispatch.Hook) -> Iterator[None]:
    """Call functions before and after each of some modules, and around all ops, for the block.

    Args:
        before, after: as for `Module.register_forward_pre_hook` and `register_forward_hook`.
    """
    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_pre_hook(before))
            stack.callback(module.register_forward_hook(after))
        stack.enter_context(dispatch.hook(op))
        yield
