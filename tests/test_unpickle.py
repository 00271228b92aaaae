"""Pickles: what is read, and that nothing which they name is called."""

from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.data import load_pickle
from minidl.errors import DataError

RNG = np.random.default_rng(5)
PLAIN: dict[Any, Any] = {
    b"data": RNG.integers(0, 256, (5, 12), np.uint8),
    "columns": np.asfortranarray(RNG.random((2, 3))), b"big": np.arange(6, dtype=">i4"),
    "text": np.array(["ab", "c"]), "empty": np.zeros((0, 3)),
    "none": np.array(7.0), "scalar": np.float32(1.5), "dtype": np.dtype(">f8"), "bool": True,
    "numbers": [1, -2, 2**70, 1.5, None, 1 + 2j], "bytes": b"\xff\0",
    "nothing": b"", "tuple": (1, (2,))}


def same(a: Any, b: Any) -> bool:
    if isinstance(b, (np.ndarray, np.generic)):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def stored(folder: Path, content: bytes) -> Path:
    (folder / "batch").write_bytes(content)
    return folder / "batch"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_and_arrays(tmp_path: Path, protocol: int) -> None:
    shared = PLAIN | {"again": PLAIN[b"data"]}
    content = pickle.dumps(shared, protocol)
    got = load_pickle(stored(tmp_path, content))
    wanted = pickle.loads(content)
    assert got.keys() == wanted.keys()
    assert [key for key in wanted if not same(got[key], wanted[key])] == []
    assert got["again"] is got[b"data"]


NONE = b"J\xff\xff\xff\xff" * 2  # -1, -1: no size or alignment but the type's own


def python2(rows: np.ndarray, labels: list[int]) -> bytes:
    """Write a batch in the published form: opcodes of Python 2's cPickle, protocol 2."""
    out = b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02"
    out += b"K\x00\x85U\x01b\x87R(K\x01"
    out += b"".join(b"M" + n.to_bytes(2, "little") for n in rows.shape)
    out += b"\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + NONE + b"K\x00tb"
    out += b"\x89T" + rows.size.to_bytes(4, "little") + rows.tobytes() + b"tb"
    return out + b"U\x06labels](" + b"".join(b"K" + bytes([n]) for n in labels) + b"eu."


def test_the_published_form(tmp_path: Path) -> None:
    rows = RNG.integers(0, 256, (3, 3072), np.uint8)
    content = python2(rows, [3, 0, 9])
    assert pickle.loads(content, encoding="bytes")[b"labels"] == [3, 0, 9]
    got = load_pickle(stored(tmp_path, content))
    assert got[b"labels"] == [3, 0, 9] and same(got[b"data"], rows)


class Runs:
    """An object that would make a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    path = stored(tmp_path, pickle.dumps({b"data": [Runs(tmp_path / "made")]}, protocol))
    with pytest.raises(DataError, match=r"asks for \w+\.mkdir; .*Nothing of it was") as caught:
        load_pickle(path)
    assert not (tmp_path / "made").exists()
    assert caught.value.where == str(path) and caught.value.remedy
    pickle.loads(path.read_bytes())  # the standard reader does it: the file is a good test
    assert (tmp_path / "made").is_dir()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
U1 = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
FOREIGN = {
    "os.system": (b"cos\nsystem\n(S'true'\ntR.", r"asks for os\.system"),
    "by stack": (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", r"asks for builtins\.eval"),
    "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x0bdtype.mro.x\x93.", r"numpy\.dtype\.mro\.x"),
    "numpy": (b"cnumpy\nload\n(S'x'\ntR.", r"asks for numpy\.load"),
    "class": (pickle.dumps(collections.OrderedDict(a=1)), r"collections\.OrderedDict"),
    "own class": (pickle.dumps(Path("x")), r"asks for pathlib"),
    "instance": (b"(S'x'\nios\nsystem\n.", "is damaged or no pickle"),
    "object": (b"(cnumpy\ndtype\nS'u1'\no.", "is damaged or no pickle"),
    "persistent": (b"Pname\n.", "is damaged or no pickle"),
    "array as function": (b"cnumpy\nndarray\n(K\x05tR.", "numpy.ndarray as a function"),
    "call of an array": (U1 + b"(tR.", r"a call of a (UInt8DType|dtype)"),
    "call of text": (b"S'x'\n(tR.", "a call of a bytes"),
    "objects": (b"cnumpy\ndtype\n(S'O'\ntR.", "elements of type 'O'"),
    "records": (b"cnumpy\ndtype\n(S'u1,O'\ntR.", "elements of type 'u1,O'"),
    "no bytes each": (b"cnumpy\ndtype\n(S'S0'\ntR.", "elements of type 'S0'"),
    "state of a function": (b"cnumpy\ndtype\n}S'x'\nK\x01sb.", "the state of a function"),
    "state of a list": (b"]}b.", "the state of a list"),
}


@pytest.mark.parametrize("content,text", FOREIGN.values(), ids=FOREIGN)
def test_foreign(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(DataError, match=text):
        load_pickle(stored(tmp_path, content))


def array(shape: bytes, raw: bytes, dtype: bytes = U1) -> bytes:
    return ARRAY + b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"


MOST = b"J\xff\xff\xff\x7f"
HUGE = b"(" + MOST * 2 + b"t"
DAMAGED = {
    "empty": (b"", "damaged"),
    "text": (b"<html></html>", "damaged"),
    "cut": (python2(np.zeros((2, 3072), np.uint8), [1, 2])[:-3000], "damaged"),
    "huge": (array(HUGE, b"U\x02ab") + b".", r"2 bytes for an array \(2147483647, 2147483647\)"),
    "huge to begin with": (ARRAY.replace(b"(K\x00t", HUGE) + b"b.", "damaged"),
    "huge and empty": (array(b"(K\x00" + MOST * 2 + b"t", b"U\x01a") + b".", "1 bytes"),
    "negative": (array(b"(" + NONE + b"t", b"U\x01a") + b".", "1 bytes"),
    "number as bytes": (array(b"(" + MOST + b"t", MOST) + b".", "a int as elements"),
    "huge bytes": (b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fabc.", "damaged"),
    "huge byte array": (b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b"abc.", "damaged"),
    "huge frame": (b"\x80\x04\x95" + (1 << 40).to_bytes(8, "little") + b"N", "damaged"),
    "huge memo": (b"Nr\xff\xff\xff\xff0h\x07.", "damaged"),
    "future": (b"\x80\xc8N.", "damaged"),
}


@pytest.mark.parametrize("content,text", DAMAGED.values(), ids=DAMAGED)
def test_damage(tmp_path: Path, content: bytes, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        load_pickle(stored(tmp_path, content))
    assert caught.value.where == str(tmp_path / "batch") and caught.value.remedy


def test_no_more_memory_than_the_file_has(tmp_path: Path) -> None:
    """One string of bytes, used for many arrays of elements that have to be swapped."""
    raw = b"T\x00\x10\x00\x00" + bytes(4096) + b"q\x01"
    i4 = b"cnumpy\ndtype\n(U\x02i4K\x00K\x01tR(K\x03U\x01>NNN" + NONE + b"K\x00tbq\x02"
    many = b"".join(array(b"(M\x00\x04t", b"h\x01", b"h\x02") for _ in range(30))
    content = b"(" + raw + i4 + many + b"l."
    with pytest.raises(DataError, match="its arrays are larger than the file"):
        load_pickle(stored(tmp_path, content))


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_pickle(tmp_path / "none")


def test_random_programs_do_no_harm(tmp_path: Path) -> None:
    """Bytes changed at random give a value or a DataError, never another error."""
    content = bytearray(pickle.dumps(PLAIN, 2))
    outcomes = collections.Counter[str]()
    for _ in range(300):
        changed = content.copy()
        for place in RNG.integers(0, len(content), 3):
            changed[place] = RNG.integers(0, 256)
        try:
            load_pickle(stored(tmp_path, bytes(changed)))
            outcomes["value"] += 1
        except DataError:
            outcomes["error"] += 1
    assert outcomes["value"] and outcomes["error"]


def test_the_list_of_opcodes_is_whole() -> None:
    """What the published files use is handled: those of protocol 2 for plain values."""
    from minidl.data.unpickle import Reader

    used = {op.code for op, *_ in pickletools.genops(io.BytesIO(pickle.dumps(PLAIN, 2)))}
    assert {ord(code) for code in used} <= set(Reader.dispatch)
    refused = (pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.PERSID,
               pickle.BINPERSID, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER)
    assert not {code[0] for code in refused} & set(Reader.dispatch)
