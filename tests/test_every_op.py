"""Every op of the table under every check of `minidl.testing`; an op needs no test of its own."""

from __future__ import annotations

import numpy as np
import pytest

from minidl.ops import registry
from minidl.ops.registry import Op
from minidl.plan import record
from minidl.testing import CHECKS
from minidl.testing.cases import cases


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("op", registry.ops(), ids=lambda op: op.name)
def test_op(op: Op, check: str) -> None:
    problems = list(CHECKS[check](op))
    assert not problems, "\n" + "\n".join(problems)


def test_the_table_is_full() -> None:
    assert len(registry.ops()) > 60


@pytest.mark.parametrize("op", registry.ops(), ids=lambda op: op.name)
def test_eager_equals_replay(op: Op) -> None:
    """A recorded call, replayed on new contents of its inputs, computes what a new call does."""
    for case in cases(op):
        arrays, others = case.draw(), case.draw(1)
        with record() as step:
            replayed = case.outcome(arrays)
        for array, other in zip(arrays, others, strict=True):
            if array is not None:
                np.copyto(array, other)
        step.replay()
        assert replayed.same_bits(case.outcome(others)), str(case)
