"""The buffer pool: memory is used again, never while somebody still looks at it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from minidl import config
from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.autograd.tensor import Tensor
from minidl.backend.memory import ALIGNMENT, SMALLEST, HostPool, lease, pool

F32 = np.dtype("float32")
SHAPE = (100, 100)  # 40,000 bytes: well above SMALLEST


@pytest.fixture
def own() -> HostPool:
    return HostPool()


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """Memory must come back by reference counting alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def test_memory_is_used_again(own: HostPool) -> None:
    first = own.empty(SHAPE, F32)
    place = address(first)
    del first
    assert address(own.empty(SHAPE, F32)) == place


def test_like_sizes_share_and_other_types_too(own: HostPool) -> None:
    first = own.empty((10_000,), F32)
    place = address(first)
    del first
    second = own.empty((9_990,), F32)
    assert address(second) == place
    del second
    assert address(own.empty((5_000,), np.dtype("float64"))) == place


def test_living_arrays_never_overlap(own: HostPool) -> None:
    rng = np.random.default_rng(0)
    alive: list[tuple[np.ndarray, int]] = []
    for number in range(300):
        if alive and rng.random() < 0.5:
            array, value = alive.pop(rng.integers(len(alive)))
            assert np.all(array == value)
            del array
        fresh = own.empty((int(rng.integers(4_000, 40_000)),), F32)
        fresh[:] = number
        alive.append((fresh, number))
    assert all(np.all(array == value) for array, value in alive)


@pytest.mark.parametrize("view", [
    lambda a: a[3:5, ::2], lambda a: a.T, lambda a: a.reshape(-1)[7:], lambda a: a.view(np.uint8),
    lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 2)), lambda a: memoryview(a[1:]),
    lambda a: np.frombuffer(a, np.uint8), lambda a: np.asarray(a.T[::-1])])
def test_views_keep_memory_alive(own: HostPool, view: object) -> None:
    array = own.empty(SHAPE, F32)
    array[:] = 5
    place, held = address(array), view(array)  # type: ignore[operator]
    del array
    other = own.empty(SHAPE, F32)
    other[:] = 6
    assert address(other) != place and own.taken >= 2 * other.nbytes
    del held, other
    assert own.taken == 0


def test_counts(own: HostPool) -> None:
    a = own.empty(SHAPE, F32)
    size = own.taken
    assert 0 <= size - a.nbytes <= a.nbytes / 8 and own.held == 0
    b = own.empty(SHAPE, F32)
    assert own.taken == own.peak == 2 * size
    del a
    assert (own.taken, own.held, own.peak) == (size, size, 2 * size)
    own.reset_peak()
    assert own.peak == size
    del b
    assert (own.taken, own.held) == (0, 2 * size)
    own.trim()
    assert own.held == 0


def test_small_arrays_do_not_go_through_the_pool(own: HostPool) -> None:
    small = own.empty((SMALLEST // 4 - 1,), F32)
    assert own.taken == 0 and small.flags.owndata


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (50_000,), (64, 64, 5)])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_arrays_are_plain(own: HostPool, shape: tuple[int, ...], dtype: str) -> None:
    array = own.empty(shape, np.dtype(dtype))
    assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
    assert array.flags.carray and type(array) is np.ndarray
    if array.nbytes >= SMALLEST:
        assert address(array) % ALIGNMENT == 0


def test_threads_take_and_give_back(own: HostPool) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        rng = np.random.default_rng(number)
        kept: list[np.ndarray] = []
        for _ in range(200):
            array = own.empty((int(rng.integers(5_000, 9_000)),), F32)
            array[:] = number
            kept = [*kept[-3:], array]
            if any(np.any(a != number) for a in kept):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and own.taken == 0


def test_array_may_outlive_its_pool() -> None:
    own = HostPool()
    array = own.empty(SHAPE, F32)
    del own
    array[:] = 1
    assert array.sum() == array.size


# ---- the pool at work ----------------------------------------------------------------------


def test_a_chain_of_ops_needs_two_buffers() -> None:
    x = Tensor(np.ones((256, 256), "float32"))
    pool.trim()
    before = pool.taken
    pool.reset_peak()
    y = x
    for _ in range(20):
        y = F.relu(y)
    assert pool.peak - before == 2 * x.data.nbytes
    del y
    assert pool.taken == before


def test_numpy_view_outlives_its_tensor() -> None:
    y = F.exp(Tensor(np.zeros((128, 128), "float32")))
    view = y.numpy()[5]
    place = address(y.data)
    del y
    others = [F.exp(Tensor(np.ones((128, 128), "float32"))) for _ in range(3)]
    assert np.all(view == 1) and all(address(o.data) != place for o in others)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_step_leaves_nothing_behind(count: int) -> None:
    x = Tensor(np.random.default_rng(0).standard_normal((16, 20, 20, 4)).astype("float32"))
    w = Tensor(np.ones((3, 3, 4, 8), "float32"), requires_grad=True)

    def step() -> None:
        F.max_pool2d(F.relu(F.conv2d(x, w, padding="same"))).sum().backward()
        w.zero_grad()

    with config.threads(count):
        for _ in range(3):
            step()
        before = pool.taken, pool.taken + pool.held
        for _ in range(20):
            step()
        assert (pool.taken, pool.taken + pool.held) == before


# ---- leases --------------------------------------------------------------------------------


def test_lease_lives_as_long_as_any_view_of_it() -> None:
    import weakref
    array = np.arange(6.0).reshape(2, 3)
    view, owner = lease(array)
    watch = weakref.ref(owner)
    del owner
    part = view.T[1:]
    del view
    assert watch() is not None and part.tolist() == [[1, 4], [2, 5]]
    part[0, 0] = 9
    assert array[0, 1] == 9
    del part
    assert watch() is None
