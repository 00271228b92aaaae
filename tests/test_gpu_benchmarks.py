"""The benchmarks of a GPU, without one: figures, tables, both sides of a step, ops."""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minidl as dl
import minidl.nn.layers as L  # noqa: N812
from minidl.backend.cpu import cache_folder
from minidl.models.zoo import ENTRIES
from minidl.ops import registry
from minidl.testing.host_cuda import emulated

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import gpu_machine  # noqa: E402
import gpu_ops  # noqa: E402
import gpu_ops_minidl  # noqa: E402
import gpu_profile  # noqa: E402
import gpu_step  # noqa: E402
import gpu_step_minidl  # noqa: E402
import gpu_tables  # noqa: E402
import gpu_time  # noqa: E402
import networks  # noqa: E402
import op_minidl  # noqa: E402
from compare import Check, Difference, RoundedCheck, compare  # noqa: E402

STEP_OPS = "linear", "linear_relu", "matmul", "softmax_cross_entropy", "sum", "sgd", "relu"
MACHINE = {"gpu": "NVIDIA H100", "smi": {"driver_version": "580.1"}, "machine": "a processor",
           "versions": "Python 3.12", "date": "2026-11-23", "bf16_tflops": 800.0,
           "tf32_tflops": 400.0, "copy_gbs": 4000.0}


def needs_torch(test):
    """Mark a test that needs PyTorch."""
    missing = find_spec("torch") is None
    return pytest.mark.torch(pytest.mark.skipif(missing, reason="PyTorch is not installed")(test))


@pytest.fixture
def gpu():
    folder = os.environ.get("MINIDL_HOST_CUDA") or str(cache_folder() / "host_cuda")
    with emulated(Path(folder)) as device:
        yield device
        gpu_step_minidl._made.clear()
        gpu_ops_minidl._seen.clear()
        gc.collect()


def need_kernels(*ops):
    """Skip a test of ops that the GPU has no kernels for."""
    missing = [name for name in ops if not registry.get(name).variants("cuda")]
    if missing:
        pytest.skip(f"no GPU kernels yet for {', '.join(missing)}")


# ---- time ----------------------------------------------------------------------------------


class Counting:
    """A clock on which every step takes two milliseconds."""

    def __init__(self):
        self.steps = 0

    def step(self):
        self.steps += 1

    def event(self):
        return self.steps

    def elapsed(self, first, last):
        return 2.0 * (last - first)


def test_blocks_of_steps():
    clock = Counting()
    found = gpu_time.per_step(clock.step, clock, 0, warm=3)
    assert (found.ms, found.least, found.most, found.steps) == (2.0, 2.0, 2.0, 20)
    assert clock.steps == 3 + 1 + 20
    assert gpu_time.per_step(clock.step, clock, 1e-3).steps >= 60


def test_events_of_the_emulated_gpu(gpu):
    first = gpu.event()
    assert 0 <= gpu.elapsed(first, gpu.event()) < 1e3


# ---- figures and tables --------------------------------------------------------------------


def test_batches():
    assert set(networks.LARGE) == set(ENTRIES)
    assert all(networks.LARGE[name] >= entry.batch for name, entry in ENTRIES.items())
    assert networks.batch_size("lecture_mnist", "source") == 64
    assert networks.batch_size("lecture_mnist", "96") == 96


@pytest.mark.parametrize(("double", "single", "itself", "good"), [
    (1e-12, 8e-3, 0, True), (1e-5, 1e-3, 0, False), (1e-12, 2e-2, 0, False),
    (1e-12, 9e-2, 2e-2, True), (float("nan"), 1e-3, 0, False), (1e-12, float("nan"), 0, False)])
def test_gradients_may_differ_as_tf32_does(double, single, itself, good):
    parts = [Difference(g / 20, g, g, "w") for g in (double, single, itself)]
    assert RoundedCheck(*parts).good == good
    assert not Check(*parts).good
    assert "TF32" in str(RoundedCheck(*parts))


OURS = [{"ms": ms} for ms in (1.0, 1.2, 1.1)]
THEIRS = [{"ms": ms} for ms in (2.0, 3.0, 2.2)]
MADE = {"parameters": 21840, "captured": True, "launches": 40, "calls": 37, "ready_s": 1.0}


def row(**changes):
    found = {"network": "resnet_cifar", "batch": 128, "against": "eager", "precision": "tf32",
             "feed": False, "torch_setting": "last, fused", "minidl_mb": 50.0, "torch_mb": 80.0,
             "torch_launches": 100, "difference": {"float32": 1e-4, "float64": 1e-14},
             **gpu_step.figures(MADE, OURS, THEIRS),
             **gpu_step.pace(OURS, 44_000_000_000, "tf32", MACHINE)}
    return {**found, **changes}


