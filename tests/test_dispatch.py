"""The waist: hooks, variants, plans, buffers given by the caller, wrong inputs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import config, dispatch
from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.autograd.tensor import Tensor
from minidl.backend import cpu
from minidl.errors import ArgumentError, DTypeError, MinidlError, ShapeError
from minidl.ops import registry
from minidl.ops.registry import Kernel, Op
from minidl.plan import record
from minidl.spec import Spec

A, B = np.arange(6.0).reshape(2, 3), np.ones((2, 3))

# ---- hooks ---------------------------------------------------------------------------------


def test_hooks_nest_and_the_last_is_the_outermost() -> None:
    order: list[str] = []

    def named(name: str) -> dispatch.Hook:
        def hook(call: dispatch.Call, compute: Callable[[], None]) -> None:
            order.append(f"{name} before")
            compute()
            order.append(f"{name} after")
        return hook

    with dispatch.hook(named("inner")), dispatch.hook(named("outer")):
        dispatch.run("add", A, B)
    dispatch.run("add", A, B)
    assert order == ["outer before", "inner before", "inner after", "outer after"]


def test_hook_sees_the_call() -> None:
    seen: list[dispatch.Call] = []

    def hook(call: dispatch.Call, compute: Callable[[], None]) -> None:
        call.out[0].fill(np.nan)
        compute()
        assert not np.isnan(call.out[0]).any()
        seen.append(call)

    x = np.ones((1, 5, 5, 2), "float32")
    with dispatch.hook(hook):
        y = dispatch.run("conv2d", x, np.ones((3, 3, 2, 4), "float32"), None, padding="same")
    (call,) = seen
    assert call.plan.op.name == "conv2d" and call.plan.flops == 2 * y.size * 18
    assert call.out[0] is y and call.inputs[0] is x and call.plan.attrs["padding"] == ((1, 1),) * 2


def test_compute_again_gives_the_same() -> None:
    calls: list[dispatch.Call] = []
    with dispatch.hook(lambda call, compute: (calls.append(call), compute())[1]):
        y = dispatch.run("exp", A)
    before = y.copy()
    y.fill(0)
    calls[0].compute()
    assert np.array_equal(y, before)


def test_hook_goes_away_after_an_error() -> None:
    def hook(call: dispatch.Call, compute: Callable[[], None]) -> None:
        raise KeyError

    with pytest.raises(KeyError), dispatch.hook(hook):
        dispatch.run("add", A, B)
    assert dispatch.run("add", A, B)[0, 0] == 1


def test_packing_passes_the_waist() -> None:
    names: list[str] = []
    with dispatch.hook(lambda call, compute: (names.append(call.plan.op.name), compute())[1]):
        dispatch.run("relu", np.ones((4, 6))[:, ::2])
    assert names == ["copy", "relu"]


def test_symbolic_calls_are_seen_and_compute_nothing() -> None:
    seen: list[dispatch.Call] = []
    x = np.broadcast_to(np.zeros((), "float32"), (1000, 224, 224, 3))
    with config.shapes_only(), dispatch.hook(lambda c, compute: (seen.append(c), compute())[1]):
        y = dispatch.run("conv2d", x, np.ones((3, 3, 3, 64), "float32"), None, padding="same")
    assert y.shape == (1000, 224, 224, 64) and y.strides == (0, 0, 0, 0)
    assert seen[0].plan.flops == 2 * 27 * y.size


# ---- variants ------------------------------------------------------------------------------


def _variants() -> Op:
    def writing(value: float) -> Callable:
        return lambda x, *, out, saved, work: out.fill(value)
    kernels = (Kernel("long", writing(1), accepts=lambda x: x.size > 3), Kernel("any", writing(2)),
               Kernel("foreign", writing(3), device="cuda"))
    return Op(name="choice", inputs=("x",), infer=lambda x: x, reference=lambda x: x, doc="",
              kernels=kernels)


def test_first_variant_that_accepts_is_taken() -> None:
    assert dispatch.run(_variants(), np.zeros(5))[0] == 1
    assert dispatch.run(_variants(), np.zeros(2))[0] == 2


def test_named_variant_is_taken() -> None:
    assert dispatch.run(_variants(), np.zeros(5), algorithm="any")[0] == 2


@pytest.mark.parametrize(("size", "algorithm"), [(2, "long"), (5, "foreign"), (5, "fast")])
def test_variant_that_cannot_serve_is_refused(size: int, algorithm: str) -> None:
    with pytest.raises(ArgumentError, match=f"no kernel on 'cpu' accepts algorithm='{algorithm}'; "
                                            "there are long, any"):
        dispatch.run(_variants(), np.zeros(size), algorithm=algorithm)


def test_algorithm_of_conv2d() -> None:
    x, w = np.ones((1, 4, 4, 2)), np.ones((3, 3, 2, 5))
    assert np.allclose(F.conv2d(x, w, algorithm="im2col").data, F.conv2d(x, w).data)
    with pytest.raises(ArgumentError, match=r"conv2d: .*algorithm='fft'; there are .*im2col"):
        F.conv2d(x, w, algorithm="fft")


# ---- plans ---------------------------------------------------------------------------------


def _counting() -> tuple[Op, list[int]]:
    count: list[int] = []

    def infer(x: Spec, **attrs: Any) -> registry.Inferred:
        count.append(1)
        return registry.Inferred((x,), attrs=attrs)

    return Op(name="counting", inputs=("x",), infer=infer, reference=lambda x: x, doc="", kernels=(
        Kernel("default", lambda x, *, out, saved, work, **attrs: np.copyto(out, x)),)), count


def test_a_call_is_checked_once_per_shape_type_attributes_and_threads() -> None:
    op, count = _counting()
    for _ in range(3):
        dispatch.run(op, np.zeros(3), size=1)
    assert len(count) == 1
    for x, size in ((np.zeros(4), 1), (np.zeros(3, "f4"), 1), (np.zeros(3), 2),
                    (np.zeros((3, 1)), 1)):
        dispatch.run(op, x, size=size)
    assert len(count) == 5
    with config.threads(7):
        dispatch.run(op, np.zeros(3), size=1)
    assert len(count) == 6


def test_attributes_that_cannot_be_hashed_still_work() -> None:
    op, count = _counting()
    for _ in range(2):
        dispatch.run(op, np.zeros(3), size=[1, 2])
    assert len(count) == 2
    assert F.sum(Tensor(A), axis=[0, 1]).item() == 15


def test_number_of_plans_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "MOST_PLANS", 5)
    op, _ = _counting()
    for n in range(20):
        dispatch.run(op, np.zeros(n))
    assert len(dispatch._plans) <= 5


def test_an_op_defined_anew_gets_new_plans() -> None:
    for factor in (2.0, 3.0):
        registry.define("scale", inputs=["x"], infer=lambda x: x, reference=lambda x: x, doc="",
                        kernel=lambda x, *, out, saved, work, f=factor: np.multiply(x, f, out=out))
        try:
            assert dispatch.run("scale", np.ones(2))[0] == factor
        finally:
            registry.forget("scale")


# ---- buffers given by the caller -----------------------------------------------------------


def test_out_is_written() -> None:
    out = np.empty((2, 3))
    assert dispatch.run("add", A, B, out=[out]) is out and np.array_equal(out, A + B)


def test_out_may_be_an_input_where_the_op_says_so() -> None:
    x = A.copy()
    dispatch.run("add", x, B, out=[x])
    assert np.array_equal(x, A + B)


@pytest.mark.parametrize("out", [np.empty((3, 2)), np.empty((2, 3), "f4"), np.empty((2, 6))[:, ::2],
                                 np.broadcast_to(0.0, (2, 3))])
def test_out_that_does_not_fit_is_refused(out: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="expected a writable, C-contiguous array of"):
        dispatch.run("add", A, B, out=[out])


# ---- wrong inputs --------------------------------------------------------------------------

WRONG: list[tuple[Callable[[], Any], type[MinidlError], str]] = [
    (lambda: dispatch.run("add", A), ArgumentError, "add: got 1 arrays; expected 2. Its inputs"),
    (lambda: dispatch.run("add", A, None), ArgumentError, "add: got no b; expected an array"),
    (lambda: dispatch.run("add", A, B, axis=1), ArgumentError, "axis"),
    (lambda: dispatch.run("relu", A, slope=1), ArgumentError, r"unknown arguments \['slope'\]"),
    (lambda: dispatch.run("nothing", A), ArgumentError, "op table: no op 'nothing'; there are abs"),
    (lambda: dispatch.run("exp", A.astype(A.dtype.newbyteorder())), DTypeError,
     "exp: got an array of type [<>]f8; expected this machine's byte order"),
    (lambda: dispatch.run("exp", A.astype("f2")), DTypeError, "expected float32 or float64"),
    (lambda: dispatch.run("divide", A, B.astype("f4")), DTypeError,
     "divide: got b of type float32; expected float64. Convert it"),
    (lambda: dispatch.run("matmul", A, B), ShapeError, r"expected \(..., m, k\) and \(..., k, n\)"),
]


@pytest.mark.parametrize(("function", "error", "text"), WRONG)
def test_wrong_input(function: Callable[[], Any], error: type[MinidlError], text: str) -> None:
    with pytest.raises(error, match=text):
        function()


# ---- threads -------------------------------------------------------------------------------


@pytest.mark.parametrize(("total", "grain"), [(0, 4), (1, 4), (10, 3), (7, 100), (1000, 1), (9, 0)])
def test_ranges_cover_everything_once(total: int, grain: int) -> None:
    parts = cpu.ranges(total, grain)
    assert [i for a, b in parts for i in range(a, b)] == list(range(total))


def test_every_range_runs_once_and_slots_are_not_shared() -> None:
    done: list[int] = []
    busy: set[int] = set()
    lock = threading.Lock()

    def part(start: int, stop: int, slot: int) -> None:
        with lock:
            assert slot not in busy and slot < 4
            busy.add(slot)
            done.extend(range(start, stop))
        with lock:
            busy.remove(slot)

    with config.threads(4):
        cpu.run_slots(part, cpu.ranges(100, 3))
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize("count", [1, 3])
def test_error_in_a_range_reaches_the_caller(count: int) -> None:
    def part(start: int, stop: int, slot: int) -> None:
        raise KeyError(start)

    with config.threads(count), pytest.raises(KeyError):
        cpu.run_slots(part, cpu.ranges(10, 1))


def test_calls_from_several_threads_at_once() -> None:
    x = np.random.default_rng(0).standard_normal((8, 20, 20, 8)).astype("float32")
    w = np.random.default_rng(1).standard_normal((3, 3, 8, 8)).astype("float32")
    wanted = F.conv2d(x, w).data.tobytes()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            if F.conv2d(x, w).data.tobytes() != wanted:
                wrong.append(number)

    with config.threads(2):
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not wrong and not any(t.is_alive() for t in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_threads_after_a_fork() -> None:
    x = np.ones((4, 100_000), "float32")
    with config.threads(2):
        F.exp(x)
        child = os.fork()
        if not child:
            status = 1
            try:
                status = int(not np.allclose(F.exp(x).data, np.exp(1)))
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


def test_a_variant_that_is_avoided_is_left_out_where_there_is_another() -> None:
    x, w = (np.ones(shape, np.float32) for shape in ((16, 32, 32, 32), (3, 3, 32, 32)))
    ran = []
    with dispatch.hook(lambda call, compute: ran.append(call.plan.kernel.name) or compute()):
        dispatch.run("conv2d", x, w, None)
        with config.avoid("winograd", "default"):
            dispatch.run("conv2d", x, w, None)
            dispatch.run("conv2d", x, w, None, algorithm="winograd")
            dispatch.run("relu", x)
    assert ran == ["winograd", "direct", "winograd", "default"]


def test_number_of_threads_is_checked() -> None:
    text = "threads: got 0; expected at least 1"
    with pytest.raises(ArgumentError, match=text), config.threads(0):
        pass


def test_threads_hold_for_the_thread_that_asks() -> None:
    seen: list[int] = []
    usual = config.num_threads()
    with config.threads(usual + 3):
        other = threading.Thread(target=lambda: seen.append(config.num_threads()))
        other.start()
        other.join(60)
    assert seen == [usual] and config.num_threads() == usual


def test_ranges_inside_ranges_do_not_wait_for_each_other() -> None:
    done: list[tuple[int, int]] = []

    def outer(start: int, stop: int, slot: int) -> None:
        cpu.run_slots(lambda a, b, s: done.append((start, a)), cpu.ranges(4, 1))

    def work() -> None:
        with config.threads(2):
            cpu.run_slots(outer, cpu.ranges(3, 1))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(60)
    assert sorted(done) == [(i, j) for i in range(3) for j in range(4)]


def test_error_is_raised_when_no_other_range_runs() -> None:
    running: set[int] = set()
    both = threading.Barrier(2, timeout=60)

    def part(start: int, stop: int, slot: int) -> None:
        running.add(start)
        both.wait()
        if start == 0:
            running.remove(start)
            raise KeyError(start)
        threading.Event().wait(0.05)
        running.remove(start)

    with config.threads(2), pytest.raises(KeyError):
        cpu.run_slots(part, cpu.ranges(2, 1))
    assert not running


def test_user_threads_may_ask_for_different_numbers_of_threads() -> None:
    wrong: list[BaseException] = []

    def work(count: int) -> None:
        try:
            for _ in range(200):
                with config.threads(count):
                    cpu.run_slots(lambda a, b, slot: None, cpu.ranges(8, 1))
        except RuntimeError as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in (2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_replay_with_more_threads_than_recorded() -> None:
    x = np.random.default_rng(0).standard_normal((512, 2048)).astype("float32")
    with config.threads(1), record() as step:
        y = dispatch.run("sum", x, axis=(0,))
    wanted = y.copy()
    y.fill(0)
    with config.threads(4):
        step.replay()
    np.testing.assert_array_equal(y, wanted)


def test_hooks_see_their_own_thread_only() -> None:
    names: list[str] = []
    with dispatch.hook(lambda call, compute: (names.append(call.plan.op.name), compute())[1]):
        other = threading.Thread(target=lambda: dispatch.run("exp", A))
        other.start()
        other.join(60)
        dispatch.run("add", A, B)
    assert names == ["add"]


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="set MINIDL_CACHE"):
        folder = cpu._writable(tmp_path / "file" / "kernels")
    assert folder.is_dir() and cpu._writable(tmp_path / "kernels") == tmp_path / "kernels"


def test_kernels_of_numpy_let_infinity_through() -> None:
    assert np.isnan(dispatch.run("matmul", np.array([[np.inf]]), np.zeros((1, 1)))).all()
    hyper, p, g = np.array([1.0, 1.0]), np.zeros(2), np.array([np.inf, 1.0])
    p = dispatch.run("sgd", hyper, p, g, clip_norm=1.0)
    assert np.isnan(p[0]) and p[1] == 0


def test_indices_with_arrays_make_no_plans() -> None:
    before = len(dispatch._plans)
    x = Tensor(A)
    for i in range(3):
        assert x[np.array([i % 2])].shape == (1, 3)
    assert len(dispatch._plans) == before


def test_gradient_rules_cannot_ask_for_variadic_inputs() -> None:
    with pytest.raises(ArgumentError, match="a gradient rule asks for 'xs'; arrays of a variadic"):
        registry.define("product_of_all", inputs=("xs",), variadic=True, reference=np.multiply,
                        infer=lambda *xs: xs[0], kernel=lambda *xs, **rest: None,
                        gradients={"xs": lambda run, gy, xs: gy})
