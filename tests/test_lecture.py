"""The lecture view: in a browser every value and gradient is computed again and must agree."""

from __future__ import annotations

import base64
import html
import json
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from minidl import errors, nn
from minidl.cli import main
from minidl.nn import Input, Model, Sequential, layers
from minidl.viz import lecture_view
from minidl.viz.lecture import formulas, kept, loss, mathml, pack, trace, views

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = os.environ.get("MINIDL_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
NO_VIEW = {"Input", "InputLayer", "Lambda", "Model", "Module", "Sequential"}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def shaken(model, rng):
    """Give weights and statistics values of their own, so that none is 0 or 1 by its start."""
    for p in model.parameters():
        p.assign(p.data + rng.normal(0, 0.05, p.shape).astype("float32"))
    for buffer in model.named_buffers().values():
        buffer.assign(np.abs(rng.normal(1, 0.3, buffer.shape)).astype("float32"))
    return model


def image_network():
    x = Input((9, 8, 4))
    a = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="first")(x)
    b = layers.Conv2D(6, (3, 2), dilation_rate=2, padding="same", groups=2, activation="tanh")(x)
    b = layers.MaxPooling2D(3, 2, "same")(b)
    y = layers.Multiply()([layers.Add(activation="relu")([a, b]), a])
    y = layers.Maximum()([layers.Average()([y, b, a]), b])
    y = layers.Subtract()([layers.Minimum()([y, a]), b])
    y = layers.BatchNormalization(activation="sigmoid")(layers.Concatenate()([y, a]))
    y = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="elu")(y)
    y = layers.GroupNormalization(4)(layers.LayerNormalization()(y))
    y = layers.LocalResponseNormalization(alpha=0.1)(y)
    y = layers.ReLU(1.5, negative_slope=0.1, threshold=0.05)(layers.Activation("gelu")(y))
    y = layers.ELU(0.7)(layers.LeakyReLU(0.2)(y))
    y = layers.Activation("softplus")(layers.Activation("silu")(y))
    y = layers.Rescaling([2.0] * 24, 0.5)(layers.Softmax()(y))
    y = layers.RandomFlip()(layers.ZeroPadding2D(((1, 0), (2, 1)))(y))
    y = layers.Conv2DTranspose(4, 3, 2, "same", groups=2, activation="relu6")(y)
    y = layers.SpatialDropout2D(0.3)(layers.Dropout(0.5)(layers.AveragePooling2D(3, 2, "same")(y)))
    y = 2.0 - (layers.Concatenate(axis=1)([layers.Permute((2, 1, 3))(y)] * 2) * 0.5 + 1.0)
    y = layers.Dense(5, activation="leaky_relu")(y)
    z = layers.Rescaling(0.1)(layers.Dense(10)(layers.Flatten()(y)))
    z = layers.Flatten()(layers.Reshape((2, 5))(layers.Activation("exponential")(z)))
    z = layers.Concatenate()([layers.GlobalMaxPooling2D()(y), layers.GlobalAveragePooling2D()(y),
                              z])
    z = layers.Activation("log_softmax")(layers.Identity()(z))
    return Model(x, layers.Dense(4, activation="softmax", name="last")(z))


def sequence_network():
    return Sequential([
        Input((7,)), layers.Embedding(20, 6), layers.Conv1D(5, 3, padding="same",
                                                            activation="relu"),
        layers.MaxPooling1D(2), layers.ZeroPadding1D(1), layers.Conv1DTranspose(4, 3, strides=2),
        layers.AveragePooling1D(2), layers.SpatialDropout1D(0.1),
        layers.Conv1D(4, 2, activation="softmax"), layers.GlobalMaxPooling1D(),
        layers.Dense(1, activation="sigmoid")])


