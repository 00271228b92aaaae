"""What networks trained on ImageNet take and say: scaled pixels in, a thousand classes out.

`imagenet_classes.txt` has the classes of the ILSVRC 2012 in the order of the networks' outputs:
the WordNet number of the synset and its first word in WordNet 3.0, made unique in two cases
("crane bird", "maillot tank suit").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..data.pipeline import Draws
from ..errors import ArgumentError, ShapeError
from .origins import ORIGINS

CLASSES = 1000
INTERPOLATION = "bicubic"
"""How photos are brought to a network's size (see `data.read_image`)."""


@dataclass(frozen=True)
class Scaling:
    """y = (x - means) / divisors for pixels x from 0 to 255, by channel.

    Attributes:
        means, divisors: for R, G, B.
        bgr: whether the channels come out in the order B, G, R.
    """

    means: tuple[float, float, float]
    divisors: tuple[float, float, float] = (1, 1, 1)
    bgr: bool = False


SCALINGS = {
    "caffe": Scaling((123.68, 116.779, 103.939), bgr=True),
    "ilsvrc": Scaling((122.679, 116.669, 104.006), bgr=True),
    "torch": Scaling((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "tf": Scaling((127.5,) * 3, (127.5,) * 3),
    "lite": Scaling((127,) * 3, (128,) * 3),
}
"""By name. "caffe", "torch" and "tf" are those of Keras; "ilsvrc" takes the means of Caffe's own
mean image; "lite" is that of EfficientNet's lite variants."""


@dataclass(frozen=True)
class Preprocess:
    """Pixels scaled as the weights of a network want them: a step of a `Pipeline`.

    Args:
        network: a key of `origins.ORIGINS`.
        origin: whose weights it has, such as "keras" or "torch"; the network's first by default.

    >>> Preprocess("vgg16").scaling.bgr, Preprocess("vgg16", "torch").scaling.bgr
    (True, False)
    """

    network: str
    origin: str | None = None

    @property
    def scaling(self) -> Scaling:
        """The means and divisors.

        Raises:
            ArgumentError: the network has no published weights, or none of this origin.
        """
        known = ORIGINS.get(self.network)
        if known is None:
            raise ArgumentError("preprocess_input", f"got network={self.network!r}",
                                f"expected one of {', '.join(ORIGINS)}",
                                "Scale the images as the network's training did.")
        found = [o for o in known if self.origin in (None, o.name)]
        if not found:
            raise ArgumentError("preprocess_input", f"got origin={self.origin!r}", "expected "
                                f"{' or '.join(repr(o.name) for o in known)} for {self.network}",
                                "Change origin.")
        return SCALINGS[found[0].images]

    def __call__(self, images: np.ndarray, draws: Draws | None = None) -> np.ndarray:
        """Return float32 images of the same shape."""
        return preprocess_input(images, self.network, self.origin)


def preprocess_input(images: np.ndarray, network: str, origin: str | None = None) -> np.ndarray:
    """Return images scaled as the weights of a network want them, float32.

    Args:
        images: (N, H, W, 3) or (H, W, 3), RGB from 0 to 255, bytes or floats; they are not changed.
        network, origin: as for `Preprocess`.

    Raises:
        ShapeError: the last axis is not of length 3.

    >>> image = np.full((1, 1, 3), 255, np.uint8)
    >>> preprocess_input(image, "efficientnet_lite0", "timm").ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    images, scaling = np.asarray(images), Preprocess(network, origin).scaling
    if images.ndim < 3 or images.shape[-1] != 3:
        raise ShapeError("preprocess_input", f"got images of shape {images.shape}",
                         "expected (N, H, W, 3)", "Repeat the channel of grey images three times.")
    means, divisors = (np.array(v, np.float32) for v in (scaling.means, scaling.divisors))
    scaled = np.subtract(images, means, dtype=np.float32)
    scaled /= divisors
    return np.ascontiguousarray(scaled[..., ::-1]) if scaling.bgr else scaled


@cache
def class_names() -> tuple[tuple[str, str], ...]:
    """Return WordNet number and name of the classes, in the order of the networks' outputs.

    >>> class_names()[243]
    ('n02108422', 'bull mastiff')
    """
    text = (Path(__file__).parent / "imagenet_classes.txt").read_text("utf-8")
    return tuple((line[:9], line[10:]) for line in text.splitlines())


def decode_predictions(probabilities: np.ndarray | Sequence[Sequence[float]], top: int = 5
                       ) -> list[list[tuple[str, str, float]]]:
    """Return the most probable classes of each image: (WordNet number, name, probability).

    Args:
        probabilities: (N, 1000).
        top: how many of them, the most probable first; 1 to 1000.

    Raises:
        ShapeError: they are not (N, 1000).
        ArgumentError: `top` is out of range.

    >>> decode_predictions(np.eye(1000)[[1]], top=1)
    [[('n01443537', 'goldfish', 1.0)]]
    """
    rows = np.asarray(probabilities)
    if rows.ndim != 2 or rows.shape[1] != CLASSES:
        raise ShapeError("decode_predictions", f"got probabilities of shape {rows.shape}",
                         f"expected (N, {CLASSES})", "Other classes than ImageNet's have no names "
                         "here; for a single image write probabilities[None].")
    if not 1 <= top <= CLASSES:
        raise ArgumentError("decode_predictions", f"got top={top}", f"expected 1 to {CLASSES}",
                            "Change top.")
    best = np.argsort(-rows, axis=1, kind="stable")[:, :top]
    return [[(*class_names()[k], float(row[k])) for k in order]
            for row, order in zip(rows, best, strict=True)]
