"""The benchmarks: PyTorch's mirror computes what the model computes, and the figures are right."""

from __future__ import annotations

import json
import mmap
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import minidl as dl
import minidl.nn.layers as L  # noqa: N812
from minidl.autograd import functional as F  # noqa: N812
from minidl.models.zoo import ENTRIES
from minidl.ops import registry

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import bench_ops  # noqa: E402
import bench_start  # noqa: E402
import bench_step  # noqa: E402
import compare  # noqa: E402
import measure  # noqa: E402
import networks  # noqa: E402
import op_calls  # noqa: E402
import results  # noqa: E402


def needs_torch(test):
    """Mark a test that compares with PyTorch."""
    missing = find_spec("torch") is None
    return pytest.mark.torch(pytest.mark.skipif(missing, reason="PyTorch is not installed")(test))


# ---- the mirror ----------------------------------------------------------------------------

IMAGE, ROW, SEQUENCE = (9, 8, 4), (6,), (11, 4)


def chain(shape, *layers):
    return lambda: L.Sequential([L.Input(shape), *(make() for make in layers)])


def residual():
    x = L.Input(IMAGE)
    y = L.BatchNormalization()(L.Conv2D(4, 3, padding="same")(x))
    z = L.ReLU()(L.Add()([y, x]))
    return L.Model(x, L.GlobalAveragePooling2D()(L.Concatenate()([z, L.Conv2D(3, 1)(z)])))


def nested():
    inner = L.Sequential([L.Input(IMAGE), L.Conv2D(5, 3), L.MaxPooling2D(2)], name="body")
    return L.Sequential([L.Input(IMAGE), inner, L.Flatten(), L.Dense(3)])


class Twice(L.Module):
    """A layer of layers, one of them used twice."""

    def __init__(self, **base):
        super().__init__(**base)
        self.conv, self.add = L.Conv2D(4, 3, padding="same", activation="relu"), L.Add()

    def forward(self, x):
        return self.add([self.conv(x), self.conv(self.conv(x))])


NETWORKS = {
    "conv": chain(IMAGE, lambda: L.Conv2D(5, 3, activation="relu")),
    "conv same, stride 2, uneven": chain(IMAGE, lambda: L.Conv2D(5, 3, 2, "same")),
    "conv groups, dilation": chain(IMAGE, lambda: L.Conv2D(6, 3, groups=2, dilation_rate=2)),
    "conv of even window": chain(IMAGE, lambda: L.Conv2D(3, (4, 2), padding="same")),
    "depthwise": chain(IMAGE, lambda: L.DepthwiseConv2D(3, depth_multiplier=2)),
    "padding": chain(IMAGE, lambda: L.ZeroPadding2D(((1, 2), (3, 0))),
                     lambda: L.Conv2D(3, 3, use_bias=False)),
    "padding within conv": chain(IMAGE, lambda: L.ZeroPadding2D((1, 2)), lambda: L.Conv2D(3, 3)),
    "conv1d": chain(SEQUENCE, lambda: L.Conv1D(5, 4, padding="same", activation="relu"),
                    lambda: L.MaxPooling1D(2), lambda: L.GlobalMaxPooling1D()),
    "padding 1d": chain(SEQUENCE, lambda: L.ZeroPadding1D((2, 1)), lambda: L.Conv1D(5, 3)),
    "embedding": chain((7,), lambda: L.Embedding(20, 5), lambda: L.Conv1D(4, 3),
                       lambda: L.Flatten(), lambda: L.Dense(2)),
    "max pool same": chain(IMAGE, lambda: L.MaxPooling2D(3, 2, "same")),
    "max pool uneven": chain(IMAGE, lambda: L.MaxPooling2D(4, 1, "same")),
    "average pool": chain(IMAGE, lambda: L.AveragePooling2D(3, 1, "same")),
    "average pool uneven": chain((8, 8, 4), lambda: L.AveragePooling2D(3, 2, "same")),
    "pools 1d": chain(SEQUENCE, lambda: L.AveragePooling1D(2), lambda: L.GlobalAveragePooling1D()),
    "global pools": chain(IMAGE, lambda: L.GlobalMaxPooling2D(keepdims=True),
                          lambda: L.Flatten(), lambda: L.Dense(2)),
    "flattened image": chain(IMAGE, lambda: L.Conv2D(3, 2), lambda: L.Flatten(), lambda: L.ReLU(),
                             lambda: L.BatchNormalization(), lambda: L.Dropout(0.0),
                             lambda: L.Dense(5, activation="relu"), lambda: L.Dense(2)),
    "flattened sequence": chain(SEQUENCE, lambda: L.Flatten(), lambda: L.Dense(2)),
    "batch norm": chain(IMAGE, lambda: L.BatchNormalization(epsilon=2e-5, activation="relu")),
    "batch norm, beta only": chain(ROW, lambda: L.BatchNormalization(scale=False)),
    "batch norm, neither": chain(ROW, lambda: L.BatchNormalization(scale=False, center=False)),
    "local response": chain(IMAGE, lambda: L.LocalResponseNormalization(1, 0.1)),
    "rescaling": chain(IMAGE, lambda: L.Rescaling(0.5, -1.0), lambda: L.Conv2D(2, 3)),
    "activations": chain(ROW, lambda: L.Dense(5, activation="tanh"), lambda: L.LeakyReLU(0.2),
                         lambda: L.Dense(5), lambda: L.ELU(0.7), lambda: L.Activation("gelu"),
                         lambda: L.Identity(), lambda: L.Dense(4), lambda: L.ReLU(6.0)),
    "softmax": chain(ROW, lambda: L.Dense(4), lambda: L.Softmax()),
    "spatial dropout": chain(IMAGE, lambda: L.SpatialDropout2D(0.0), lambda: L.Conv2D(2, 3)),
    "spatial dropout 1d": chain(SEQUENCE, lambda: L.SpatialDropout1D(0.0), lambda: L.Conv1D(2, 3)),
    "residual": residual, "nested": nested, "layer of layers": chain(IMAGE, Twice),
}


