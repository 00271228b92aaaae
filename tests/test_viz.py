"""The pictures: what is on them, their titles, and the error texts."""

from __future__ import annotations

import numpy as np
import pytest

from minidl import data, errors, nn, random, viz
from minidl.nn import layers
from minidl.viz import features, figure, kernels


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def titles(picture):
    return [axes.get_title() or axes.get_title(loc="left") for axes in picture.axes]


def shown(axes):
    """Return the array that axes show as an image."""
    return np.asarray(axes.images[0].get_array())


# ---- image_grid ----------------------------------------------------------------------------


def test_the_grid_of_the_lecture_has_five_rows_of_six_and_marks_the_wrong_ones(rng):
    images, labels = rng.integers(0, 256, (30, 28, 28, 1), np.uint8), rng.integers(0, 10, 30)
    said = labels.copy()
    said[[3, 20]] = (said[[3, 20]] + 1) % 10
    picture = viz.image_grid(images, said, labels)
    marked = [i for i, title in enumerate(titles(picture)) if title.startswith("ERR")]
    assert marked == [3, 20]
    assert titles(picture)[3] == f"ERR {said[3]} ({labels[3]})"
    assert picture.axes[0].get_gridspec().get_geometry() == (5, 6)
    assert picture.get_suptitle() == "Prediction (truth): 28 of 30 right"
    np.testing.assert_array_equal(shown(picture.axes[7]), images[7, ..., 0])


def test_predictions_may_be_scores_and_classes_may_have_names(rng):
    scores = np.eye(3)[[2, 0]]
    picture = viz.image_grid(rng.random((2, 4, 4, 3)), scores, [2, 1], ["cat", "dog", "frog"])
    assert titles(picture) == ["frog (frog)", "ERR cat (dog)"]
    long = viz.image_grid(rng.random((2, 4, 4)), scores, [2, 1], ["a", "b", "Ankle boot"])
    assert titles(long) == ["Ankle boot\n(Ankle boot)", "ERR a\n(b)"]


def test_without_truth_only_the_prediction_is_shown(rng):
    images = rng.random((2, 4, 4, 1))
    assert titles(viz.image_grid(images, [1, 2])) == ["1", "2"]
    assert titles(viz.image_grid(images)) == ["", ""]


@pytest.mark.parametrize(("ground", "stroke", "colours"), [(0, 255, "gray_r"), (255, 0, "gray")])
def test_digits_look_like_ink_on_paper(ground, stroke, colours):
    image = np.full((1, 8, 8, 1), ground, np.uint8)
    image[0, 3:5, 3:5] = stroke
    assert viz.image_grid(image).axes[0].images[0].cmap.name == colours


def test_colour_images_out_of_range_are_scaled(rng):
    image = rng.normal(size=(1, 5, 5, 3))
    pixels = shown(viz.image_grid(image).axes[0])
    assert pixels.min() == 0
    assert pixels.max() == 1


# ---- augmented_grid ------------------------------------------------------------------------


def test_the_grid_of_augmented_samples(rng):
    image = rng.integers(0, 256, (8, 12, 3), np.uint8)
    pipeline = data.Pipeline(data.RandomAffine(rotation=30, zoom=0.2), data.ToFloat(), seed=7)
    picture = viz.augmented_grid(image, pipeline, seed=2)
    assert picture.axes[0].get_gridspec().get_geometry() == (3, 3)
    wanted = data.Pipeline(*pipeline.steps, seed=2)(np.repeat(image[None], 9, axis=0))
    for axes, sample in zip(picture.axes, wanted, strict=True):
        np.testing.assert_array_equal(shown(axes), sample)


def test_augmented_samples_of_layers_are_those_of_training(rng):
    image = rng.integers(0, 256, (8, 8, 1), np.uint8)
    chain = nn.Sequential([layers.RandomRotation(0.2), layers.RandomTranslation(0.2, 0.2)]).eval()
    random.seed(11)
    pixels = [shown(axes) for axes in viz.augmented_grid(image, chain, 5, seed=3).axes]
    again = [shown(axes) for axes in viz.augmented_grid(image, chain, 5, seed=3).axes]
    np.testing.assert_array_equal(pixels, again)
    assert random.default.state == (11, 0)
    assert not chain.training
    assert len({p.tobytes() for p in pixels}) == 5
    assert pixels[0].dtype == np.uint8


@pytest.mark.parametrize(("image", "augmentation", "count", "text"), [
    (np.zeros((2, 8, 8, 3)), data.Pipeline(), 9, "Give one image of the batch"),
    (np.zeros((8, 8, 3)), data.RandomFlip(), 9, "Write Pipeline\\(step\\)"),
    (np.zeros((8, 8, 3)), data.Pipeline(), 0, "count=0")])
