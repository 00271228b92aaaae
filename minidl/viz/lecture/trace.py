"""One sample through a model and back: every layer call, its values, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ... import config, dispatch
from ...autograd.tensor import Tensor
from ...errors import ArgumentError, ShapeError
from ...ops.lift import lifted_attrs
from ...watch import PRODUCTS, hooked, mode, multiply_adds
from .loss import Loss, loss_of

WINDOWED = (*PRODUCTS, "max_pool", "average_pool")  # how the names of ops begin that do the work


@dataclass
class Value:
    """What lies between layers.

    Attributes:
        array: without the batch.
        gradient: of the loss, of the same shape; None where backward does not come.
    """

    array: np.ndarray
    gradient: np.ndarray | None = None

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Shape as an image (H, W, C): a vector is one pixel, a sequence one row.

        >>> Value(np.zeros(5)).map_shape, Value(np.zeros((7, 2))).map_shape
        ((1, 1, 5), (1, 7, 2))
        """
        shape = self.array.shape
        height = int(np.prod(shape[:-2], dtype=int)) if len(shape) > 2 else 1
        return height, shape[-2] if len(shape) > 1 else 1, shape[-1] if shape else 1

    @property
    def as_map(self) -> np.ndarray:
        """The array as an image (H, W, C)."""
        return self.array.reshape(self.map_shape)


@dataclass
class Step:
    """One call of a layer.

    Attributes:
        layer: the module; None for the input, and for what a model computes between layers.
        inputs: numbers of values.
        output: number of a value; of several, the first.
        attrs: of the op that does the layer's work, such as strides and padding in numbers.
        gradients: of the weights, by their names in the layer.
    """

    name: str
    layer: Any
    inputs: list[int]
    output: int
    multiply_adds: int = 0
    attrs: Mapping[str, Any] = field(default_factory=dict)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass
class Trace:
    """All steps in the order of computation; the first is the input."""

    steps: list[Step]
    values: list[Value]
    loss: Loss


def walk(model: Any, sample: Any, label: int | None = None) -> Trace:
    """Run a model in use on one sample, forward and backward; the model stays as it was.

    Args:
        sample: without the batch axis, or with one of length 1.
        label: of the sample; the predicted one by default.

    Raises:
        ArgumentError: there is no such class, or the model takes several inputs.
        ShapeError: it is not one sample.
    """
    x = Tensor(_batch_of_one(model, sample), requires_grad=True)
    watch = _Watch(model, x)
    with ExitStack() as stack:
        for block in (mode(model, training=False), _own_gradients(model), config.enable_grad()):
            stack.enter_context(block)
        with watch.hooks():
            y = model(x)
        loss = loss_of(next(_tensors(y)), label)
        watch.listen()
        if loss.tensor.node is not None:
            loss.tensor.backward()
        watch.values[0].gradient = None if x.grad is None else np.array(x.grad.array[0])
        for step in watch.steps:
            step.gradients = _gradients(step.layer)
    return Trace(watch.steps, watch.values, loss)


def _batch_of_one(model: Any, sample: Any) -> np.ndarray:
    array = np.asarray(sample)
    array = array.astype(getattr(model, "dtype", "float32"), copy=False)
    wanted = _input_shape(model)
    if isinstance(wanted, list):
        raise ArgumentError("lecture_view", f"the model takes {len(wanted)} inputs", "expected one",
                            "Show a part of it: model.up_to(layer).")
    axes = len(wanted) if wanted else 4
    if array.ndim == axes - 1:
        return array[None]
    if array.ndim != axes or len(array) != 1:
        raise ShapeError("lecture_view", f"got a sample of shape {array.shape}",
                         f"expected {tuple(wanted or '(H, W, C)')[1:] if wanted else '(H, W, C)'}",
                         "Give one sample, such as x[0].")
    return array


def _input_shape(model: Any) -> Any:
    """Return the shape of the input with the batch, a list for several, None if unknown."""
    try:
        return model.input_shape
    except Exception:
        return getattr(model._seen[0], "shape", None) if model._seen else None


class _Watch:
    """Collects steps while a model runs: module hooks open and close them, ops fill them."""

    def __init__(self, model: Any, x: Tensor) -> None:
        known = {path or _own_name(m): m for path, m in model.named_modules().items()
                 if not m.named_children()}
        self.names = {id(module): path for path, module in known.items()}
        self.modules = list(known.values())
        self.tensors: list[Tensor] = []
        self.values: list[Value] = []
        self.numbers: dict[int, int] = {}
        self.work: list[tuple[str, int, Mapping[str, Any]]] = []
        self.steps = [Step("input", None, [], self._number(x))]

    def hooks(self) -> AbstractContextManager[None]:
        """Watch inside the block."""
        return hooked(self.modules, self._before, self._after, self._op)

    def listen(self) -> None:
        """Let the gradient of every value be kept in backward."""
        for tensor, value in zip(self.tensors, self.values, strict=True):
            if tensor.node is not None:
                tensor.register_hook(_keeper(value))

    def _number(self, tensor: Tensor) -> int:
        if id(tensor) not in self.numbers:
            self.numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
            self.values.append(Value(np.array(tensor.array[0])))
        return self.numbers[id(tensor)]

    def _before(self, module: Any, inputs: tuple[Any, ...]) -> None:
        for tensor in _tensors(inputs):
            if id(tensor) not in self.numbers:
                self.steps.append(Step("(between layers)", None, [], self._number(tensor)))
        self.work = []

    def _op(self, call: dispatch.Call, compute: Callable[[], None]) -> None:
        compute()
        name, attrs = call.plan.op.name, call.plan.attrs
        self.work.append((name, multiply_adds(call),
                          lifted_attrs(attrs) if "1d" in name else attrs))

    def _after(self, module: Any, inputs: tuple[Any, ...], y: Any) -> None:
        outputs = [self._number(tensor) for tensor in _tensors(y)]
        given = [self._number(tensor) for tensor in _tensors(inputs)]
        attrs = next((a for name, _, a in self.work if name.startswith(WINDOWED)), {})
        if outputs:
            self.steps.append(Step(self.names[id(module)], module, given, outputs[0],
                                   sum(count for _, count, _ in self.work), attrs))
        self.work = []


def _own_name(module: Any) -> str:
    return module.name or module.default_name()


def _keeper(value: Value) -> Callable[[Tensor], None]:
    def keep(gradient: Tensor) -> None:
        value.gradient = np.array(gradient.array[0])

    return keep


def _tensors(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors in lists, tuples and dicts."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(part)


def _gradients(layer: Any) -> dict[str, np.ndarray]:
    parameters = layer.named_parameters() if layer is not None else {}
    return {name: np.array(p.grad.array) for name, p in parameters.items() if p.grad is not None}


@contextmanager
def _own_gradients(model: Any) -> Iterator[None]:
    """Put the gradients of the weights aside for the block."""
    before = [(parameter, parameter.grad) for parameter in model.parameters()]
    for parameter, _ in before:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient
