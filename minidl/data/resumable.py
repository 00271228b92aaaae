"""HDF5 files that are written over hours: what was written before a kill is gone on from."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import ArgumentError
from ..files import replacing
from .hdf5 import HDF5Writer


class ResumableHDF5Writer(HDF5Writer):
    """An `HDF5Writer` that goes on where one of the same settings was stopped, however it was.

    Rows go into .NAME.part beside `path`, and for every `buffer` rows a line with their checksum
    into .NAME.journal. A later writer takes over the rows whose checksums hold, so that neither a
    kill nor a power cut leaves wrong ones. `path` itself appears in `close()`, whole.

    Args:
        path: of the file.
        shape: of all samples, (N, F) or (N, H, W, C).
        settings: what the rows depend on, as JSON can hold it. An unfinished file of other
            settings is an error, or replaced with `overwrite`.
        options: further ones of `HDF5Writer`.

    Attributes:
        rows: added so far, those of the writer before included: the first row to add.

    Raises:
        ArgumentError: the file is there already, or an unfinished one of other settings.

    >>> writer = ResumableHDF5Writer("features.hdf5", (4, 2), {"seed": 1}, buffer=2)
    >>> writer.add(np.ones((2, 2)), [0, 1])
    >>> writer.discard()  # as a kill would leave it
    >>> again = ResumableHDF5Writer("features.hdf5", (4, 2), {"seed": 1}, buffer=2)
    >>> again.rows
    2
    >>> again.add(np.zeros((2, 2)), [1, 0])
    >>> again.close()
    """

    def __init__(self, path: str | os.PathLike[str], shape: Sequence[int],
                 settings: Mapping[str, Any], *, overwrite: bool = False, **options: Any) -> None:
        self._settings = json.loads(json.dumps({**settings, "shape": list(shape)}))
        self._overwrite = overwrite
        self._log: Any = None  # the journal, open
        super().__init__(path, shape, overwrite=overwrite, **options)

    def close(self) -> None:
        """Write what waits and give the file its name, as `HDF5Writer.close` does."""
        super().close()
        self._close_log()
        self._journal.unlink(missing_ok=True)

    def discard(self) -> None:
        """Stop here; rows of whole buffers stay for a writer that goes on."""
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        self._file = None
        self._close_log()

    # ---- the file and its journal ----

    @property
    def _journal(self) -> Path:
        return self.path.with_name(f".{self.path.name}.journal")

    def _open(self) -> None:
        self._aside = self.path.with_name(f".{self.path.name}.part")
        lines = _lines(self._journal) if self._aside.is_file() else []
        if lines and self._is_ours(lines[0]):
            self._go_on(lines)
        else:
            self._begin()

    def _begin(self) -> None:
        self._journal.unlink(missing_ok=True)
        super()._open()
        os.fsync(self._file.fileno())
        self._write_log([{"settings": self._settings, "places": list(self._places)}])

    def _go_on(self, lines: list[dict[str, Any]]) -> None:
        try:
            self._places = tuple(lines[0]["places"])
            self._file = self._aside.open("rb+", buffering=0)
            kept = list(self._whole(lines[1:]))
        except OSError as error:
            raise self._failed(error) from error
        self.rows = kept[-1]["rows"] if kept else 0
        self._write_log([lines[0], *kept])

    def _is_ours(self, first: Mapping[str, Any]) -> bool:
        """Say whether an unfinished file has these settings; raise if it must not be replaced."""
        before = first["settings"]
        differ = sorted(k for k in {*before, *self._settings}
                        if before.get(k) != self._settings.get(k))
        if differ and not self._overwrite:
            raise ArgumentError(
                str(self._aside), "an unfinished file with other settings lies there: "
                + ", ".join(f"{k}={before.get(k)!r}" for k in differ),
                "here " + ", ".join(f"{k}={self._settings.get(k)!r}" for k in differ),
                "Go on with the settings it was begun with, or begin anew with overwrite.")
        return not differ

    def _whole(self, lines: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield the journal's lines up to the first one whose rows are not in the file."""
        first = 0
        for line in lines:
            count = line["rows"] - first
            if not 0 < count <= self.shape[0] - first or self._stored(first, count) != line["crc"]:
                return
            first += count
            yield line

    def _stored(self, first: int, count: int) -> int:
        """Return the checksum of rows as they are in the file."""
        checksum = 0
        for place, one in zip(self._places, (self._buffer[0], self._labels[0]), strict=True):
            self._file.seek(place + first * one.nbytes)
            checksum = zlib.crc32(_read(self._file, count * one.nbytes), checksum)
        return checksum

    def _flush(self) -> None:
        if not self._waiting:
            return
        checksum = 0
        for rows in (self._buffer, self._labels):
            checksum = zlib.crc32(np.ascontiguousarray(rows[:self._waiting]).data, checksum)
        super()._flush()
        try:
            self._log.write(json.dumps({"rows": self.rows, "crc": checksum}).encode() + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def _write_log(self, lines: Sequence[Mapping[str, Any]]) -> None:
        with replacing(self._journal) as aside:
            aside.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        self._log = self._journal.open("ab", buffering=0)

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
        self._log = None


def _lines(journal: Path) -> list[dict[str, Any]]:
    """Return the lines of a journal up to one that was cut off; none where it is no journal."""
    found: list[dict[str, Any]] = []
    try:
        for line in journal.read_text("utf-8", "replace").splitlines():
            entry = json.loads(line)
            wanted = (("rows", int), ("crc", int)) if found else (("settings", dict),
                                                                  ("places", list))
            if not all(isinstance(entry[key], kind) for key, kind in wanted):
                break
            found.append(entry)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return found


def _read(file: IO[bytes], count: int) -> bytes:
    """Read so many bytes, fewer where the file ends."""
    parts = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
