"""Files of Keras made by hand: the layouts of version 2, and files that are broken or hostile."""

from __future__ import annotations

import copy
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from minidl import load_model, nn
from minidl.cli import main
from minidl.errors import FormatError
from minidl.io import child, keras_write
from minidl.io.keras_files import parsed, read_keras_archive, read_keras_h5
from minidl.io.keras_hdf5 import read_tree
from minidl.io.keras_model import load_keras
from minidl.io.keras_save import save_keras
from minidl.io.keras_write import save_keras_weights
from minidl.io.match import match
from minidl.nn import layers as L  # noqa: N812

RNG = np.random.default_rng(11)


def values(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype("float32")


# ---- version 2 -----------------------------------------------------------------------------

WEIGHTS = {"conv": {"kernel": values(3, 3, 2, 4), "bias": values(4)},
           "bn": {"gamma": values(4), "beta": values(4), "moving_mean": values(4),
                  "moving_variance": np.abs(values(4))},
           "pool": {}, "head": {"kernel": values(4, 3), "bias": values(3)}}


def entry(kind: str, name: str, *inputs: Any, **config: Any) -> dict[str, Any]:
    """Return an entry as Keras 2 wrote them."""
    return {"class_name": kind, "name": name, "config": {"name": name, "trainable": True, **config},
            "inbound_nodes": [[[i, 0, 0, {}] for i in inputs]] if inputs else []}


def zeros() -> dict[str, Any]:
    return {"class_name": "Zeros", "config": {}}


LAYERS = [
    entry("InputLayer", "image", batch_input_shape=[None, 6, 6, 2], dtype="float32",
          sparse=False),
    entry("Conv2D", "conv", "image", filters=4, kernel_size=[3, 3], strides=[1, 1],
          padding="valid", data_format="channels_last", dilation_rate=[1, 1], activation="relu",
          use_bias=True, kernel_regularizer={"class_name": "L1L2", "config": {"l1": 0, "l2": 0.1}},
          kernel_initializer={"class_name": "VarianceScaling", "config": {
              "scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}},
          bias_initializer=zeros(), bias_regularizer=None, activity_regularizer=None,
          kernel_constraint=None, bias_constraint=None),
    entry("BatchNormalization", "bn", "conv", axis=[3], momentum=0.9, epsilon=1e-5, center=True,
          scale=True, beta_initializer=zeros(), moving_mean_initializer=zeros()),
    entry("Add", "add", "bn", "conv"),
    entry("GlobalAveragePooling2D", "pool", "add", data_format="channels_last"),
    entry("Dense", "head", "pool", units=3, activation="linear", use_bias=True)]
MODEL = {"class_name": "Model", "config": {
    "name": "old", "layers": LAYERS, "input_layers": [["image", 0, 0]],
    "output_layers": [["head", 0, 0]]}}


def write_2(path: Path, config: Any = None, group: str = "", split: bool = False) -> Path:
    """Write WEIGHTS as Keras 2 did, with a config if there is one."""
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
        top = file.create_group(group) if group else file
        names = np.array([name.encode() for name in WEIGHTS])
        for i, piece in enumerate(np.array_split(names, 2) if split else [names]):
            top.attrs[f"layer_names{i}" if split else "layer_names"] = piece
        for layer, arrays in WEIGHTS.items():
            part = top.create_group(layer)
            part.attrs["weight_names"] = [f"{layer}/{w}:0".encode() for w in arrays]
            for w, array in arrays.items():
                part[f"{layer}/{w}:0"] = array
    return path


def old_network() -> nn.Model:
    x = nn.Input((6, 6, 2))
    y = L.Conv2D(4, 3, activation="relu", name="conv")(x)
    y = L.Add()([L.BatchNormalization(epsilon=1e-5, name="bn")(y), y])
    return nn.Model(x, L.Dense(3, name="head")(L.GlobalAveragePooling2D()(y))).eval()


@pytest.mark.parametrize(("group", "split"), [("", False), ("model_weights", True)])
def test_version_2_weights(group: str, split: bool, tmp_path: Path) -> None:
    weights = read_keras_h5(write_2(tmp_path / "w.h5", group=group, split=split))
    assert list(weights.arrays) == [f"{layer}/{w}" for layer, a in WEIGHTS.items() for w in a]
    model = old_network()
    assert match(model, weights).complete
    np.testing.assert_array_equal(model.get_layer("bn").moving_mean.numpy(),
                                  WEIGHTS["bn"]["moving_mean"])


@pytest.mark.parametrize("trust", [False, True])
def test_version_2_model(trust: bool, tmp_path: Path) -> None:
    path = write_2(tmp_path / "m.h5", MODEL, "model_weights")
    loaded, ours = load_keras(path, trust, show=False).eval(), old_network()
    match(ours, read_keras_h5(path, trust=True))
    x = values(2, 6, 6, 2)
    np.testing.assert_allclose(loaded.predict(x), ours.predict(x), rtol=1e-6, atol=1e-6)
    assert loaded.get_layer("bn").momentum == 0.9
    assert loaded.get_layer("conv").kernel.regularizer.l2 == 0.1


def test_sequential_of_version_2_without_input_layer(tmp_path: Path) -> None:
    layers = copy.deepcopy([LAYERS[1], LAYERS[2], *LAYERS[4:]])
    layers[0]["config"]["batch_input_shape"] = [None, 6, 6, 2]
    for config in (layers, {"name": "s", "layers": layers}):  # before and after Keras 2.2.3
        whole = {"class_name": "Sequential", "config": config}
        loaded = load_keras(write_2(tmp_path / "m.h5", whole), True, show=False)
        assert isinstance(loaded, nn.Sequential) and loaded.output_shape == (None, 3)
        bias = loaded.get_layer("head").bias.numpy()
        np.testing.assert_array_equal(bias, WEIGHTS["head"]["bias"])


def test_nested_of_version_2_counts_calls_from_one(tmp_path: Path) -> None:
    inner = copy.deepcopy(MODEL)
    inner["inbound_nodes"], inner["name"] = [[["x", 0, 0, {"training": False}]]], "old"
    outer = {"class_name": "Model", "config": {
        "name": "outer", "layers": [entry("InputLayer", "x", batch_input_shape=[None, 6, 6, 2]),
                                    inner, entry("ReLU", "r", max_value=6.0, threshold=0.0)],
        "input_layers": [["x", 0, 0]], "output_layers": [["r", 0, 0]]}}
    outer["config"]["layers"][2]["inbound_nodes"] = [[["old", 1, 0, {}]]]
    path = tmp_path / "n.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(outer)
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = [b"x", b"old", b"r"]
        names = [f"{layer}/{w}:0" for layer, arrays in WEIGHTS.items() for w in arrays]
        for name in ("x", "r", "old"):
            top.create_group(name).attrs["weight_names"] = [
                n.encode() for n in names if name == "old"]
        for layer, arrays in WEIGHTS.items():
            for w, array in arrays.items():
                top[f"old/{layer}/{w}:0"] = array
    loaded = load_keras(path, True, show=False).eval()
    assert next(iter(loaded.state_dict())) == "old/conv/kernel"
    ours = old_network()
    match(ours, read_keras_h5(write_2(tmp_path / "w.h5"), True))
    x = values(2, 6, 6, 2)
    np.testing.assert_allclose(loaded.predict(x), np.clip(ours.predict(x), 0, 6), rtol=1e-6)


# ---- configs that are wrong ----------------------------------------------------------------


def _changed(index: int, **config: Any) -> Any:
    model = copy.deepcopy(MODEL)
    model["config"]["layers"][index]["config"].update(config)
    return model


def _joined(index: int, nodes: Any) -> Any:
    model = copy.deepcopy(MODEL)
    model["config"]["layers"][index]["inbound_nodes"] = nodes
    return model


def _renamed(**keys: Any) -> Any:
    model = copy.deepcopy(MODEL)
    model["config"].update(keys)
    return model


CONFIGS = {
    "subclassed": ({"class_name": "MyNet", "config": {}}, "it holds 'MyNet'; expected one of"),
    "no dict": ([1], "it holds 'None'"),
    "key": (_changed(1, lora=4), 'layer "conv" (Conv2D): lora=4 is not supported; minidl has no'),
    "groups": (_changed(4, keepdims=[[[1]]]), "keepdims="),
    "channels": (_changed(1, data_format="channels_first"), "data_format='channels_first' is not"),
    "huge": (_changed(5, units=10 ** 9), "a weight of shape (4, 1000000000) is more than what is"),
    "text": (_changed(5, units="many"), 'layer "head" (Dense)'),
    "shape": (_changed(0, batch_input_shape=[None, -1]), "for the shape of an input"),
    "circle": (_joined(1, [[["head", 0, 0, {}]]]), "take each other's results in a circle"),
    "absent": (_joined(1, [[["nobody", 0, 0, {}]]]), 'call 0 of the layer "nobody", which is not'),
    "output": (_joined(4, [[["bn", 0, 7, {}]]]), 'there is no output 7 of call 0 of "bn"'),
    "reference": (_joined(1, [[["image"]]]), "for a reference to a layer's output"),
    "training": (_joined(2, [[["conv", 0, 0, {"training": True}]]]),
                 'layer "bn" (BatchNormalization): it is called with training=True'),
    "outputs": (_renamed(output_layers=[]), "for inputs or outputs"),
    "layers": (_renamed(layers={"a": 1}), "the layers of a model are no list"),
    "filters": (_changed(1, filters=5), "expected"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_wrong_configs_are_named(case: str, tmp_path: Path) -> None:
    config, text = CONFIGS[case]
    path = write_2(tmp_path / "m.h5", config)
    with pytest.raises(FormatError) as caught:
        load_keras(path, trust=True)
    assert text in str(caught.value) and str(path) in str(caught.value)


def test_models_in_models_are_bounded(tmp_path: Path) -> None:
    """Each model calls the one inside 40 times: 40^4 calls in all."""
    def around(inner: Any, name: str) -> Any:
        nodes = [[[name + "x" if i == 0 else inner["name"], i, 0, {}]] for i in range(40)]
        layers = [entry("InputLayer", name + "x", batch_input_shape=[None, 3]),
                  {**inner, "inbound_nodes": nodes}]
        return {"class_name": "Model", "name": name, "config": {
            "name": name, "layers": layers, "input_layers": [[name + "x", 0, 0]],
            "output_layers": [[inner["name"], 40, 0]]}}

    model = entry("ReLU", "r")
    for name in "abcd":
        model = around(model, name)
        if name == "a":
            model["config"]["layers"][1]["inbound_nodes"] = [
                [["ax" if i == 0 else "r", max(i - 1, 0), 0, {}]] for i in range(40)]
            model["config"]["output_layers"] = [["r", 39, 0]]
    with pytest.raises(FormatError, match="takes more than 10000 calls of layers"):
        load_keras(write_2(tmp_path / "m.h5", model), True)


def test_configs_that_are_no_json() -> None:
    with pytest.raises(FormatError, match=r"here: it is no JSON: Expecting"):
        parsed(b"{", "here")
    with pytest.raises(FormatError, match="levels deep"):
        parsed("[" * 200 + "]" * 200, "here")
    with pytest.raises(FormatError, match=r"it is no JSON|levels deep"):
        parsed("[" * 100_000 + "]" * 100_000, "here")


def test_weights_alone_have_no_architecture(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"weights but no architecture.*load_weights\(model"):
        load_keras(write_2(tmp_path / "w.h5"), True)


# ---- hostile HDF5 --------------------------------------------------------------------------


def _sparse(file: Any) -> None:
    file.create_dataset("vars/0", (1 << 20, 1 << 10), "f4", chunks=(1 << 10, 1 << 10))


def _bomb(file: Any) -> None:
    file.create_dataset("vars/0", (1 << 13, 1 << 12), "f4", chunks=(1 << 10, 1 << 10),
                        compression="gzip", data=np.zeros((1 << 13, 1 << 12), "f4"))


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("v", layout)


def _external(file: Any) -> None:
    file.create_dataset("v", (4,), "u1", external=[("/etc/passwd", 0, 4)])


def _link(link: Any) -> Callable[[Any], None]:
    def make(file: Any) -> None:
        file["away"] = link
    return make


def _circle(file: Any) -> None:
    file.create_group("a/b")
    file["a/b/c"] = file["a"]


def _deep(file: Any) -> None:
    file.create_group("/".join("g" * 40))


def _missing(file: Any) -> None:
    file.attrs["layer_names"] = [b"conv"]
    file.create_group("conv").attrs["weight_names"] = [b"conv/kernel:0"]


def _nobody(file: Any) -> None:
    file.attrs["layer_names"] = [b"conv"]


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "no data": (lambda f: f.create_dataset("vars/0", (1 << 40,), "f4"), "but holds 0"),
    "sparse": (_sparse, "but holds 0"), "bomb": (_bomb, "declares (8192, 4096) of float32"),
    "virtual": (_virtual, "has its data in other files"),
    "external": (_external, "has its data in other files"),
    "external link": (_link(h5py.ExternalLink("/etc/passwd", "/x")), 'away" is a ExternalLink'),
    "soft link": (_link(h5py.SoftLink("/x")), "is a SoftLink"), "circle": (_circle, "linked twice"),
    "deep": (_deep, "levels deep"), "strings": (lambda f: f.create_dataset("s", data=[b"a"]),
                                                "expected an array of numbers"),
    "empty": (lambda f: None, "has no weights as Keras writes them"),
    "missing": (_missing, 'it lists the weight "conv/kernel:0" of the layer "conv" but has no'),
    "group": (_nobody, 'it lists the layer "conv" but has no group'),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_hdf5(case: str, tmp_path: Path) -> None:
    make, text = HOSTILE[case]
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        make(file)
    with pytest.raises(FormatError) as caught:
        read_keras_h5(path, trust=True)
    assert text in str(caught.value) and str(path) in str(caught.value)


def test_refusals_come_out_of_the_child_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w") as file:
        _sparse(file)
    with pytest.raises(FormatError, match=r'bad.h5: "vars/0" declares .* but holds 0'):
        read_keras_h5(path)


def test_truncated_and_mutated_files(tmp_path: Path) -> None:
    whole = write_2(tmp_path / "w.h5", MODEL).read_bytes()
    path = tmp_path / "bad.h5"
    for length in (4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=str(path)):
            read_keras_h5(path, trust=True)


# ---- the child -----------------------------------------------------------------------------


def crash(path: str, put: child.Put) -> None:
    os.abort()


def hang(path: str, put: child.Put) -> None:
    while True:
        pass


def swell(path: str, put: child.Put) -> None:
    put("x", np.ones(1 << 30))


def leave(path: str, put: child.Put) -> None:
    os._exit(3)


def fine(path: str, put: child.Put) -> dict[str, int]:
    put("x", np.arange(3))
    return {"pid": os.getpid()}


@pytest.mark.parametrize(("reader", "text"), [
    (crash, r"crashed the library \(SIGABRT\)"), (hang, "takes longer than 1 s"),
    (swell, "more memory than its size justifies"), (leave, "ended the process with 3")])
def test_what_becomes_of_the_child_is_an_error(
        reader: child.Reader, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SECONDS", 1.0)
    path = tmp_path / "f.h5"
    path.write_bytes(b"x")
    with pytest.raises(FormatError, match=f"f.h5: .*{text}"):
        child.read(reader, path)


def test_the_child_is_another_process_and_trust_is_none(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    path.write_bytes(b"x")
    facts, arrays = child.read(fine, path)
    assert facts["pid"] != os.getpid() and arrays["x"].tolist() == [0, 1, 2]
    assert child.read(fine, path, trust=True)[0]["pid"] == os.getpid()
    with pytest.raises(FormatError, match="no such file"):
        child.read(fine, tmp_path / "none.h5")


# ---- archives ------------------------------------------------------------------------------


def test_broken_archives(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    cases: list[tuple[dict[str, bytes], str]] = [
        ({"config.json": b"{}"}, r"it has 0 files model.weights.h5, of 1"),
        ({"model.weights.h5": b""}, "it has 0 files config.json"),
        ({"config.json": b"{}", "model.weights.h5": b"nothing"}, "damaged or of another kind"),
        ({"config.json": b"{}", "model.weights.h5": bytes(1 << 24)}, "unpacks to 16777216 bytes")]
    for files, text in cases:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        with pytest.raises(FormatError, match=text):
            read_keras_archive(path, trust=True)
    path.write_bytes(b"no archive")
    with pytest.raises(FormatError, match="damaged or no archive of Keras"):
        load_keras(path, trust=True)


# ---- writing -------------------------------------------------------------------------------


def test_written_weights_read_back(tmp_path: Path) -> None:
    model = old_network()
    for name in ("a.weights.h5", "a.h5"):
        save_keras_weights(model, tmp_path / name)
        other = old_network()
        assert match(other, read_keras_h5(tmp_path / name)).complete
        assert all(np.array_equal(a, other.state_dict()[k])
                   for k, a in model.state_dict().items())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.weights.h5"]


def test_long_lists_of_names_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_write, "ATTRIBUTE", 20)
    model = old_network()
    save_keras_weights(model, tmp_path / "a.h5")
    assert "layer_names1" in read_tree(tmp_path / "a.h5", True).groups[""]
    assert match(old_network(), read_keras_h5(tmp_path / "a.h5", True)).complete


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"'\.npz'; expected .weights.h5 or .h5"):
        save_keras_weights(old_network(), tmp_path / "a.npz")
    with pytest.raises(FormatError, match="the model has no weights yet"):
        save_keras_weights(nn.Sequential([L.Dense(3)]), tmp_path / "a.h5")


def test_import_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential([nn.Input((6, 5, 2)), L.Conv2D(3, 3, activation="relu", name="conv"),
                           L.Flatten(name="flat"), L.Dense(4, name="out")])
    save_keras(model, tmp_path / "net.keras")
    assert main(["import", str(tmp_path / "net.keras"), "--out", str(tmp_path / "net")]) == 0
    said = capsys.readouterr().out
    assert "conv/kernel" in said and f"Saved in {tmp_path / 'net.safetensors'}" in said
    x = values(3, 6, 5, 2)
    np.testing.assert_array_equal(load_model(tmp_path / "net").predict(x), model.predict(x))
    save_keras_weights(model, tmp_path / "net.weights.h5")
    assert main(["import", str(tmp_path / "net.weights.h5"), "--out", str(tmp_path / "w")]) == 1
    assert "net.weights.h5" in capsys.readouterr().err and not (tmp_path / "w.safetensors").exists()
