"""Saved files: whole or absent, checked when read; models come back with all that is theirs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from minidl import nn, optim, random
from minidl.errors import ArgumentError, CheckpointError, MinidlError
from minidl.nn import layers
from minidl.nn.load import load_model
from minidl.train import checkpoint, losses, metrics
from minidl.train.callbacks import ModelCheckpoint
from minidl.train.tree import put_together, take_apart

RNG = np.random.default_rng(7)
X = RNG.standard_normal((60, 6)).astype("float32")
Y = RNG.integers(0, 3, 60)
TREE = {"w": {"a": RNG.standard_normal((3, 4)), "b": np.arange(3)}, "n": 3, "x": 0.1, "t": "text",
        "l": [None, True, float("-inf"), {"z": np.zeros((0, 2), "float32")}]}


# ---- trees ---------------------------------------------------------------------------------

KINDS = ["float32", "float64", "int64", "uint64", "bool", "uint8", ">f4"]
ARRAYS = st.builds(lambda shape, kind: np.arange(np.prod(shape)).reshape(shape).astype(kind),
                   st.lists(st.integers(0, 3), min_size=1, max_size=3), st.sampled_from(KINDS))
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text("ab/_$", max_size=3), inner, max_size=3), max_leaves=8)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and bool(np.all(a == b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_trees_come_back_from_json_and_arrays(tree: Any) -> None:
    skeleton, arrays = take_apart(tree)
    text = json.dumps(skeleton, allow_nan=False)
    assert same(tree, put_together(json.loads(text), arrays))


@pytest.mark.parametrize("tree, text", [
    ({"a": {"f": print}}, "a/f: got a builtin_function_or_method"),
    ({"a": {1: 2}}, "a: got the key 1; expected texts"),
    ({"a": [np.array]}, "a/0")])
def test_trees_hold_nothing_else(tree: Any, text: str) -> None:
    with pytest.raises(CheckpointError, match=text):
        take_apart(tree)


# ---- files ---------------------------------------------------------------------------------


def test_files_come_back(tmp_path: Path) -> None:
    path = checkpoint.save_tree(tmp_path / "deep" / "er" / "m.v2", "weights", TREE)
    assert path.name == "m.v2.safetensors"
    for name in ("m.v2", "m.v2.safetensors"):
        assert same(checkpoint.load_tree(path.with_name(name), "weights"), TREE)
    np.testing.assert_array_equal(load_file(path)["w/a"], TREE["w"]["a"])  # type: ignore[index]
    readable = json.loads(path.with_suffix(".json").read_text())
    assert readable["kind"] == "weights" and readable["content"]["t"] == "text"
    assert sorted(os.listdir(path.parent)) == ["m.v2.json", "m.v2.safetensors"]


def test_strided_and_foreign_byte_orders_are_saved_right(tmp_path: Path) -> None:
    array = RNG.standard_normal((4, 6))
    views = {"t": array.T, "s": array[::2, 1::3], "b": array.astype(">f8"), "r": array[::-1]}
    checkpoint.save_file(tmp_path / "a", views, {})
    for name, values in checkpoint.read_file(tmp_path / "a")[0].items():
        np.testing.assert_array_equal(values, views[name])


def cut(data: bytes) -> bytes:
    return data[:-1]


def flip(data: bytes) -> bytes:
    return data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]


def no_arrays_but_a_header(text: str) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        header = json.dumps({"__metadata__": {"minidl": text}}).encode()
        return len(header).to_bytes(8, "little") + header
    return make


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "cannot be read .* expected a whole safetensors file"),
    "cut": (cut, "cannot be read .* It is cut short, damaged or of another kind"),
    "cut in the header": (lambda data: data[:40], "cannot be read"),
    "a bit changed": (flip, "contents do not match their checksum"),
    "text": (lambda data: b"hello " * 20, "cannot be read"),
    "zip": (lambda data: b"PK\3\4" + data, "cannot be read"),
    "no json": (no_arrays_but_a_header("{"), "its header is damaged"),
    "other json": (no_arrays_but_a_header("[1]"), "its header is damaged"),
    "a letter of the JSON changed": (lambda data: data.replace(b"model", b"modem"),
                                     "contents do not match their checksum"),
    "newer": (no_arrays_but_a_header('{"version": 99, "crc32": 0}'), "Install a newer minidl"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_told(name: str, tmp_path: Path) -> None:
    spoil, text = DAMAGE[name]
    path = checkpoint.save_tree(tmp_path / "m", "model", TREE)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointError, match=text) as caught:
        checkpoint.load_tree(path, "model")
    assert str(path) in str(caught.value)


def test_files_of_version_1_are_read(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3.0)}
    text = json.dumps({"version": 1, "crc32": checkpoint._checksum(arrays), "kind": "weights",
                       "content": {"w": {"$array": "a"}}})
    save_file(arrays, tmp_path / "old.safetensors", {"minidl": text})
    np.testing.assert_array_equal(checkpoint.load_tree(tmp_path / "old", "weights")["w"],
                                  arrays["a"])


def test_contents_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    file = checkpoint.save_file(tmp_path / "m", {}, {"kind": "model",
                                                     "content": {"w": {"$array": "a"}}})
    with pytest.raises(CheckpointError, match="do not belong together") as caught:
        checkpoint.load_tree(file, "model")
    assert str(file) in str(caught.value)


def test_missing_and_foreign_files_are_told(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3)}, tmp_path / "other.safetensors")
    checkpoint.save_tree(tmp_path / "w", "weights", {})
    for name, text in (("mine", "there is no such file. In .* there are other.safetensors, w.safe"),
                       ("other", "no entry 'minidl'; expected a file that minidl saved"),
                       ("no/mine", "There is no folder .*no either"),
                       ("w", "its kind is 'weights'; expected 'model'. Use model.load_weights")):
        with pytest.raises(CheckpointError, match=text):
            load_model(tmp_path / name)


# ---- writing fails -------------------------------------------------------------------------


def whole(folder: Path) -> None:
    assert sorted(os.listdir(folder)) == ["m.json", "m.safetensors"]
    assert same(checkpoint.load_tree(folder / "m", "model"), TREE)
    assert json.loads((folder / "m.json").read_text())["content"]["t"] == "text"


@pytest.mark.parametrize("place", ["os.fsync", "os.replace", "safetensors.numpy.save_file",
                                   "pathlib.Path.write_text"])
@pytest.mark.parametrize("error, caught", [
    (OSError(28, "No space left on device"), CheckpointError),
    (KeyboardInterrupt(), KeyboardInterrupt),
    (PermissionError(13, "Permission denied"), CheckpointError)])
def test_the_old_file_survives_a_failed_save(
        place: str, error: BaseException, caught: type, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save_tree(tmp_path / "m", "model", TREE)

    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        with pytest.raises(caught) as seen:
            checkpoint.save_tree(tmp_path / "m", "model", TREE if "write_text" in place else {})
    whole(tmp_path)
    if caught is CheckpointError:
        assert "cannot be written" in str(seen.value)
        assert ("The disk is full; free some space" in str(seen.value)) == ("space" in str(error))


FULL = """
import resource, sys
import numpy as np
from minidl.errors import CheckpointError
from minidl.train import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    checkpoint.save_tree(sys.argv[1], "model", {"a": np.ones(100000)})
except CheckpointError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_the_old_file_survives_a_real_lack_of_room(tmp_path: Path) -> None:
    checkpoint.save_tree(tmp_path / "m", "model", TREE)
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "m")], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1
    assert "m.safetensors: cannot be written" in done.stderr and "size limit" in done.stderr
    whole(tmp_path)


