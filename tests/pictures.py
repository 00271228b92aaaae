"""Random images and trees of image files for tests of readers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(11)
REAL = Path(os.environ.get("MINIDL_DATA") or "none")


def needs(name: str) -> Any:
    """Return a mark that skips a test where real data of this name is missing."""
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason=f"MINIDL_DATA lacks {name}/")


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Return a random image."""
    return RNG.integers(0, 256, (height, width, channels), np.uint8)


def write(path: Path, image: np.ndarray | None = None, **options: Any) -> Path:
    """Write an image, by default a random one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels(6, 8) if image is None else image
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(path, **options)
    return path


def tree(root: Path, counts: dict[str, int]) -> Path:
    """Write so many images into a folder for each name."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            write(root / name / f"{number}.png")
    return root
