"""The tests that find everything must find something: planted defects turn them red."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from mutation import Score, edited, scores

from minidl import config, dispatch
from minidl.autograd import tape
from minidl.backend.cpu import run_ufunc
from minidl.ops import registry
from minidl.ops.registry import BadCall, Kernel, Op, Sample
from minidl.spec import Spec, need_float
from minidl.testing import CHECKS, check_op

LEAST_MUTANTS = 5
WITH_GRADIENTS = [op.name for op in registry.ops() if op.gradients]

# ---- gradient rules ------------------------------------------------------------------------


@cache
def _scores(name: str) -> dict[str, Score]:
    return scores(registry.get(name))


@pytest.mark.parametrize("name", WITH_GRADIENTS)
def test_gradient_check_sees_every_mutant(name: str) -> None:
    for rule, score in _scores(name).items():
        assert not score.survivors, "\n".join(score.survivors)
        assert score.planted >= LEAST_MUTANTS, f"{name} / {rule}: {score}"


def test_kill_rate(record_property: Callable[[str, object], None]) -> None:
    found = {f"{name} / {rule}": score
             for name in WITH_GRADIENTS for rule, score in _scores(name).items()}
    killed = sum(s.killed for s in found.values())
    planted = sum(s.planted for s in found.values())
    for rule, score in found.items():
        print(f"{rule}: {score.killed} of {score.planted} killed, {score.idle} without effect")
    record_property("says", f"mutants of {len(found)} gradient rules: {killed} of {planted} "
                            f"killed, kill rate {100 * killed / planted:.1f} %")
    assert killed == planted


def test_edits_of_an_expression() -> None:
    mutated = set(edited("gy if y > 0 else 2 * gy"))
    for formula in ("gy if y <= 0 else 2 * gy", "gy", "2 * gy", "gy if y > 1 else 2 * gy",
                    "gy if y > 0 else 2 / gy", "gy if y > 0 else gy", "gy if y > 0 else 3 * gy"):
        assert formula in mutated


# ---- kernels and records: one planted defect for every other check -----------------------------


def _twice(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
    np.multiply(x, x.dtype.type(2), out=out)


def _infer(x: Spec) -> Spec:
    return Spec(x.shape, need_float("twice", x=x))


def _op(kernel: Callable = _twice, pitched: bool = False, **changes: Any) -> Op:
    fields: dict[str, Any] = {
        "inputs": ("x",), "infer": _infer, "reference": lambda x: 2 * x,
        "doc": "y = 2 x", "gradients": {"x": lambda run, gy: run("multiply", gy, _two(gy))},
        "samples": (Sample(((3, 4),)), Sample(((2, 3, 5),))),
        "bad_calls": (BadCall((None,), {}, "got no x"),), **changes}
    return Op(name="twice", kernels=(Kernel("default", kernel, pitched=pitched),), **fields)


def _two(like: np.ndarray) -> np.ndarray:
    return np.array(2, like.dtype)


def _kernel(body: Callable[[np.ndarray, np.ndarray], Any]) -> Callable:
    """Return a kernel from a function of x and out."""
    def kernel(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict) -> None:
        body(x, out)
    return kernel


def _change_input(x: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, 2, out=out)
    x *= 2


def _ignore_strides(x: np.ndarray, out: np.ndarray) -> None:
    out.reshape(-1)[...] = 2 * x.ravel("K")


def _leave_last(x: np.ndarray, out: np.ndarray) -> None:
    out.reshape(-1)[:-1] = 2 * x.reshape(-1)[:-1]


def _write_outside(x: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, 2, out=out)
    np.lib.stride_tricks.as_strided(out.reshape(-1), (out.size + 1,), (out.itemsize,))[-1] = 7


def _leave_strides(x: np.ndarray, out: np.ndarray) -> None:
    out.reshape(-1)[...] = 2 * x.reshape(-1)  # of a part, reshape makes a copy


def _write_between(x: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, 2, out=out)
    if not out.flags.c_contiguous:
        out.base[..., 0] = 0


def _in_two_passes(x: np.ndarray, out: np.ndarray) -> None:
    out.fill(0)
    out += x
    out += x


def _by_thread(x: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, 2 + 1e-7 * config.num_threads(), out=out)


def _by_place(x: np.ndarray, out: np.ndarray) -> None:
    close = abs(out.ctypes.data - x.ctypes.data) < 1 << 10
    np.multiply(x, 2 + 1e-7 * close, out=out)


def _random(x: np.ndarray, out: np.ndarray) -> None:
    np.multiply(x, 2 + 1e-7 * np.random.default_rng().random(), out=out)


def _by_range(x: np.ndarray, out: np.ndarray) -> None:
    run_ufunc(lambda a, out: np.copyto(out, a + a[0]), (x,), out)


DEFECTS = {
    "complete": [_op(doc=""), _op(samples=()), _op(bad_calls=()),
                 _op(samples=(Sample(((3, 4),), wrt=()),))],
    "refusals": [_op(bad_calls=(BadCall(((3,),), {}, "no"),)),
                 _op(infer=lambda x, **attrs: x)],
    "forward": [_op(_kernel(lambda x, out: np.multiply(x, 2.00001, out=out))),
                _op(infer=lambda x: Spec(x.shape[1:], x.dtype),
                    kernel=_kernel(lambda x, out: np.multiply(x[0], 2, out=out)))],
    "gradients": [_op(gradients={"x": lambda run, gy: run("multiply", gy, _two(gy) + 1)})],
    "single precision": [_op(gradients={"x": lambda run, gy: 2 * gy.astype("f8")})],
    "inputs unchanged": [_op(_kernel(_change_input))],
    "layouts": [_op(_kernel(_ignore_strides), strided=True)],
    "not a number": [_op(_kernel(lambda x, out: np.multiply(np.nan_to_num(x), 2, out=out)))],
    "strange inputs": [_op(_kernel(lambda x, out: np.multiply(x, 2, out=out) / len(x)[0])),
                       _op(_kernel(lambda x, out: out.fill(2 * x.max())))],
    "buffers": [_op(_kernel(_leave_last)), _op(_kernel(_write_outside))],
    "overwrite": [_op(_kernel(_in_two_passes), may_overwrite=((0, 0),))],
    "parts": [_op(_kernel(body), pitched=True) for body in (_leave_strides, _write_between)],
    "allocation": [_op(_kernel(lambda x, out: np.copyto(out, x + x)))],
    "repeatable": [_op(_kernel(_random))],
    "placement": [_op(_kernel(_by_place))],
    "threads": [_op(_kernel(_by_thread)), _op(_kernel(_by_range))],
    "large calls": [_op(_kernel(_by_thread))],
}


def test_the_sound_op_passes() -> None:
    assert check_op(_op()) == []


@pytest.mark.parametrize(("check", "op"), [(c, op) for c, ops in DEFECTS.items() for op in ops])
def test_check_sees_planted_defect(check: str, op: Op) -> None:
    with np.errstate(all="ignore"):
        try:
            problems = list(CHECKS[check](op))
        except (TypeError, ValueError):  # a kernel that breaks down is red as well
            return
    assert problems


def test_every_check_has_a_defect() -> None:
    assert set(CHECKS) - set(DEFECTS) == {"shapes_only", "separate gradients"}  # planted below


def test_symbolic_results_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "_no_values", lambda spec: np.zeros((1, *spec.shape), spec.dtype))
    assert list(CHECKS["shapes_only"](_op()))


def test_work_for_other_inputs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_more(node: tape.Node, gy: np.ndarray, so_far: np.ndarray | None) -> list:
        dispatch.run("negative", gy)
        return true(node, gy, so_far)

    true = tape.Node.gradients
    monkeypatch.setattr(tape.Node, "gradients", with_more)
    assert list(CHECKS["separate gradients"](registry.get("matmul")))
