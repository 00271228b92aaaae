"""Matching: which array goes where, how it is turned, and what is said where it does not fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minidl.nn.layers as L  # noqa: N812
from minidl.errors import FormatError
from minidl.io.groups import split
from minidl.io.layout import flattened, turn
from minidl.io.match import Weights, match
from minidl.nn import Input, Model, Module, Sequential

RNG = np.random.default_rng(3)
FIRST, LAST = "channels_first", "channels_last"


def file(shapes: dict[str, tuple[int, ...]], layout: Any = FIRST, in_order: bool = True) -> Weights:
    arrays = {name: RNG.random(shape, np.float32) for name, shape in shapes.items()}
    return Weights(arrays, layout, "weights.pt (torch)", in_order)


def norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (size,) for part in parts} | {f"{name}.num_batches_tracked": ()}


def pairs(report: Any) -> dict[str, str]:
    return {row.ours: row.theirs for row in report.rows}


def chain(*layers: Module, shape: tuple[int, ...] = (6, 5, 3)) -> Sequential:
    return Sequential([Input(shape), *layers])


def small() -> Sequential:
    return chain(L.Conv2D(4, 3), L.BatchNormalization(), L.ReLU(), L.Flatten(), L.Dropout(0.5),
                 L.Dense(7), L.BatchNormalization(), L.Dense(2))


SMALL = {"0.weight": (4, 3, 3, 3), "0.bias": (4,), **norm("1", 4), "4.weight": (7, 48),
         "4.bias": (7,), **norm("5", 7), "6.weight": (2, 7), "6.bias": (2,)}


def test_small() -> None:
    model, weights = small(), file(SMALL)
    report = match(model, weights)
    assert report.complete and "all 14 arrays equal the file's bit by bit" in report.check
    state, arrays = model.state_dict(), weights.arrays
    assert np.array_equal(state["conv2d/kernel"], arrays["0.weight"].transpose(2, 3, 1, 0))
    dense = arrays["4.weight"].reshape(7, 4, 4, 3)
    assert np.array_equal(state["dense/kernel"], dense.transpose(2, 3, 1, 0).reshape(48, 7))
    assert np.array_equal(state["batch_normalization/moving_variance"], arrays["1.running_var"])
    assert [n for n in report.notes if "2 num_batches_tracked" in n or "momentum" in n] == \
        report.notes
    assert report.names["dense_1"] == "6"


def test_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    model = chain(L.Dense(2, name="fc"), shape=(3,))
    report = match(model, file({"a.weight": (2, 3), "a.bias": (2,), "b.weight": (9, 9)}),
                   strict=False)
    assert str(report) == """weights.pt (torch)
-------------------------------------------------
Ours       Shape  Theirs    Shape  Turned
-------------------------------------------------
fc/kernel  3 x 2  a.weight  2 x 3  axes (1, 0)
fc/bias    2      a.bias    2      as is
-------------------------------------------------
Loaded: 2 arrays, 8 values
Left over in the file: b.weight (9, 9)
Check: turned back, all 2 arrays equal the file's bit by bit""".replace("-" * 49, "-" * 46)
    report.show()
    assert capsys.readouterr().out == f"{report}\n" and not report.complete


def test_rich_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    report = match(chain(L.Dense(2), shape=(3,)), file({"[red]x.weight": (2, 3),
                                                        "[red]x.bias": (2,)}))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    report.show()
    assert "[red]x.weight" in capsys.readouterr().out  # a file's names are no markup


# ---- turning -------------------------------------------------------------------------------