class Own(nn.Module):
    """Computes something itself between two layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = layers.Dense(4), layers.Dense(3, activation="log_softmax")

    def forward(self, x):
        """Return the second layer of twice the first."""
        return self.second(self.first(x) * 2.0)


def asked(made, script, folder, address=""):
    """Return what JavaScript gives at the end of a page in a browser; errors there are errors."""
    lines = ("<pre id=said></pre><script>const say = (v) => {"
             "document.getElementById('said').textContent = JSON.stringify(v)};"
             "window.onerror = (m) => say(['error', m]);" + script + "</script></body>")
    file = folder / "page.html"
    file.write_text(made.html.replace("</body>", lines), "utf-8")
    done = subprocess.run(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000",
         "--window-size=1280,900", "--dump-dom", f"file://{file}#{address}"],
        capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    said = re.search(r'<pre id="said">(.*?)</pre>', done.stdout, re.S)
    assert said and said[1], done.stderr[-2000:]
    return json.loads(html.unescape(said[1]))


# ---- in the browser ------------------------------------------------------------------------

CHECK = "say([lecture.checkValues(200), lecture.checkGradients()])"


def agree(found, open_values=()):
    values, gradients = found
    wrong = [row for row in values if row["worst"] > 1e-4]
    assert wrong == []
    unseen = [row["name"] for row in values if not row["checked"] and row["view"] != "input"]
    assert unseen == list(open_values)
    assert gradients and max(row["worst"] for row in gradients) < 2e-3  # they have three digits


@browser
@pytest.mark.parametrize("channels", [None, 2])
def test_every_image_layer_is_computed_again_and_backward(channels, rng, tmp_path):
    model = shaken(image_network(), rng)
    made = lecture_view(model, rng.normal(size=(9, 8, 4)), 0, channels=channels)
    assert made.channels == ("all" if channels is None else "2 of 5 to 4 of 12")
    agree(asked(made, CHECK, tmp_path))


@browser
def test_every_sequence_layer_is_computed_again_and_backward(rng, tmp_path):
    agree(asked(lecture_view(shaken(sequence_network(), rng), rng.integers(0, 20, 7), 1), CHECK,
                tmp_path))


@browser
def test_what_a_model_computes_between_layers_is_shown_as_it_is(rng, tmp_path):
    model = Own()
    model(np.zeros((1, 6), "float32"))
    agree(asked(lecture_view(model, rng.normal(size=6)), CHECK, tmp_path), ["(between layers)"])


CLICK = """{
const box = document.querySelector("#output .mosaic"), canvas = box.querySelector("canvas");
const { left, top, width, height } = canvas.getBoundingClientRect();
const at = (x, y) => ({ bubbles: true, clientX: left + (x + .5) / canvas.width * width,
                        clientY: top + (y + .5) / canvas.height * height });
const place = () => [lecture.steps[lecture.state.step].name, ...Object.values(lecture.state.at)];
const press = (key, where = document.body) => where.dispatchEvent(
  new KeyboardEvent("keydown", { key, bubbles: true }));
const seen = [place()];
box.dispatchEvent(new MouseEvent("click", at(5 + 3, 2)));  // the second of tiles of 4 + 1 pixels
seen.push(place());
press("ArrowDown", document.querySelector("#output .mosaic"));
seen.push(place());
const shown = document.querySelector("#worked .sum .result td").textContent;
press("ArrowRight");
seen.push(place()[0]);
document.querySelectorAll("#top button")[0].click();
seen.push(place());
document.querySelector("#worked .grid td[style]").click();
seen.push(place()[0]);
const made = lecture.select("conv", 3, 2, 1);
say([seen, shown, made.engine, made.value, location.hash]);
}"""


@browser
def test_clicks_keys_and_links_choose_a_place(rng, tmp_path):
    model = Sequential([Input((6, 6, 2)), layers.Conv2D(3, 3, name="conv"), layers.Flatten(),
                        layers.Dense(2, activation="softmax")])
    x = rng.normal(size=(6, 6, 2)).astype("float32")
    made = lecture_view(shaken(model, rng), x)
    seen, shown, engine, value, address = asked(made, CLICK, tmp_path, "layer=conv&y=0&x=1&c=2")
    assert seen == [["conv", 0, 1, 2], ["conv", 2, 3, 1], ["conv", 3, 3, 1], "flatten",
                    ["conv", 3, 3, 1], "input"]
    y = np.asarray(model.layers[0](x[None]).array)[0]
    assert float(shown.replace("−", "-")) == pytest.approx(y[3, 3, 1], rel=1e-4)
    assert (engine, value) == pytest.approx((y[3, 2, 1],) * 2, rel=1e-4)
    assert address == "#layer=conv&y=3&x=2&c=1"


@browser
def test_names_cannot_become_html(tmp_path):
    evil = "</script><img src=x onerror='window.hit = 1'>"
    strange = type(evil, (nn.Module,), {"forward": lambda self, x: x * 2.0})
    model = Sequential([Input((3,)), layers.Dense(2, name='<b id="hit">&"', activation="softmax"),
                        strange(name="<!--DATA-->")])
    made = lecture_view(model, np.ones(3), 1, [evil, "</title><b>"], title=f"{evil}</title>")
    script = """for (const s of lecture.steps) lecture.open(s.name);
    say([window.hit ?? null, document.images.length, document.getElementById("hit"),
         document.title, document.querySelector("h2").textContent])"""
    hit, images, element, title, heading = asked(made, script, tmp_path)
    assert (hit, images, element) == (None, 0, None)
    assert title == f"{evil}</title>"
    assert heading == f"<!--DATA--> {evil}"


# ---- the page ------------------------------------------------------------------------------


def small(name=None):
    return Sequential([Input((6, 6, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)],
                      name=name)


def test_a_page_names_no_other_file(rng):
    text = lecture_view(small(), rng.normal(size=(6, 6, 1))).html
    others = r"""(?:src|href)\s*=\s*["'](?!#)|url\(|@import|https?://|fetch\("""
    assert re.findall(others, text) == []
    assert "default-src 'none'" in text and "<!--" not in text


def test_every_layer_has_a_view_or_is_known_to_have_none():
    assert set(layers.__all__) - set(views._NAMES) == NO_VIEW
    named = {view for view in views._NAMES.values() if isinstance(view, str)}
    assert named <= set(formulas.VIEWS)


def test_a_class_of_a_known_name_that_is_not_the_known_class_is_not_judged(rng):
    strange = type("Dense", (nn.Module,), {"forward": lambda self, x: x + 1.0})
    traced = trace.walk(Sequential([Input((3,)), strange()]), rng.normal(size=3))
    assert [views.view_of(step, traced) for step in traced.steps] == ["input", "generic"]


def test_the_model_stays_as_it_was(rng):
    model = image_network()
    model.train()
    kernel = model.layers[0].kernel
    kernel.grad = None
    before = model.state_dict()
    lecture_view(model, rng.normal(size=(9, 8, 4)))
    assert kernel.grad is None and all(module.training for module in model.modules())
    assert not any(module._hooks or module._pre_hooks for module in model.modules())
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_gradients_are_those_of_the_loss(rng):
    model, x = small(), rng.normal(size=(1, 6, 6, 1)).astype("float32")
    traced = trace.walk(model, x, 2)
    logits = np.float64(traced.values[-1].array)
    shares = np.exp(logits) / np.exp(logits).sum()
    assert traced.loss.tensor.item() == pytest.approx(-np.log(shares[2]), rel=1e-5)
    np.testing.assert_allclose(traced.values[-1].gradient, shares - [0, 0, 1], atol=1e-6)
    assert [step.multiply_adds for step in traced.steps] == [0, 16 * 9 * 2, 0, 32 * 3]


@pytest.mark.parametrize(("row", "label", "kind", "expected"), [
    ([0.2, 0.8], 0, "probabilities", -np.log(0.2)), ([0.2, 0.8], None, "probabilities",
                                                     -np.log(0.8)),
    (np.log([0.2, 0.8]), 0, "log_probabilities", -np.log(0.2)),
    ([1.0, 3.0], 1, "logits", np.log1p(np.exp(-2))), ([0.3], 1, "binary", -np.log(0.3)),
    ([0.3], None, "binary", -np.log(0.7)), ([2.5], None, "score", 2.5),
    ([[1.0, 4.0], [2.0, 3.0]], None, "score", 4.0)])
def test_the_loss_is_known_by_the_output(row, label, kind, expected):
    found = loss.loss_of(nn.module.Tensor(np.array([row], "float32")), label)
    assert found.kind == kind
    assert found.tensor.item() == pytest.approx(expected, rel=1e-5)


def test_channels_are_left_out_until_the_page_is_small_enough(rng):
    x = rng.normal(size=(40, 40, 3))
    model = Sequential([Input((40, 40, 3)), layers.Conv2D(64, 3), layers.BatchNormalization(),
                        layers.Conv2D(64, 3), layers.GlobalAveragePooling2D(), layers.Dense(40)])
    whole, half = lecture_view(model, x), lecture_view(model, x, megabytes=1)
    assert (whole.channels, half.channels) == ("all", "17 of 64 to 19 of 64")
    assert len(half.html) < 1.1e6 < len(whole.html) < 5e6
    traced = trace.walk(model, x)
    named = {i: views.view_of(step, traced) for i, step in enumerate(traced.steps)}
    chosen = kept.choose(traced, named, 5, 1e9)[0]
    means = [np.abs(traced.values[n].array).mean((0, 1)) for n in (1, 2)]
    strength = sum(mean / mean.max() for mean in means)
    np.testing.assert_array_equal(chosen[1], np.sort(np.argsort(-strength)[:5]))
    np.testing.assert_array_equal(chosen[2], chosen[1])  # batch normalisation: the same ones
    assert chosen[0] is None and chosen[4] is None


def test_numbers_survive_packing(rng):
    packer, values = pack.Packer(), rng.normal(size=(3, 5)).astype("float32") * 1e-8
    first = packer.add(values)
    assert packer.add(values.copy()) == first and packer.add(None) is None
    rough = packer.arrays[packer.add_rough(values)]
    halves = np.frombuffer(base64.b64decode(rough["data"]), "<f2")
    np.testing.assert_allclose(np.float64(halves) * rough["scale"], values.reshape(-1), rtol=1e-3,
                               atol=1e-12)


@pytest.mark.parametrize(("tex", "inside"), [
    (r"\frac{a}{2}", "<mfrac><mrow><mi>a</mi></mrow><mrow><mn>2</mn></mrow></mfrac>"),
    (r"\sum_{i}^n", "<munderover><mo>∑</mo><mrow><mi>i</mi></mrow><mi>n</mi></munderover>"),
    (r"\name{a<b}", "<mi>a&lt;b</mi>"), (r"a < b", "<mi>a</mi><mo>&lt;</mo><mi>b</mi>")])
def test_formulas(tex, inside):
    assert inside in mathml.mathml(tex)


MISTAKES = [
    (lambda: lecture_view(small(), np.zeros((6, 6, 1)), 3), errors.ArgumentError,
     "got label=3; expected a whole number from 0 to 2"),
    (lambda: lecture_view(small(), np.zeros((2, 6, 6, 1))), errors.ShapeError,
     r"got a sample of shape \(2, 6, 6, 1\); expected \(6, 6, 1\)"),
    (lambda: lecture_view(small(), np.zeros((6, 6, 1)), channels=0), errors.ArgumentError,
     "got channels=0; expected at least 1"),
    (lambda: lecture_view(Model([a := Input((2,)), b := Input((2,))], layers.Add()([a, b])),
                          np.zeros(2)), errors.ArgumentError, "takes 2 inputs; expected one"),
    (lambda: mathml.mathml("x_{i"), errors.ArgumentError, "expected a '}' more")]


@pytest.mark.parametrize(("call", "kind", "text"), MISTAKES)
def test_mistakes_are_explained(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_the_command_writes_a_page(rng, tmp_path, capsys):
    from PIL import Image

    image, out = tmp_path / "digit.png", tmp_path / "page.html"
    Image.fromarray(rng.integers(0, 99, (28, 28), np.uint8)).save(image)
    words = ["show", "lecture", "lecture_mnist", str(image), "--class", "3", "--channels", "4",
             "--out", str(out)]
    assert main(words) == 0
    assert str(out) in capsys.readouterr().out
    assert '"label": 3' in out.read_text("utf-8")
