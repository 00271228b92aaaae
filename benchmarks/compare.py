"""Whether minidl and PyTorch compute the same: loss and gradients, dropout off.

In float64 they must agree nearly exactly, which shows that the networks are the same. In float32
they must agree as well as PyTorch's two memory formats agree with one another: a rounding error
that moves an input of ReLU across 0, or makes a max pool choose another element of nearly the same
value, changes gradients, by a thousandth in shallow networks and a per cent in deep ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

DOUBLE_LIMIT = 1e-6
LOSS_LIMIT, GRADIENT_LIMIT, SPREAD_FACTOR = 1e-5, 5e-3, 5.0
TF32_LOSS_LIMIT, TF32_GRADIENT_LIMIT = 1e-3, 1e-2


class Difference(NamedTuple):
    """Relative differences: norm of the difference over norm of the second side's values.

    Attributes:
        loss: of the loss; of the outputs, where nothing trains.
        gradients: of all gradients as one vector.
        worst: of the gradient of one weight; where that nearly vanishes (a bias before batch
            normalisation), relative to the typical element of all gradients.
        name: that weight.
    """

    loss: float
    gradients: float = 0.0
    worst: float = 0.0
    name: str = ""


class Check(NamedTuple):
    """The three comparisons of a network.

    Attributes:
        double: minidl and PyTorch in float64, few samples.
        single: minidl and PyTorch in float32, the batch that is timed.
        itself: PyTorch's two memory formats in float32.
    """

    double: Difference
    single: Difference
    itself: Difference

    @property
    def limit(self) -> float:
        """The largest difference of gradients in float32 that counts as the same."""
        return max(GRADIENT_LIMIT, SPREAD_FACTOR * self.itself.gradients)

    @property
    def loss_limit(self) -> float:
        """The largest difference of the loss, likewise."""
        return LOSS_LIMIT

    @property
    def good(self) -> bool:
        """Whether both compute the same."""
        return (max(self.double[:3]) <= DOUBLE_LIMIT and self.single.loss <= self.loss_limit
                and self.single.gradients <= self.limit)

    def need(self) -> None:
        """Raise unless both compute the same."""
        if not self.good:
            raise ValueError(f"minidl and PyTorch differ: {self}")

    def __str__(self) -> str:
        exact, single, itself = self
        if not exact.name:
            return f"outputs within {exact.loss:.0e} in float64, {single.loss:.0e} in float32"
        return (f"gradients within {exact.gradients:.0e} in float64 (worst {exact.worst:.0e}, "
                f"{exact.name}),\n  {single.gradients:.0e} in float32 (PyTorch's formats differ by "
                f"{itself.gradients:.0e}), loss within {single.loss:.0e}")

    def row(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {"float64": self.double.gradients or self.double.loss,
                "float32": self.single.gradients or self.single.loss,
                "loss": self.single.loss,
                "torch_itself": self.itself.gradients or self.itself.loss}


class RoundedCheck(Check):
    """The comparisons on a GPU, whose matrix units round what they multiply to TF32.

    `single` compares minidl with PyTorch in full float32, and `itself` PyTorch in TF32 with that:
    minidl may be off by a few times as much, and by a per cent in any case.
    """

    __slots__ = ()

    @property
    def limit(self) -> float:
        """The largest difference of gradients that counts as the same."""
        return max(TF32_GRADIENT_LIMIT, SPREAD_FACTOR * self.itself.gradients)

    @property
    def loss_limit(self) -> float:
        """The largest difference of the loss, or of the outputs."""
        return max(TF32_LOSS_LIMIT, SPREAD_FACTOR * self.itself.loss)

    def __str__(self) -> str:
        exact, single, itself = self
        if not exact.name:
            return (f"outputs within {exact.loss:.0e} in float64, {single.loss:.0e} in float32 "
                    f"(PyTorch's TF32: {itself.loss:.0e})")
        return (f"gradients within {exact.gradients:.0e} in float64 (worst {exact.worst:.0e}, "
                f"{exact.name}),\n  {single.gradients:.0e} in float32 (PyTorch's TF32: "
                f"{itself.gradients:.0e}), loss within {single.loss:.0e} ({itself.loss:.0e})")


def compare(first: Path, second: Path) -> Difference:
    """Compare what two checks wrote.

    Raises:
        ValueError: they wrote other names or shapes.
    """
    import numpy as np
    a, b = np.load(first), np.load(second)
    different = [n for n in sorted(set(a.files) | set(b.files))
                 if n not in a.files or n not in b.files or a[n].shape != b[n].shape]
    if different:
        raise ValueError(f"only one side has, or shapes differ: {', '.join(different)}")
    names = [name for name in a.files if name.startswith("gradient")]
    (result,) = (name for name in a.files if name not in names)
    gaps = {n: float(np.linalg.norm((a[n] - b[n]).astype("f8"))) for n in a.files}
    norms = {n: float(np.linalg.norm(b[n].astype("f8"))) for n in a.files}
    loss = gaps[result] / norms[result]
    if not names:
        return Difference(loss)
    total = float(np.linalg.norm([norms[n] for n in names]))
    typical = total / sum(b[n].size for n in names) ** 0.5
    errors = {n: gaps[n] / max(norms[n], typical * b[n].size**0.5) for n in names}
    worst = max(errors, key=errors.__getitem__)
    gradients = float(np.linalg.norm([gaps[n] for n in names])) / total
    return Difference(loss, gradients, errors[worst], worst.partition(" ")[2])
