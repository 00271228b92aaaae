"""Pictures of what a network sees: each against its formula, and the model as it was afterwards."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from minidl import errors, nn, random, viz
from minidl.cli import main, view, view_options
from minidl.data.datasets import digits
from minidl.nn import Input, layers
from minidl.viz import heat, look, patterns, score, sensitivity

SIZE = 9


@pytest.fixture
def rng():
    return np.random.default_rng(23)


@pytest.fixture
def image(rng):
    return rng.random((SIZE, SIZE, 3))


def gap(head="softmax", classes=4, dense=True, last="relu"):
    """Return a network with global average pooling and one dense layer, or a map per class."""
    random.seed(5)
    end = [layers.Dense(classes, activation=head, name="scores")] if dense \
        else [layers.Activation(head, name="out")]
    maps = 6 if dense else classes
    return nn.Sequential([
        Input((SIZE, SIZE, 3)), layers.Conv2D(5, 3, activation="relu", name="conv1"),
        layers.BatchNormalization(name="bn"), layers.Dropout(0.5, name="dropout"),
        layers.Conv2D(maps, 3, padding="same", activation=last, name="conv2"),
        layers.GlobalAveragePooling2D(name="gap"), *end]).astype("float64")


def flat(head="softmax", classes=3):
    """Return a network with dense layers after flatten."""
    random.seed(6)
    return nn.Sequential([
        Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3, activation="tanh", name="conv"),
        layers.Flatten(name="flatten"), layers.Dense(8, activation="tanh", name="dense1"),
        layers.Dense(classes, activation=head, name="dense2")]).astype("float64")


def logits(model, image):
    """Return the scores before softmax, by NumPy."""
    p = np.asarray(model.predict(image[None]))[0]
    return np.log(p)  # up to a number that all classes share


# ---- class activation maps -----------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 3])
def test_a_class_activation_map_is_the_sum_of_weighted_maps(image, label):
    model = gap()
    maps = viz.activations(model, image, ["conv2"])["conv2"]
    kernel = model.get_layer("scores").kernel.numpy()
    by_hand = sum(kernel[k, label] * maps[..., k] for k in range(6))
    found = viz.class_activation_values(model, image, label)
    np.testing.assert_allclose(found, by_hand, rtol=1e-10)
    z = logits(model, image)
    means = [viz.class_activation_values(model, image, c).mean() for c in (0, label or 1)]
    np.testing.assert_allclose(means[1] - means[0], z[label or 1] - z[0], rtol=1e-8)


def test_where_there_is_a_map_per_class_it_is_that_map(image):
    model = gap(dense=False)
    maps = viz.activations(model, image, ["conv2"])["conv2"]
    np.testing.assert_allclose(viz.class_activation_values(model, image, 2), maps[..., 2])


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("head", ["softmax", "log_softmax", "linear"])
def test_grad_cam_is_proportional_to_the_class_activation_map(image, dense, head):
    model = gap(head, dense=dense)
    for label in range(4):
        cam = viz.class_activation_values(model, image, label)
        grad = viz.grad_cam_values(model, image, label)
        np.testing.assert_allclose(grad * cam.size, np.maximum(cam, 0), rtol=1e-8, atol=1e-12)


def test_with_one_output_the_classes_are_each_others_opposite(image):
    model = gap("sigmoid", classes=1, last="linear")
    one, zero = (viz.class_activation_values(model, image, label) for label in (1, 0))
    np.testing.assert_allclose(one, -zero)
    kernel = model.get_layer("scores").kernel.numpy()
    maps = viz.activations(model, image, ["conv2"])["conv2"]
    np.testing.assert_allclose(one, maps @ kernel[:, 0])
    p = float(np.asarray(model.predict(image[None])).item())
    assert f"class {int(p > 0.5)}, probability {max(p, 1 - p):.3f}" in viz.class_activation_map(
        model, image).get_suptitle()


def test_grad_cam_of_a_layer_by_finite_differences(image):
    model = flat()
    maps = viz.activations(model, image, ["conv"])["conv"]
    kernel1, bias1, kernel2 = (p.numpy() for p in model.parameters()[2:5])

    def z(values):
        return (np.tanh(values.reshape(-1) @ kernel1 + bias1) @ kernel2)[1]

    gradient = np.zeros_like(maps)
    for place in np.ndindex(*maps.shape):
        step = np.zeros_like(maps)
        step[place] = 1e-5
        gradient[place] = (z(maps + step) - z(maps - step)) / 2e-5
    by_hand = np.maximum(maps @ gradient.mean(axis=(0, 1)), 0)
    found = viz.grad_cam_values(model, image, 1, "conv")
    np.testing.assert_allclose(found, by_hand, rtol=1e-6, atol=1e-12)
    assert found.max() > 0


def test_the_layer_of_grad_cam_is_the_last_with_maps(image):
    assert "layer conv2, 7 x 7 maps" in viz.grad_cam(gap(), image).get_suptitle()
    assert "layer conv, 7 x 7 maps" in viz.grad_cam(flat(), image).get_suptitle()


# ---- saliency ------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "classes"), [("softmax", 3), ("sigmoid", 1), ("linear", 3)])
def test_saliency_is_the_largest_derivative(image, head, classes):
    model = flat(head, classes)
    kernel = model.get_layer("dense2").kernel.numpy()

    def z(x):
        hidden = viz.activations(model, x, ["dense1"])["dense1"]
        return float((hidden @ kernel)[0 if classes == 1 else 1])

    found = viz.saliency_values(model, image, 1)
    for place in ((0, 0), (4, 5), (8, 2)):
        slopes = []
        for channel in range(3):
            step = np.zeros_like(image)
            step[(*place, channel)] = 1e-5
            slopes.append(abs(z(image + step) - z(image - step)) / 2e-5)
        np.testing.assert_allclose(found[place], max(slopes), rtol=1e-5)
    assert found.shape == (SIZE, SIZE)


def test_smooth_saliency_is_the_mean_over_noisy_copies(image):
    model = flat()
    one = viz.saliency_values(model, image, 1)
    np.testing.assert_allclose(viz.saliency_values(model, image, 1, samples=3, noise=0.0), one)
    copies = np.concatenate(list(sensitivity._noisy(image, 20, 0.3, 4)))
    assert copies.shape == (20, SIZE, SIZE, 3)
    np.testing.assert_allclose((copies - image).std(), 0.3, rtol=0.05)
    smooth = viz.saliency_values(model, image, 1, samples=20, noise=0.3 / np.ptp(image), seed=4)
    gradients = sensitivity._gradient(model, copies, 1)
    np.testing.assert_allclose(smooth, np.abs(gradients.mean(axis=0)).max(axis=2))
    again = viz.saliency_values(model, image, 1, samples=20, noise=0.3 / np.ptp(image), seed=4)
    np.testing.assert_array_equal(smooth, again)


# ---- occlusion -----------------------------------------------------------------------------


def corner(row, column, side=3):
    """Return a network whose score is the brightness of one corner only."""
    model = nn.Sequential([Input((SIZE, SIZE, 1)), layers.Flatten(),
                           layers.Dense(1, activation="sigmoid")])
    weights = np.zeros((SIZE, SIZE))
    weights[row:row + side, column:column + side] = 1
    model.layers[-1].kernel.assign(weights.reshape(-1, 1))
    model.layers[-1].bias.assign([-4.0])
    return model


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 6), (6, 0), (6, 6)])
def test_occlusion_shows_the_corner_that_is_looked_at(rng, row, column):
    image = 0.1 * rng.random((SIZE, SIZE, 1))
    image[row:row + 3, column:column + 3] = 1
    found = viz.occlusion_values(corner(row, column), image, 1, size=3, stride=2)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[row:row + 3, column:column + 3] = True
    assert found[inside].max() < found[~inside].max()
    assert np.unravel_index(found.argmin(), found.shape) in {*map(tuple, np.argwhere(inside))}
    far = found[(row + 5) % SIZE, (column + 5) % SIZE]
    whole = 1 / (1 + np.exp(-(image[inside].sum() - 4)))
    np.testing.assert_allclose(far, whole, rtol=1e-5)


def test_occlusion_by_hand(rng):
    model, image = corner(0, 0), rng.random((SIZE, SIZE, 1))
    size, stride = 4, 3
    total, count = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    for i in (0, 3, 5):  # the last square ends at the edge
        for j in (0, 3, 5):
            covered = image.copy()
            covered[i:i + size, j:j + size] = image.mean()
            p = 1 / (1 + np.exp(-(covered[:3, :3].sum() - 4)))
            total[i:i + size, j:j + size] += 1 - p
            count[i:i + size, j:j + size] += 1
    found = viz.occlusion_values(model, image, 0, size, stride, batch_size=2)
    np.testing.assert_allclose(found, total / count, rtol=1e-5)


# ---- patterns of filters -------------------------------------------------------------------


def test_the_ascent_raises_the_output_of_each_filter():
    model = gap()
    found = viz.pattern_values(model, "conv2", steps=20, seed=3)
    assert found.images.shape == (6, SIZE, SIZE, 3)
    heard = found.before > 0
    assert heard.sum() >= 4
    assert np.all(found.after[heard] > 1.5 * found.before[heard])
    for k in np.flatnonzero(heard):  # the figures are those of the layer, and its own filter's
        maps = viz.activations(model, found.images[k], ["conv2"])["conv2"].mean(axis=(0, 1))
        np.testing.assert_allclose(maps[k], found.after[k])
    again = viz.pattern_values(model, "conv2", [1, 4], steps=20, seed=3)
    np.testing.assert_array_equal(again.images, found.images[[1, 4]])
    other = viz.pattern_values(model, "conv2", [1], steps=20, seed=4)
    assert not np.array_equal(other.images[0], again.images[0])


def test_a_pattern_follows_a_known_filter():
    model = nn.Sequential([Input((12, 12, 1)),
                           layers.Conv2D(2, (1, 2), activation="relu", name="edges")])
    model.layers[0].kernel.assign(np.array([[1.0, 0], [-1.0, 0]]).reshape(1, 2, 1, 2))
    found = viz.pattern_values(model, "edges", steps=60, decay=0.0, blur=False)
    left, right = found.images[0, :, :-1, 0], found.images[0, :, 1:, 0]
    np.testing.assert_allclose(np.maximum(left - right, 0).mean(), found.after[0], rtol=1e-4)
    assert found.after[0] > 20 * found.before[0] > 0
    assert found.before[1] == found.after[1] == 0
    titles = [axes.get_title() for axes in viz.filter_patterns(model, "edges", steps=2).axes]
    assert titles[1] == "1: silent"
    assert titles[0].startswith("0: ")
    single = viz.filter_pattern(model, "edges", 0, steps=2)
    assert single.get_suptitle() == "What excites filter 0 of layer edges"


def test_layers_after_the_one_looked_at_are_not_computed():
    model, seen = gap(), []
    model.get_layer("gap").register_forward_hook(lambda *call: seen.append(call))
    viz.pattern_values(model, "conv1", [0], steps=2)
    assert seen == []


def test_channels_of_a_network_that_takes_bgr(rng):
    model = gap()
    one, other = (viz.filter_patterns(model, "conv1", [0], steps=2, channels=order).axes[0]
                  for order in ((0, 1, 2), (2, 1, 0)))
    pixels = np.asarray(one.images[0].get_array())
    np.testing.assert_array_equal(pixels[..., ::-1], other.images[0].get_array())
    assert np.ptp(pixels) > 0


# ---- worst mistakes ------------------------------------------------------------------------


def test_mistakes_come_by_their_loss(rng):
    p = rng.dirichlet(np.ones(5), 200)
    true = rng.integers(0, 5, 200)
    rows, losses = viz.mistakes(p, true)
    assert set(rows) == set(np.flatnonzero(p.argmax(axis=1) != true))
    np.testing.assert_allclose(losses, -np.log(p[rows, true[rows]]))
    assert np.all(np.diff(losses) <= 0)
    np.testing.assert_array_equal(viz.mistakes(p, np.eye(5)[true])[0], rows)


def test_a_planted_swap_is_caught(rng):
    true = rng.integers(0, 3, 50)
    p = np.full((50, 3), 0.05)
    p[np.arange(50), true] = 0.9
    p[13] = [0.34, 0.33, 0.33] if true[13] else [0.33, 0.34, 0.33]  # a small mistake
    given, names = true.copy(), ["ant", "bee", "cow"]
    given[31] = (true[31] + 1) % 3
    images = rng.integers(0, 256, (50, 6, 6, 1), np.uint8)
    picture = viz.worst_mistakes(images, p, given, class_names=names)
    assert picture.axes[0].get_title() == (
        f"said {names[true[31]]}  0.900\ntrue {names[given[31]]}  0.050")
    np.testing.assert_array_equal(picture.axes[0].images[0].get_array(), images[31, ..., 0])
    assert picture.get_suptitle() == "The worst 2 of 2 mistakes in 50 images"


def test_mistakes_of_one_output():
    rows, losses = viz.mistakes([[0.9], [0.2], [0.6]], [0, 0, 1])
    assert rows.tolist() == [0]
    np.testing.assert_allclose(losses, -np.log(0.1))


# ---- the pictures --------------------------------------------------------------------------

PICTURES = {
    "cam": lambda m, x, **more: viz.class_activation_map(m, x, **more),
    "grad_cam": lambda m, x, **more: viz.grad_cam(m, x, **more),
    "saliency": lambda m, x, **more: viz.saliency(m, x, samples=2, **more),
    "occlusion": lambda m, x, **more: viz.occlusion_map(m, x, **more),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_photo_and_map_are_side_by_side(kind, image, rng):
    photo = rng.integers(0, 256, (40, 60, 3), np.uint8)
    names = ["ape", "bat", "cat", "dog"]
    picture = PICTURES[kind](gap(), image, label=2, shown=photo, class_names=names)
    left, right, bar = picture.axes
    np.testing.assert_allclose(left.images[0].get_array(), photo / 255)
    assert '"cat", probability 0.' in picture.get_suptitle()
    assert bar.get_ylabel()
    if kind == "saliency":  # pixel by pixel, beside the photo
        assert right.images[0].get_array().shape == (SIZE, SIZE)
    else:
        assert [im.get_array().shape for im in right.images] == [(40, 60), (40, 60)]
    assert PICTURES[kind](gap(), image, title="mine").get_suptitle() == "mine"


def test_a_map_without_evidence_says_so(image):
    model = gap(last="linear")
    model.get_layer("scores").kernel.assign(np.zeros((6, 4)))
    assert "no evidence for it" in viz.grad_cam(model, image, 0).get_suptitle()


def test_cold_places_show_the_photo_and_hot_ones_the_colour():
    straight, reverse = heat.see_through(), heat.see_through(reverse=True)
    assert straight(0.0)[3] == pytest.approx(heat.LEAST)
    assert straight(1.0)[3] == pytest.approx(heat.MOST)
    np.testing.assert_allclose(straight(1.0), reverse(0.0))


def test_feature_maps_show_the_photo_and_say_where_they_are_cut(image, rng):
    photo = rng.integers(0, 256, (30, 30, 3), np.uint8)
    picture = viz.feature_maps(gap(), image, ["conv2"], limit=4, shown=photo)
    texts = [axes.get_title(loc="left") for axes in picture.axes]
    assert texts == ["input: 30 x 30 x 3", "conv2: 7 x 7 x 6, the first 4"]


# ---- probabilities -------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "loss"), [
    ("softmax", None), ("log_softmax", "nll"), ("linear", None)])
def test_what_outputs_say_is_found_out(head, loss, image):
    model = gap(head)
    if loss:
        model.compile("sgd", loss)
    plain = gap("softmax")
    plain.load_state_dict(model.state_dict())
    judge = score.Judge(model, image)
    np.testing.assert_allclose(judge(image[None]), plain.predict(image[None]), rtol=1e-6)


def test_logits_of_one_output_become_two_probabilities(image):
    model = gap("linear", classes=1)
    z = float(np.asarray(model.predict(image[None])).item())
    model.compile("sgd", nn_loss())
    row = score.Judge(model, image)(image[None])[0]
    np.testing.assert_allclose(row, [1 / (1 + np.exp(z)), 1 / (1 + np.exp(-z))])


def nn_loss():
    from minidl.train.losses import BinaryCrossentropy
    return BinaryCrossentropy(from_logits=True)


# ---- nothing is left behind ----------------------------------------------------------------

LOOKS = {
    **PICTURES,
    "pattern": lambda m, x: viz.filter_patterns(m, "conv2", [0, 1], steps=2),
    "maps": lambda m, x: viz.feature_maps(m, x),
    "failing": lambda m, x: viz.grad_cam(m, x, layer="scores"),
    "failing hook": lambda m, x: viz.pattern_values(m, "scores"),
}


@pytest.mark.parametrize("kind", LOOKS)
def test_the_model_is_as_it_was(kind, image):
    model = gap().train()
    model.get_layer("bn").eval()
    model.get_layer("conv1").trainable = False
    model(image[None]).sum().backward()
    random.seed(3)
    random.default.key()

    def state():
        return ([m.training for m in model.modules()],
                {name: p.trainable for name, p in model.named_parameters().items()},
                {n: None if p.grad is None else p.grad.numpy().tobytes()
                 for n, p in model.named_parameters().items()},
                [m._hooks for m in model.modules()], random.default.state,
                {name: array.tobytes() for name, array in model.state_dict().items()})

    before = state()
    assert any(before[2].values())
    with contextlib.suppress(errors.MinidlError):
        LOOKS[kind](model, image)
    assert state() == before


def test_inside_no_grad_it_works_too(image):
    from minidl import config

    model = flat()
    expected = viz.saliency_values(model, image, 1)
    with config.no_grad():
        np.testing.assert_array_equal(viz.saliency_values(model, image, 1), expected)


def test_bytes_are_taken_as_floats(rng):
    model = gap()
    pixels = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    np.testing.assert_allclose(viz.grad_cam_values(model, pixels, 1),
                               viz.grad_cam_values(model, pixels.astype(float), 1))


# ---- errors --------------------------------------------------------------------------------


def two_dense():
    """Return a network with two dense layers after the pooling, the widths alike."""
    return nn.Sequential([
        Input((SIZE, SIZE, 3)), layers.Conv2D(6, 3, name="conv"), layers.GlobalAveragePooling2D(),
        layers.Dense(6, activation="tanh"), layers.Dense(3, activation="softmax")])


def maximal():
    return nn.Sequential([Input((SIZE, SIZE, 3)), layers.Conv2D(6, 3),
                          layers.GlobalMaxPooling2D(), layers.Dense(3)])


X = np.zeros((SIZE, SIZE, 3))
RANDOM = np.random.default_rng(1).random((SIZE, SIZE, 3))
BAD_CALLS = {
    "flatten": (lambda: viz.class_activation_map(flat(), RANDOM), "Use grad_cam, which takes any"),
    "two dense": (lambda: viz.class_activation_values(two_dense(), RANDOM), "Use grad_cam"),
    "max": (lambda: viz.class_activation_values(maximal(), RANDOM), "Use grad_cam"),
    "class": (lambda: viz.grad_cam(gap(), X, 4), "got label=4; the model tells 4 classes apart"),
    "layer": (lambda: viz.grad_cam(gap(), X, layer="conv9"), "got layers conv9; the model has"),
    "no maps": (lambda: viz.grad_cam(gap(), X, layer="scores"),
                'layer "scores": gives \\(4,\\); expected maps'),
    "two images": (lambda: viz.saliency(gap(), np.zeros((2, SIZE, SIZE, 3))), "Give one image"),
    "samples": (lambda: viz.saliency(gap(), X, samples=0), "got samples=0"),
    "square": (lambda: viz.occlusion_map(gap(), X, size=10), "a square that fits into it"),
    "stride": (lambda: viz.occlusion_map(gap(), X, size=2, stride=3), "every pixel is covered"),
    "filter": (lambda: viz.filter_patterns(gap(), "conv2", [6]), "has filters 0 to 5"),
    "steps": (lambda: viz.filter_patterns(gap(), "conv2", steps=0), "got steps=0"),
    "dense pattern": (lambda: viz.filter_patterns(gap(), "scores"), "Name a convolution"),
    "size": (lambda: viz.filter_patterns(nn.Sequential([
        Input((None, None, 3)), layers.Conv2D(2, 3, name="conv")]), "conv"),
        "Give size=\\(height, width\\)"),
    "no classes": (lambda: viz.saliency(nn.Sequential([
        Input((SIZE, SIZE, 3)), layers.Conv2D(2, 3)]), X), "Give a model that classifies"),
    "nothing wrong": (lambda: viz.worst_mistakes(np.zeros((1, 4, 4)), [[0.9, 0.1]], [0]),
                      "got count=12 and 0 mistakes"),
    "labels": (lambda: viz.mistakes([[0.9, 0.1]], [2]), "got labels from 2 to 2; expected 0 to 1"),
    "rows": (lambda: viz.mistakes([[0.9, 0.1]], [0, 1]), "and 2 labels"),
    "images": (lambda: viz.worst_mistakes(np.zeros((3, 4, 4)), [[0.9, 0.1]], [1]),
               "got 3 images and 1 rows"),
    "names": (lambda: viz.worst_mistakes(np.zeros((1, 4, 4)), [[0.9, 0.1]], [1],
                                         class_names=["a"]), "got 1 class_names; expected 2"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_say_what_was_expected(case):
    call, text = BAD_CALLS[case]
    with pytest.raises(errors.MinidlError, match=text):
        call()


def test_a_layer_beside_the_way_is_told(image):
    x = Input((SIZE, SIZE, 3))
    y = layers.Conv2D(2, 3, name="main")(x)
    aside = layers.Conv2D(2, 3, name="aside")(x)
    model = nn.Model(x, [layers.Dense(3)(layers.Flatten()(y)), aside])
    with pytest.raises(errors.ArgumentError, match='layer "aside": the score does not depend'):
        viz.grad_cam_values(model, image, 0, "aside")


# ---- the command line ----------------------------------------------------------------------


def minidl(*words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as usage:
            status = usage.code
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of few samples on the digits that come with minidl, and an image file."""
    from PIL import Image

    out = tmp_path_factory.mktemp("runs") / "digits"
    done = minidl("train", "mnist_convnet", "--data", digits.FOLDER, "--limit", 300, "--epochs", 1,
                  "--out", out)
    assert done[0] == 0, done[2]
    x = digits.load_data()[1][0]
    Image.fromarray(x[3, ..., 0]).save(out.parent / "digit.png")
    return out


VERBS = {
    "filters": "filters {run} --layer conv2 --channel 3 --count 9",
    "normalised": "filters {run} --style normalised",
    "maps": "maps {run} {image} --first 2",
    "maps of layers": "maps {run} {image} --layers conv1,pool1 --count 5",
    "pattern": "pattern {run} --filters 0,3 --steps 2",
    "gradcam": "gradcam {run} {image} --layer conv2 --class 7",
    "saliency": "saliency {run} --sample 3 --samples 4 --seed 2",
    "occlusion": "occlusion {run} --sample 0 --size 8 --stride 4",
    "mistakes": "mistakes {run} --limit 200 --count 4",
    "confusion": "confusion {run} --limit 100",
    "curves": "curves {run} --title mine",
    "graph": "graph {run}",
    "graph of a network": "graph mnist_convnet",
    "graph of an experiment": "graph demo",
    "saved model": "gradcam {model} {image} --range 0 1 --layer conv2",
}


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_writes_a_picture(verb, run, tmp_path):
    model = tmp_path / "alone.safetensors"
    for kind in (".safetensors", ".json"):
        model.with_suffix(kind).write_bytes((run / "model").with_suffix(kind).read_bytes())
    words = VERBS[verb].format(run=run, image=run.parent / "digit.png", model=model)
    status, out, err = minidl("show", *words.split(), "--out", tmp_path / "a.png")
    assert status == 0, err
    kind = view_options.KINDS[words.split()[0]]
    assert out.splitlines()[-1] == f"{tmp_path / 'a.png'}: {kind.text}"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_an_image_file_and_the_sample_it_is_from_give_the_same_picture(run, tmp_path):
    for name, words in {"a": [run.parent / "digit.png"], "b": ["--sample", 3]}.items():
        assert minidl("show", "saliency", run, *words, "--out", tmp_path / f"{name}.png")[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_class_activation_maps_of_a_saved_network(tmp_path, rng):
    from PIL import Image

    gap().astype("float32").save(tmp_path / "small")
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "photo.png")
    done = minidl("show", "cam", tmp_path / "small", tmp_path / "photo.png", "--class", 1,
                  "--out", tmp_path / "cam.png")
    assert done[0] == 0, done[2]
    assert (tmp_path / "cam.png").exists()


