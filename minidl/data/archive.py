"""Unpacking zip and tar archives whose names, links and sizes are not trusted."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DataError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""File names that `is_archive` takes for archives."""

_AGAIN = "Nothing of it is left behind. Check that there is room, or fetch the archive again."
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Entry:
    """A member of an archive: its name as written, its kind, bytes, and how to read them."""

    name: str
    kind: str  # "file", "folder", or what it is instead
    size: int
    open: Callable[[], Any]


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Say whether this is a file with the name of a zip or tar archive.

    >>> is_archive("there/is/no/such.zip")
    False
    """
    return Path(path).is_file() and str(path).lower().endswith(ENDINGS)


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str],
           limit: int | None = None) -> Path:
    """Unpack a zip or tar archive into a new folder, which appears when it is whole.

    All names are checked before anything is written: none may be absolute, climb out with `..`,
    occur twice, or be a link or a device. No file gets more bytes than the archive declares.

    Args:
        limit: bytes that the whole content may take; by default what is free on the disk.

    Returns:
        `folder`.

    Raises:
        DataError: the archive is missing, damaged or not safe, or the folder is there already.

    >>> unpack("animals.zip", "animals")  # doctest: +SKIP
    PosixPath('animals')
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise DataError(str(archive), f"would be unpacked into {folder}, which exists",
                        "expected a new folder", "Name another one, or delete it first.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    room = shutil.disk_usage(folder.parent).free if limit is None else limit
    with _reading(archive), _opened(archive) as entries:
        checked = _checked(archive, entries, room)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as aside:
            for entry, target in checked:
                _write(archive, entry, Path(aside, "content", *target.parts))
            Path(aside, "content").replace(folder)
    return folder


def unpacked(archive: str | os.PathLike[str], cache: Path) -> Path:
    """Return the folder in `cache` that holds the archive's content, unpacked when first needed.

    Its name changes with the archive's place, size and time, so a new archive is unpacked anew.

    Raises:
        DataError: the archive is missing, damaged or not safe.

    >>> unpacked("animals.zip", Path("cache"))  # doctest: +SKIP
    PosixPath('cache/animals-1f0c5a27')
    """
    archive = Path(archive).resolve()
    with _reading(archive):
        state = archive.stat()
    key = hashlib.sha256(f"{archive}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()
    folder = cache / f"{archive.name.partition('.')[0]}-{key[:8]}"
    try:
        return folder if folder.is_dir() else unpack(archive, folder)
    except DataError:
        if folder.is_dir():  # another process was faster
            return folder
        raise


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(str(archive), f"there is no file {error.filename or archive}",
                        "expected a zip or tar archive", "Check the path.") from None
    except Exception as error:  # zip, tar, gzip, bzip2 and lzma have classes of their own
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DataError(str(archive), f"cannot be unpacked ({text})",
                        "expected a whole zip or tar archive", _AGAIN) from error


@contextmanager
def _opened(archive: Path) -> Iterator[Iterator[_Entry]]:
    with archive.open("rb") as file:  # "no such file" comes from here
        start = file.read(4)
    if start.startswith(b"PK"):
        with zipfile.ZipFile(archive) as opened:
            yield _zip_entries(opened)
    else:
        with tarfile.open(archive, tarinfo=_Header) as opened_tar:
            yield _tar_entries(opened_tar)


class _Header(tarfile.TarInfo):
    """A header that may not announce a long one: tarfile reads those into memory at once."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        header = super().frombuf(buf, encoding, errors)
        if header.type not in tarfile.REGULAR_TYPES and header.size > _CHUNK:
            raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        return header


def _zip_entries(opened: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in opened.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        special = mode not in (0, stat.S_IFREG, stat.S_IFDIR)
        folder = info.filename.endswith("/")
        kind = "a link or device" if special else "folder" if folder else "file"
        yield _Entry(info.filename, kind, info.file_size, partial(opened.open, info))


def _tar_entries(opened: tarfile.TarFile) -> Iterator[_Entry]:
    for info in opened:
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a link or device"
        size = max(info.size, 0) if info.isreg() else 0
        yield _Entry(info.name, kind, size, partial(opened.extractfile, info))
    _check_end(opened.fileobj)


def _check_end(file: Any) -> None:
    """Read what follows the last member: zeros, and for gzip the sum of all that was read.

    tarfile takes a damaged header for the end, and does not read as far as the sum.
    """
    tail = file.read(_CHUNK + 1) if file else b""
    if len(tail) > _CHUNK or any(tail):
        raise tarfile.ReadError("a damaged member, or other data after the last one")


def _checked(archive: Path, entries: Iterator[_Entry], room: int
             ) -> list[tuple[_Entry, PurePosixPath]]:
    """Return all entries with the places they go to, once nothing is wrong with any of them."""
    checked, files, folders, size = [], set(), {PurePosixPath(".")}, 0
    for entry in entries:
        size += entry.size
        if size > room:
            raise _refused(archive, f"declares more than {room:,} bytes", "what there is room for")
        target = _place(archive, entry)
        if entry.kind == "file":
            if target in files:
                raise _refused(archive, f"holds {entry.name!r} twice", "one file of each name")
            files.add(target)
        folders.update(target.parents if entry.kind == "file" else (target, *target.parents))
        checked.append((entry, target))
    for both in files & folders:
        raise _refused(archive, f"holds {str(both)!r} as a file and as a folder", "one of them")
    return checked


def _place(archive: Path, entry: _Entry) -> PurePosixPath:
    if entry.kind not in ("file", "folder"):
        raise _refused(archive, f"holds {entry.name!r}, which is {entry.kind}",
                       "files and folders only")
    path = PurePosixPath(entry.name.replace("\\", "/"))
    drive = ":" in path.parts[0] if path.parts else False
    if path.is_absolute() or drive or ".." in path.parts or "\0" in entry.name:
        raise _refused(archive, f"holds the name {entry.name!r}, which leads out of the folder",
                       "names inside it")
    if entry.kind == "file" and not path.parts:
        raise _refused(archive, "holds a file without a name", "names inside it")
    return path


def _refused(archive: Path, got: str, expected: str) -> DataError:
    return DataError(str(archive), got, f"expected {expected}",
                     "Nothing was written. Get the archive from its publisher.")


def _write(archive: Path, entry: _Entry, target: Path) -> None:
    if entry.kind == "folder":
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.size
    with closing(entry.open()) as source, target.open("xb") as file:
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                break
            file.write(chunk)
    if left:
        raise _refused(archive, f"gives {'more' if left < 0 else 'fewer'} bytes for {entry.name!r} "
                       "than it declares", f"{entry.size:,} bytes")
