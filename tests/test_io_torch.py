"""PyTorch's files: every network of the zoo from a state dict and back, and every kind of file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl.io import load_weights, save_torch
from minidl.models import resnet18, vgg16
from minidl.models.zoo import ENTRIES
from minidl.nn import Module

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from torch_mirror import mirror  # noqa: E402

nn = torch.nn
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning"),
              pytest.mark.filterwarnings("ignore::UserWarning"),
              pytest.mark.filterwarnings("ignore::FutureWarning")]
RNG = np.random.default_rng(8)

SMALLER: dict[str, dict[str, Any]] = {
    "alexnet": {"input_shape": (67, 67, 3)}, "vgg16": {"input_shape": (64, 64, 3), "classes": 10},
    "resnet18": {"input_shape": (64, 64, 3)}, "resnet34": {"input_shape": (64, 64, 3)},
    "resnet50": {"input_shape": (64, 64, 3)}}
"""Networks whose inputs, and with them the time, can be smaller."""
LARGE = 10_000_000  # parameters, from which on one way is tried only


# ---- the zoo -------------------------------------------------------------------------------


def shaken(module: Any) -> Any:
    """Give a module random weights and statistics that keep its values of the order of 1."""
    generator = torch.Generator().manual_seed(int(RNG.integers(2**31)))
    state = module.state_dict()
    for name, value in state.items():
        if value.dtype != torch.float32:
            continue
        noise = torch.empty_like(value).uniform_(-1, 1, generator=generator)
        if name.endswith("running_var"):
            value.copy_(1.5 + noise)
        elif value.ndim > 1:
            value.copy_(noise * (6 / value[0].numel()) ** 0.5)
        else:
            value.copy_(noise * 0.3 + (value.abs().mean() > 0.5))
    return module.eval()


def network(name: str) -> tuple[Module, Any, np.ndarray]:
    """Return a network, its mirror in PyTorch with other weights, and a batch for both."""
    entry = ENTRIES[name]
    model = entry.build(**SMALLER.get(name, {}))
    shape = SMALLER.get(name, {}).get("input_shape", entry.input_shape)
    words = name == "imdb_conv1d"
    batch = RNG.integers(0, 1000, (1, *shape)) if words else RNG.random((1, *shape), np.float32)
    twin = mirror(model, head=False)
    shaken(twin.module)
    return model.eval(), twin, batch


def theirs(module: Any, batch: np.ndarray) -> np.ndarray:
    """Return what PyTorch makes of a batch whose channels are last."""
    x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(batch, -1, 1)) if batch.ndim > 2
                         else batch)
    with torch.no_grad():
        return module(x).numpy()


def agree(ours: np.ndarray, wanted: np.ndarray) -> bool:
    """Say whether two outputs differ by 1e-5 of their scale at most."""
    return bool(np.abs(ours - wanted).max() <= 1e-5 * np.abs(wanted).max())


def nameless(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict whose parts are called by numbers alone."""
    parts = list(dict.fromkeys(name.rpartition(".")[0] for name in state))
    return {f"part{parts.index(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": value
            for name, value in state.items()}


@pytest.mark.parametrize("name", ENTRIES)
def test_zoo_from_torch(name: str, tmp_path: Path) -> None:
    """In order, and by names where they are the same."""
    model, twin, batch = network(name)
    wanted, state = theirs(twin.module, batch), twin.module.state_dict()
    for content in (nameless(state), state)[:1 if model.count_parameters() > LARGE else 2]:
        for parameter in model.parameters():
            parameter.assign(0.5)
        torch.save(content, tmp_path / "weights.pt")
        report = load_weights(model, tmp_path / "weights.pt")
        assert report.complete and f"all {len(report.rows)} arrays equal" in report.check
        assert agree(model(batch).numpy(), wanted)