VERB_ERRORS = {
    "no cam": ("cam {run} {image}", "Use grad_cam"),
    "no image": ("gradcam {run}", "Name an image file, or --sample N"),
    "both": ("gradcam {run} {image} --sample 1", "got an image and --sample"),
    "sample": ("gradcam {run} --sample 100000", "--sample: got 100000; expected 0 to"),
    "class": ("gradcam {run} {image} --class cat", "--class: got 'cat'; expected one of 0, 1"),
    "no run": ("confusion mnist_convnet", "confusion: got mnist_convnet, which is no run"),
    "no network": ("graph mnits_convnet", "Did you mean mnist_convnet?"),
    "layer": ("filters {run} --layer dense1", "expected a layer with filters: conv1, conv2"),
    "filters": ("pattern {run} --filters a", "--filters: got 'a'; expected numbers"),
    "no file": ("gradcam {run} none.png", "none.png: there is no such file"),
    "no history": ("curves {run}/..", "holds no run.json"),
}


@pytest.mark.parametrize("case", VERB_ERRORS)
def test_errors_of_verbs_are_one_line(case, run, tmp_path):
    words, text = VERB_ERRORS[case]
    status, _, err = minidl("show", *words.format(run=run, image=run.parent / "digit.png").split(),
                            "--out", tmp_path / "a.png")
    assert status == 1
    assert text in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "a.png").exists()


def test_every_kind_is_drawn_and_has_help():
    assert set(view.DRAW) | {"graph", "lecture"} == set(view_options.KINDS)
    for kind in view_options.KINDS:
        assert minidl("show", kind, "--help")[0] == 0
    assert minidl("show")[0] == 2


def test_range_and_channels_of_inputs_are_found(rng):
    from minidl.cli.subject import Subject

    means = np.array([10.0, 20.0, 30.0])
    bgr = Subject("one", gap(), lambda pixels: (pixels[..., ::-1] - means) / 2)
    assert bgr.channels == [2, 1, 0]
    assert bgr.value_range == (-15.0, 122.5)
    assert Subject("two", gap(), lambda pixels: pixels / 255).channels == [0, 1, 2]


def test_helpers_keep_their_word(rng):
    soft = patterns.smoothed(rng.random((1, 8, 8, 2)))
    assert soft.shape == (1, 8, 8, 2)
    with pytest.raises(errors.ArgumentError, match="whose input has the shape unknown"):
        look.input_shape("here", object())
