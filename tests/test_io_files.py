"""Files of PyTorch and safetensors: every kind is read, hostile and damaged ones are refused."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl.nn.layers as L  # noqa: N812
from minidl.errors import CheckpointError, FormatError
from minidl.io import load_weights, read_weights, save_torch
from minidl.io.safetensors_file import read_safetensors
from minidl.io.torch_file import LEGACY, read_torch
from minidl.nn import Input, Sequential

needs_torch = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
               pytest.mark.filterwarnings("ignore::UserWarning")]
RNG = np.random.default_rng(11)


def stored(folder: Path, content: bytes, name: str = "weights") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def zipped(program: bytes, records: dict[str, bytes] | None = None,
           compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive in PyTorch's format around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in ({"data.pkl": program} | (records or {})).items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


# ---- pickles by hand -----------------------------------------------------------------------


def storage(key: str = "0", kind: str = "FloatStorage", size: int = 6) -> bytes:
    """Return the opcodes of a storage."""
    return (b"(U\x07storagectorch\n" + kind.encode() + b"\nU" + bytes([len(key)]) + key.encode()
            + b"U\x03cpu" + b"\x8a\x08" + size.to_bytes(8, "little", signed=True) + b"tQ")


def number(n: int) -> bytes:
    return b"\x8a\x09" + n.to_bytes(9, "little", signed=True)


def tensor(shape: tuple[int, ...], steps: tuple[int, ...], offset: int = 0,
           what: bytes | None = None) -> bytes:
    """Return the opcodes of a tensor."""
    tuples = b"".join(b"(" + b"".join(map(number, t)) + b"t" for t in (shape, steps))
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + (what or storage()) + number(offset)
            + tuples + b"\x89NtR")


def program(value: bytes) -> bytes:
    """Return a pickle of {"w": value}."""
    return b"\x80\x02}U\x01w" + value + b"s."


SIX = np.arange(6, dtype="<f4")


def test_by_hand(tmp_path: Path) -> None:
    path = stored(tmp_path, zipped(program(tensor((2, 2), (1, 3), 1)), {"data/0": SIX.tobytes()}))
    weights = read_weights(path)
    assert weights.arrays["w"].tolist() == [[1, 4], [2, 5]]
    assert weights.source == "weights (torch, zip format)" and weights.layout == "channels_first"
    assert not weights.arrays["w"].flags.writeable


WRONG_TENSORS = {
    "beyond": (tensor((7,), (1,)), "a tensor (7,) with steps (1,) from 0 on in 6 elements"),
    "offset": (tensor((3,), (1,), 4), "from 4 on in 6 elements"),
    "steps": (tensor((3, 2), (2, 2)), "with steps (2, 2)"),
    "no steps": (tensor((100,), (0,)), "a tensor (100,) with steps (0,)"),
    "huge": (tensor((2**62, 2**62), (0, 0)), "in 6 elements"),
    "negative": (tensor((-3,), (1,)), "no number from 0 to 2^63"),
    "backwards": (tensor((3,), (-1,), 5), "no number from 0 to 2^63"),
    "axes": (tensor((3,), (1, 1)), "1 lengths and 2 steps"),
    "size": (tensor((3,), (1,), 0, storage(size=5)), "has 24 bytes instead of 20"),
    "huge storage": (tensor((3,), (1,), 0, storage(size=2**40)), "24 bytes instead of 4,398"),
    "no storage": (tensor((3,), (1,), 0, storage("9")), "data/9"),
    "escape": (tensor((3,), (1,), 0, storage("../data.pkl")), "There is no item named"),
    "no tensor": (tensor((3,), (1,), 0, b"N"), "without a storage"),
    "two sizes": (b"(" + storage() + storage(size=5) + b"t", "storage 0 has two sizes or types")}


@pytest.mark.parametrize("case", WRONG_TENSORS)
def test_wrong_tensors(tmp_path: Path, case: str) -> None:
    content, text = WRONG_TENSORS[case]
    path = stored(tmp_path, zipped(program(content), {"data/0": SIX.tobytes()}))
    with pytest.raises(FormatError) as caught:
        read_torch(path)
    assert text in str(caught.value) and "Fetch or save it again." in str(caught.value)


class Runs:
    """An object that would make a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_executed(tmp_path: Path, form: str, protocol: int) -> None:
    hostile = pickle.dumps({"w": Runs(tmp_path / "made")}, protocol)
    content = zipped(hostile) if form == "zip" else legacy(hostile)
    with pytest.raises(FormatError, match=r"asks for \w+\.mkdir; .*Nothing of it was executed"):
        load_weights(None, stored(tmp_path, content))
    assert not (tmp_path / "made").exists()


def legacy(value: bytes, little: bool = True, magic: bytes = LEGACY, version: int = 1001) -> bytes:
    head = [magic, pickle.dumps(version, 2), pickle.dumps({"little_endian": little}, 2), value]
    return b"".join(head)


