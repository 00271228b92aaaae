"""The folder of a run: what `train` writes, and what `evaluate`, `predict` and `--resume` read.

run.json           the settings, written first
mean.safetensors   what is subtracted from every image, where something is
features/          what a trained network makes of the images, in HDF5 files
checkpoints/       everything that an exact continuation needs
history.json/.png  figures of every epoch
model.safetensors  the trained model, with model.json beside it
classifier...      of a logistic regression: what it is, in safetensors and JSON
report.json        the result, written last
member-1/ ...      of an ensemble: a folder like this for each member, in place of the model
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, DataError
from ..files import replacing
from ..train.checkpoint import read_file, save_file
from ..train.ensemble import member_folders

WRITTEN = ("run.json", "checkpoints", "history.json", "history.png", "model.safetensors",
           "model.json", "report.json")
MEAN = "mean.safetensors"  # where something is subtracted from all images
OF_FEATURES = ("features", "classifier.safetensors", "classifier.json")  # of a network's features
ADDED = ("confusion.png", "classification.txt")  # by `minidl evaluate --report`


class RunFolder:
    """Paths and small files of a run.

    Args:
        path: the folder; it need not exist.

    >>> RunFolder("runs/demo").model.name
    'model.safetensors'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model.safetensors"
        self.features = self.path / "features"
        self._mean = self.path / MEAN

    def prepare(self) -> None:
        """Make the folder, and see that it can be written.

        Raises:
            CheckpointError: there is a file in the way, or no permission, or no room.
        """
        probe = self.path / ".probe"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
            raise CheckpointError(str(self.path), _obstacle(self.path, error),
                                  "expected a folder that can be written",
                                  "Name another one with --out.") from error

    def begun(self) -> bool:
        """Say whether a run was written here, finished or not."""
        return any((self.path / name).exists() for name in WRITTEN)

    def clear(self) -> None:
        """Remove what an earlier run wrote; other files stay."""
        for name in (*WRITTEN, MEAN, *OF_FEATURES, *ADDED):
            place = self.path / name
            if place.is_dir():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)

    # ---- small files ----

    def write(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write a JSON file; one of this name is replaced once the new one is complete.

        Raises:
            CheckpointError: it cannot be written.
        """
        return write_json(self.path / name, content)

    def write_mean(self, mean: np.ndarray) -> np.ndarray:
        """Keep what is subtracted from every image, and return it."""
        save_file(self._mean, {"mean": mean}, {})
        return mean

    def mean(self) -> np.ndarray | None:
        """Return what is subtracted from every image, None where nothing is kept.

        Raises:
            CheckpointError: the file is damaged.
        """
        return read_file(self._mean)[0]["mean"] if self._mean.is_file() else None

    def settings(self) -> dict[str, Any]:
        """Return what the run was started with.

        Raises:
            DataError: there is no such folder, or no run was written into it.
        """
        if self.path.is_file():
            raise DataError(str(self.path), "is a file",
                            "expected the folder that `minidl train` wrote",
                            f"Name the folder: {self.path.parent}")
        if not self.path.is_dir():
            raise DataError(str(self.path), "there is no such folder",
                            "expected one that `minidl train` wrote", "Check the path.")
        return self._read("run.json", "No run was written here; `minidl demo` makes runs/demo.")

    def members(self, count: int) -> list[RunFolder]:
        """Return the folders of the members of an ensemble."""
        return [RunFolder(place) for _, place in member_folders(self.path, count)]

    def need_models(self) -> list[Path]:
        """Return the file of the trained model, or those of an ensemble's members.

        Raises:
            DataError: one is missing, or not there yet.
        """
        settings = self.settings()
        count = settings.get("members", 1)
        found = [self.model] if count == 1 else [m.model for m in self.members(count)]
        for file in found:
            if not file.is_file():
                go_on = f"minidl train {settings.get('name')} --out {self.path} --resume"
                raise DataError(str(file.parent), "holds no trained model (model.safetensors)",
                                "expected a run that was trained to its end",
                                f"Go on with: {go_on}")
        return found

    def _read(self, name: str, remedy: str) -> dict[str, Any]:
        file = self.path / name
        try:
            return dict(json.loads(file.read_text("utf-8")))
        except FileNotFoundError:
            raise DataError(str(self.path), f"holds no {name}",
                            "expected a folder that `minidl train` wrote", remedy) from None
        except (ValueError, TypeError) as error:
            raise DataError(str(file), f"is damaged ({error})", "expected JSON",
                            "Train again.") from error


def _obstacle(path: Path, error: OSError) -> str:
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            return "is a file" if place == path else f"{place} is a file"
    return f"cannot be written: {error.strerror}"


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a dict as JSON; a file of this name is replaced once the new one is complete.

    Raises:
        CheckpointError: it cannot be written.
    """
    with replacing(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    return path