TURNS = {  # layer, weight, ours -> shape of PyTorch, of Keras
    "conv2d": ("Conv2D", "kernel", (3, 2, 4, 6), (6, 4, 3, 2), (3, 2, 4, 6)),
    "conv1d": ("Conv1D", "kernel", (3, 4, 6), (6, 4, 3), (3, 4, 6)),
    "depthwise": ("DepthwiseConv2D", "kernel", (3, 3, 4, 2), (8, 1, 3, 3), (3, 3, 4, 2)),
    "transposed": ("Conv2DTranspose", "kernel", (3, 3, 5, 4), (4, 5, 3, 3), (3, 3, 5, 4)),
    "dense": ("Dense", "kernel", (3, 5), (5, 3), (3, 5)),
    "embedding": ("Embedding", "embeddings", (9, 4), (9, 4), (9, 4)),
    "bias": ("Conv2D", "bias", (6,), (6,), (6,)),
    "of a user": ("Mine", "gain", (6, 2), (6, 2), (6, 2))}


@pytest.mark.parametrize("case", TURNS)
def test_turns_and_back(case: str) -> None:
    kind, role, ours, torch_shape, keras_shape = TURNS[case]
    for layout, shape in ((FIRST, torch_shape), (LAST, keras_shape)):
        this = turn(kind, role, ours, layout)  # type: ignore[arg-type]
        array = RNG.random(shape)
        assert this.theirs == shape and this.to_ours(array).shape == ours
        assert np.array_equal(this.to_theirs(this.to_ours(array)), array)


def test_depthwise_channels() -> None:
    """Output c m + k of PyTorch is [c, k] here."""
    array = RNG.random((8, 1, 3, 3))
    ours = turn("DepthwiseConv2D", "kernel", (3, 3, 4, 2), FIRST).to_ours(array)
    assert np.array_equal(ours[:, :, 3, 1], array[7, 0])


def test_flattened_back() -> None:
    this = turn("Dense", "kernel", (24, 5), FIRST, flattened((2, 3, 4)))
    array = RNG.random((5, 24))
    assert this.text == "axes (1, 0), flattened (2, 3, 4)"
    assert np.array_equal(this.to_theirs(this.to_ours(array)), array)
    assert flattened((1, 1, 7)) is None and flattened((4, 5, 1)) is None


