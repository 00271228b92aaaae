"""The networks and recipes of the lectures: counts, shapes, initial values, settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minidl as dl
from minidl import errors, models, recipes
from minidl.recipes import prepare

COUNTS = {
    "lecture_mnist": {"conv1": 260, "conv2": 5_020, "dense1": 16_050, "dense2": 510},
    "lecture_mnist_wide": {"conv1": 832, "conv2": 51_264, "dense1": 3_212_288, "dense2": 10_250},
    "mnist_convnet": {"conv1": 320, "conv2": 18_496, "conv3": 36_928, "dense1": 36_928,
                      "dense2": 650},
}
TOTALS = {"lecture_mnist": 21_840, "lecture_mnist_wide": 3_274_634, "mnist_convnet": 93_322}
SHAPES = {
    "lecture_mnist": {"conv1": (24, 24, 10), "pool1": (12, 12, 10), "conv2": (8, 8, 20),
                      "pool2": (4, 4, 20), "flatten": (320,), "log_softmax": (10,)},
    "lecture_mnist_wide": {"conv1": (28, 28, 32), "pool1": (14, 14, 32), "conv2": (14, 14, 64),
                           "pool2": (7, 7, 64), "flatten": (3136,), "dense2": (10,)},
    "mnist_convnet": {"conv1": (26, 26, 32), "pool1": (13, 13, 32), "conv2": (11, 11, 64),
                      "pool2": (5, 5, 64), "conv3": (3, 3, 64), "flatten": (576,),
                      "dense2": (10,)},
}


@pytest.fixture
def images():
    return np.random.default_rng(5).normal(size=(6, 28, 28, 1)).astype("float32")


# ---- models --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TOTALS)
def test_parameters_are_as_printed_in_the_lectures(name):
    model = getattr(models, name)()
    by_layer = {}
    for path, parameter in model.named_parameters().items():
        layer = path.split("/")[0]
        by_layer[layer] = by_layer.get(layer, 0) + parameter.size
    assert by_layer == COUNTS[name]
    assert model.count_parameters() == TOTALS[name]
    assert model.name == name


@pytest.mark.parametrize("name", TOTALS)
def test_layers_have_the_shapes_of_the_lectures(name, images):
    outputs = dl.viz.activations(getattr(models, name)(), images[0])
    assert {layer: outputs[layer].shape for layer in SHAPES[name]} == SHAPES[name]


@pytest.mark.parametrize("name", TOTALS)
def test_outputs_are_probabilities_or_their_logarithms(name, images):
    outputs = getattr(models, name)().eval()(images).numpy()
    probabilities = np.exp(outputs) if name == "lecture_mnist" else outputs
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert outputs.shape == (6, 10)


def test_lecture_mnist_draws_its_weights_as_pytorch_does():
    dl.random.seed(3)
    parameters = models.lecture_mnist().named_parameters()
    fan_in = {"conv1": 25, "conv2": 250, "dense1": 320, "dense2": 50}
    for path, parameter in parameters.items():
        bound = 1 / np.sqrt(fan_in[path.split("/")[0]])
        largest = np.abs(parameter.numpy()).max()
        assert bound * 0.6 < largest <= bound, path
    spread = parameters["dense1/kernel"].numpy().std() * np.sqrt(320)
    assert abs(spread - 1 / np.sqrt(3)) < 0.01  # of a uniform distribution on [-1, 1]


def test_the_same_seed_gives_the_same_network():
    def drawn(seed):
        dl.random.seed(seed)
        return models.mnist_convnet().state_dict()

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert all(np.array_equal(first[path], again[path]) for path in first)
    assert not np.array_equal(first["conv1/kernel"], other["conv1/kernel"])


def test_in_training_dropout_drops_whole_channels(images):
    model = models.lecture_mnist().train()
    seen = {}
    model.get_layer("dropout2").register_forward_hook(
        lambda layer, inputs, output: seen.update(y=np.array(output.data)))
    model(images)
    dropped = (seen["y"] == 0).all(axis=(1, 2))  # (6 images, 20 channels)
    assert 20 < dropped.sum() < 100
    assert (dropped == (seen["y"] == 0).any(axis=(1, 2))).all()


@pytest.mark.torch
def test_lecture_mnist_computes_what_the_pytorch_network_computes(images):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    F = torch.nn.functional  # noqa: N806 (its usual short name)
    model = models.lecture_mnist().eval()
    w = {path: torch.from_numpy(array) for path, array in model.state_dict().items()}
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    for conv in ("conv1", "conv2"):
        kernel = w[f"{conv}/kernel"].permute(3, 2, 0, 1)  # (KH, KW, C, K) -> (K, C, KH, KW)
        x = F.relu(F.max_pool2d(F.conv2d(x, kernel, w[f"{conv}/bias"]), 2))
    x = x.permute(0, 2, 3, 1).flatten(1)  # channels last, as minidl flattens
    x = F.relu(F.linear(x, w["dense1/kernel"].T, w["dense1/bias"]))
    x = F.log_softmax(F.linear(x, w["dense2/kernel"].T, w["dense2/bias"]), dim=1)
    np.testing.assert_allclose(model(images).numpy(), x.numpy(), rtol=1e-4, atol=1e-5)


# ---- recipes -------------------------------------------------------------------------------

TAUGHT = {  # optimizer, learning rate, loss, epochs, batch, test batch
    "lecture_mnist": ("SGD", 0.01, "nll", 3, 64, 1000),
    "lecture_mnist_wide": ("Adam", 0.001, "categorical_crossentropy", 10, 64, 1000),
    "mnist_convnet": ("RMSprop", 0.001, "categorical_crossentropy", 5, 64, 1000),
    "lab1_cifar": ("Adam", 1e-4, "sparse_categorical_crossentropy", 23, 100, 1000),
    "lab_cifar": ("SGD", 0.01, "categorical_crossentropy", 25, 32, 1000),
    "cats_dogs": ("Adam", 0.001, "binary_crossentropy", 30, 32, 100),
    "telemetry_conv1d": ("Adam", 0.001, "binary_crossentropy", 30, 128, 1000),
    "imdb_conv1d": ("RMSprop", 0.001, "binary_crossentropy", 2, 128, 1000),
    "flowers_minivggnet": ("SGD", 0.05, "categorical_crossentropy", 100, 32, 256),
    "cifar_ensemble": ("SGD", 0.01, "categorical_crossentropy", 40, 64, 1000),
    "alexnet_dogs_cats": ("Adam", 0.001, "binary_crossentropy", 75, 128, 64),
    "minigooglenet_cifar_1": ("SGD", 1e-3, "categorical_crossentropy", 70, 64, 500),
    "minigooglenet_cifar_2": ("SGD", 1e-2, "categorical_crossentropy", 70, 64, 500),
    "minigooglenet_cifar_3": ("SGD", 5e-3, "categorical_crossentropy", 70, 64, 500),
    "deepergooglenet_tiny_1": ("SGD", 1e-2, "categorical_crossentropy", 65, 64, 250),
    "deepergooglenet_tiny_2": ("Adam", 1e-3, "categorical_crossentropy", 40, 64, 250),
    "deepergooglenet_tiny_3": ("Adam", 1e-3, "categorical_crossentropy", 70, 64, 250),
    "resnet_cifar_1": ("SGD", 0.1, "categorical_crossentropy", 85, 128, 250),
    "resnet_cifar_2": ("SGD", 0.1, "categorical_crossentropy", 50, 128, 250),
    "resnet_cifar_3": ("SGD", 0.1, "categorical_crossentropy", 100, 128, 250),
    "resnet_cifar_4": ("SGD", 0.1, "categorical_crossentropy", 100, 128, 250),
    "resnet_tiny_1": ("SGD", 0.1, "categorical_crossentropy", 40, 64, 250),
    "resnet_tiny_2": ("SGD", 0.1, "categorical_crossentropy", 75, 64, 250),
}
WEIGHTS = {"resnet_cifar_1": 60_790, "resnet_cifar_2": 880_774, "resnet_cifar_4": 886_102,
           "deepergooglenet_tiny_1": 773_752, "deepergooglenet_tiny_3": 3_667_976,
           "minigooglenet_cifar_2": 1_656_250, "alexnet_dogs_cats": 58_327_810,
           "cats_dogs_regularized": 991_041}


@pytest.mark.parametrize("name", TAUGHT)
def test_recipes_train_as_taught(name):
    recipe = recipes.get(name)
    optimizer, epochs = recipe.optimizer(), recipe.epochs
    rate = recipe.schedule(0, epochs) if recipe.schedule else optimizer.learning_rate
    assert (type(optimizer).__name__, rate, recipe.loss, epochs,
            recipe.batch_size, recipe.test_batch_size) == TAUGHT[name]
    assert recipe.name == name
    assert recipe.metrics[0] == "accuracy"


@pytest.mark.parametrize("name", WEIGHTS)
def test_recipes_build_the_networks_of_their_experiments(name):
    assert recipes.get(name).model().count_parameters() == WEIGHTS[name]


def test_lecture_mnist_has_momentum_and_the_lectures_seed():
    recipe = recipes.get("lecture_mnist")
    assert recipe.optimizer().settings["momentum"] == 0.5
    assert recipe.optimizer(learning_rate=0.1).learning_rate == 0.1
    assert recipe.seed == 1


def test_the_demo_is_lecture_mnist_on_the_shipped_digits():
    demo = recipes.get("demo")
    assert demo.model().count_parameters() == 21_840
    (x, y), (x_test, _) = demo.data.load(None)
    assert (len(x), len(x_test)) == (10_000, 2_000)
    batch, labels = demo.data.prepared(True, None)((x[:7], y[:7]), 0, np.arange(7))
    np.testing.assert_allclose(batch, (x[:7] / 255 - 0.1307) / 0.3081, atol=1e-5)
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(labels, y[:7])
    with pytest.raises(errors.ArgumentError, match="the demo has its own digits"):
        demo.data.load("elsewhere")


def test_keras_recipes_take_unit_range_images_and_one_hot_labels():
    x, y = np.array([[[[0]], [[255]]]], np.uint8), np.array([3])
    image, label = recipes.get("mnist_convnet").data.prepared(True, None)((x, y))
    assert image.reshape(-1).tolist() == [0, 1]
    assert label.tolist() == [[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]]
    assert image.dtype == label.dtype == np.float32
    assert prepare.one_hot(np.array([], int), 2).shape == (0, 2)


def test_every_recipe_file_is_in_the_table_and_says_its_source():
    files = Path(recipes.__file__).parent.glob("*.py")
    assert {f.stem for f in files if "\nRECIPE = " in f.read_text("utf-8")} == set(recipes.names())
    for name in recipes.names():
        recipe = recipes.get(name)
        assert recipe.name == name
        assert recipe.source
        assert recipe.printed


@pytest.mark.parametrize(("name", "text"), [
    ("lecture_mnits", "Did you mean lecture_mnist?"),
    ("mnist-convnet", "Did you mean mnist_convnet?"),
    ("resnet", "expected one of demo, lecture_mnist, lecture_mnist_wide, mnist_convnet"),
])
def test_an_unknown_recipe_is_answered_with_the_nearest_name(name, text):
    with pytest.raises(errors.ArgumentError) as caught:
        recipes.get(name)
    assert text in str(caught.value)
    assert repr(name) in str(caught.value)


def test_results_are_of_known_recipes_and_have_what_list_shows():
    for name, result in recipes.results().items():
        assert name in recipes.names()
        assert 0 < result["accuracy"] <= 1