HOSTILE = {
    "os.system": (b"cos\nsystem\n(S'true'\ntR.", "asks for os.system"),
    "eval": (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "asks for builtins.eval"),
    "getattr": (b"cbuiltins\ngetattr\n.", "asks for builtins.getattr"),
    "torch": (b"ctorch\nload\n(S'x'\ntR.", "asks for torch.load"),
    "dotted": (b"\x80\x04\x8c\x0bcollections\x8c\x0fOrderedDict.pop\x93.", "OrderedDict.pop"),
    "module": (b"ctorch.nn.modules.linear\nLinear\n)\x81.",
               "holds a whole model (class torch.nn.modules.linear.Linear)"),
    "own class": (b"c__main__\nNet\n)\x81.", "holds a whole model (class __main__.Net)"),
    "objects": (b"cnumpy\ndtype\n(S'O'\ntR.", "elements of type 'O'"),
    "call of a type": (b"ctorch\nFloatStorage\n)R.", "a call of a Kind"),
    "subclass": (b"ctorch._tensor\n_rebuild_from_type_v2\n(ccollections\nOrderedDict\nctorch\n"
                 b"Tensor\n)}tR.", "a tensor class of its own"),
    "outside": (b"\x80\x02(U\x04fileU\x01xtQ.", "something outside the file"),
    "state of a tensor": (b"\x80\x02" + tensor((3,), (1,)) + b"]b.", "the state of a Window"),
    "items of a list": (b"\x80\x02]K\x01K\x02s.", "items of a list")}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(tmp_path: Path, case: str) -> None:
    content, text = HOSTILE[case]
    for whole in (zipped(content), legacy(content)):
        with pytest.raises(FormatError) as caught:
            read_torch(stored(tmp_path, whole))
        assert text in str(caught.value) and "Nothing of it was executed" in str(caught.value)
        assert "torch.save(model.state_dict(), path)" in caught.value.remedy