class Branches(Module):
    """Two images, flattened side by side; written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.flat = L.Conv2D(2, 3, padding="same"), L.MaxPooling2D(2), \
            L.Flatten()
        self.side, self.last = L.Concatenate(), L.Dense(3)

    def forward(self, x: Any) -> Any:
        """Return the scores."""
        return self.last(self.side([self.flat(self.conv(x)), self.flat(self.pool(x))]))


def test_flattened_side_by_side_in_a_module_written_by_hand() -> None:
    model = Branches()
    x = RNG.random((2, 6, 4, 3), np.float32)
    model(x)
    names = {path: m.name for path, m in model.named_modules().items()}
    weights = file({"conv.weight": (2, 3, 3, 3), "conv.bias": (2,), "last.weight": (3, 66),
                    "last.bias": (3,)})
    match(model, weights)
    assert {path: m.name for path, m in model.named_modules().items()} == names
    both = [model.conv(x).numpy(), model.pool(x).numpy()]
    flat = np.concatenate([np.moveaxis(y, -1, 1).reshape(2, -1) for y in both], 1)
    wanted = flat @ weights.arrays["last.weight"].T + weights.arrays["last.bias"]
    np.testing.assert_allclose(model(x).numpy(), wanted, rtol=1e-5)


FLAT = {  # layers in front of a dense one, shape of the input, whether it is turned
    "image": ((), (4, 5, 3), True), "grey image": ((), (4, 5, 1), False),
    "rows": ((), (4, 5), False), "sequence": ((lambda: L.Conv1D(3, 2),), (5, 2), True),
    "words": ((lambda: L.Embedding(9, 3),), (5,), False),
    "words, conv": ((lambda: L.Embedding(9, 3), lambda: L.Conv1D(3, 2)), (5,), True),
    "means": ((lambda: L.GlobalAveragePooling2D(),), (4, 5, 3), False)}


@pytest.mark.parametrize("case", FLAT)
def test_what_counts_as_channels_first(case: str) -> None:
    front, shape, turned = FLAT[case]
    model = chain(*(make() for make in front), L.Flatten(), L.Dense(2, name="last"), shape=shape)
    from minidl.io.layout import orders
    assert (id(model.get_layer("last")) in orders(model)[0]) == turned


# ---- who goes with whom --------------------------------------------------------------------


def bottleneck() -> Model:
    """A block whose projection and last convolution have one shape."""
    x = Input((4, 4, 8))
    y = L.BatchNormalization(name="a_1_bn")(L.Conv2D(4, 1, use_bias=False, name="a_1_conv")(x))
    y = L.BatchNormalization(name="a_2_bn")(L.Conv2D(8, 1, use_bias=False, name="a_2_conv")(y))
    z = L.BatchNormalization(name="a_0_bn")(L.Conv2D(8, 1, use_bias=False, name="a_0_conv")(x))
    return Model(x, L.Add()([y, z]))


def block(*parts: tuple[str, int, int]) -> dict[str, tuple[int, ...]]:
    return {n: s for name, i, o in parts for n, s in (
        {f"{name}.weight": (o, i, 1, 1)} if i else norm(name, o)).items()}


ONE, TWO = ("c1", 8, 4), ("c2", 4, 8)
ORDERS = {
    "as here": block(ONE, ("b1", 0, 4), TWO, ("b2", 0, 8), ("d.0", 8, 8), ("d.1", 0, 8)),
    "projection first": block(("d.0", 8, 8), ("d.1", 0, 8), ONE, ("b1", 0, 4), TWO, ("b2", 0, 8)),
    "norms last": block(ONE, TWO, ("d.0", 8, 8), ("b1", 0, 4), ("b2", 0, 8), ("d.1", 0, 8))}
WANTED = {"a_1_conv": "c1", "a_1_bn": "b1", "a_2_conv": "c2", "a_2_bn": "b2", "a_0_conv": "d.0",
          "a_0_bn": "d.1"}


@pytest.mark.parametrize("case", list(ORDERS)[:2])
def test_order(case: str) -> None:
    assert match(bottleneck(), file(ORDERS[case])).names == WANTED


def test_equal_shapes_are_not_guessed() -> None:
    model = bottleneck()
    before = model.state_dict()
    weights = file({k.translate({ord("2"): "y", ord("1"): "x"}): v
                    for k, v in ORDERS["norms last"].items()})
    with pytest.raises(FormatError, match=r"layer 'a_2_bn' could be by, d\.x; 2 layers fit several "
                       r"of the file's equally well\. Say which: names=\{\"a_2_bn\": \"by\", "):
        match(model, weights)
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())
    found = match(model, weights, {"a_2_bn": "by"}).names
    assert (found["a_2_bn"], found["a_0_bn"]) == ("by", "d.x")


def test_the_likeness_of_names_is_said() -> None:
    report = match(bottleneck(), file(ORDERS["norms last"]))
    assert report.names == WANTED
    assert [n for n in report.notes if "the likeness of names decided for a_2_bn" in n]


def test_shortcuts_go_with_shortcuts() -> None:
    renamed = {k.replace("d.", "downsample."): v for k, v in ORDERS["norms last"].items()}
    found = match(bottleneck(), file(renamed)).names
    assert found == {k: v.replace("d.", "downsample.") for k, v in WANTED.items()}


def twins() -> Sequential:
    return chain(L.Dense(3, name="left"), L.Dense(3, name="middle"), L.Dense(3, name="right"),
                 shape=(3,))


def dense(*names: str) -> dict[str, tuple[int, ...]]:
    return {f"{n}.{part}": shape for n in names for part, shape in (("weight", (3, 3)),
                                                                    ("bias", (3,)))}


NAMED = {  # names in the file, what goes into left, middle, right
    "in order": (("x", "y", "z"), "x y z"), "same names": (("right", "left", "middle"),
                                                           "left middle right"),
    "beginning": (("m.right", "m.left", "m.middle"), "m.left m.middle m.right"),
    "some same": (("y", "left", "z"), "left y z")}


@pytest.mark.parametrize("case", NAMED)
def test_names_win(case: str) -> None:
    given, wanted = NAMED[case]
    found = match(twins(), file(dense(*given))).names
    assert [found[k] for k in ("left", "middle", "right")] == wanted.split()


def test_numbers_in_our_names_mean_nothing() -> None:
    """Keras counts on from model to model: its second convolution may be our first."""
    model = chain(L.Dense(3), L.Dense(3), shape=(3,))
    names = match(model, file(dense("dense_1", "dense_2"))).names
    assert names == {"dense": "dense_1", "dense_1": "dense_2"}


def test_more_in_the_file_than_in_the_model_is_unclear() -> None:
    with pytest.raises(FormatError, match="fit several of the file's equally well"):
        match(twins(), file(dense("a", "b", "c", "d")), strict=False)
    names = {"left": "a", "middle": "b", "right": "d"}
    report = match(twins(), file(dense("a", "b", "c", "d")), names, strict=False)
    assert list(report.left_over) == ["c.weight", "c.bias"]


def test_kinds_in_a_sorted_file() -> None:
    shapes = {"bn1": norm("bn1", 4), "bn2": norm("bn2", 7), "conv": {"conv.weight": (4, 3, 3, 3),
              "conv.bias": (4,)}, "d1": {"d1.bias": (7,), "d1.weight": (7, 48)},
              "d2": {"d2.bias": (2,), "d2.weight": (2, 7)}}
    weights = file({k: v for part in shapes.values() for k, v in part.items()}, in_order=False)
    assert list(match(small(), weights).names.values()) == ["conv", "bn1", "d1", "bn2", "d2"]


def test_tied_arrays() -> None:
    weights = file(dense("a", "b", "c"))
    weights.arrays["again.weight"] = weights.arrays["a.weight"]
    report = match(twins(), weights)
    assert "the same arrays under a second name: again.weight" in report.notes


def test_numbered_weights_of_keras() -> None:
    model = chain(L.Dense(3), L.BatchNormalization(), shape=(2,))
    shapes = {f"layers/dense/vars/{i}": s for i, s in enumerate(((2, 3), (3,)))}
    shapes |= {f"layers/bn/vars/{i}": (3,) for i in range(4)}
    weights = file(shapes, LAST)
    match(model, weights)
    assert np.array_equal(model.state_dict()["batch_normalization/moving_mean"],
                          weights.arrays["layers/bn/vars/2"])


@pytest.mark.parametrize(("name", "parts"), [
    ("a.b.weight", ("a.b", "weight")), ("conv1/conv1/kernel:0", ("conv1/conv1", "kernel")),
    ("gamma", ("", "gamma")), ("a/b.c", ("a/b", "c"))])
def test_split(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts


# ---- names ---------------------------------------------------------------------------------


def test_names_of_weights_and_none_keeps() -> None:
    model = twins()
    before = model.state_dict()
    shapes = {k: v for k, v in dense("a", "b", "c").items() if k != "b.bias"}
    weights = file(shapes | {"extra": (3,)})
    report = match(model, weights, {"middle/bias": None, "right/bias": "extra"}, strict=False)
    state = model.state_dict()
    assert np.array_equal(state["middle/bias"], before["middle/bias"])
    assert np.array_equal(state["right/bias"], weights.arrays["extra"])
    assert report.left_over == {"c.bias": (3,)} and not report.missing
    assert "kept as they are, as names says: middle/bias" in report.notes


BAD_NAMES: dict[str, tuple[Any, str]] = {
    "ours": ({"lefft": "a"}, r"names: the model has no layer or weight 'lefft'; it has left"),
    "theirs": ({"left": "aa"}, r"names: weights.pt \(torch\) has no layer 'aa'; it has a"),
    "array": ({"left/bias": "a.bais"}, r"has no array 'a\.bais'; it has a\.bias"),
    "function": (lambda path: f"no.{path}", "has no layer 'no.left'"),
    "shape": ({"left/bias": "a.weight"}, r"left/bias \(3,\) and a\.weight \(3, 3\)")}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names(case: str) -> None:
    names, text = BAD_NAMES[case]
    with pytest.raises(FormatError, match=text):
        match(twins(), file(dense("a", "b", "c")), names)


# ---- what does not fit ---------------------------------------------------------------------


def without(*parts: str) -> dict[str, tuple[int, ...]]:
    return {k: v for k, v in SMALL.items() if k not in parts}


MISFITS: dict[str, tuple[Callable[[], Any], dict[str, tuple[int, ...]], str]] = {
    "no bias": (small, without("0.bias"), r"the file lacks conv2d/bias \(4,\)"),
    "bias too many": (lambda: chain(L.Conv2D(4, 3, use_bias=False)), {
        "0.weight": (4, 3, 3, 3), "0.bias": (4,)}, r"the model lacks 0\.bias \(4,\)"),
    "other head": (small, SMALL | {"6.weight": (9, 7), "6.bias": (9,)},
                   r"shapes differ: dense_1/kernel \(7, 2\) and 6\.weight \(9, 7\)"),
    "layer too many": (small, SMALL | {"7.weight": (1, 2), "7.bias": (1,)},
                       r"the model lacks 7\.weight \(1, 2\), 7\.bias \(1,\)"),
    "nothing": (small, {}, r"the file lacks conv2d/kernel \(3, 3, 3, 4\), .* and 6 more")}


@pytest.mark.parametrize("case", MISFITS)
def test_misfits(case: str) -> None:
    make, shapes, text = MISFITS[case]
    model = make()
    before = model.state_dict()
    with pytest.raises(FormatError, match=text) as caught:
        match(model, file(shapes))
    assert caught.value.where == "weights.pt (torch)" and caught.value.remedy
    assert all(np.array_equal(before[k], v) for k, v in model.state_dict().items())


def test_unbuilt_model() -> None:
    model = Sequential([L.Dense(2)])
    with pytest.raises(FormatError, match=r"dense.* has no weights yet; .*Call"):
        match(model, file(dense("a")))
    assert not model.parameters()


def test_not_strict_loads_what_fits() -> None:
    model = small()
    before = model.state_dict()
    weights = file(SMALL | {"6.weight": (9, 7), "6.bias": (9,)})
    report = match(model, weights, strict=False)
    assert [r.ours for r in report.rows if not r.loaded] == ["dense_1/kernel", "dense_1/bias"]
    assert "dense_1/kernel                         7 x 2          6.weight        9 x 7          " \
        "shapes differ" in str(report)
    state = model.state_dict()
    assert np.array_equal(state["dense_1/kernel"], before["dense_1/kernel"])
    assert np.array_equal(state["dense/bias"], weights.arrays["4.bias"])


def test_doubts_and_types() -> None:
    weights = file(SMALL)
    weights.arrays["5.running_var"][0] = -1
    weights.arrays["0.bias"] = np.array([1, np.nan, np.inf, 0], np.float64)
    weights.arrays["6.bias"] = np.array([0.5, 2], np.float16)
    report = match(small(), weights)
    assert report.check.endswith("bit by bit, 1 of them rounded to the model's type")
    assert {"conv2d/bias holds 2 values that are not finite",
            "batch_normalization_1/moving_variance holds negative variances"} < set(report.notes)
    weights.arrays["6.bias"] = np.array([1, 2], np.int8)
    with pytest.raises(FormatError, match=r"6\.bias holds int8; dense_1/bias expects floating"):
        match(small(), weights)


def test_thousands_of_arrays_do_not_take_long() -> None:
    start = time.perf_counter()
    for shape, count in (((3, 3), 20_000), ((7, 48), 20_000), ((7, 48), 9_000)):
        weights = file({f"l{i}.weight": shape for i in range(count)})
        with pytest.raises(FormatError, match=r"layer '.*' could be|does not fit"):
            match(small(), weights)
    assert time.perf_counter() - start < 30
