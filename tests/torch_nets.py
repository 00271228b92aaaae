"""Published networks as PyTorch modules whose weights have torchvision's names."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def vgg16(pixels: int) -> nn.Module:
    """Return the network for images whose last map has so many pixels."""
    layers: list[nn.Module] = []
    channels = 3
    for step in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        if step:
            layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
            channels = step
        else:
            layers += [nn.MaxPool2d(2)]
    dense = nn.Sequential(
        nn.Linear(512 * pixels, 4096), nn.ReLU(), nn.Dropout(),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000))
    return nn.ModuleDict({"features": nn.Sequential(*layers), "classifier": dense})


class Fire(nn.Module):
    """The module of SqueezeNet."""

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Any) -> Any:
        """Return both expansions side by side."""
        x = self.squeeze(x).relu()
        return torch.cat([self.expand1x1(x).relu(), self.expand3x3(x).relu()], 1)


def squeezenet() -> nn.Module:
    """Return SqueezeNet 1.1."""
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.ModuleDict({
        "features": nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(),
            Fire(128, 32, 128), Fire(256, 32, 128), pool(), Fire(256, 48, 192), Fire(384, 48, 192),
            Fire(384, 64, 256), Fire(512, 64, 256)),
        "classifier": nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU(),
                                    nn.AdaptiveAvgPool2d(1), nn.Flatten())})


class Bottleneck(nn.Module):
    """The block of ResNet50."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = nn.Sequential(
            nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width)
        ) if stride > 1 or channels != 4 * width else None

    def forward(self, x: Any) -> Any:
        """Return relu(f(x) + shortcut)."""
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(y)) + (self.downsample(x) if self.downsample else x)).relu()


def resnet50() -> nn.Module:
    """Return ResNet50."""
    parts: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, 64, 7, 2, 3, bias=False),
                                   "bn1": nn.BatchNorm2d(64), "relu": nn.ReLU(),
                                   "maxpool": nn.MaxPool2d(3, 2, 1)}
    channels = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        width, blocks = 64 << stage, []
        for number in range(count):
            blocks.append(Bottleneck(channels, width, 2 if stage and not number else 1))
            channels = 4 * width
        parts[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    parts["avgpool"], parts["flatten"] = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    parts["fc"] = nn.Linear(2048, 1000)
    return nn.ModuleDict(parts)


def outputs(net: nn.ModuleDict, x: Any) -> Any:
    """Return probabilities for images with channels last."""
    y = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        for part in net.values():
            first = part[0] if isinstance(part, nn.Sequential) else part
            y = part(y.flatten(1) if isinstance(first, nn.Linear) else y)
    return y.softmax(1).numpy()


def drawn(net: nn.Module, seed: int) -> nn.Module:
    """Return the net for inference, with random weights and statistics large enough to matter."""
    torch.manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if tensor.ndim > 1:
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if "running_var" in name or "weight" in name else (
                tensor.uniform_(-0.2, 0.2))
    return net.eval()
