"""The readers that mutated files are given to, and the good files that are mutated."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

_CHILD = ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec")
Make = Callable[[Path, np.random.Generator], Any]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        name: of the format.
        make: writes good files, or bad ones of a kind worth mutating, into a folder.
        read: takes a path and returns what the reader made of it.
        needs: packages without which no files can be made.
        allowed: audit events that belong to this reader.
        may_die: a library in C may end or hang the process that reads: a child of the user's.
        files: the most to read in a run, where each takes long.
    """

    name: str
    make: Make
    read: Callable[[Path], Any]
    needs: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    may_die: bool = False
    files: int | None = None

    def missing(self) -> list[str]:
        """Return the packages that are needed and not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def _lazily(place: str, **options: Any) -> Callable[[Path], Any]:
    module, _, name = place.partition(":")
    return lambda path: getattr(importlib.import_module(module), name)(path, **options)


# ---- minidl's own files and those of data sets ----------------------------------------------


def _idx(folder: Path, random: np.random.Generator) -> None:
    from minidl.data.idx import write_idx
    write_idx(folder / "images", random.integers(0, 256, (5, 7, 6), np.uint8))
    write_idx(folder / "images.gz", random.integers(0, 256, (5, 7, 6), np.uint8))
    write_idx(folder / "wide", random.standard_normal((3, 4)))


CIFAR = [f"class{i}" for i in range(10)]


def _cifar(folder: Path, random: np.random.Generator) -> None:
    import pickle
    batch = {b"data": random.integers(0, 256, (4, 3072), np.uint8), b"labels": [0, 3, 9, 1],
             b"batch_label": b"one", b"filenames": [b"a.png"] * 4}
    for protocol in (0, 2, 4):
        (folder / f"batch{protocol}").write_bytes(pickle.dumps(batch, protocol))
    (folder / "evil").write_bytes(b"cos\nsystem\n(S'touch evil'\ntR.")


def _read_cifar(path: Path) -> Any:
    from minidl.data.datasets.cifar import read_batches
    return read_batches([path], b"labels", CIFAR)


def _json(folder: Path, random: np.random.Generator) -> None:
    (folder / "mean.json").write_text(json.dumps({"R": 124.9, "G": 115.9, "B": 106.1}))
    (folder / "history.json").write_text(json.dumps(
        {"epoch": [0, 1, 2], "loss": [2.0, 1.0, None], "accuracy": [0.1, 0.5, 0.7]}))


def _read_json(path: Path) -> Any:
    from minidl.data import MeanSubtraction
    from minidl.train.monitor import read_table
    if path.read_bytes().lstrip()[:4].find(b"R") >= 0:
        return MeanSubtraction(path).means
    return read_table(path)


def _saved(folder: Path, random: np.random.Generator) -> None:
    import minidl as dl
    model = dl.Sequential([dl.Input((6, 6, 1)), dl.layers.Conv2D(2, 3, activation="relu"),
                           dl.layers.BatchNormalization(), dl.layers.Flatten(),
                           dl.layers.Dense(3)])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 6, 6, 1), "float32"), np.ones((2, 3), "float32"), verbose=0)
    model.save(folder / "model.safetensors")


def _read_saved(path: Path) -> Any:
    import minidl as dl
    aside = path.with_name(f"{path.name}.safetensors")  # the reader adds what is left out
    path.rename(aside)
    return dl.load_model(aside).state_dict()


def _read_forged(path: Path) -> Any:
    """Read a saved model whose checksum fits, as an attacker would make it fit."""
    from unittest import mock

    from minidl.train import checkpoint
    found = re.search(rb'"crc32":"(\d{1,10})"', path.read_bytes())
    with mock.patch.object(checkpoint, "_checksum", return_value=int(found[1]) if found else 0):
        return _read_saved(path)


def _hdf5(folder: Path, random: np.random.Generator) -> None:
    from minidl.data import HDF5Writer
    with HDF5Writer(folder / "images.hdf5", (6, 4, 4, 3), label_names=["a", "b"]) as file:
        file.add(random.integers(0, 256, (6, 4, 4, 3), np.uint8), np.arange(6) % 2)


def _read_hdf5(path: Path) -> Any:
    from minidl.data import HDF5Source
    source = HDF5Source(path)
    try:
        return [source[0:len(source)], source.labels]
    finally:
        source.close()


def _csv(folder: Path, random: np.random.Generator) -> None:
    rows = ["a,b,class"] + [f"{a:.3f},{b:.3f},{i % 3}" for i, (a, b) in
                            enumerate(random.standard_normal((6, 2)))]
    (folder / "table.csv").write_text("\n".join(rows) + "\n")


def _pictures(folder: Path, random: np.random.Generator) -> None:
    from PIL import Image
    picture = Image.fromarray(random.integers(0, 256, (9, 11, 3), np.uint8))
    for kind in ("png", "jpeg", "gif", "bmp"):
        picture.save(folder / f"picture.{kind}")


def _archives(folder: Path, random: np.random.Generator) -> None:
    import tarfile
    import zipfile
    inside = folder / "inside"
    inside.write_bytes(random.bytes(300))
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.write(inside, "folder/one")
        made.writestr("../escaped", b"no")
    for mode, name in (("w", "a.tar"), ("w:gz", "a.tar.gz")):
        with tarfile.open(folder / name, mode) as made:
            made.add(inside, "folder/one")
    inside.unlink()


def _read_archive(path: Path) -> Any:
    from minidl.data.archive import unpack
    unpack(path, path.parent / "unpacked" / path.name)


# ---- files of other frameworks ---------------------------------------------------------------


def _network() -> Any:
    import minidl as dl
    layers = dl.layers
    return dl.Sequential([
        dl.Input((6, 6, 3)), layers.Conv2D(4, 3, padding="same", activation="relu", name="conv"),
        layers.BatchNormalization(name="bn"), layers.MaxPooling2D(2, name="pool"),
        layers.Flatten(name="flatten"), layers.Dense(3, activation="softmax", name="out")])


def _pickled(folder: Path, random: np.random.Generator) -> None:
    import pickle
    arrays = {"conv1": [random.standard_normal((3, 3, 3, 4), np.float32), np.zeros(4)],
              b"bn": {"mean": np.arange(4.0), "steps": 3}}
    for protocol in (2, 3, 5):
        (folder / f"weights{protocol}").write_bytes(pickle.dumps(arrays, protocol))


def _safetensors(folder: Path, random: np.random.Generator) -> None:
    from minidl import io
    io.save_torch(_network(), folder / "network.safetensors")


def _torch(folder: Path, random: np.random.Generator) -> None:
    import torch
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4),
                              torch.nn.Flatten(), torch.nn.Linear(36, 3))
    state = net.state_dict()
    state["half"] = torch.ones(3, 2).t().to(torch.bfloat16)
    torch.save(state, folder / "zipped.pt")
    torch.save({"state_dict": state, "epoch": 3}, folder / "legacy.pth",
               _use_new_zipfile_serialization=False)


def _keras(folder: Path, random: np.random.Generator) -> None:
    from minidl import io
    model = _network()
    io.save_keras(model, folder / "network.keras")
    io.save_keras_weights(model, folder / "network.weights.h5")
    io.save_keras_weights(model, folder / "network.h5")


def _onnx(folder: Path, random: np.random.Generator) -> None:
    from minidl import io
    io.save_onnx(_network(), folder / "channels_first.onnx")
    io.save_onnx(_network(), folder / "channels_last.onnx", layout="NHWC")


def _read_weights(path: Path) -> Any:
    from minidl import io
    return io.read_weights(path, trust=True).arrays


def _read_keras(path: Path) -> Any:
    """Read weights, and a whole model where there is one, as the user's child process does."""
    from minidl import io
    arrays = io.read_weights(path, trust=True).arrays
    if path.read_bytes()[:2] == b"PK":
        io.load_keras(path, trust=True, show=False)
    return arrays