@pytest.mark.parametrize("name", [n for n, e in ENTRIES.items() if e.parameters < LARGE])
def test_zoo_to_torch(name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file
    model, twin, batch = network(name)
    wanted = model(batch).numpy()
    names = {link.ours.rpartition("/")[0]: link.theirs.rpartition(".")[0] for link in twin.links}
    save_torch(model, tmp_path / "weights.safetensors", names)
    twin.module.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert agree(theirs(twin.module, batch), wanted)
    for parameter in model.parameters():
        parameter.assign(0.5)
    assert load_weights(model, tmp_path / "weights.safetensors").complete
    assert np.array_equal(model(batch).numpy(), wanted)


# ---- names of torchvision ------------------------------------------------------------------


class Block(nn.Module):  # type: ignore[misc, name-defined]
    """A basic block; `early` registers the projection before the main path."""

    def __init__(self, inputs: int, outputs: int, stride: int, early: bool) -> None:
        super().__init__()
        projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                   nn.BatchNorm2d(outputs))
        if early and stride > 1:
            self.downsample = projection
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        if not early and stride > 1:
            self.downsample = projection

    def forward(self, x: Any) -> Any:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (y + (self.downsample(x) if hasattr(self, "downsample") else x)).relu()


class ResNet(nn.Module):  # type: ignore[misc, name-defined]
    """ResNet-18 with the names of torchvision."""

    def __init__(self, early: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = [64, 64, 128, 256, 512]
        for i in range(1, 5):
            first = Block(widths[i - 1], widths[i], 1 if i == 1 else 2, early)
            setattr(self, f"layer{i}", nn.Sequential(first, Block(widths[i], widths[i], 1, early)))
        self.fc = nn.Linear(512, 10)

    def forward(self, x: Any) -> Any:
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3))).softmax(-1)


def torchvision_name(path: str) -> str:
    """Return torchvision's name of a layer of ours, conv3_block1_2_bn."""
    ends = {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"}
    if path in ends:
        return ends[path]
    stage, block, part, kind = path.split("_")
    inside = f"{kind}{part}" if part != "0" else f"downsample.{'01'[kind == 'bn']}"
    return f"layer{int(stage[-1]) - 1}.{int(block[-1]) - 1}.{inside}"


RESNETS = {  # how the file is made, names
    "in order": (False, "pt", None), "projection first": (True, "pt", None),
    "data parallel": (False, "module", None), "sorted": (False, "safetensors", None),
    "names": (True, "pt", torchvision_name)}


@pytest.mark.parametrize("case", RESNETS)
def test_resnet18_of_torchvision(case: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file
    early, form, names = RESNETS[case]
    twin, model = shaken(ResNet(early)), resnet18((64, 64, 3), 10).eval()
    batch = RNG.random((1, 64, 64, 3), np.float32)
    state = {f"module.{k}" if form == "module" else k: v for k, v in twin.state_dict().items()}
    (save_file if form == "safetensors" else torch.save)(state, tmp_path / "resnet18")
    report = load_weights(model, tmp_path / "resnet18", names)
    assert agree(model(batch).numpy(), theirs(twin, batch))
    found = {row.ours.rpartition("/")[0]: row.theirs.rpartition(".")[0] for row in report.rows}
    assert {ours: name.removeprefix("module.") for ours, name in found.items()} == {
        ours: torchvision_name(ours) for ours in found}
    if form == "pt":
        save_torch(model, tmp_path / "back", report.names)
        from safetensors.torch import load_file
        again = ResNet(early)
        again.load_state_dict(load_file(tmp_path / "back"))
        assert agree(theirs(again.eval(), batch), theirs(twin, batch))


def test_vgg16_of_torchvision(tmp_path: Path) -> None:
    """The names of torchvision, whose numbers count the layers without weights, too."""
    layers: list[Any] = []
    channels = 3
    for width in (64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3, "M"):
        layers += [nn.MaxPool2d(2)] if width == "M" else [nn.Conv2d(channels, width, 3, 1, 1),
                                                          nn.ReLU()]
        channels = channels if width == "M" else width  # type: ignore[assignment]
    body = shaken(nn.Sequential(*layers))
    torch.save({"state_dict": {f"features.{k}": v for k, v in body.state_dict().items()}},
               tmp_path / "vgg16.pth")
    model = vgg16((32, 32, 3), include_top=False)
    report = load_weights(model, tmp_path / "vgg16.pth")
    assert report.rows[-1].theirs == "features.28.bias"
    assert "taken from the entry 'state_dict'" in report.notes
    batch = RNG.random((1, 32, 32, 3), np.float32)
    assert agree(np.moveaxis(model(batch).numpy(), -1, 1), theirs(body, batch))
