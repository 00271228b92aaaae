"""The tensor: an array, whether it needs a gradient, and the call that made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from .. import dispatch
from ..backend import device as devices
from ..backend.arrays import HOST, device_of
from ..backend.device import to_host
from ..errors import AutogradError, DTypeError, ShapeError
from ..spec import Shape, is_float
from . import tape
from .guard import Storage
from .values import array_of, converted, like, write

Scalar = int | float | bool
TensorLike = Any  # a Tensor, an array, a number, or nested lists of numbers


class Tensor:
    """An array with a gradient.

    Args:
        data: array, number or nested list. An array is not copied; Python floats become float32.
        requires_grad: whether `backward` fills `.grad`; for floating types only.
        dtype: element type to convert to.

    Attributes:
        array: the NumPy array, or that of another device, as the engine uses it; changes to it
            are not noticed, so write through `assign`, `data` or `numpy()` instead.
        grad: gradient as a Tensor of the same shape after `backward`, else None.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.numpy()
    array([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("__weakref__", "array", "grad", "hooks", "node", "requires_grad", "storage")
    __array_ufunc__ = None  # NumPy leaves array + tensor to the tensor

    def __init__(self, data: TensorLike, requires_grad: bool = False,
                 dtype: str | np.dtype | type | None = None) -> None:
        given = array_of(data)
        plain = isinstance(data, (int, float, list, tuple)) and not isinstance(data, np.generic)
        if dtype is None:
            own = given.dtype.newbyteorder("=")  # files may hold the other byte order
            dtype = np.float32 if plain and own == np.float64 else own
        if given.dtype.kind not in "fiub" and not is_float(given.dtype):
            raise DTypeError("Tensor", f"got elements of type {given.dtype}", "expected numbers",
                             "Convert them first.")
        array = converted(given, np.dtype(dtype))
        shares = array is given and not plain
        self.array: np.ndarray = array
        self.storage: Storage = (data.storage if shares and isinstance(data, Tensor)
                        else Storage(foreign=shares))
        self.node: tape.Node | None = None
        self.grad: Tensor | None = None
        self.hooks: list[tape.Hook] = []
        self.requires_grad = requires_grad
        if requires_grad and not is_float(array.dtype):
            raise DTypeError("Tensor", f"requires_grad for elements of type {array.dtype}",
                             "expected float32 or float64", 'Convert them: dtype="float32".')

    @classmethod
    def own(cls, array: np.ndarray, storage: Storage | None = None,
            node: tape.Node | None = None) -> Tensor:
        """Wrap an array that nobody outside the engine holds; it is not watched for changes."""
        tensor = Tensor.__new__(Tensor)
        tensor.array, tensor.node = array, node
        tensor.storage = Storage() if storage is None else storage
        tensor.grad, tensor.hooks = None, [] if node is None else node.hooks
        tensor.requires_grad = node is not None
        return tensor

    # ---- what it is ----

    @property
    def shape(self) -> Shape:
        """Lengths of the axes."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """Element type."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.array.size

    @property
    def device(self) -> str:
        """Where the elements lie, "cpu" or "cuda"."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was given, not computed."""
        return self.node is None

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len", "got a tensor without axes", "", "Use .item() for its value")
        return self.shape[0]

    def __repr__(self) -> str:
        text = np.array2string(to_host(self.array), separator=", ", prefix="Tensor(", threshold=20)
        tail = "" if self.device == HOST else f", device={self.device!r}"
        tail += ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({text}, shape={self.shape}, dtype={self.dtype}{tail})"

    # ---- to and from others ----

    def numpy(self) -> np.ndarray:
        """Return a NumPy view; it keeps the memory alive, and changes through it are noticed.

        Of a tensor on another device it is a copy.
        """
        if self.device != HOST:
            return to_host(self.array)
        return self.storage.expose(self.array)

    @property
    def data(self) -> np.ndarray:
        """The same as `numpy()`; what is assigned to it is written in place, outside the tape."""
        return self.numpy()

    @data.setter
    def data(self, value: TensorLike) -> None:
        self.assign(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy or (dtype is not None and np.dtype(dtype) != self.dtype):
            return to_host(self.array).astype(dtype or self.dtype)
        return self.numpy()

    def __dlpack__(self, **options: Any) -> Any:
        if self.device != HOST:
            devices.get(self.device).synchronize()  # others compute on other streams
            return self.array.__dlpack__(**options)
        return self.numpy().__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise AutogradError("Tensor", "elements cannot be set one by one",
                            "expected a new tensor, or all values at once",
                            "Compute with functional.where, or change a copy of .numpy() and give "
                            "it to assign.")

    def item(self) -> float | int | bool:
        """Return the value of a tensor of one element as a Python number."""
        if self.size != 1:
            raise ShapeError("item", f"got a tensor of shape {self.shape}", "expected one element",
                             "Reduce it first, or use .numpy().")
        return to_host(self.array).item()

    def tolist(self) -> Any:
        """Return the elements as nested lists."""
        return to_host(self.array).tolist()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def to(self, device: str) -> Tensor:
        """Return the tensor on a device: itself if it lies there, else a copy with a gradient.

        Args:
            device: "cpu" or "cuda".

        Raises:
            DeviceError: there is no such device, or what it needs is missing.
        """
        if device == self.device:
            return self
        if device != HOST:
            devices.get(device)
        return tape.apply("to", self, device=device)

    # ---- gradients ----

    def backward(self, gradient: TensorLike = None, retain_graph: bool = False) -> None:
        """Fill `.grad` of every leaf that this tensor depends on; repeated calls add up.

        Args:
            gradient: gradient of the final scalar with respect to this tensor; 1 for a tensor of
                one element.
            retain_graph: keep what was saved, so that backward can be called again.
        """
        if not self.requires_grad:
            raise AutogradError("backward", "nothing here requires a gradient", "",
                                "Set requires_grad=True on an input, outside no_grad")
        if gradient is None:
            if self.size != 1:
                raise AutogradError("backward", f"the tensor has shape {self.shape}",
                                    "expected one element", "Give the gradient, or reduce first.")
            gy = np.ones(self.shape, self.dtype)
        else:
            gy = like(gradient, self.dtype)
        if gy.shape != self.shape:
            raise ShapeError("backward", f"got a gradient of shape {gy.shape}",
                             f"expected {self.shape}", "It has the shape of the tensor.")
        tape.backward(self, dispatch.move(gy, self.device), retain_graph)

    def register_hook(self, function: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `function` with the gradient in backward; what it returns replaces the gradient.

        Returns:
            A function that takes the hook away again.
        """
        def hook(gradient: np.ndarray) -> np.ndarray | None:
            changed = function(Tensor.own(gradient))
            return None if changed is None else like(changed, gradient.dtype)

        self.hooks.append(hook)
        return lambda: self.hooks.remove(hook)

    def detach(self) -> Tensor:
        """Return a tensor of the same memory that backward does not go through."""
        return Tensor.own(self.array, self.storage)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def assign(self, value: TensorLike) -> None:
        """Write new values into the memory of this tensor, in place and outside the tape."""
        array = array_of(value)
        if array.shape not in (self.shape, ()):
            raise ShapeError("assign", f"got values of shape {array.shape}",
                             f"expected {self.shape}", "Reshape them.")
        if self.node is not None:
            raise AutogradError("assign", "this tensor was computed", "expected a leaf",
                                "Use .detach() or compute a new one.")
        write(array, self.array)
        self.storage.version += 1

    # ---- operators; the functions lie in functional.py ----

    def __add__(self, other: TensorLike) -> Tensor:
        return functional.add(self, other)

    def __sub__(self, other: TensorLike) -> Tensor:
        return functional.subtract(self, other)

    def __mul__(self, other: TensorLike) -> Tensor:
        return functional.multiply(self, other)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return functional.divide(self, other)

    def __pow__(self, other: TensorLike) -> Tensor:
        return functional.power(self, other)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return functional.matmul(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return functional.add(other, self)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return functional.subtract(other, self)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return functional.multiply(other, self)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return functional.divide(other, self)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return functional.power(other, self)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return functional.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functional.negative(self)

    def __abs__(self) -> Tensor:
        return functional.abs(self)

    def __lt__(self, other: TensorLike) -> Tensor:
        return functional.less(self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return functional.less_equal(self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return functional.greater(self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return functional.greater_equal(self, other)

    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return functional.equal(self, other)

    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return functional.not_equal(self, other)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Tensor:
        return functional.getitem(self, index)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The tensor with its axes in reverse order."""
        return functional.transpose(self)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """Return the elements in another shape; one length may be -1."""
        return functional.reshape(self, shape[0] if len(shape) == 1 else tuple(shape))  # type: ignore[arg-type]

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        """Return a view with the axes in another order, reversed by default."""
        order: Any = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return functional.transpose(self, order or None)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return the sum over the given axes, over all by default."""
        return functional.sum(self, axis, keepdims)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return the mean over the given axes, over all by default."""
        return functional.mean(self, axis, keepdims)

    def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return the largest element along the given axes."""
        return functional.max(self, axis, keepdims)

    def min(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
        """Return the smallest element along the given axes."""
        return functional.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> Tensor:
        """Return the position of the largest element along an axis, by default of the flat one."""
        return functional.argmax(self, axis)

    def astype(self, dtype: str | np.dtype) -> Tensor:
        """Return the tensor with its elements converted."""
        return functional.astype(self, dtype)

    def clone(self) -> Tensor:
        """Return a copy with memory of its own."""
        return functional.copy(self)


def as_tensor(value: TensorLike, like: Tensor | None = None) -> Tensor:
    """Return `value` as a tensor; plain numbers take the element type of `like` if it can."""
    if isinstance(value, Tensor):
        return value
    if like is not None and isinstance(value, (int, float)) and _holds(like.dtype, value):
        return Tensor.own(np.array(value, like.dtype))
    return Tensor(value)


def _holds(dtype: np.dtype, value: float) -> bool:
    """Say whether elements of a type can be a plain number."""
    if dtype.kind in "iu" and isinstance(value, int):
        return bool(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
    return is_float(dtype) or isinstance(value, bool)


def empty(shape: Shape, dtype: str | np.dtype = "float32", device: str = HOST) -> Tensor:
    """Return a tensor of arbitrary contents from the buffer pool of a device."""
    return Tensor.own(dispatch.current(device).empty(tuple(shape), np.dtype(dtype)))


from . import functional  # noqa: E402  (it needs the class above)
