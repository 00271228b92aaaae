"""Initial values of weights, by name or as objects.

An initializer is called with shape, element type and fans: the number of inputs and of outputs of
a unit, by which Glorot, He and LeCun scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import random
from ..errors import ShapeError
from ..spec import Shape
from .configurable import Configurable, lookup

Fans = tuple[float, float]


def fans(shape: Shape) -> Fans:
    """Return inputs and outputs per unit of a weight (..., inputs, outputs).

    >>> fans((3, 3, 16, 32))
    (144.0, 288.0)
    """
    if len(shape) < 2:
        return (float(math.prod(shape)),) * 2
    field = math.prod(shape[:-2])
    return float(field * shape[-2]), float(field * shape[-1])


class Initializer(Configurable):
    """Base of initializers: a subclass writes `draw`.

    Args:
        seed: makes every call give the same values; the default generator is used without.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Shape, dtype: np.dtype | str = "float32", fan: Fans | None = None
                 ) -> np.ndarray:
        rng = random.default.numpy() if self.seed is None else random.Generator(self.seed).numpy()
        return np.asarray(self.draw(rng, tuple(shape), fan or fans(shape)), dtype)

    def draw(self, rng: np.random.Generator, shape: Shape, fan: Fans) -> np.ndarray:
        """Return the values in float64."""
        raise NotImplementedError


class Constant(Initializer):
    """One value everywhere."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def __call__(self, shape: Shape, dtype: np.dtype | str = "float32", fan: Fans | None = None
                 ) -> np.ndarray:
        return np.full(shape, self.value, dtype)


class Zeros(Constant):
    """Zero everywhere."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """One everywhere."""

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
                 ) -> None:
        super().__init__(seed)
        self.minval, self.maxval = minval, maxval

    def draw(self, rng: np.random.Generator, shape: Shape, fan: Fans) -> np.ndarray:
        """Return the values in float64."""
        return rng.uniform(self.minval, self.maxval, shape)


class RandomNormal(Initializer):
    """Normal with a mean and a standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, stddev

    def draw(self, rng: np.random.Generator, shape: Shape, fan: Fans) -> np.ndarray:
        """Return the values in float64."""
        return rng.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal, with values beyond two standard deviations drawn again."""

    def draw(self, rng: np.random.Generator, shape: Shape, fan: Fans) -> np.ndarray:
        """Return the values in float64."""
        return self.mean + self.stddev * _truncated(rng, shape)


def _truncated(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values


class VarianceScaling(Initializer):
    """Values of variance scale / n, where n is the fan that `mode` names.

    Args:
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "uniform" in +-sqrt(3 scale / n), "truncated_normal" of that variance after
            truncation, or "untruncated_normal".
    """

    TRUNCATED_STD = 0.87962566103423978  # of a standard normal cut off at two deviations

    def __init__(self, scale: float = 1.0, mode: str = "fan_in",
                 distribution: str = "truncated_normal", seed: int | None = None) -> None:
        super().__init__(seed)
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def draw(self, rng: np.random.Generator, shape: Shape, fan: Fans) -> np.ndarray:
        """Return the values in float64."""
        count = {"fan_in": fan[0], "fan_out": fan[1], "fan_avg": sum(fan) / 2}[self.mode]
        std = math.sqrt(self.scale / max(count, 1.0))
        if self.distribution == "uniform":
            return rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, shape)
        if self.distribution == "untruncated_normal":
            return rng.normal(0.0, std, shape)
        return _truncated(rng, shape) * (std / self.TRUNCATED_STD)


def _scaled(name: str, doc: str, scale: float, mode: str, distribution: str
            ) -> type[VarianceScaling]:
    def __init__(self: VarianceScaling, seed: int | None = None) -> None:  # noqa: N807
        VarianceScaling.__init__(self, scale, mode, distribution, seed)

    return type(name, (VarianceScaling,), {"__init__": __init__, "__doc__": doc,
                                           "__module__": __name__})


GlorotUniform = _scaled("GlorotUniform", "Uniform in +-sqrt(6 / (fan_in + fan_out)) (Glorot and "
                        "Bengio 2010).", 1.0, "fan_avg", "uniform")
GlorotNormal = _scaled("GlorotNormal", "Truncated normal of variance 2 / (fan_in + fan_out) "
                       "(Glorot and Bengio 2010).", 1.0, "fan_avg", "truncated_normal")
HeUniform = _scaled("HeUniform", "Uniform in +-sqrt(6 / fan_in) (He et al. 2015).",
                    2.0, "fan_in", "uniform")
HeNormal = _scaled("HeNormal", "Truncated normal of variance 2 / fan_in (He et al. 2015).",
                   2.0, "fan_in", "truncated_normal")
LecunUniform = _scaled("LecunUniform", "Uniform in +-sqrt(3 / fan_in) (LeCun et al. 1998).",
                       1.0, "fan_in", "uniform")
LecunNormal = _scaled("LecunNormal", "Truncated normal of variance 1 / fan_in (LeCun et al. 1998).",
                      1.0, "fan_in", "truncated_normal")
TorchUniform = _scaled("TorchUniform", "Uniform in +-1 / sqrt(fan_in), what PyTorch gives kernels "
                       "and biases of linear and convolution layers.", 1 / 3, "fan_in", "uniform")


class Orthogonal(Initializer):
    """Rows or columns, whichever are fewer, orthonormal, times a gain (Saxe et al. 2014)."""

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def draw(self, rng: np.random.Generator, shape: Shape, fan: Fans) -> np.ndarray:
        """Return the values in float64."""
        if len(shape) < 2:
            raise ShapeError("Orthogonal", f"got shape {shape}", "expected two axes or more",
                             "Use another initializer.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


TABLE: dict[str, Callable[[], Initializer]] = {
    "zeros": Zeros, "ones": Ones, "constant": Constant, "uniform": RandomUniform,
    "random_uniform": RandomUniform, "normal": RandomNormal, "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal, "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal, "he_uniform": HeUniform, "he_normal": HeNormal,
    "lecun_uniform": LecunUniform, "lecun_normal": LecunNormal, "orthogonal": Orthogonal,
    "variance_scaling": VarianceScaling, "torch_uniform": TorchUniform,
}


def get(value: Any) -> Callable[[Shape, np.dtype, Fans], np.ndarray]:
    """Return an initializer by name; objects and functions of (shape, dtype, fans) pass.

    >>> get("zeros")((2, 2)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    return lookup("initializer", TABLE, value)