DEEP = 200_000
BOMBS = {
    "deep list": (b"]" * DEEP + b"a" * (DEEP - 1) + b".", "holds a list"),
    "deep key": (b"\x80\x02}N" + b"\x85" * DEEP + b"K\x01s.", "a key of a dict is no text"),
    "deep tuple": (b"\x80\x02}U\x01wN" + b"\x85" * DEEP + b"s.", "no tensors by name"),
    "memo": (b"]q\x00" + b"(" + b"h\x00" * 9 + b"e." , "holds a list"),
    "laughs": (b"]q\x00" + b"".join(b"](" + b"h" + bytes([i]) * 1 + (b"h" + bytes([i])) * 9 + b"eq"
               + bytes([i + 1]) for i in range(60)) + b".", "holds a list"),
    "memo number": (b"\x80\x02]r\xff\xff\xff\x7f.", "holds a list"),
    "long text": (b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.", "is damaged"),
    "long number": (b"\x80\x02\x8b" + struct.pack("<i", 2**30) + b"x.", "is damaged"),
    "digits": (b"I" + b"9" * 100_000 + b"\n.", "is damaged"),
    "large product": (b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(U\x01xcnumpy\ndtype\nU\x02u1"
                      b"\x85R(" + (b"\x8b" + struct.pack("<i", 400_000) + b"\x7f" * 400_000) * 2
                      + b"tU\x01CtR.", "more elements than there can be"),
    "cut": (b"\x80\x02}U\x01w", "is damaged"), "empty": (b"", "is damaged"),
    "no dict": (b"\x80\x02K\x05.", "holds a int"), "empty dict": (b"\x80\x02}.", "holds nothing")}


@pytest.mark.parametrize("case", BOMBS)
def test_bombs(tmp_path: Path, case: str) -> None:
    content, text = BOMBS[case]
    for whole in (zipped(content), legacy(content)):
        with pytest.raises(FormatError, match=text):
            read_torch(stored(tmp_path, whole))


# ---- archives and older files --------------------------------------------------------------


def doubled() -> bytes:
    """Return an archive with two records of one name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("archive/data.pkl", program(tensor((3,), (1,))))
    return file.getvalue()


GOOD = zipped(program(tensor((3,), (1,))), {"data/0": SIX.tobytes()})
ARCHIVES = {
    "compressed": (lambda: zipped(b"x" * 999, compression=zipfile.ZIP_DEFLATED), "is compressed"),
    "doubled": (doubled, "two records of one name"),
    "big-endian": (lambda: zipped(b"}.", {"byteorder": b"big"}), "its numbers are big-endian"),
    "program": (lambda: zipped(b"}.", {"constants.pkl": b""}), r"holds a program \(TorchScript\)"),
    "other": (lambda: zipped(b"").replace(b"data.pkl", b"word.xml"), "without the record data.pkl"),
    "cut": (lambda: GOOD[:-30], "is damaged"), "start alone": (lambda: b"PK\x03\x04", "is damaged"),
    "flipped": (lambda: GOOD.replace(SIX.tobytes(), bytes(24)), "is damaged.*Bad CRC"),
    "older big-endian": (lambda: legacy(b"}.", False), "its numbers are big-endian"),
    "older version": (lambda: legacy(b"}.", version=7), "version 7 of the format"),
    "older, cut": (lambda: legacy(program(tensor((3,), (1,)))) + pickle.dumps(["0"]),
                   "storage 0 has 0 elements instead of 6"),
    "older, no list": (lambda: legacy(program(tensor((3,), (1,)))) + pickle.dumps([]),
                       "the list of storages is not that of the tensors"),
    "pickle": (lambda: pickle.dumps({"w": "six"}), "holds a str at w"),
    "pickle of a class": (lambda: pickle.dumps(Path), "Path"),
    "page": (lambda: b"<!DOCTYPE html>", "is a web page; .* The download went wrong"),
    "pointer": (lambda: b"version https://git-lfs.github.com/spec/v1", "Run git lfs pull"),
    "onnx": (lambda: b"\x08\x08\x12\x07pytorch", "Use minidl.io.load_onnx"),
    "nothing": (lambda: b"", "is empty"), "text": (lambda: b"weights", "is of another kind"),
    "json": (lambda: b"{}", "is a JSON file")}


@pytest.mark.parametrize("case", ARCHIVES)
def test_archives(tmp_path: Path, case: str) -> None:
    make, text = ARCHIVES[case]
    path = stored(tmp_path, make())
    with pytest.raises(FormatError, match=text) as caught:
        read_weights(path)
    assert caught.value.where == str(path) and caught.value.remedy and caught.value.expected


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(FormatError, match=r"cannot be read \(.*\); .* Check the path"):
            read_weights(path)


def test_mutated_files(tmp_path: Path) -> None:
    """Whatever bytes are changed, the file is read or refused."""
    older = legacy(program(tensor((3,), (1,)))) + pickle.dumps(["0"], 2) + struct.pack("<q", 6) \
        + SIX.tobytes()
    assert read_torch(stored(tmp_path, older)).arrays["w"].tolist() == [0, 1, 2]
    refused = 0
    for whole in (GOOD, older, safetensors({"w": ("F32", [3], SIX[:3].tobytes())})):
        for _ in range(150):
            changed = bytearray(whole)
            for place in RNG.integers(0, len(whole), RNG.integers(1, 6)):
                changed[place] = RNG.integers(0, 256)
            path = stored(tmp_path, bytes(changed[:RNG.integers(len(whole) // 2, 3 * len(whole))]))
            try:
                read_weights(path)
            except FormatError:
                refused += 1
    assert refused > 100


# ---- safetensors ---------------------------------------------------------------------------


def safetensors(arrays: dict[str, tuple[str, list[int], bytes]], **metadata: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at, body = 0, b""
    for name, (kind, shape, content) in arrays.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(content)]}
        at, body = at + len(content), body + content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_safetensors_types(tmp_path: Path) -> None:
    halves = np.array([0x3F80, 0x4049], "<u2")
    content = safetensors({"a.weight": ("BF16", [2, 1], halves.tobytes()),
                           "b.weight": ("F16", [2], np.array([1.5, 2], "<f2").tobytes()),
                           "c.weight": ("I64", [1], struct.pack("<q", 7))}, format="pt")
    arrays = read_weights(stored(tmp_path, content)).arrays
    assert arrays["a.weight"].tolist() == [[1.0], [3.140625]]
    assert arrays["b.weight"].dtype == np.float16 and arrays["c.weight"].tolist() == [7]


LAYOUTS = {"pt": ({"format": "pt"}, "kernel", "channels_first"),
           "tf": ({"format": "tf"}, "weight", "channels_last"),
           "ours": ({"minidl.layout": "channels_last", "format": "pt"}, "x", "channels_last"),
           "torch's names": ({}, "weight", "channels_first"),
           "keras's names": ({}, "kernel", "channels_last"), "unknown": ({}, "x", None)}


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts(tmp_path: Path, case: str) -> None:
    metadata, name, wanted = LAYOUTS[case]
    path = stored(tmp_path, safetensors({f"a.{name}": ("F32", [1], bytes(4))}, **metadata))
    if wanted is None:
        with pytest.raises(FormatError, match="does not say how its kernels lie; expected layout="):
            read_weights(path)
    else:
        assert read_weights(path).layout == wanted
    assert read_weights(path, layout="channels_last").layout == "channels_last"
    with pytest.raises(FormatError, match="layout: got 'NCHW'; expected one of channels_first"):
        read_safetensors(path, "NCHW")  # type: ignore[arg-type]


def test_order_of_names(tmp_path: Path) -> None:
    names = ["l10.weight", "l2.weight", "l1.b.weight"]
    content = safetensors({name: ("F32", [1], bytes(4)) for name in names}, format="pt")
    weights = read_weights(stored(tmp_path, content))
    assert list(weights.arrays) == names[::-1] and not weights.in_order


WRONG_SAFETENSORS = {
    "type": (safetensors({"w": ("F8_E4M3", [1], b"x")}), r"w holds F8_E4M3; .* Save it as float32"),
    "cut": (safetensors({"w": ("F32", [3], bytes(12))})[:-4], "cannot be read"),
    "shape": (safetensors({"w": ("F32", [2**60], bytes(12))}), "cannot be read"),
    "ours": (safetensors({"w": ("F32", [3], bytes(12))}, minidl="{}"), "Use model.load_weights")}


@pytest.mark.parametrize("case", WRONG_SAFETENSORS)
def test_wrong_safetensors(tmp_path: Path, case: str) -> None:
    content, text = WRONG_SAFETENSORS[case]
    with pytest.raises(FormatError, match=text):
        read_weights(stored(tmp_path, content))


def dense(**options: Any) -> Sequential:
    return Sequential([Input((3,)), L.Dense(2, name="a"),
                       L.BatchNormalization(name="b", **options)])


def test_save_torch(tmp_path: Path) -> None:
    path = save_torch(dense(scale=False), tmp_path / "w.safetensors", {"b": "bn"})
    arrays = read_weights(path).arrays
    assert list(arrays) == ["a.weight", "a.bias", "bn.weight", "bn.bias", "bn.running_mean",
                            "bn.running_var", "bn.num_batches_tracked"]
    assert arrays["bn.weight"].tolist() == [1, 1] and arrays["a.weight"].shape == (2, 3)
    with pytest.raises(FormatError, match=r"two weights would be called 'a\.weight'"):
        save_torch(dense(), path, {"b": "a"})
    with pytest.raises(FormatError, match="the model has no weights yet"):
        save_torch(Sequential([L.Dense(2)]), path)
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_torch(dense(), path / "below")
    assert read_weights(path).arrays.keys() == arrays.keys()


# ---- files of PyTorch itself ---------------------------------------------------------------


def state(torch: Any) -> dict[str, Any]:
    """Return tensors of every type and form."""
    base, nn = torch.arange(60.0), torch.nn
    kinds = ("float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool",
             "uint16", "uint32", "uint64")
    found = {kind: torch.tensor([[1, 0, 2], [3, 4, 0]]).to(getattr(torch, kind)) for kind in kinds}
    return found | {
        "view": base[5:35].view(5, 6).t(), "every second": base[::2], "base": base,
        "part": base[10:20].view(2, 5), "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "bfloat16 view": torch.randn(4, 6).bfloat16().t()[1:], "parameter": nn.Parameter(base[:4]),
        "empty": torch.empty(0, 3), "scalar": torch.tensor(3.5),
        "frozen": nn.Parameter(base, False),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)}


WRAPPERS = {"plain": lambda s: s, "ordered": OrderedDict, "state_dict": lambda s: {
    "state_dict": s, "epoch": 3, "best": np.float64(0.5), "args": {"lr": 0.1}},
    "deep": lambda s: {"model": {"state_dict": s}, "optimizer": {"state": {0: s}}},
    "only dict": lambda s: {"generator": s, "step": (1, 2)}, "among others": lambda s: s | {"n": 5}}


@pytest.mark.parametrize("form", [
    pytest.param(form, marks=needs_torch) for form in ("zip", "legacy")])
def test_every_tensor(tmp_path: Path, form: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tensors = state(torch)
    for name, wrap in WRAPPERS.items():
        torch.save(wrap(tensors), tmp_path / "w.pt",
                   _use_new_zipfile_serialization=form == "zip")
        weights = read_torch(tmp_path / "w.pt")
        assert list(weights.arrays) == list(tensors)
        assert bool(weights.notes) == (name not in ("plain", "ordered"))
    for name, tensor in tensors.items():
        wide = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        assert weights.arrays[name].dtype == wide.numpy().dtype, name
        assert np.array_equal(weights.arrays[name], wide.numpy()), name
    assert np.shares_memory(weights.arrays["base"], weights.arrays["part"])


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_whole_modules_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for new in (True, False):
        torch.save({"model": torch.nn.Linear(2, 3)}, tmp_path / "w.pt",
                   _use_new_zipfile_serialization=new)
        with pytest.raises(FormatError, match=r"holds a whole model \(class torch\.nn\.modules\."
                           r"linear\.Linear\); .*torch\.save\(model\.state_dict\(\), path\)"):
            read_torch(tmp_path / "w.pt")
