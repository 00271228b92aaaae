"""Module: the base of every layer and model; it finds its weights, names itself, and is called."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..autograd.parameter import Parameter
from ..autograd.tape import at_place
from ..autograd.tensor import Tensor, TensorLike, as_tensor
from ..errors import ArgumentError, ShapeError
from ..spec import Shape, Spec, spec_of
from ..train.trainable import Trainable
from . import calls, constraints, initializers, regularizers
from .configurable import accepts, arguments_of
from .holder import Buffer, Holder
from .naming import snake_case
from .snapshot import Snapshot, snapshot
from .symbol import Symbol
from .tree import leaves, map_tree

ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]
PreHook = Callable[["Module", tuple[Any, ...]], Any]


class Module(Holder, Trainable):
    """Base of layers and models: assign parameters and modules to attributes, write `forward`.

    Args:
        name: the layer's name; models number unnamed layers "conv2d", "conv2d_1" and so on.
        trainable: False freezes the weights (see `trainable`).
        dtype: element type of the weights.

    Attributes:
        training: whether dropout, batch normalisation and their like act as in training.
        repeatable: `forward` makes the same op calls whenever its inputs have the same shapes, and
            does nothing else, so that `fit` and `predict` may replay what they recorded. A class of
            one's own says so itself.

    >>> from minidl.nn.core import Dense
    >>> class Net(Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = Dense(8, activation="relu")
    ...         self.out = Dense(2)
    ...
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x))
    >>> net = Net()
    >>> net(np.zeros((5, 3), "float32")).shape
    (5, 2)
    >>> list(net.named_parameters())
    ['hidden/kernel', 'hidden/bias', 'out/kernel', 'out/bias']
    """

    name: str | None = None
    named_by_user = False
    dtype = "float32"
    input_axes: int | None = None
    layout = ""
    repeatable = True
    _hooks: tuple[ForwardHook, ...] = ()
    _pre_hooks: tuple[PreHook, ...] = ()
    _seen: Any = None

    def __init__(self, name: str | None = None, trainable: bool = True, dtype: str = "float32",
                 **unknown: Any) -> None:
        if unknown:
            kind = type(self)
            raise ArgumentError(kind.__name__, f"got the unknown arguments {sorted(unknown)}",
                                f"expected {', '.join(arguments_of(kind))}", "Check the names; the "
                                "shape of the input goes into an Input in front of the model.")
        self.name = name
        self.named_by_user = name is not None
        self._trainable = trainable
        self.dtype = np.dtype(dtype).name

    # ---- for subclasses ----

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the output; every subclass writes this."""
        raise NotImplementedError(f"{type(self).__name__} has no forward method")

    def build(self, input_shape: Any) -> None:
        """Make the weights, now that the input's shape (of several inputs, a list) is known."""

    def add_weight(self, name: str, shape: Shape, initializer: Any = "glorot_uniform",
                   regularizer: Any = None, constraint: Any = None, trainable: bool = True,
                   fans: tuple[float, float] | None = None) -> Parameter:
        """Make a parameter, as attribute `name`, and return it.

        Args:
            fans: inputs and outputs per unit, for initializers; from the shape by default.
        """
        draw, penalty, limit = weight_options(initializer, regularizer, constraint)
        values = draw(shape, np.dtype(self.dtype), fans or initializers.fans(shape))
        weight = Parameter(values, name=name, trainable=trainable and self._trainable)
        weight.regularizer, weight.constraint = penalty, limit
        setattr(self, name, weight)
        return weight

    def register_buffer(self, name: str, values: TensorLike) -> Buffer:
        """Make a tensor that is saved with the model but not trained, as attribute `name`."""
        buffer = Buffer(values)
        setattr(self, name, buffer)
        return buffer

    def default_name(self) -> str:
        """Return the name that a model numbers unnamed layers of this kind by."""
        return snake_case(type(self).__name__)

    def snapshot(self) -> Snapshot | None:
        """Return what tells later whether a recorded call is still good, None if calls differ."""
        return snapshot(self)

    # ---- calling ----

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if _symbolic(inputs):
            from .graph import connect
            return connect(self, inputs, options)
        if calls.outermost():
            self._no_numbers(inputs)
            inputs = map_tree(self._as_input, inputs)
        path = calls.path_of(self)
        calls.enter(self, path)
        try:
            with at_place(self._place(path)):
                return self._run(inputs, options) if self.built else self._first(inputs, options)
        finally:
            calls.leave()

    def _run(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        for before in self._pre_hooks:
            changed = before(self, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        y = self.forward(*inputs, **options)
        for after in self._hooks:
            changed = after(self, inputs, y)
            y = y if changed is None else changed
        return y

    def _first(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Build and run; if that fails, leave the layer as unbuilt as it was."""
        before = set(vars(self))
        try:
            self._build_for(inputs)
            y = self._run(inputs, options)
        except BaseException:
            for made in set(vars(self)) - before:
                delattr(self, made)
            raise
        self.built, self._seen = True, map_tree(_spec, inputs)
        return y

    def _build_for(self, inputs: tuple[Any, ...]) -> None:
        shapes = map_tree(lambda x: x.shape if isinstance(x, Tensor) else None, inputs)
        shape = shapes[0] if shapes else ()
        if self.input_axes is not None and len(shape) != self.input_axes:
            raise ShapeError("", f"got an input of shape {shape}", f"expected {self.layout}",
                             f"The layer needs {self.input_axes} axes, the first is the batch.")
        self.build(shape)

    def _as_input(self, value: Any) -> Any:
        """Make a tensor of an array, where the model is; floating ones take the model's type."""
        if isinstance(value, Tensor) or not hasattr(value, "__array__"):
            return value
        x = as_tensor(value)
        x = x if x.dtype.kind != "f" or x.dtype == self.dtype else x.astype(self.dtype)
        return x.to(self.device)

    def _no_numbers(self, inputs: tuple[Any, ...]) -> None:
        """Raise for lists of numbers; a list stands for several inputs."""
        if any(isinstance(value, (list, tuple))
               and any(isinstance(leaf, (int, float)) for leaf in leaves(value))
               for value in inputs):
            raise ShapeError(self._place(""), "got a list of numbers",
                             "expected an array, or a list of arrays for several inputs",
                             'Make an array of it: np.array(x, "float32").')

    def _place(self, path: str) -> str:
        kind = type(self).__name__
        if path:
            return _layer_place(path, kind)
        name = self.name or self.default_name()
        return f'model "{name}" ({kind})' if self.named_children() else _layer_place(name, kind)

    def register_forward_hook(self, function: ForwardHook) -> Callable[[], None]:
        """Call `function(module, inputs, output)` after forward; a result replaces the output.

        Returns:
            A function that takes the hook away again.
        """
        self._hooks = (*self._hooks, function)
        return lambda: setattr(self, "_hooks", _without(self._hooks, function))

    def register_forward_pre_hook(self, function: PreHook) -> Callable[[], None]:
        """Call `function(module, inputs)` before forward; a result replaces the inputs.

        Returns:
            A function that takes the hook away again.
        """
        self._pre_hooks = (*self._pre_hooks, function)
        return lambda: setattr(self, "_pre_hooks", _without(self._pre_hooks, function))

    # ---- looking at it ----

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present name and so on, for JSON."""
        values = super().get_config()
        now = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype}
        return {**values, **{k: v for k, v in now.items() if accepts(type(self), k)}}

    def _architecture(self) -> dict[str, Any]:
        from .serialization import serialize
        return serialize(self)

    def compute_output_shape(self, input_shape: Any, dtype: str = "float32") -> Any:
        """Return the output's shape without computing it; layers are built on the way.

        Args:
            input_shape: with the batch; None there stands for any size. A list for several inputs.
        """
        from .shapes import output_shape
        return output_shape(self, input_shape, dtype)

    def summary(self, input_shape: Any = None, expand_nested: bool = False,
                print_fn: Callable[[str], Any] | None = None, batch_size: int = 32) -> None:
        """Print layers, output shapes, parameters, multiply-adds and memory.

        The peak memory is that of arrays in a step of `fit`, found by a rehearsal without values:
        with the loss and the optimizer that `compile` has set.

        Args:
            input_shape: without the batch; needed where the model has seen no input yet.
            expand_nested: list the layers of nested models, too.
            print_fn: takes the text instead of the screen.
            batch_size: samples in the step whose memory is predicted.
        """
        from .summary import summarize
        summarize(self, input_shape, expand_nested, batch_size).show(print_fn)

    def __getattr__(self, name: str) -> Any:
        hint = "" if self.built or name.startswith("_") else "; weights are made on the first call"
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")


def weight_options(initializer: Any, regularizer: Any = None, constraint: Any = None
                   ) -> tuple[Any, Any, Any]:
    """Return initializer, regularizer and constraint, each given by name or as it is."""
    return (initializers.get(initializer), regularizers.get(regularizer),
            constraints.get(constraint))


def _symbolic(inputs: tuple[Any, ...]) -> bool:
    """Say whether there are symbols among the inputs, that is, a graph is being built."""
    for value in inputs:
        if isinstance(value, Symbol):
            return True
        if isinstance(value, (list, tuple, dict)):
            return any(isinstance(leaf, Symbol) for leaf in leaves(inputs))
    return False


@lru_cache(1 << 12)
def _layer_place(name: str, kind: str) -> str:
    return f'layer "{name}" ({kind})'


def _spec(value: Any) -> Any:
    return spec_of(value.array) if isinstance(value, Tensor) else value


def stand_in(spec: Spec) -> Tensor:
    """Return a tensor of a shape and type that holds one element of memory."""
    return Tensor.own(np.broadcast_to(np.zeros((), spec.dtype), spec.shape))


def _without(functions: tuple[Any, ...], one: Any) -> tuple[Any, ...]:
    return tuple(f for f in functions if f is not one)
