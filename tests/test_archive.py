"""Archives: what is unpacked, what is refused, and that nothing else is left on the disk."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minidl.data import archive as archives
from minidl.data.archive import is_archive, unpack, unpacked
from minidl.errors import DataError

CONTENT = np.random.default_rng(3).integers(0, 9, 3000, np.uint8).tobytes()
KINDS = ("a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz")


def packed(path: Path, names: list[str], content: bytes = CONTENT) -> Path:
    """Write an archive of files; names that end in a slash are folders."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name in names:
                opened.writestr(zipfile.ZipInfo(name), b"" if name[-1] == "/" else content)
        return path
    ending = path.suffix[1:].replace("tgz", "gz").replace("tar", "")
    with tarfile.open(path, f"w:{ending}") as tar:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name[-1] == "/" else tarfile.REGTYPE
            info.size = 0 if name[-1] == "/" else len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("kind", KINDS)
def test_unpack(tmp_path: Path, kind: str) -> None:
    archive = packed(tmp_path / kind, ["set/a/1.jpg", "set/b/", "./set/a/2 ä.jpg"])
    assert is_archive(archive)
    assert unpack(archive, tmp_path / "in" / "out") == tmp_path / "in" / "out"
    names = ["set", "set/a", "set/a/1.jpg", "set/a/2 ä.jpg", "set/b"]
    assert left(tmp_path / "in") == ["out", *(f"out/{name}" for name in names)]
    assert (tmp_path / "in/out/set/a/1.jpg").read_bytes() == CONTENT


ESCAPES = ["../out.txt", "/etc/out.txt", "a/../../out.txt", "a/..", "C:/out.txt", "C:out.txt",
           "..\\out.txt", "\\\\server\\out.txt"]


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_out(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / "in").mkdir()
    archive = packed(tmp_path / "in" / kind, ["good.txt", name, "also.txt"])
    before = left(tmp_path)
    with pytest.raises(DataError, match=r"which leads out of the folder.*Nothing was written"):
        unpack(archive, tmp_path / "in" / "out")
    assert left(tmp_path) == before


def tar_of(path: Path, kind: bytes, target: str = "../../secret") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("a/link")
        info.type, info.linkname = kind, target
        tar.addfile(info)
    return path


SPECIAL = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]


@pytest.mark.parametrize("kind", SPECIAL)
def test_links_and_devices_in_tar(tmp_path: Path, kind: bytes) -> None:
    archive = tar_of(tmp_path / "a.tgz", kind)
    with pytest.raises(DataError, match="holds 'a/link', which is a link or device"):
        unpack(archive, tmp_path / "out")
    assert left(tmp_path) == ["a.tgz"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names(tmp_path: Path, form: int) -> None:
    name = "/".join(["folder"] * 15 + ["x" * 90])
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        tar.addfile(tarfile.TarInfo(name))
    assert left(unpack(tmp_path / "a.tar", tmp_path / "out"))[-1] == name


def test_links_in_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        info = zipfile.ZipInfo("a/link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="holds 'a/link', which is a link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert left(tmp_path) == ["a.zip"]


REFUSED = {
    "twice": (["a", "b", "./a"], "holds './a' twice"),
    "file and folder": (["a/b", "a"], "holds 'a' as a file and as a folder"),
    "file below a file": (["a", "a/b/c"], "holds 'a' as a file and as a folder"),
    "too large": (["a", "b", "c", "d"], "declares more than 10,000 bytes"),
}


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
@pytest.mark.parametrize("names,text", REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_refused(tmp_path: Path, names: list[str], text: str, kind: str) -> None:
    archive = packed(tmp_path / kind, names)
    with pytest.raises(DataError, match=text) as caught:
        unpack(archive, tmp_path / "out", limit=10_000)
    assert caught.value.where == str(archive) and caught.value.remedy
    assert left(tmp_path) == [kind]


def test_a_bomb_is_refused_by_what_it_declares(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.tar.gz", ["a"], bytes(30_000_000))
    assert archive.stat().st_size < 100_000
    with pytest.raises(DataError, match="declares more than 1,000,000 bytes"):
        unpack(archive, tmp_path / "out", limit=1_000_000)
    assert left(tmp_path) == ["a.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("first", [True, False])
def test_a_bomb_in_a_header(tmp_path: Path, kind: bytes, first: bool) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, 20_000_000
    good = tarfile.TarInfo("good").tobuf()
    with gzip.open(tmp_path / "a.tgz", "wb") as file:
        file.write((b"" if first else good) + info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size))
    with pytest.raises(DataError, match="a header of 20,000,000 bytes"):
        unpack(tmp_path / "a.tgz", tmp_path / "out")
    assert left(tmp_path) == ["a.tgz"]


def test_a_file_larger_than_declared(tmp_path: Path) -> None:
    """A zip whose directory says 10 bytes, though 3,000 are packed."""
    archive = packed(tmp_path / "a.zip", ["name.txt"])
    raw = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = raw.index(mark) + place
        assert struct.unpack_from("<I", raw, start) == (3000,)
        struct.pack_into("<I", raw, start, 10)
    archive.write_bytes(raw)
    with pytest.raises(DataError, match=r"cannot be unpacked|than it declares"):
        unpack(archive, tmp_path / "out")
    assert left(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("given", [9, 11, 5000])
def test_bytes_are_counted(tmp_path: Path, given: int) -> None:
    """Whatever the reader of the archive gives, a file gets what was declared, or none is kept."""
    entry = archives._Entry("a", "file", 10, lambda: io.BytesIO(bytes(given)))
    with pytest.raises(DataError, match=r"(more|fewer) bytes for 'a' than it declares; .*10 bytes"):
        archives._write(tmp_path, entry, tmp_path / "a")
    assert (tmp_path / "a").stat().st_size <= 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "text"])
def test_damage(tmp_path: Path, kind: str, damage: str) -> None:
    archive = packed(tmp_path / kind, [f"{i}.bin" for i in range(9)])
    raw = bytearray(archive.read_bytes())
    if damage == "changed":
        raw[len(raw) // 3:len(raw) // 3 + 600] = bytes(600)
    archive.write_bytes({"cut": raw[:len(raw) // 2], "empty": b"", "text": b"<html>" * 99,
                         "changed": raw}[damage])
    if (kind, damage) == ("a.tar", "changed"):  # plain tar has a sum of each header alone
        raw[3584 * 3 + 200] ^= 1
        archive.write_bytes(raw)
    with pytest.raises(DataError, match="cannot be unpacked") as caught:
        unpack(archive, tmp_path / "out")
    assert caught.value.where == str(archive)
    assert left(tmp_path) == [kind]


def test_missing_and_present(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        unpack(tmp_path / "none.zip", tmp_path / "out")
    archive = packed(tmp_path / "a.zip", ["a"])
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="which exists; expected a new folder"):
        unpack(archive, tmp_path / "out")


def test_cache(tmp_path: Path) -> None:
    archive = packed(tmp_path / "pets.v1.zip", ["a.txt"])
    first = unpacked(archive, tmp_path / "cache")
    assert first.name.startswith("pets-") and left(first) == ["a.txt"]
    (first / "mark").touch()
    assert unpacked(str(archive), tmp_path / "cache") == first and (first / "mark").exists()
    packed(archive, ["b.txt"])
    os.utime(archive, ns=(1, 1))
    assert left(unpacked(archive, tmp_path / "cache")) == ["b.txt"]