def data(model, rng):
    """Return a batch for a model, and the same for PyTorch."""
    import torch
    shape = (3, *model.to_graph().input_shape[1:])
    if isinstance(model.to_graph().nodes[0].layer, L.Embedding):
        ids = rng.integers(0, 20, shape)
        return ids, torch.from_numpy(ids)
    x = rng.standard_normal(shape, np.float32)
    return x, torch.from_numpy(np.moveaxis(x, -1, 1).copy() if x.ndim > 2 else x)


def close(ours, theirs):
    scale = max(1.0, float(np.abs(theirs).max()))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * scale)


@needs_torch
@pytest.mark.parametrize("name", NETWORKS)
def test_the_mirror_computes_the_same(name):
    import torch
    from torch_mirror import mirror
    rng = np.random.default_rng(len(name))
    model = NETWORKS[name]()
    x, other = data(model, rng)
    twin = mirror(model, head=False)
    y, z = model(x), twin.module.train()(other)
    z = z.movedim(1, -1) if z.ndim > 2 else z
    gy = rng.standard_normal(y.shape).astype("f4")
    close(y.numpy(), z.detach().numpy())
    if not model.parameters():
        return
    F.sum(y * dl.Tensor(gy)).backward()
    z.backward(torch.from_numpy(gy))
    named, ours = dict(twin.module.named_parameters()), model.named_parameters()
    links = {link.ours: link for link in twin.links if link.theirs in named}
    assert set(links) == set(ours)
    for path, link in links.items():
        close(ours[path].grad.numpy(), link.to_minidl(named[link.theirs].grad.numpy()))


@needs_torch
def test_statistics_are_copied():
    import torch
    from torch_mirror import mirror
    model = NETWORKS["flattened image"]()
    x, other = data(model, np.random.default_rng(0))
    model(x)
    with torch.no_grad():
        z = mirror(model).module.eval()(other)
    close(model.eval()(x).numpy(), z.numpy())


@needs_torch
@pytest.mark.parametrize(("end", "head"), [("softmax", "softmax"), ("log_softmax", "softmax"),
                                           ("sigmoid", "sigmoid"), (None, None)])
def test_the_loss_takes_logits(end, head):
    from torch_mirror import mirror
    twin = mirror(chain(ROW, lambda: L.Dense(4, activation=end))())
    assert twin.head == head
    assert len(list(twin.module.children())) == 1