def _read_keras_in_child(path: Path) -> Any:
    from minidl import io
    return io.read_weights(path).arrays


def _read_onnx(path: Path) -> Any:
    from minidl import io
    io.load_onnx(path, verbose=False)


_OTHERS = (
    Target("pickle", _pickled, _read_weights),
    Target("safetensors", _safetensors, _read_weights),
    Target("torch", _torch, _read_weights, needs=("torch",)),
    Target("keras", _keras, _read_keras, may_die=True),
    Target("keras child", _keras, _read_keras_in_child, allowed=_CHILD, files=100),
    Target("onnx", _onnx, _read_onnx, needs=("onnx",)),
)
_OWN = (
    Target("idx", _idx, _lazily("minidl.data.idx:read_idx")),
    Target("cifar", _cifar, _read_cifar),
    Target("json", _json, _read_json),
    Target("saved", _saved, _read_saved),
    Target("forged", _saved, _read_forged),
    Target("hdf5", _hdf5, _read_hdf5, may_die=True),
    Target("csv", _csv, _lazily("minidl.data.table:read_csv")),
    Target("image", _pictures, _lazily("minidl.data.images:read_image")),
    Target("archive", _archives, _read_archive),
)


def targets() -> dict[str, Target]:
    """Return all readers by name."""
    return {target.name: target for target in _OWN + _OTHERS}
