"""Fetching published files once, with a checksum, into a folder of the user's."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DataError

TIMEOUT = 30.0
"""Seconds that a server may stay silent before the next mirror is tried."""

_SHA = "sha256:"
_ANOTHER_WAY = ("Check the network; or get the files in another way and name the folder they are "
                'in: load_data(data="DIR"), on the command line --data DIR.')


def cache_folder(name: str) -> Path:
    """Return the folder that downloads of this data set are kept in; it need not exist.

    It lies in the user's cache folder as the platform has it; the environment variable
    MINIDL_CACHE names another place.

    >>> cache_folder("mnist").name
    'mnist'
    """
    place = os.environ.get("MINIDL_CACHE") or _pooch().os_cache("minidl")
    return Path(place).expanduser() / name


def md5_of(path: Path, unpacked: bool = False) -> str:
    """Return the md5 sum of a file, or of what it holds if it is gzip and `unpacked` is set.

    >>> from minidl.data.datasets.digits import FOLDER
    >>> len(md5_of(FOLDER / "t10k-labels-idx1-ubyte.gz", unpacked=True))
    32
    """
    sums = partial(hashlib.md5, usedforsecurity=False)
    with gzip.open(path) if unpacked else path.open("rb") as file:
        return hashlib.file_digest(file, sums).hexdigest()


def checksum_of(path: Path, like: str, unpacked: bool = False) -> str:
    """Return the checksum of a file in the form of another one.

    Args:
        like: an md5 sum; or "sha256:" and as many of that sum's first digits as are to be returned.
        unpacked: sum up what the file, a gzip, holds (md5 only).
    """
    if not like.startswith(_SHA):
        return md5_of(path, unpacked)
    with path.open("rb") as file:
        digits = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{_SHA}{digits[:len(like) - len(_SHA)]}"


def download(where: str, mirrors: Sequence[str], target: Path, checksum: str,
             unpacked: bool = False, remedy: str = _ANOTHER_WAY) -> None:
    """Fetch `target.name` from the first mirror that gives the right file, and put it at `target`.

    Nothing is left at `target`, nor beside it, unless the whole file came and its sum is right.

    Args:
        where: name of the data set, for messages.
        mirrors: base URLs, each ending in a slash, tried in turn.
        checksum: expected, as in `checksum_of`; of the gzip file's content if `unpacked` is set.
        remedy: what to do where there is no network, for the error.

    Raises:
        DataError: no mirror gave the file, or the folder cannot be written.

    >>> download("mnist", ["https://example.org/mnist/"],
    ...          cache_folder("mnist") / "train.gz", "0" * 32)  # doctest: +SKIP
    """
    _make_folder(where, target.parent)
    failures = []
    for base in mirrors:
        failure = _fetch(base + target.name, target, checksum, unpacked)
        if failure is None:
            return
        failures.append(f"{base + target.name}: {failure}")
    raise DataError(where, f"could not download {target.name} ({'; '.join(failures)})",
                    "one of these addresses should have given the published file",
                    remedy)


def _pooch() -> Any:
    import pooch  # type: ignore[import-untyped, unused-ignore]  # 0.1 s, so not at the top

    return pooch


def _make_folder(where: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(where, f"cannot make the cache folder {folder} ({error.strerror})",
                        "expected a place that can be written",
                        "Set the environment variable MINIDL_CACHE to another folder.") from error


def _fetch(url: str, target: Path, checksum: str, unpacked: bool) -> str | None:
    """Return None if the file is in place now, else what went wrong."""
    fetch = _pooch().HTTPDownloader(chunk_size=1 << 16, timeout=TIMEOUT)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="part-") as folder:
            part = Path(folder) / target.name
            fetch(url, str(part), None)
            came = checksum_of(part, checksum, unpacked)
            if came != checksum:
                kind = "" if came.startswith(_SHA) else "md5 "
                return f"came with {kind}{came} instead of {checksum}"
            os.replace(part, target)
    except (OSError, EOFError, zlib.error) as error:  # those of requests are OSErrors
        status = getattr(getattr(error, "response", None), "status_code", None)
        return f"answered {status}" if status else f"{type(error).__name__}"
    return None
