"""The peak memory that `summary` predicts is the one that training then needs."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import minidl as dl
from minidl import config, dispatch
from minidl.backend.memory import SMALLEST, HostPool, pool, rehearsal, rehearsed
from minidl.nn import layers as L  # noqa: N812 (as in the other tests)
from minidl.nn.peak import peak_of, size_text
from minidl.nn.summary import summarize

NETWORKS = {"mnist_convnet": 16, "lecture_mnist": 64, "lecture_mnist_wide": 16, "minivggnet": 8,
            "minigooglenet": 4, "resnet_cifar": 4, "telemetry_conv1d": 128}  # and their batches

WORKER = """
import gc, json, sys
from pathlib import Path
import numpy as np
from minidl import losses
from minidl.backend.memory import pool
from minidl.models.zoo import ENTRIES
from minidl.nn.summary import summarize
from minidl.train.feed import Batch
from minidl.train.step import Compiled, Tracker, train_step

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def train(name, samples, steps):
    entry = ENTRIES[name]
    model, loss = entry.build(), losses.get(entry.loss)
    model.compile(entry.new_optimizer(), loss)
    predicted = summarize(model, batch_size=samples).peak
    x = np.random.default_rng(0).standard_normal((samples, *entry.input_shape), np.float32)
    shape = (samples, *model.to_graph().output_shape[1:])
    y = np.zeros(shape, np.float32) if entry.loss != "nll" else np.zeros(samples, np.int64)
    how = Compiled(model.optimizer, loss, [])
    model.train()
    for _ in range(steps):
        train_step(model, how, Batch(x, y), Tracker([]), model.parameters())
    return predicted

def arrays(networks):
    found = {}
    for name, samples in networks.items():
        gc.collect()
        pool.trim()
        assert pool.taken + pool.held == 0
        predicted = train(name, samples, 3)
        found[name] = predicted.step, pool.taken + pool.held
    return found

def resident(name, samples):
    train(name, 2, 1)  # loads the kernels
    gc.collect()
    pool.trim()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    predicted = train(name, samples, 3)
    return predicted.total, status("VmHWM") - before

print(json.dumps({"arrays": arrays, "resident": resident}[sys.argv[1]](*json.loads(sys.argv[2]))))
"""


def worker(task: str, *arguments: object) -> object:
    """Return what the worker prints; it has a process, and so a pool, of its own."""
    done = subprocess.run([sys.executable, "-c", WORKER, task, json.dumps(arguments)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def measured() -> object:
    return worker("arrays", NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_prediction_is_what_the_pool_then_holds(name, measured):
    predicted, used = measured[name]
    assert used > 20 * SMALLEST
    assert predicted == pytest.approx(used, rel=0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the resident size")
def test_prediction_is_what_the_process_then_holds():
    predicted, used = worker("resident", "minivggnet", 64)
    assert used > 50e6
    assert predicted == pytest.approx(used, rel=0.1)


# ---- what a rehearsal leaves alone ---------------------------------------------------------


def small(**options):
    layers = [L.Input((12, 12, 3)), L.Conv2D(8, 3, padding="same"), L.BatchNormalization(),
              L.ReLU(), L.MaxPooling2D(), L.Flatten(), L.Dropout(0.5), L.Dense(10, **options)]
    return dl.Sequential(layers)


def test_rehearsing_changes_nothing():
    model = small()
    model.compile("adam", dl.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.train()
    x = np.random.default_rng(0).standard_normal((4, 12, 12, 3)).astype("float32")
    model(x).sum().backward()
    before = model.state_dict()
    gradients = {n: p.grad.numpy().copy() for n, p in model.named_parameters().items()}
    state, taken, ran = dl.random.default.state, pool.taken, []
    with dispatch.hook(lambda call, compute: ran.append(call.plan.op.name) or compute()):
        peak = summarize(model, batch_size=1000).peak
    assert peak is not None and "conv2d_weight_gradient" in ran
    assert pool.taken == taken and dl.random.default.state == state
    assert model.training and model.optimizer.iterations == 0
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    for name, parameter in model.named_parameters().items():
        np.testing.assert_array_equal(parameter.grad.numpy(), gradients[name])


def test_whatever_memory_holds_gives_no_warning(monkeypatch):
    empty = HostPool.empty

    def signalling(self, shape, dtype):
        array = empty(self, shape, dtype)
        array.view(f"u{dtype.itemsize}")[...] = {4: 0x7FA00000, 8: 0x7FF4000000000000}.get(
            dtype.itemsize, 0)
        return array

    monkeypatch.setattr(HostPool, "empty", signalling)
    model = small()
    model.compile("adam", dl.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert summarize(model, batch_size=4).peak is not None


def test_more_than_the_machine_has_costs_nothing():
    model = small()
    large, less = (summarize(model, batch_size=n).peak for n in (200_000, 20_000))
    assert large.step > 2e9
    assert large.step == pytest.approx(10 * less.step, rel=0.1)


def test_arrays_of_a_rehearsal_count_and_come_back():
    x = np.zeros((64, 64, 64), "float32")
    with config.shapes_only(), rehearsal() as own:
        assert rehearsed() is own
        y = dispatch.run("exp", x)
        dispatch.run("exp", y.transpose(2, 0, 1)[::-1])  # what is packed takes a buffer, too
        assert own.taken == y.nbytes
        assert own.peak == 2 * y.nbytes
        del y
        assert own.taken == 0
    assert rehearsed() is None


# ---- what is counted -----------------------------------------------------------------------


def test_parts_of_the_peak():
    model = small()
    trained = 3 * 9 * 8 + 8 + 2 * 8 + 288 * 10 + 10
    given = dl.Tensor(np.zeros((1, 12, 12, 3), "float32"))
    plain = peak_of(model, given, 50)
    assert (plain.weights, plain.state) == (4 * (trained + 2 * 8), 0)  # and moving statistics
    assert plain.data == 50 * 12 * 12 * 3 * 4
    model.compile(dl.optim.Adam(ema=0.9), "mse")
    peak = peak_of(model, given, 50)
    assert peak.state == 3 * 4 * trained  # two slots and the average
    assert peak.data == plain.data + 50 * 10 * 4
    assert peak.total == peak.weights + peak.state + peak.data + peak.step
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert peak_of(model, given, 50).data == plain.data + 50 * 8


def test_summary_says_it():
    model, lines = small(), []
    model.compile("sgd", "mse")
    model.summary(print_fn=lines.append, batch_size=7)
    text, peak = lines[0].splitlines(), summarize(model, batch_size=7).peak
    assert f"Peak memory of a training step, batch 7: {size_text(peak.total)}" in text
    assert text[-1] == f"  results, gradients, workspace: {size_text(peak.step)}"


def test_a_model_without_weights_has_none():
    assert summarize(dl.Sequential([L.Input((8, 8, 3)), L.MaxPooling2D()])).peak is None


def test_several_inputs_and_outputs():
    a, b = dl.Input((5,)), dl.Input((5,))
    y = L.Dense(4)(L.Concatenate()([a, b]))
    model = dl.Model([a, b], [y, L.Dense(2)(y)])
    assert summarize(model, batch_size=10).peak.data == 2 * 10 * 5 * 4