def test_figures_of_a_step():
    found = row()
    wanted = {"minidl_ms": 1.1, "torch_ms": 2.2, "ratio": 2.0, "ratio_min": 2.0, "ratio_max": 2.5,
              "launches": 40, "tflops": pytest.approx(40.0), "peak_share": pytest.approx(0.1)}
    assert {name: found[name] for name in wanted} == wanted
    assert json.loads(json.dumps(found)) == found
    assert gpu_step.pace(OURS, 1, "bf16", {})["peak_share"] is None


def test_what_is_not_built_says_so():
    missing = row(**gpu_step.figures({"missing": "not built: x"}, [], THEIRS), minidl_mb=None,
                  **gpu_step.pace([], 1, "bf16", MACHINE))
    assert "not built" in gpu_tables.cells(missing)
    assert missing["torch_ms"] == 2.2
    assert gpu_tables.verdict([missing]) == "nothing compared"
    assert "40 single" in gpu_tables.cells(row(captured=False))
    text = gpu_tables.printed([missing, row(network="resnet_tiny_imagenet", against="compile")])
    assert max(map(len, text.splitlines())) <= 140


def test_the_policy_of_precision(monkeypatch):
    from minidl import config
    monkeypatch.delattr(config, "precision", raising=False)
    with gpu_step_minidl.policy("tf32"):
        pass
    with pytest.raises(gpu_step_minidl.NotBuiltError, match=r"config\.precision"):
        gpu_step_minidl.policy("bf16")
    monkeypatch.setattr(config, "precision", lambda name: name, raising=False)
    assert gpu_step_minidl.policy("bf16") == "bfloat16"


def test_the_section_of_the_results_page(tmp_path):
    page = tmp_path / "RESULTS.md"
    gpu_tables.write_results(MACHINE, [], page)
    assert not page.exists()
    for rows in ([row(ratio=0.9)], [row(), row(ratio=0.5)]):
        gpu_tables.write_results(MACHINE, rows, page)
    text = page.read_text()
    assert "## Training steps on NVIDIA H100 (2026-11-23)\n\nNVIDIA H100, driver 580.1" in text
    assert "1 of 2 at least level with PyTorch; ratios 0.50 to 2.00, geometric mean 1.00." in text
    assert text.count("<!-- gpu_step_nvidia_h100 -->") == 1
    assert "| resnet_cifar | 21.8k | 128 | eager | tf32 | 1.10 | 2.20 | 2.00 | 2.00-2.50 |" in text


def test_facts_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = gpu_machine.known(str(tmp_path / "missing.json"))
    assert (found["gpu"], found["copy_gbs"]) == ("no GPU", None)
    assert gpu_machine.peaks_line(found) == "peaks not measured"
    assert "400 in TF32" in gpu_machine.peaks_line(MACHINE)


# ---- both sides of a step ------------------------------------------------------------------


def small(name="any", samples=None, batch=None, predict=False):
    dl.random.seed(0)
    model = L.Sequential([L.Input((6,)), L.Dense(5, activation="relu"),
                          L.Dense(3, activation="softmax")])
    rng = np.random.default_rng(0)
    y, numbers = networks.labels(rng, "categorical_crossentropy", batch or 4, 3)
    entry = replace(ENTRIES["lab_cifar"], optimizer={"name": "SGD", "learning_rate": 0.1})
    x = rng.standard_normal((batch or 4, 6), np.float32)
    return networks.Case(entry, model, x[:samples], y[:samples], numbers[:samples],
                         trains=not predict)


@pytest.fixture
def steps(gpu, monkeypatch):
    need_kernels(*STEP_OPS)
    monkeypatch.setattr(gpu_step_minidl, "case", small)
    monkeypatch.setattr(networks, "case", small)
    monkeypatch.setattr(gpu_step_minidl, "per_step", functools.partial(gpu_time.per_step, warm=0))


@pytest.mark.parametrize("feed", [False, True])
def test_our_step(feed, steps):
    made = gpu_step_minidl.make("any", 4, feed=feed)
    assert made["captured"] and made["batch"] == 4 and made["parameters"] == 53
    assert 8 < made["launches"] < 60
    assert gpu_step_minidl.time(0)["ms"] > 0
    assert 0 < gpu_step_minidl.memory() < 1
    held = gpu_step_minidl._made[0]
    copied = [call.inputs[0].shape for call in held.steps.recorded.recording._uploads]
    assert ((4, 6) in copied, (4, 3) in copied, (4,) in copied) == (feed, feed, True)