def test_augmented_grids_that_cannot_be(image, augmentation, count, text):
    with pytest.raises(errors.MinidlError, match=text):
        viz.augmented_grid(image, augmentation, count)


# ---- filters -------------------------------------------------------------------------------


def test_symmetric_filters_share_a_scale_around_zero(rng):
    kernel = rng.normal(size=(5, 5, 4, 10))
    picture = viz.filters(kernel, channel=2)
    largest = np.abs(kernel).max()
    for k, axes in enumerate(picture.axes[:10]):
        np.testing.assert_array_equal(shown(axes), kernel[:, :, 2, k])
        assert axes.images[0].get_clim() == (-largest, largest)
    assert picture.axes[0].get_gridspec().get_geometry() == (3, 4)
    assert picture.get_suptitle() == "10 filters, input channel 2 of 4"


def test_normalised_filters(rng):
    kernel = rng.normal(size=(3, 3, 2, 3))
    picture = viz.filters(kernel, style="normalised")
    assert titles(picture) == ["0,0", "0,1", "1,0", "1,1", "2,0", "2,1"]
    w = kernel[:, :, 1, 2]
    np.testing.assert_allclose(shown(picture.axes[5]),
                               np.clip((w - w.mean()) / w.std() + 0.5, 0, 1))
    colours = viz.filters(rng.normal(size=(3, 3, 3, 5)), style="normalised")
    assert titles(colours) == list("01234")
    assert shown(colours.axes[0]).shape == (3, 3, 3)


def test_constant_filters_are_no_division_by_zero():
    assert (kernels.normalise(np.zeros((3, 3))) == 0.5).all()
    assert len(viz.filters(np.zeros((3, 3, 1, 2))).axes) == 3


def test_many_filters_are_limited(rng):
    picture = viz.filters(rng.normal(size=(3, 3, 8, 20)), style="normalised", limit=9)
    assert len(picture.axes) == 9
    assert picture.get_suptitle().startswith("First 9 of 160 filters")


# ---- feature_maps --------------------------------------------------------------------------


@pytest.fixture
def model():
    return nn.Sequential([
        nn.Input((9, 9, 1)), layers.Conv2D(12, 3, activation="relu", name="conv"),
        layers.Dropout(0.9, name="dropout"), layers.MaxPooling2D(2, name="pool"),
        layers.Flatten(name="flat"), layers.Dense(4, name="dense")])


def test_activations_are_the_layers_outputs_in_use(model, rng):
    image = rng.normal(size=(9, 9, 1)).astype("float32")
    model.train()
    outputs = viz.activations(model, image)
    assert [(name, y.shape) for name, y in outputs.items()] == [
        ("conv", (7, 7, 12)), ("dropout", (7, 7, 12)), ("pool", (3, 3, 12)), ("flat", (108,)),
        ("dense", (4,))]
    np.testing.assert_array_equal(outputs["conv"], outputs["dropout"])  # dropout is off
    np.testing.assert_array_equal(outputs["pool"].reshape(-1), outputs["flat"])
    assert model.training
    model.eval()
    np.testing.assert_allclose(outputs["dense"], model(image[None]).numpy()[0], rtol=1e-5)
    assert viz.activations(model, image, 2).keys() == {"conv", "dropout"}


def test_feature_maps_show_image_layers_below_the_input(model, rng):
    image = rng.normal(size=(1, 9, 9, 1)).astype("float32")
    assert titles(viz.feature_maps(model, image)) == [
        "input: 9 x 9 x 1", "conv: 7 x 7 x 12", "pool: 3 x 3 x 12"]  # dropout changes nothing
    chosen = viz.feature_maps(model, image, ["pool", "dense"])
    assert titles(chosen) == ["input: 9 x 9 x 1", "pool: 3 x 3 x 12", "dense: 4"]


def test_a_mosaic_has_each_channel_at_its_place(rng):
    output = rng.normal(size=(4, 5, 12))
    canvas = features.mosaic(output, limit=11)
    assert canvas.shape == (2 * 4 + 1, 10 * 5 + 9)
    np.testing.assert_array_equal(canvas[5:9, 0:5], output[..., 10])
    np.testing.assert_array_equal(canvas[0:4, 54:59], output[..., 9])
    assert np.isnan(canvas[5:9, 6:11]).all()  # where channel 11 would have been


# ---- curves and confusion ------------------------------------------------------------------


@pytest.mark.parametrize(("rates", "marked"), [
    ([0.1] * 4 + [0.01] * 3 + [0.001], ["0.01", "0.001"]),
    ([0.1, 0.08, 0.06, 0.04], []),  # a decay, not a few changes
    ([0.1] * 5, []), ([], [])])
def test_training_curves_mark_changes_of_the_rate(rates, marked):
    history = {"loss": list(range(max(len(rates), 1))), "learning_rate": rates}
    axes, = viz.training_curves(history).axes
    assert [text.get_text() for text in axes.texts] == marked
    lines = [line.get_xdata()[0] for line in axes.lines[1:]]
    assert lines == [epoch + 0.5 for epoch in range(1, len(rates))
                     if marked and rates[epoch] != rates[epoch - 1]]


