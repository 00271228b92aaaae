"""Data sets that are published as one archive: where their folder is found, or fetched from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ..archive import is_archive, unpack, unpacked
from .download import cache_folder, download, md5_of


@dataclass(frozen=True)
class Published:
    """An archive with one folder in it.

    Args:
        name: of the data set.
        inner: the folder as the archive has it.
        needs: files and folders that are inside.
        mirrors: base URLs, each ending in a slash; none if it cannot be downloaded.
        file: name of the archive.
        md5: its sum.

    >>> Published("pets", "pets-v1", ("cat", "dog")).name
    'pets'
    """

    name: str
    inner: str
    needs: Sequence[str]
    mirrors: Sequence[str] = ()
    file: str = ""
    md5: str = ""

    def folder(self, data: str | os.PathLike[str] | None = None) -> Path:
        """Return the folder that holds `needs`.

        Args:
            data: this folder, one that holds it or the archive (in `name/` too), or the archive;
                None downloads the archive once and keeps its content in the user's cache.

        Raises:
            DataError: it is not there, or the archive is damaged or cannot be downloaded.

        >>> Published("pets", "pets-v1", ("cat", "dog")).folder("DIR")  # doctest: +SKIP
        PosixPath('DIR/pets-v1')
        """
        root = self._fetched() if data is None else Path(data)
        for place in self._places(root):
            if place.is_dir() and all((place / name).exists() for name in self.needs):
                return place
        wanted = ", ".join(self.needs) or "it"
        got = f"{root} lacks {wanted}" if root.exists() else f"there is no {root}"
        archive = f", or the archive {self.file}" if self.file else ""
        remedy = "; data=None (no --data) downloads it" if self.mirrors else ""
        raise DataError(self.name, got, f"expected {wanted} there or in {self.inner}/{archive}",
                        f"Put it there{remedy}.")

    def _places(self, root: Path) -> Iterator[Path]:
        yield from (root / self.name / self.inner, root / self.inner, root / self.name, root)
        for archive in (root, root / self.file, root / self.name / self.file):
            if is_archive(archive):
                folder = unpacked(archive, cache_folder(self.name))
                yield from (folder / self.inner, folder)

    def _fetched(self) -> Path:
        if not self.mirrors:
            raise DataError(self.name, "got no data", "expected the folder of the data set, as "
                            "there is no download for it", 'Write data="DIR".')
        folder = cache_folder(self.name) / "published"
        if not folder.is_dir():
            archive = cache_folder(self.name) / self.file
            if not archive.is_file() or md5_of(archive) != self.md5:
                download(self.name, self.mirrors, archive, self.md5)
            unpack(archive, folder)
            archive.unlink()
        return folder
