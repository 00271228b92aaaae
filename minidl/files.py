"""Files that are whole or absent: written aside, brought to the disk, and renamed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import CheckpointError

REMEDIES = {
    errno.ENOSPC: "The disk is full; free some space, or save elsewhere.",
    errno.EFBIG: "The file would exceed the size limit; save elsewhere.",
    errno.EACCES: "No permission; save into a folder of your own.",
    errno.EPERM: "No permission; save into a folder of your own.",
    errno.EROFS: "That disk is read-only; save elsewhere.",
    errno.ENOTDIR: "A part of the path is a file; choose another path.",
    errno.EISDIR: "There is a folder of that name; choose another path.",
}


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a file name in the same folder; what was written there replaces `target` at once.

    Whatever goes wrong, a file that was there before stays as it was.

    Raises:
        CheckpointError: the file cannot be written.
    """
    aside = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
        mode = aside.stat().st_mode  # as the user's umask has it; safetensors makes private files
        yield aside
        aside.chmod(mode)
        publish(aside, target)
    except BaseException as error:
        with suppress(OSError):  # where the folder itself is missing, nothing was written
            aside.unlink(missing_ok=True)
        if isinstance(error, Exception):
            raise _cannot_write(target, error) from error
        raise


def publish(aside: Path, target: Path) -> None:
    """Bring a finished file to the disk and let it replace `target`, in the same folder."""
    _sync(aside)
    os.replace(aside, target)
    _sync_folder(target.parent)


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the renaming last through a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _cannot_write(target: Path, error: Exception) -> CheckpointError:
    reason = getattr(error, "strerror", None) or str(error)
    remedies = [remedy for code, remedy in REMEDIES.items()
                if getattr(error, "errno", None) == code or f"os error {code}" in str(error)]
    return CheckpointError(str(target), f"cannot be written: {reason}", "",
                           remedies[0] if remedies else "What was saved there before is unchanged.")
