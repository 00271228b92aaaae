"""The optimizers, with Keras 3's formulas and defaults.

In the formulas p is a parameter, g its gradient, r the learning rate and t the number of the
update, counted from 1. All take the options of `Optimizer` as well.
"""

from __future__ import annotations

from typing import Any, Unpack

from ..errors import ArgumentError
from ..ops.update.formulas import nadam_momentum
from . import schedules
from .optimizer import Optimizer, Options
from .settings import checked


class SGD(Optimizer):
    """Stochastic gradient descent: p - r g; with momentum v = momentum v - r g and p + v.

    Nesterov's form is p + momentum v - r g with the new v (Sutskever et al. 2013). The learning
    rate stands inside v, as in Keras; PyTorch multiplies by it outside, which is the same as long
    as the learning rate does not change.

    Args:
        time_decay: divide the learning rate by 1 + time_decay t, t counted from 0.

    >>> SGD(0.1, momentum=0.9).get_config()["momentum"]
    0.9
    """

    op = "sgd"

    def __init__(self, learning_rate: Any = 0.01, momentum: float = 0.0, nesterov: bool = False,
                 time_decay: float = 0.0, **options: Unpack[Options]) -> None:
        if checked("SGD", {"time_decay": time_decay})["time_decay"]:
            rate = schedules.get(learning_rate)
            if isinstance(rate, schedules.Schedule):
                raise ArgumentError("SGD", "got a schedule and time_decay", "expected one of them",
                                    "Leave time_decay out.")
            learning_rate = schedules.TimeDecay(rate, time_decay)
        super().__init__(learning_rate, {"momentum": momentum, "nesterov": nesterov}, **options)


class RMSprop(Optimizer):
    """s = rho s + (1 - rho) g^2, then p - r g / sqrt(s + epsilon) (Hinton's lectures, 2012).

    With `centered`, the square of a moving average of g is taken from s (Graves 2013). With
    momentum, the step is v = momentum v + r g / sqrt(s + epsilon). Epsilon stands inside the root,
    as in Keras; in PyTorch it stands outside.
    """

    op = "rmsprop"

    def __init__(self, learning_rate: Any = 0.001, rho: float = 0.9, momentum: float = 0.0,
                 epsilon: float = 1e-7, centered: bool = False,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, {"rho": rho, "momentum": momentum, "epsilon": epsilon,
                                         "centered": centered}, **options)


class Adam(Optimizer):
    """p - c r m / (sqrt(s) + epsilon) with moving averages m of g and s of g^2.

    m = beta_1 m + (1 - beta_1) g and s = beta_2 s + (1 - beta_2) g^2, both from 0;
    c = sqrt(1 - beta_2^t) / (1 - beta_1^t) corrects for that start. This is the form at the end of
    section 2 of the paper, as in Keras; the same epsilon counts for more in the paper's algorithm
    and in PyTorch, where it is added to sqrt(s / (1 - beta_2^t)).

    Args:
        amsgrad: use the largest s so far (Reddi et al. 2018).

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
    """

    op = "adam"

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, amsgrad: bool = False, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon,
                                         "amsgrad": amsgrad}, **options)


class AdamW(Adam):
    """Adam with weight decay: first p - r weight_decay p, then the step of Adam.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, amsgrad: bool = False, **options: Unpack[Options]) -> None:
        options.setdefault("weight_decay", 0.004)
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, **options)


class Nadam(Optimizer):
    """Adam with Nesterov momentum and a momentum that grows: u_t = beta_1 (1 - 0.96^t / 2).

    With m and s as in Adam and P_t = u_1 u_2 ... u_t, the step is p - r n / (sqrt(s') + epsilon),
    n = u_(t+1) m / (1 - P_(t+1)) + (1 - u_t) g / (1 - P_t) and s' = s / (1 - beta_2^t). PyTorch's
    exponent is 0.004 t by default; `momentum_decay=1` there is this one.

    Source: Dozat, "Incorporating Nesterov momentum into Adam", 2016.
    """

    op = "nadam"

    def __init__(self, learning_rate: Any = 0.001, beta_1: float = 0.9, beta_2: float = 0.999,
                 epsilon: float = 1e-7, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon},
                         **options)
        self.hyper[2] = 1.0

    def advance(self) -> None:
        """Write learning rate, number and momenta before the next step into `hyper`."""
        super().advance()
        if self.iterations > 1:
            self.hyper[2] *= nadam_momentum(self.settings["beta_1"], self.iterations - 1)


class Adagrad(Optimizer):
    """s = s + g^2, then p - r g / sqrt(s + epsilon); s starts from initial_accumulator_value.

    Epsilon stands inside the root, as in Keras; in PyTorch it stands outside.

    Source: Duchi et al., "Adaptive subgradient methods", 2011.
    """

    op = "adagrad"

    def __init__(self, learning_rate: Any = 0.001, initial_accumulator_value: float = 0.1,
                 epsilon: float = 1e-7, **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, {"epsilon": epsilon}, **options)
        start = {"initial_accumulator_value": initial_accumulator_value}
        self.initial_accumulator_value: float = checked("Adagrad", start)[
            "initial_accumulator_value"]

    def initial(self, slot: str) -> float:
        """Return the value that the sums of squares start from."""
        return self.initial_accumulator_value

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal optimizer, as JSON can hold them."""
        return {**super().get_config(),
                "initial_accumulator_value": self.initial_accumulator_value}


class Adadelta(Optimizer):
    """s = rho s + (1 - rho) g^2, d = g sqrt(e + epsilon) / sqrt(s + epsilon), then p - r d.

    e is the same moving average of d^2. The paper's r is 1.

    Source: Zeiler, "ADADELTA: an adaptive learning rate method", 2012.
    """

    op = "adadelta"

    def __init__(self, learning_rate: Any = 0.001, rho: float = 0.95, epsilon: float = 1e-7,
                 **options: Unpack[Options]) -> None:
        super().__init__(learning_rate, {"rho": rho, "epsilon": epsilon}, **options)