def test_our_gradients_on_the_gpu(steps, tmp_path):
    import step_minidl
    for device in ("cpu", "cuda"):
        step_minidl.check("any", str(tmp_path / f"{device}.npz"), "float64", 3, 4, device)
    found = compare(tmp_path / "cuda.npz", tmp_path / "cpu.npz")
    assert max(found.loss, found.gradients) < 1e-12


def test_a_profile(steps, monkeypatch, capsys):
    found = gpu_profile.profile("any", 4, passes=2)
    assert {"linear_relu", "sgd"} <= {launch["op"] for launch in found["launches"]}
    assert all(launch["us"] > 0 and launch["kernel"] for launch in found["launches"])
    text = gpu_profile.text(json.loads(json.dumps(found)))
    assert "any, batch 4, tf32" in text and "linear_relu" in text


@needs_torch
@pytest.mark.parametrize("feed", [False, True])
def test_their_step(feed, monkeypatch, tmp_path):
    import gpu_step_torch
    import step_torch
    monkeypatch.setattr(networks, "case", small)
    monkeypatch.setattr(gpu_step_torch, "per_step", functools.partial(gpu_time.per_step, warm=0))
    mirror, out = str(tmp_path / "mirror.pt"), str(tmp_path / "out.npz")
    assert gpu_step_torch.start("cpu") == "cpu"
    step_torch.prepare("any", mirror, batch=4)
    gpu_step_torch.check(mirror, out, "float64", 2)
    assert len(np.load(out).files) == 5
    assert gpu_step_torch.make(mirror, "last", "foreach", feed=feed)["ready_s"] > 0
    assert gpu_step_torch.time(0)["ms"] > 0
    assert gpu_step_torch.memory() is gpu_step_torch.launches() is None
    gpu_step_torch.drop()
    assert "step" not in gpu_step_torch._held


# ---- ops -----------------------------------------------------------------------------------


def test_our_ops(gpu, monkeypatch):
    monkeypatch.setattr(op_minidl, "ELEMENTS", (4, 6))
    monkeypatch.setattr(gpu_ops_minidl, "CACHE", 400)
    found = gpu_ops_minidl.find(["relu", "add"])
    assert not found["failed"]
    relu = next(call for call in found["calls"] if call["op"] == "relu")
    assert (relu["shapes"], relu["bytes"], relu["copies"]) == ([(4, 6)], 192, 3)
    number = found["calls"].index(relu)
    timed = gpu_ops_minidl.time(number, relu["variants"][0], 0, 3, 4)
    assert timed["ms"] > 0 and timed["launches"] == 1


@needs_torch
def test_their_ops(monkeypatch):
    import gpu_ops_torch
    import torch
    try:
        gpu_ops_torch.start("cpu")
        call = {"op": "relu", "shapes": [[2, 4, 4, 3]], "dtypes": ["float32"], "attrs": {}}
        found = gpu_ops_torch.time(**call, copies=2, seconds=0)
        assert (found["size"], found["graph"]) == (96, False)
        assert gpu_ops_torch.time(**{**call, "op": "nothing"}, copies=1, seconds=0) == {}
        wrong = gpu_ops_torch.time(**{**call, "op": "linear"}, copies=1, seconds=0)
        assert "IndexError" in wrong["error"]
    finally:
        torch.set_default_device(None)


def op_row(**changes):
    return {"op": "conv2d", "call": "64x32x32x64", "variant": "mma", "default": True, "ms": 0.1,
            "torch_ms": 0.05, "ratio": 0.5, "launches": 1, "gbs": 400.0, "tflops": 40.0,
            "of_floor": 0.2, "note": None, **changes}


def test_ops_that_lose_come_first():
    rows = [op_row(op="add", torch_ms=0.2), op_row(), op_row(op="long", ms=2.0, torch_ms=None),
            op_row(op="other", default=False), op_row(op="failed", ms=None)]
    assert [found["op"] for found in gpu_ops.slowest(rows)] == ["conv2d", "long", "add"]
    cells = gpu_ops.cells(op_row())
    assert cells[:6] == ("conv2d", "64x32x32x64", "mma*", 100.0, 50.0, 0.5)
    assert gpu_ops.cells(op_row(ms=None))[3] is None
    assert gpu_ops.floor({"bytes": 1, "flops": 1}, {"copy_gbs": None}) is None
    assert gpu_ops.floor({"bytes": 0, "flops": 8e11}, MACHINE) == pytest.approx(2.0)
