"""Tensors, models and training on the emulated GPU: the CPU's results, steps captured as graphs."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest
from test_replay import MODELS, OPTIMIZERS, Scale, assert_same, batches, convnet, train

import minidl as dl
from minidl import Parameter, config, dispatch, metrics, optim, random
from minidl.backend import device as devices
from minidl.backend.cpu import cache_folder
from minidl.errors import DeviceError, MinidlError
from minidl.models.zoo import ENTRIES
from minidl.nn import fuse
from minidl.nn import layers as L  # noqa: N812 (as in the other tests)
from minidl.plan import record
from minidl.testing.host_cuda import emulated
from minidl.train.feed import Batch
from minidl.train.passes import passes_of

EXACT = "implicit_gemm", "mma"  # round to TF32, which is no error but another result


@pytest.fixture(scope="module", autouse=True)
def gpu():
    with emulated(Path(os.environ.get("MINIDL_HOST_CUDA", cache_folder() / "host_cuda"))) as device:
        yield device
        gc.collect()


def on_gpu(make):
    return lambda: make().to("cuda")


# ---- tensors -------------------------------------------------------------------------------


def test_there_and_back():
    x = dl.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x.to("cuda")
    assert (x.device, y.device, y.to("cuda") is y) == ("cpu", "cuda", True)
    (y * y).sum().backward()
    assert x.grad.device == "cpu"
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())


def test_what_it_says():
    x = dl.Tensor([1.0, 2.5]).to("cuda")
    assert repr(x) == "Tensor([1. , 2.5], shape=(2,), dtype=float32, device='cuda')"
    assert x.tolist() == [1.0, 2.5] and x[1].item() == 2.5 and float(x.sum()) == 3.5
    np.testing.assert_array_equal(np.asarray(x), [1.0, 2.5])


def test_numbers_and_arrays_beside():
    x = dl.Tensor([1.0, 2.0]).to("cuda")
    assert (2 * x + 1).tolist() == [3.0, 5.0] and (x + dl.Tensor(1.0)).device == "cuda"
    with pytest.raises(DeviceError, match=r'add: got arrays on \'cuda\' and on \'cpu\'.*\.to\('):
        x + dl.Tensor([1.0, 2.0])


def test_a_number_gets_its_gradient_where_it_lies():
    factor = dl.Tensor(3.0, requires_grad=True)
    (dl.Tensor([1.0, 2.0]).to("cuda") * factor).sum().backward()
    assert factor.grad.device == "cpu" and factor.grad.item() == 3.0


def test_assign():
    x = dl.Tensor([1.0, 2.0, 3.0]).to("cuda")
    x.assign([4.0, 5.0, 6.0])
    x.data -= 1
    assert x.tolist() == [3.0, 4.0, 5.0]
    x.assign(0.5)
    assert x.tolist() == [0.5] * 3


def test_no_such_device():
    with pytest.raises(DeviceError, match='got \'moon\'; expected "cpu" or "cuda"'):
        dl.Tensor([1.0]).to("moon")


def test_a_change_of_what_is_saved_is_seen():
    x = dl.Tensor([1.0, 2.0]).to("cuda").detach()
    x.requires_grad = True
    y = x * x
    x.assign([0.0, 0.0])
    with pytest.raises(MinidlError, match="was changed"):
        y.sum().backward()


def test_hooks_on_gradients():
    x = dl.Tensor([1.0, 2.0], requires_grad=True)
    y = x.to("cuda") * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.device) or g * 3)
    y.sum().backward()
    assert seen == ["cuda"] and x.grad.tolist() == [6.0, 6.0]


# ---- training ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_models_as_on_the_cpu(name):
    given = list(batches(3, inputs=2 if name == "two inputs" else 1))
    with config.avoid(*EXACT):
        wanted, _ = train(MODELS[name], given, replay=False)
        got, _ = train(on_gpu(MODELS[name]), given, replay=False)
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_allclose(got[key], value, rtol=2e-5, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("name", MODELS)
def test_captured_models_equal_eager_ones(name):
    assert_same(on_gpu(MODELS[name]), batches(6, inputs=2 if name == "two inputs" else 1), 3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_captured_optimizers_equal_eager_ones(name):
    assert_same(on_gpu(MODELS["dropout"]), batches(6), 3, optimizer=OPTIMIZERS[name])


@pytest.mark.parametrize("loss, one_hot", [
    ("categorical_crossentropy", True), ("binary_crossentropy", True), ("mse", True)])
def test_captured_losses_and_weights(loss, one_hot):
    given = batches(6, weighted=True, one_hot=one_hot)
    assert_same(on_gpu(convnet), given, 3, loss=loss, measures=[metrics.Accuracy()])


@pytest.mark.parametrize("name", ["lecture_mnist", "telemetry_conv1d"])
def test_lecture_networks(name):
    entry = ENTRIES[name]
    rng = np.random.default_rng(1)
    given = [Batch(rng.standard_normal((4, *entry.input_shape), np.float32),
                   rng.integers(0, 2, 4)) for _ in range(5)]
    how = {"optimizer": entry.new_optimizer, "loss": entry.loss}
    assert_same(on_gpu(entry.build), given, 2, **how)
    with config.avoid(*EXACT):
        wanted, got = (train(make, given, **how)[0] for make in (entry.build, on_gpu(entry.build)))
    np.testing.assert_allclose(got["loss"], wanted["loss"], rtol=1e-4)


def test_another_shape_is_another_graph():
    long, short = list(batches(9)), list(batches(5, samples=3))
    given = [*long[:5], *short[:4], *long[5:], short[4]]
    assert_same(on_gpu(convnet), given, 2 + 1 + 4 + 1)


def test_what_may_differ_is_run_in_every_step():
    assert_same(on_gpu(lambda: convnet(Scale())), batches(5), 0)


def test_a_step_that_reads_values_is_not_captured_and_says_so_once():
    class Reading(dl.Module):
        repeatable = True

        def forward(self, x):
            return x * dl.Tensor(x.mean().to("cpu").numpy()).to("cuda")

    with pytest.warns(UserWarning, match="not captured as one graph, as to is computed") as said:
        assert_same(on_gpu(lambda: convnet(Reading())), batches(6), 0)
    assert len(said) == 1


def test_reading_during_capture_is_refused(gpu):
    x = dispatch.move(np.ones(3, "float32"), "cuda")
    with record() as step:
        y = dispatch.run("sqrt", x)
        dispatch.run("sqrt", dispatch.run("to", y, device="cpu"))
    with pytest.raises(MinidlError, match="capture: got to, sqrt, computed on the CPU"):
        step.capture()
    with pytest.raises(DeviceError, match="got a copy from the device while launches"), \
            gpu.capture():
        devices.to_host(x)


def test_fit_evaluate_predict_and_save(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((22, 8, 8, 3), np.float32), rng.integers(0, 10, 22)

    def trained(device):
        random.seed(3)
        model = convnet(L.BatchNormalization(), L.Dropout(0.2))
        model.compile(optim.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy",
                      ["accuracy"])
        history = model.fit(x, y, batch_size=4, epochs=2, seed=1, verbose=0, device=device,
                            validation_data=(x, y))
        return model, history.history

    with config.avoid(*EXACT):
        cpu, wanted = trained("cpu")
        gpu, got = trained("cuda")
        assert gpu.device == "cuda" and cpu.device == "cpu"
        assert got.keys() == wanted.keys()
        for name in ("loss", "val_loss"):
            np.testing.assert_allclose(got[name], wanted[name], rtol=1e-4)
        np.testing.assert_allclose(gpu.predict(x), cpu.predict(x), atol=1e-4)
        np.testing.assert_allclose(gpu.evaluate(x, y), cpu.evaluate(x, y), rtol=1e-3)
    gpu.save(tmp_path / "model")
    again = dl.load_model(tmp_path / "model")
    assert again.device == "cpu"
    for name, array in gpu.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)
    again.fit(x, y, epochs=1, verbose=0, device="cuda")


def test_predict_launches_one_graph():
    random.seed(4)
    model = convnet(L.BatchNormalization()).to("cuda").eval()
    given = [np.random.default_rng(n).standard_normal((3, 8, 8, 3), np.float32) for n in range(6)]
    seen = [model.predict(x) for x in given]
    model.layers[0].kernel.assign(model.layers[0].kernel.numpy() * 2)
    seen += [model.predict(x) for x in given]
    assert passes_of(model).replayed == 12 - 3
    with config.no_grad():
        for x, y in zip(given, seen[6:], strict=True):
            np.testing.assert_array_equal(y, model(x).numpy())
    assert passes_of(model)._states.popitem()[1].recorded.recording._graph is not None
    for x, y in zip(given, seen[:6], strict=True):
        assert (model.predict(x) != y).any()


def test_slices_of_a_batch_and_joined_convolutions(monkeypatch):
    monkeypatch.setattr(fuse, "SLICE", 1)  # so that a sample at a time is pooled
    x = dl.Input((6, 6, 3))
    y = L.MaxPooling2D(2)(L.Conv2D(4, 3, activation="relu")(x))
    model = dl.Model(x, L.Concatenate()([L.Conv2D(5, 1)(y), L.Conv2D(6, 1, activation="relu")(y)]))
    images = np.random.default_rng(2).standard_normal((3, 6, 6, 3), "float32")
    with dl.no_grad(), config.avoid(*EXACT):
        wanted = model(images).numpy()
        got = model.to("cuda")(images)
    assert got.device == "cuda"
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_the_state_of_an_optimizer_follows():
    random.seed(1)
    model = convnet()
    model.compile(optim.Adam(0.01, ema=0.5), "mse")
    x, y = np.ones((4, 8, 8, 3), np.float32), np.eye(10, dtype=np.float32)[:4]
    for device in ("cpu", "cuda", "cpu"):
        model.to(device).train_on_batch(x, y)
        assert all(array.shape for array in model.optimizer.ema_values())
        model.optimizer.swap_ema()
        model.optimizer.swap_ema()


def test_memory_comes_back():
    pool = devices.pool("cuda")
    gc.collect()  # models of other tests
    gc.collect()  # and their recordings
    before = pool.taken
    model = convnet(L.BatchNormalization()).to("cuda")
    model.compile("sgd", "mse")
    model.fit(np.ones((12, 8, 8, 3), "float32"), np.ones((12, 10), "float32"), batch_size=2,
              epochs=2, verbose=0)
    assert pool.taken > before
    del model
    gc.collect()
    assert pool.taken == before


def test_figures_of_batches_that_nobody_reads_are_not_waited_for(gpu, monkeypatch):
    waited = []
    send = gpu.send
    monkeypatch.setattr(gpu, "send", lambda array: lambda: waited.append(1) or send(array)())
    model = convnet().to("cuda")
    how = model.compile("sgd", "sparse_categorical_crossentropy") or model._compiled
    from minidl.train.step import Tracker, train_step
    tracker = Tracker(how.metrics)
    model.train()
    for batch in batches(3):
        train_step(model, how, batch, tracker, model.parameters())
    assert not waited and np.isfinite(tracker.logs()["loss"]) and waited


# ---- mixed precision -----------------------------------------------------------------------


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_mixed_precision(half):
    model = convnet(L.BatchNormalization(), L.ReLU()).to("cuda")
    x = next(iter(batches(1))).x
    with config.precision(half):
        y = model(x)
        inner = model.layers[0](dl.Tensor(x).to("cuda"))
        assert (inner.dtype.name, y.dtype.name) == (half, "float32")
        y.sum().backward()
    assert all(p.grad.dtype == p.dtype == np.float32 for p in model.trainable_parameters())
    np.testing.assert_allclose(y.numpy(), model(x).numpy(), atol=0.02)


def test_mixed_precision_leaves_the_cpu_alone():
    model, x = convnet(), next(iter(batches(1))).x
    wanted = model(x).numpy()
    with config.precision("bfloat16"):
        np.testing.assert_array_equal(model(x).numpy(), wanted)
    with pytest.raises(MinidlError, match="got 'int8'"):
        config.precision("int8")


def test_training_in_bfloat16_is_captured_and_learns():
    def trained(precision):
        random.seed(2)
        model = convnet(L.BatchNormalization())
        model.compile(optim.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((24, 8, 8, 3), np.float32), np.arange(24) % 10
        history = model.fit(x, y, batch_size=6, epochs=3, verbose=0, seed=1, device="cuda",
                            precision=precision)
        assert all(p.dtype == np.float32 for p in model.parameters())
        return history.history["loss"]

    full, half = trained(None), trained("bfloat16")
    np.testing.assert_allclose(half, full, rtol=0.05)
    assert half[-1] < half[0] and half != full


# ---- loss scale ----------------------------------------------------------------------------


def in_float16(epochs, **options):
    """Train a small network in float16; return its optimizer and losses."""
    random.seed(2)
    model = convnet(L.BatchNormalization())
    model.compile(optim.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((24, 8, 8, 3), np.float32), np.arange(24) % 10
    history = model.fit(x, y, batch_size=6, epochs=epochs, verbose=0, seed=1, device="cuda",
                        precision="float16", **options)
    return model, history.history.get("loss")


def test_a_loss_scale_that_is_too_large_comes_down_and_training_learns(monkeypatch):
    monkeypatch.setattr("minidl.optim.state.FIRST_SCALE", 2.0**30)
    model, losses = in_float16(8)
    scale = model.optimizer.loss_scale
    assert 2.0 <= scale < 2.0**30 and np.log2(scale) % 1 == 0
    assert losses[-1] < losses[0]
    assert all(np.isfinite(a).all() for a in model.state_dict().values())


def test_a_step_with_gradients_that_are_not_finite_changes_nothing():
    p = Parameter(dl.Tensor(np.ones(3, np.float32)).to("cuda"))
    optimizer = optim.SGD(0.5, momentum=0.9)
    with config.precision("float16"):
        for times in (1.0, np.inf, 1.0):
            optimizer.scaled((p * np.float32(times)).sum()).backward()
            before, scale = p.numpy(), optimizer.loss_scale
            optimizer.step([p])
            optimizer.zero_grad([p])
            skipped = np.isinf(times)
            assert optimizer.loss_scale == (scale / 2 if skipped else scale)
            np.testing.assert_array_equal(p.numpy() == before, skipped)
    velocity = optimizer.state_dict()["0/velocity"]
    np.testing.assert_allclose(velocity, -0.95)  # of two steps
    np.testing.assert_array_equal(optimizer.state_dict()["loss_scale"], [2.0**15, 1])


def test_gradients_of_a_scaled_loss_give_the_step_of_the_loss():
    def after(precision):
        p = Parameter(dl.Tensor([1.0, 2.0, 3.0, 4.0]).to("cuda"))
        optimizer = optim.Adam(0.1, clip_norm=0.5, accumulate=2)
        with config.precision(precision):
            for _ in range(4):
                optimizer.scaled((p * p).sum()).backward()
                optimizer.step([p])
                optimizer.zero_grad([p])
        return p.numpy()

    np.testing.assert_array_equal(after("float16"), after(None))


class Interrupted(dl.callbacks.Callback):
    """Asks as Ctrl+C does to end after so many batches."""

    def __init__(self, batches):
        self.left = batches

    def on_batch_end(self, batch, logs):
        self.left -= 1
        self.run.interruption.asked |= not self.left


@pytest.mark.parametrize("at", [3, 11])
def test_training_in_float16_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, monkeypatch, at):
    monkeypatch.setattr("minidl.optim.state.FIRST_SCALE", 2.0**22)
    whole, losses = in_float16(4)
    in_float16(4, callbacks=[dl.callbacks.Checkpoint(tmp_path), Interrupted(at)])
    again, last = in_float16(4, callbacks=[dl.callbacks.Checkpoint(tmp_path)], resume=tmp_path)
    assert last == losses
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)
    assert again.optimizer.loss_scale == whole.optimizer.loss_scale < 2.0**22