@needs_torch
def test_what_a_careful_user_does_besides():
    import torch
    from torch_mirror import mirror
    folded = mirror(NETWORKS["padding within conv"]()).module
    assert [m.padding for m in folded.children() if isinstance(m, torch.nn.Conv2d)] == [(1, 2)]
    assert "pad" not in folded.code
    module = mirror(residual()).module
    assert [m.inplace for m in module.children() if isinstance(m, torch.nn.ReLU)] == [True]
    assert ".add_(" in module.code
    kept = mirror(chain(ROW, lambda: L.ReLU())()).module  # the data stay as they are
    assert [m.inplace for m in kept.children()] == [False]


@needs_torch
@pytest.mark.parametrize(("make", "text"), [
    (chain(IMAGE, lambda: L.Lambda(lambda x: x)), "no rule for Lambda"),
    (chain(ROW, lambda: L.Dense(2, kernel_regularizer="l1")), "no plain L2"),
    (chain(ROW, lambda: L.Dense(2, kernel_constraint="non_neg")), "has the constraint"),
    (chain(IMAGE, lambda: L.Softmax(1)), "softmax along axis 1"),
    (chain(IMAGE, lambda: L.Flatten()), "PyTorch's order"),
])
def test_what_the_mirror_does_not_know(make, text):
    from torch_mirror import MirrorError, mirror
    with pytest.raises(MirrorError, match=text):
        mirror(make())


