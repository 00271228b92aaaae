"""Where weights of the networks come from: how files name the layers, and what images they expect.

A network has an origin for every framework whose published weights it takes. The order is that of
preference: the first one is meant by `weights="imagenet"`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .blocks.residual import KERAS, TORCH


@dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
        url: its address.
        checksum: its md5 sum, or "sha256:" and the first digits of that sum.
    """

    url: str
    checksum: str


@dataclass(frozen=True)
class Origin:
    """A framework's naming of a network's weights, and what goes with it.

    Attributes:
        name: of the framework or release.
        mark: what the name of an array begins with in such files only.
        theirs: returns the file's name of one of our layers.
        images: what is done to pixels, a key of `imagenet.SCALINGS`.
        style: value of the network's argument `style` that computes the same.
        write: how this value is written.
        file, body: what is published, with and without the head.
    """

    name: str
    mark: str
    theirs: Callable[[str], str]
    images: str
    style: object = None
    write: str = ""
    file: File | None = None
    body: File | None = None

    def __repr__(self) -> str:
        return self.name


# ---- names ---------------------------------------------------------------------------------

_VGG_TORCH = dict(zip(
    [f"block{block}_conv{i}" for block, count in enumerate((2, 2, 3, 3, 3), 1)
     for i in range(1, count + 1)] + ["fc1", "fc2", "predictions"],
    [f"features.{i}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    + [f"classifier.{i}" for i in (0, 3, 6)], strict=True))
_FIRE_TORCH = dict(zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True))
_INVERTED = (1, 2, 2, 3, 3, 4, 1)  # blocks by stage of EfficientNet-Lite0


def _same(layer: str) -> str:
    return layer


def _resnet_torch(layer: str) -> str:
    """Return torchvision's name: conv3_block1_2_bn is layer2.0.bn2, its projection downsample."""
    known = {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"}
    found = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if not found:
        return known.get(layer, layer)
    stage, block, part, kind = found.groups()
    place = f"layer{int(stage) - 1}.{int(block) - 1}"
    return (f"{place}.downsample.{int(kind == 'bn')}" if part == "0" else f"{place}.{kind}{part}")


def _squeezenet_torch(layer: str) -> str:
    known = {"conv1": "features.0", "conv10": "classifier.1"}
    found = re.fullmatch(r"fire(\d)_(squeeze|expand1x1|expand3x3)\w*", layer)
    return f"features.{_FIRE_TORCH[int(found[1])]}.{found[2]}" if found else known.get(layer, layer)


def _squeezenet_caffe(layer: str) -> str:
    return layer.replace("_", "/")


def _efficientnet(ends: Mapping[str, str], parts: Mapping[str, str], first: Mapping[str, str],
                  place: Callable[[int, int], str]) -> Callable[[str], str]:
    """Return what names layers, from tables of the layers outside of blocks and inside of them.

    Args:
        first: changes to `parts` in the first block, which does not expand.
        place: of a block by stage and number, both from 0.
    """
    def theirs(layer: str) -> str:
        found = re.fullmatch(r"block(\d)([a-d])_(\w+)", layer)
        if not found:
            return ends.get(layer, layer)
        stage, number, part = int(found[1]) - 1, "abcd".index(found[2]), found[3]
        table = parts | first if stage == 0 else parts  # type: ignore[operator]
        return f"{place(stage, number)}.{table[part]}" if part in table else layer
    return theirs


_efficientnet_pytorch = _efficientnet(
    {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1",
     "predictions": "_fc"},
    {"expand_conv": "_expand_conv", "expand_bn": "_bn0", "dwconv": "_depthwise_conv",
     "bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2"}, {},
    lambda stage, number: f"_blocks.{sum(_INVERTED[:stage]) + number}")
_efficientnet_timm = _efficientnet(
    {"stem_conv": "conv_stem", "stem_bn": "bn1", "top_conv": "conv_head", "top_bn": "bn2",
     "predictions": "classifier"},
    {"expand_conv": "conv_pw", "expand_bn": "bn1", "dwconv": "conv_dw", "bn": "bn2",
     "project_conv": "conv_pwl", "project_bn": "bn3"},
    {"bn": "bn1", "project_conv": "conv_pw", "project_bn": "bn2"},
    lambda stage, number: f"blocks.{stage}.{number}")

# ---- the table -----------------------------------------------------------------------------

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_TORCH = "https://download.pytorch.org/models"
_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights"
_RESIDUAL = "style=minidl.models.blocks.residual"

ORIGINS: dict[str, Sequence[Origin]] = {
    "vgg16": (
        Origin("keras", "block1_conv1/", _same, "caffe", file=File(
            f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
            "64373286793e3c8b2b4e3219cbf3544b"), body=File(
            f"{_KERAS}/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "6d6bbae143d832006294945121d1f1fc")),
        Origin("torch", "features.0.", lambda layer: _VGG_TORCH.get(layer, layer), "torch",
               file=File(f"{_TORCH}/vgg16-397923af.pth", "sha256:397923af"))),
    "resnet50": (
        Origin("keras", "conv1_conv/", _same, "caffe", KERAS, f"{_RESIDUAL}.KERAS", File(
            f"{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
            "2cb95161c43110f7111970584f804107"), File(
            f"{_KERAS}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "4d473c1dd8becc155b73f8504c6f6626")),
        Origin("torch", "layer1.0.", _resnet_torch, "torch", TORCH, f"{_RESIDUAL}.TORCH",
               File(f"{_TORCH}/resnet50-0676ba61.pth", "sha256:0676ba61"))),
    "squeezenet": (
        Origin("torch", "features.0.", _squeezenet_torch, "torch", "torch", 'style="torch"',
               File(f"{_TORCH}/squeezenet1_1-b8a52dc0.pth", "sha256:b8a52dc0")),
        Origin("caffe", "fire2/squeeze1x1", _squeezenet_caffe, "ilsvrc")),
    "efficientnet_lite0": (
        Origin("timm", "conv_stem.", _efficientnet_timm, "tf",
               file=File(f"{_TIMM}/tf_efficientnet_lite0-0aa007d2.pth", "sha256:0aa007d2")),
        Origin("efficientnet-pytorch", "_conv_stem.", _efficientnet_pytorch, "lite")),
}
"""The known origins of every network that has published weights."""