def test_a_path_through_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save_tree(tmp_path / "file" / "m", "model", TREE)
    (tmp_path / "m.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save_tree(tmp_path / "m", "model", TREE)


# ---- models --------------------------------------------------------------------------------


def network(units: int = 5, built: bool = True) -> Any:
    random.seed(3)
    front = [nn.Input((6,))] if built else []
    return nn.Sequential([*front, layers.Dense(units, activation="relu", kernel_regularizer="l2",
                                               name="hidden"),
                          layers.BatchNormalization(name="norm"), layers.Dropout(0.3),
                          layers.Dense(3, activation="softmax", name="out")])


SETTINGS: list[tuple[Any, Any, list[Any]]] = [
    ("adam", "sparse_categorical_crossentropy", ["accuracy"]),
    (optim.SGD(optim.schedules.CosineDecay(0.1, 20), momentum=0.9, nesterov=True, clip_norm=1.0),
     losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
     [metrics.TopK(2), metrics.ConfusionCounts()]),
    (optim.RMSprop(0.01, momentum=0.5, ema=0.9), "sparse_categorical_crossentropy",
     [metrics.MeanLoss("nll", name="likelihood")]),
]


@pytest.mark.parametrize("optimizer, loss, judged", SETTINGS)
@pytest.mark.parametrize("built", [True, False])
def test_a_loaded_model_goes_on_like_the_saved_one(optimizer: Any, loss: Any, judged: list[Any],
                                                   built: bool, tmp_path: Path) -> None:
    model = network(built=built)
    model.compile(optim.get(optim.serialize(optim.get(optimizer))), loss, judged)
    model.fit(X, Y, epochs=2, verbose=0)
    assert model.save(tmp_path / "sub" / "model").name == "model.safetensors"
    loaded = load_model(tmp_path / "sub" / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.evaluate(X, Y, return_dict=True) == model.evaluate(X, Y, return_dict=True)
    assert loaded.optimizer.iterations == model.optimizer.iterations == 4
    after = []
    for one in (model, loaded):
        random.seed(9)
        after.append((one.fit(X, Y, epochs=2, verbose=0).history, one.state_dict()))
    assert after[0][0] == after[1][0] and list(after[0][1]) == list(after[1][1])
    for name, values in after[0][1].items():
        np.testing.assert_array_equal(values, after[1][1][name], err_msg=name)


def squared(y_true: Any, y_pred: Any) -> Any:
    return (y_true - y_pred) * (y_true - y_pred)


class Scale(layers.Dense):
    """A user's own layer."""


def test_own_classes_and_functions_are_named_again(tmp_path: Path) -> None:
    model = nn.Sequential([nn.Input((6,)), Scale(1)])
    model.compile(optim.Adam(lambda step: 0.1 / (step + 1)), squared, [squared])
    own = {"Scale": Scale, "squared": squared, "<lambda>": lambda step: 0.1 / (step + 1)}
    model.fit(X, X[:, :1], verbose=0)
    path = model.save(tmp_path / "m")
    loaded = load_model(path, custom_objects=own)
    assert isinstance(loaded.layers[-1], Scale)
    assert loaded.evaluate(X, X[:, :1]) == model.evaluate(X, X[:, :1])
    assert loaded.optimizer.learning_rate == model.optimizer.learning_rate
    for missing, text in (("Scale", "'Scale' is not known"), ("squared", "got 'squared'"),
                          ("<lambda>", "'<lambda>' is not known")):
        with pytest.raises(MinidlError, match=text) as caught:
            load_model(path, custom_objects={k: v for k, v in own.items() if k != missing})
        assert str(path) in str(caught.value)
    bare = load_model(path, custom_objects={"Scale": Scale}, compile=False)
    with pytest.raises(ArgumentError, match="not compiled"):
        bare.evaluate(X, Y)


class Tilted(losses.Loss):
    """A user's own loss."""

    name = "tilted"

    def __init__(self, tilt: float = 0.5) -> None:
        self.tilt = tilt

    def values(self, y_true: Any, y_pred: Any) -> Any:
        return squared(y_true, y_pred) * self.tilt


@pytest.mark.parametrize("own", [{"Tilted": Tilted}, {"tilted": Tilted}, {"tilted": Tilted(0.3)}])
def test_own_losses_are_made_again_with_their_settings(own: dict, tmp_path: Path) -> None:
    model = nn.Sequential([nn.Input((6,)), layers.Dense(1)])
    model.compile("sgd", Tilted(0.3))
    path = model.save(tmp_path / "m")
    loaded = load_model(path, custom_objects=own)
    assert loaded.evaluate(X, X[:, :1]) == model.evaluate(X, X[:, :1])
    with pytest.raises(ArgumentError, match=r"got 'Tilted'; .*custom_objects=\{\"Tilted\": "):
        load_model(path)


def test_weights_that_are_not_made_yet_are_not_saved(tmp_path: Path) -> None:
    model = nn.Sequential([layers.Dense(1), layers.ReLU()])
    for save in (model.save, model.save_weights):
        with pytest.raises(ArgumentError, match=r"no weights yet in dense\. Call the"):
            save(tmp_path / "m")
    assert not any(tmp_path.iterdir())
    nn.Sequential([layers.ReLU()]).save_weights(tmp_path / "none")  # there will be none
    model(X)
    model.save_weights(tmp_path / "m")


def test_a_model_that_is_not_compiled_is_saved_too(tmp_path: Path) -> None:
    model = network()
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ArgumentError, match="not compiled"):
        loaded.fit(X, Y)


def test_weights_alone(tmp_path: Path) -> None:
    model, other = network(), network()
    other.layers[0].kernel.assign(np.zeros((6, 5)))
    model.save_weights(tmp_path / "w")
    model.save(tmp_path / "m")
    for name in ("w", "m"):
        target = network()
        target.layers[0].kernel.assign(np.zeros((6, 5)))
        target.load_weights(tmp_path / name)
        np.testing.assert_array_equal(target.predict(X), model.predict(X))
    before = network(units=4).state_dict()
    wrong = network(units=4)
    with pytest.raises(CheckpointError, match=r"kernel has shape \(6, 5\), the model's has \(6, 4"):
        wrong.load_weights(tmp_path / "w")
    for name, values in wrong.state_dict().items():
        np.testing.assert_array_equal(values, before[name])


def test_model_checkpoint_saves_models_that_load(tmp_path: Path) -> None:
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    history = model.fit(X, Y, epochs=3, verbose=0, validation_split=0.2, callbacks=[
        ModelCheckpoint(tmp_path / "best", save_best_only=True),
        ModelCheckpoint(tmp_path / "e{epoch}", save_weights_only=True)]).history
    best = load_model(tmp_path / "best")
    assert best.evaluate(X[48:], Y[48:])[0] == pytest.approx(min(history["val_loss"]))
    for epoch, loss in enumerate(history["val_loss"]):
        model.load_weights(tmp_path / f"e{epoch + 1}")
        assert model.evaluate(X[48:], Y[48:])[0] == pytest.approx(loss)