# ---- a step --------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": {"name": "SGD", "learning_rate": 0.1},
    "momentum": {"name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
    "nesterov": {"name": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    "adam": {"name": "Adam", "learning_rate": 0.01},
    "adamw": {"name": "AdamW", "learning_rate": 0.01, "weight_decay": 0.1},
    # epsilon stands inside the root here, outside in PyTorch
    "rmsprop": {"name": "RMSprop", "learning_rate": 0.01, "epsilon": 1e-14},
}


def regular(penalty=0.05):
    """Return a model with a penalty and limits."""
    options = {"kernel_regularizer": dl.nn.regularizers.L2(penalty)} if penalty else {}
    limit = dl.nn.constraints.MaxNorm
    return L.Sequential([
        L.Input((6, 6, 2)),
        L.Conv2D(4, 3, activation="relu", kernel_constraint=limit(0.5), **options), L.Flatten(),
        L.Dense(5, activation="softmax", kernel_constraint=limit(0.7), **options)])


def case_of(optimizer):
    rng = np.random.default_rng(0)
    entry = replace(ENTRIES["mnist_convnet"], optimizer=OPTIMIZERS[optimizer])
    y, numbers = networks.labels(rng, "categorical_crossentropy", 8, 5)
    x = rng.standard_normal((8, 6, 6, 2), np.float32)
    model = regular(0 if optimizer == "adamw" else 0.05)
    return networks.Case(entry, model, x, y, numbers, trains=True)


@needs_torch
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_change_the_weights_alike(optimizer, monkeypatch, tmp_path):
    import step_minidl
    import step_torch
    case, atol = case_of(optimizer), 2e-5 if OPTIMIZERS[optimizer]["name"] == "SGD" else 3e-4
    monkeypatch.setattr(networks, "case", lambda name, **how: case)
    step_torch.prepare("any", str(tmp_path / "mirror.pt"))
    for flavour in ("default", "fused"):
        made = step_torch.load(str(tmp_path / "mirror.pt"), "last")
        missing = (optimizer, flavour) == ("rmsprop", "fused")
        assert step_torch.has_flavour(made, flavour) != missing
        if missing:
            continue
        theirs = step_torch.stepper(made, flavour)
        model = regular(0 if optimizer == "adamw" else 0.05)
        model.load_state_dict(case.model.state_dict())
        ours = step_minidl.stepper(replace(case, model=model))
        for _ in range(2):
            ours(), theirs()
        named = dict(made["module"].named_parameters())
        for link in step_torch.links_of(made):
            mine, other = model.state_dict()[link.ours], named[link.theirs].detach().numpy()
            np.testing.assert_allclose(mine, link.to_minidl(other), rtol=0, atol=atol)


@needs_torch
def test_no_counterpart(monkeypatch, tmp_path):
    import step_torch
    case = replace(case_of("adamw"), model=regular())
    monkeypatch.setattr(networks, "case", lambda name, **how: case)
    step_torch.prepare("any", str(tmp_path / "mirror.pt"))
    with pytest.raises(ValueError, match="AdamW with an L2 penalty"):
        step_torch.stepper(step_torch.load(str(tmp_path / "mirror.pt")))
    case.entry = replace(case.entry, optimizer={"name": "SGD", "clip_norm": 1.0})
    with pytest.raises(ValueError, match="no counterpart"):
        step_torch.prepare("any", str(tmp_path / "mirror.pt"))


@needs_torch
def test_a_network_is_checked(tmp_path):
    import step_minidl
    import step_torch
    step_torch.prepare("lecture_mnist", str(tmp_path / "mirror.pt"))
    step_torch.check(str(tmp_path / "mirror.pt"), str(tmp_path / "torch.npz"), samples=4)
    work = step_minidl.check("lecture_mnist", str(tmp_path / "minidl.npz"), samples=4)
    found = compare.compare(tmp_path / "minidl.npz", tmp_path / "torch.npz")
    assert found.loss < 1e-6
    assert found.gradients < 1e-5
    assert work["flops"] > 3 * 2 * 4 * (24 * 24 * 25 * 10 + 8 * 8 * 250 * 20) * 0.7


@needs_torch
@pytest.mark.parametrize("network", ["lecture_mnist", "telemetry_conv1d"])
def test_predictions_are_checked(network, tmp_path):
    import step_minidl
    import step_torch
    how, mirror = {"batch": 3, "predict": True}, str(tmp_path / "mirror.pt")
    assert not step_torch.prepare(network, mirror, **how)["trains"]
    step_torch.check(mirror, str(tmp_path / "torch.npz"))
    step_minidl.check(network, str(tmp_path / "minidl.npz"), **how)
    assert compare.compare(tmp_path / "minidl.npz", tmp_path / "torch.npz").loss < 1e-6
    assert np.load(tmp_path / "minidl.npz")["y"].shape[0] == 3
    words = bench_step.section(3)
    assert words["marker"] != bench_step.section(None)["marker"]
    assert words["option"] == " --predict 3"
    assert len(networks.case(network, **how).x) == 3


def test_unknown_networks_are_named():
    assert networks.chosen(["lecture_mnist"]) == ["lecture_mnist"]
    assert networks.chosen(None) == list(ENTRIES)
    with pytest.raises(measure.WorkerError, match=r"no network nothing.*lecture_mnist"):
        measure.run_worker("networks.py", {"do": "chosen", "names": ["nothing"]})


@pytest.mark.parametrize(("loss", "outputs", "shape"), [
    ("nll", 10, (6,)), ("categorical_crossentropy", 10, (6, 10)),
    ("binary_crossentropy", 1, (6, 1)), ("binary_crossentropy", 2, (6, 2)),
    ("sparse_categorical_crossentropy", 3, (6,))])
def test_labels(loss, outputs, shape):
    ours, numbers = networks.labels(np.random.default_rng(0), loss, 6, outputs)
    assert ours.shape == shape
    assert set(numbers) <= set(range(max(outputs, 2)))
    one_hot = ours.ndim == 2 and outputs > 1
    np.testing.assert_array_equal(ours.argmax(1) if one_hot else ours.reshape(6), numbers)


# ---- comparing -----------------------------------------------------------------------------


def differences(tmp_path, **changes):
    theirs = {"loss": np.array(2.0), "gradient a": np.arange(4.0), "gradient b": np.full(3, 1e-9)}
    np.savez(tmp_path / "a.npz", **{**theirs, **changes})
    np.savez(tmp_path / "b.npz", **theirs)
    return compare.compare(tmp_path / "a.npz", tmp_path / "b.npz")


def test_differences(tmp_path):
    assert differences(tmp_path)[:3] == (0, 0, 0)
    assert differences(tmp_path, loss=np.array(2.2)).loss == pytest.approx(0.1)
    wrong = differences(tmp_path, **{"gradient a": -np.arange(4.0)})
    assert (wrong.gradients, wrong.worst, wrong.name) == (pytest.approx(2), pytest.approx(2), "a")
    vanishing = differences(tmp_path, **{"gradient b": np.zeros(3)})
    assert vanishing.worst < 1e-8
    for change in ({"gradient c": np.zeros(1)}, {"gradient a": np.zeros(5)}):
        with pytest.raises(ValueError, match=f"shapes differ: {next(iter(change))}"):
            differences(tmp_path, **change)


@pytest.mark.parametrize(("double", "single", "itself", "good"), [
    (1e-12, 4e-3, 0, True), (1e-5, 4e-3, 0, False), (1e-12, 6e-3, 0, False),
    (1e-12, 2e-2, 5e-3, True), (1e-12, 3e-2, 5e-3, False)])
def test_nothing_is_timed_where_gradients_differ(double, single, itself, good):
    parts = [compare.Difference(0.0, g, g, "w") for g in (double, single, itself)]
    check = compare.Check(*parts)
    assert check.good == good
    if not good:
        with pytest.raises(ValueError, match="differ"):
            check.need()


# ---- figures and tables --------------------------------------------------------------------

OURS = [{"ms": ms, "mb": 50.0, "compiler_mb": 9.0, "batch": 64, "parameters": 21840}
        for ms in (10.0, 12.0, 11.0)]
THEIRS = [{"ms": ms} for ms in (20.0, 30.0, 22.0)]


def test_figures_of_a_network():
    row = bench_step.figures("net", OURS, THEIRS, 80.0, 5_500_000_000, 250.0)
    wanted = {"network": "net", "batch": 64, "minidl_ms": 11.0, "torch_ms": 22.0, "ratio": 2.0,
              "minidl_mb": 50.0, "torch_mb": 80.0, "ratio_min": 2.0, "ratio_max": 2.5,
              "gflops": 500.0, "peak_share": 2.0}
    assert {name: row[name] for name in wanted} == wanted
    assert json.loads(json.dumps(row)) == row
    unknown = bench_step.figures("net", OURS, THEIRS, float("nan"), 10**9, 250.0)
    assert unknown["torch_mb"] is None
    assert "-" in results.text_table(bench_step.HEAD, [bench_step.cells(unknown)]).split()


def test_tables_fit_on_a_page():
    row = bench_step.figures("resnet_tiny_imagenet", OURS, THEIRS, 8000.0, 55 * 10**9, 250.0)
    big = {**row, "minidl_ms": 12345.6, "torch_ms": 23456.7, "parameters": 138_357_544}
    text = results.text_table(bench_step.HEAD, [bench_step.cells(r) for r in (row, big)], gap=" ")
    assert max(map(len, text.splitlines())) <= 100
    assert "21.8k" in text and "138.4M" in text and "12,346" in text
    tried = [{"layout": "last", "allocator": "tuned", "flavour": "fused", "ms": 1.5}] * 12
    assert max(map(len, bench_step.calibration_text(tried).splitlines())) <= 100


def test_variants_that_did_not_run_are_left_out():
    row = {**bench_step.figures("net", OURS, THEIRS, 80.0, 10**9, 250.0),
           "variants": {"bf16": {"ms": 5.5, "first_s": 1.0, "layout": "last"}}}
    assert bench_step.variant_rows([row, {}]) == [("net", 11.0, "5.5 (0.50)", "-", "-", None)]
    page = bench_step.report([{**row, "torch_setting": "last, tuned, fused", "difference": {
        "float64": 1e-14, "float32": 1e-6, "torch_itself": 1e-6}}], 250.0, 5,
        bench_step.section(None))
    assert page.startswith("`python benchmarks/bench_step.py --rounds 5`: milliseconds per train")
    assert "| net | 11.0 | 5.5 (0.50) | - | - | - |" in page
    assert "| net | last, tuned, fused | 1e-14 | 1e-06 | 1e-06 |" in page


def test_sections_of_the_results_page(tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text("# Results\n\nBy hand.\n")
    results.write_section("one", "First", "old text", page)
    results.write_section("two", "Second", "other text", page)
    results.write_section("one", "First", r"new \1 text", page)
    text = page.read_text()
    assert text.startswith("# Results\n\nBy hand.\n\n<!-- one -->\n## First (")
    assert "old text" not in text
    assert text.index(r"new \1 text") < text.index("other text")
    assert text.count("<!-- one -->") == text.count("<!-- /one -->") == 1
    assert f"Python {sys.version_info.major}" in text


def test_markdown():
    table = results.markdown_table(("a", "b"), [(1234, 0.5), ("x", None)])
    assert table == "| a | b |\n| --- | --- |\n| 1,234 | 0.500 |\n| x | - |"


def test_timing_makes_as_many_steps_as_asked():
    made = []
    timed = measure.timing(lambda: made.append(1), seconds=0, steps=4, warm=3, warm_seconds=0)
    assert (timed.steps, len(made)) == (4, 7)
    assert timed.least <= timed.ms <= timed.most


def test_memory_of_this_process():
    before = measure.resident_mb()
    with mmap.mmap(-1, 64 << 20) as fresh:  # NumPy may take memory that was freed before
        fresh.write(bytes(64 << 20))
        assert measure.peak_mb() - before > 40


# ---- ops -----------------------------------------------------------------------------------


def test_calls_name_ops_that_exist():
    known = {op.name for op in registry.ops()}
    assert {call.op for call in op_calls.CALLS} | set(op_calls.UPDATES) <= known


@needs_torch
def test_counterparts_name_ops_that_exist():
    import op_torch
    assert set(op_torch.TABLE) <= {op.name for op in registry.ops()}


def test_all_ops_a_call_runs_are_found(monkeypatch):
    import op_minidl
    small = op_calls.convolution("conv2d", 2, 6, 3, 4, 3, 1, "same")
    monkeypatch.setattr(op_minidl, "CALLS", (small,))
    found = {seen.op.name: seen for seen in op_minidl.calls(lambda name: name.startswith("conv2d_")
                                                            or name == "conv2d")}
    assert {"conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"} <= set(found)
    row = op_minidl.row(found["conv2d"], 0.0)
    assert row["shapes"] == [(2, 6, 6, 3), (3, 3, 3, 4), (4,)]
    assert row["flops"] == 2 * 2 * 36 * 27 * 4
    assert row["default"] in row["ms"]
    assert all(isinstance(ms, float) for ms in row["ms"].values())
    assert "im2col" in row["ms"]


@needs_torch
@pytest.mark.parametrize("name", ["conv2d", "conv2d_input_gradient", "conv2d_weight_gradient"])
@pytest.mark.parametrize("stride", [1, 2])
def test_counterparts_have_results_of_the_same_size(name, stride, monkeypatch):
    import op_minidl
    import op_torch
    small = op_calls.convolution("conv2d", 2, 6, 3, 4, 3, stride, "same")
    monkeypatch.setattr(op_minidl, "CALLS", (small,))
    (seen,) = op_minidl.calls(lambda op: op == name)
    row = op_minidl.row(seen, 0.0)
    call = {key: row[key] for key in ("op", "shapes", "dtypes", "attrs")}
    assert op_torch.best(0.0, **json.loads(json.dumps(call)))["size"] == row["size"]


def test_rows_of_an_op():
    call = {"op": "conv2d", "default": "direct", "source": "call", "shapes": [[2, 6, 6, 3], [4]],
            "attrs": {"stride": [2, 2], "padding": [[0, 1], [0, 1]], "groups": 1}, "size": 10,
            "flops": 4_000_000, "bytes": 8_000_000, "ms": {"direct": 2.0, "im2col": "no"}}
    slower = {**call, "ms": {"direct": 4.0, "im2col": "no"}}
    theirs = [{"ms": 6.0, "size": 10}, {"ms": 6.0, "size": 10}]
    first, second = bench_ops.variants([call, slower], theirs)
    assert (first["ms"], first["ratio"], first["gbs"]) == (3.0, 2.0, pytest.approx(8 / 3))
    assert first["call"] == "2x6x6x3 s2 p0,1,0,1"
    assert second["ms"] is None
    assert second["notes"] == ["no"]
    other, _ = bench_ops.variants([call], [{"ms": 6.0, "size": 11}])
    assert (other["torch_ms"], other["ratio"]) == (None, None)
    assert other["notes"] == ["PyTorch's result has 11 elements, not 10"]
    long = {**first, "op": "o" * 60, "call": "c" * 60, "ms": 12345.6, "torch_ms": 23456.7}
    table = results.text_table(bench_ops.HEAD, [bench_ops.clipped(long)], gap=" ")
    assert max(map(len, table.splitlines())) <= 100


# ---- start ---------------------------------------------------------------------------------


def test_installed_packages_and_what_they_require():
    found = bench_start.required("matplotlib")
    assert {"matplotlib", "numpy", "pillow"} <= found
    assert bench_start.package_mb("matplotlib") > bench_start.package_mb("numpy") > 10
    assert bench_start.package_mb("no-such-package") == 0


def test_a_process_that_fails_has_no_time(tmp_path):
    assert bench_start.seconds("pass", str(tmp_path)) > 0
    assert np.isnan(bench_start.seconds("raise SystemExit(3)", str(tmp_path)))
