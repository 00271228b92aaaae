"""`minidl predict NETWORK --weights FILE`: what a published network sees on photos."""

from __future__ import annotations

import argparse

import numpy as np

from ..data import read_image
from ..errors import ArgumentError
from ..models import imagenet
from ..models.origins import ORIGINS
from ..models.pretrained import Pretrained
from ..models.zoo import ENTRIES


def predict(arguments: argparse.Namespace) -> None:
    """Print the five most probable of ImageNet's classes for every image."""
    network = arguments.folder
    if network not in ORIGINS:
        raise ArgumentError("predict", f"got {network!r} with --weights",
                            f"expected one of {', '.join(ORIGINS)}",
                            "Leave --weights out to use a model of your own, in its folder.")
    trained = Pretrained.find(network, arguments.weights)
    model = ENTRIES[network].build(weights=trained)  # type: ignore[call-arg]
    origin = trained.origin.name if trained.origin else None
    height, width, _ = ENTRIES[network].input_shape
    for path in arguments.images:
        image = read_image(path, (height, width), "crop", interpolation=imagenet.INTERPOLATION)
        rows = model.eval()(imagenet.preprocess_input(image[None], network, origin)).numpy()
        _show(path, imagenet.decode_predictions(np.asarray(rows))[0])


def _show(path: str, classes: list[tuple[str, str, float]]) -> None:
    print(f"{path}:")
    for number, name, probability in classes:
        print(f"  {probability:.4f}  {name}  ({number})")