def test_learning_rates_want_a_loss_for_each():
    with pytest.raises(errors.ShapeError, match="got 2 rates and 1 losses"):
        viz.learning_rates([0.1, 0.2], [1.0])


def test_training_curves_have_a_panel_for_each_metric():
    history = {"loss": [2.0, 1.0, 0.5], "accuracy": [0.2, 0.6, 0.8], "learning_rate": [1, 1, 1],
               "val_loss": [1.8, 1.1, 0.7], "val_accuracy": [0.3, 0.5, 0.7]}
    picture = viz.training_curves(history, "a run")
    assert titles(picture) == ["loss 0.500, validation 0.700", "accuracy 0.800, validation 0.700"]
    first = picture.axes[0].lines
    assert [line.get_label() for line in first] == ["training", "validation"]
    assert list(first[1].get_xdata()) == [1, 2, 3]
    assert list(first[1].get_ydata()) == history["val_loss"]
    assert picture.get_suptitle() == "a run"


def test_a_confusion_matrix_shows_counts_and_shares():
    counts = [[6, 2, 0], [0, 4, 0], [1, 0, 3]]
    axes = viz.confusion_matrix(counts, ["a", "b", "c"]).axes[0]
    assert axes.get_title() == "13 of 16 right: 0.8125"
    assert sorted(text.get_text() for text in axes.texts) == ["1", "2", "3", "4", "6"]
    np.testing.assert_allclose(shown(axes)[0], [0.75, 0.25, 0])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert not viz.confusion_matrix(np.eye(30)).axes[0].texts


# ---- saving --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "new/folder/b.svg"])
def test_saved_pictures_are_whole_and_leave_nothing_beside(tmp_path, name):
    path = viz.save(viz.confusion_matrix([[1]]), tmp_path / name)
    start = {".png": b"\x89PNG", ".svg": b"<?xml"}[path.suffix]
    assert path.read_bytes().startswith(start)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = viz.save(viz.confusion_matrix([[1]]), tmp_path / "a.png")
    before = path.read_bytes()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure.os, "replace", full)
    with pytest.raises(errors.MinidlError, match=r"a\.png: cannot be written: No space left"):
        viz.save(viz.confusion_matrix([[2]]), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(errors.MinidlError, match=r"a\.png: cannot be written"):
        viz.save(viz.confusion_matrix([[1]]), tmp_path / "a.png")


def test_pictures_leave_matplotlibs_global_state_alone():
    import subprocess
    import sys

    code = ("import minidl as dl, sys; dl.viz.confusion_matrix([[1]]); "
            "sys.exit('matplotlib.pyplot' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- errors --------------------------------------------------------------------------------

BAD_CALLS = {
    "no image": (lambda m: viz.image_grid(np.zeros((0, 4, 4))), "expected \\(N, H, W, C\\)"),
    "one image": (lambda m: viz.image_grid(np.zeros((4, 4))), "image\\[None\\]"),
    "channels": (lambda m: viz.image_grid(np.zeros((1, 4, 4, 2))), "Channels are the last axis"),
    "length": (lambda m: viz.image_grid(np.zeros((2, 4, 4)), [1]), "one for each of 2 images"),
    "no name": (lambda m: viz.image_grid(np.zeros((1, 4, 4)), [3], class_names=["a"]),
                "got class 3 and 1 class_names"),
    "kernel": (lambda m: viz.filters(np.zeros((3, 3, 4))), "expected \\(KH, KW, C, K\\)"),
    "style": (lambda m: viz.filters(np.zeros((3, 3, 1, 4)), "plain"), "style='plain'"),
    "channel": (lambda m: viz.filters(np.zeros((3, 3, 2, 4)), channel=2), "channels 0 to 1"),
    "layer": (lambda m: viz.feature_maps(m, np.zeros((9, 9, 1)), ["conv9"]),
              "got layers conv9; the model has conv, dropout"),
    "two images": (lambda m: viz.feature_maps(m, np.zeros((2, 9, 9, 1))), "Give one image"),
    "no maps": (lambda m: viz.feature_maps(m, np.zeros((9, 9, 1)), []), "no layer gives images"),
    "history": (lambda m: viz.training_curves({}), "Train an epoch first"),
    "square": (lambda m: viz.confusion_matrix([[1, 2]]), "expected \\(classes, classes\\)"),
    "names": (lambda m: viz.confusion_matrix([[1]], ["a", "b"]), "got 2 names; expected 1"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_say_what_was_expected(case, model):
    call, text = BAD_CALLS[case]
    with pytest.raises(errors.MinidlError, match=text):
        call(model)
