"""The zoo: parameters, names, shapes, penalties and quirks of every network, as the sources say."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

import minidl as dl
from minidl import config, errors, models
from minidl.autograd import functional as F  # noqa: N812 (its usual short name)
from minidl.cli import main
from minidl.models import blocks
from minidl.models.blocks import inception, modules, residual
from minidl.models.resnet_cifar import FILTERS
from minidl.models.resnet_preactivation import resnet_preactivation
from minidl.models.zoo import ENTRIES
from minidl.nn import Input, Model, deserialize, initializers, serialize
from minidl.nn.constraints import MaxNorm
from minidl.nn.layers import Activation, BatchNormalization, Conv2D, MaxPooling2D
from minidl.nn.regularizers import L2
from minidl.nn.summary import summarize

TOTALS = {  # with moving statistics, as Keras counts; and those that train
    "lab1_cifar": (731_850, 731_722), "lecture_mnist": (21_840, 21_840),
    "lecture_mnist_wide": (3_274_634, 3_274_634), "mnist_convnet": (93_322, 93_322),
    "lab_cifar": (4_293_194, 4_293_194), "cats_dogs_small": (991_041, 991_041),
    "telemetry_conv1d": (67_073, 67_073), "imdb_conv1d": (1_315_937, 1_315_937),
    "shallownet": (328_586, 328_586), "lenet": (1_256_080, 1_256_080),
    "minivggnet": (2_171_178, 2_169_770), "alexnet": (58_327_810, 58_327_810 - 19_136),
    "vgg16": (138_357_544, 138_357_544), "minigooglenet": (1_656_250, 1_656_250 - 3_424),
    "deepergooglenet": (3_667_976, 3_657_992), "googlenet": (6_998_552, 6_998_552),
    "resnet_cifar": (886_102, 873_872), "resnet_tiny_imagenet": (2_265_748, 2_252_046),
    "resnet18": (11_699_112, 11_689_512), "resnet34": (21_814_696, 21_797_672),
    "resnet50": (25_636_712, 25_583_592), "squeezenet": (1_235_496, 1_235_496),
    "efficientnet_lite0": (4_694_024, 4_652_008),
}
LARGE = ("alexnet", "vgg16", "googlenet", "resnet18", "resnet34", "resnet50", "squeezenet",
         "efficientnet_lite0")
SMALL = [name for name in TOTALS if name not in LARGE]


def no_values(self, shape, dtype="float32", fan=None):
    return np.zeros(shape, dtype)


def empty(build):
    """Return what `build` makes, with zeros for all weights: large networks are drawn slowly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initializers.Initializer, "__call__", no_values)
        return build()


@cache
def network(name):
    """Return a network of the table, all weights 0; tests look at it and leave it as it is."""
    return empty(ENTRIES[name].build)


@pytest.fixture(scope="module", autouse=True)
def _give_memory_back() -> Iterator[None]:
    yield
    network.cache_clear()


def shapes_of(model):
    """Return the output shape of every layer, without the batch."""
    return {node.name: node.outputs.shape[1:] for node in model.to_graph().nodes}


def penalties(model):
    """Return the L2 factor of every parameter that has one, by path."""
    return {path: p.regularizer.l2 for path, p in model.named_parameters().items()
            if p.regularizer is not None}


def kernels(model):
    return {path for path in model.named_parameters() if path.endswith("/kernel")}


def layers_of(model, kind):
    return {name: m for name, m in model.named_children().items() if isinstance(m, kind)}


# ---- the table -----------------------------------------------------------------------------


def test_the_table_holds_every_network():
    functions = {name for name in models.__all__ if inspect.isfunction(getattr(models, name))}
    assert functions == set(ENTRIES) == set(TOTALS)
    for name, entry in ENTRIES.items():
        assert entry.name == name
        assert entry.build is getattr(models, name)
        assert entry.source


@pytest.mark.parametrize("name", TOTALS)
def test_parameters_are_those_of_the_source(name):
    model, entry = network(name), ENTRIES[name]
    trained = sum(p.size for p in model.trainable_parameters())
    assert (model.count_parameters(), trained) == TOTALS[name]
    assert entry.parameters == TOTALS[name][0]
    assert model.name == name


@pytest.mark.parametrize("name", TOTALS)
def test_shapes_are_those_of_the_table(name):
    model, entry = network(name), ENTRIES[name]
    assert model.input_shape == (None, *entry.input_shape)
    outputs = 1 if entry.loss == "binary_crossentropy" and name != "alexnet" else entry.classes
    assert model.output_shape == (None, outputs)


TRAINING = {  # optimizer, learning rate, batch, loss
    "lab1_cifar": ("Adam", 1e-4, 100, "categorical_crossentropy"),
    "lecture_mnist": ("SGD", 0.01, 64, "nll"),
    "mnist_convnet": ("RMSprop", 1e-3, 64, "categorical_crossentropy"),
    "lab_cifar": ("SGD", 0.01, 32, "categorical_crossentropy"),
    "cats_dogs_small": ("Adam", 1e-3, 32, "binary_crossentropy"),
    "telemetry_conv1d": ("Adam", 1e-3, 128, "binary_crossentropy"),
    "minivggnet": ("SGD", 0.01, 64, "categorical_crossentropy"),
    "alexnet": ("Adam", 1e-3, 128, "binary_crossentropy"),
    "minigooglenet": ("SGD", 5e-3, 64, "categorical_crossentropy"),
    "deepergooglenet": ("Adam", 1e-3, 64, "categorical_crossentropy"),
    "resnet_cifar": ("SGD", 0.1, 128, "categorical_crossentropy"),
    "resnet_tiny_imagenet": ("SGD", 0.1, 64, "categorical_crossentropy"),
}


@pytest.mark.parametrize("name", TRAINING)
def test_training_is_that_of_the_source(name):
    entry = ENTRIES[name]
    optimizer = entry.new_optimizer()
    assert (type(optimizer).__name__, optimizer.learning_rate, entry.batch,
            entry.loss) == TRAINING[name]


@pytest.mark.parametrize(("name", "momentum", "nesterov", "decay"), [
    ("lecture_mnist", 0.5, False, 0), ("lab_cifar", 0.9, False, 0.01 / 25),
    ("minivggnet", 0.9, True, 0.01 / 40), ("resnet_cifar", 0.9, False, 0)])
def test_momentum_and_decay_are_those_of_the_source(name, momentum, nesterov, decay):
    optimizer = ENTRIES[name].new_optimizer()
    assert optimizer.settings == {"momentum": momentum, "nesterov": nesterov}
    optimizer.hyper[1] = 1000
    assert optimizer.learning_rate == pytest.approx(
        ENTRIES[name].optimizer["learning_rate"] / (1 + 1000 * decay))


# ---- shapes and parameters layer by layer --------------------------------------------------

SHAPES = {
    "lab1_cifar": {"conv1": (24, 24, 64), "pool1": (12, 12, 64), "conv2": (12, 12, 64),
                   "pool2": (6, 6, 64), "flatten": (2304,), "dense1": (256,), "dense2": (128,)},
    "lab_cifar": {"conv1": (32, 32, 32), "conv2": (32, 32, 64), "pool1": (16, 16, 64),
                  "conv3": (16, 16, 128), "pool2": (8, 8, 128), "flatten": (8192,),
                  "dense1": (512,)},
    "cats_dogs_small": {"conv1": (178, 178, 32), "pool1": (89, 89, 32), "conv2": (87, 87, 64),
                        "pool2": (43, 43, 64), "conv3": (41, 41, 128), "pool3": (20, 20, 128),
                        "conv4": (18, 18, 256), "pool4": (9, 9, 256), "conv5": (7, 7, 256),
                        "flatten": (12_544,)},
    "telemetry_conv1d": {"conv1": (9, 256), "pool1": (4, 256), "conv2": (4, 128),
                         "pool2": (128,)},
    "imdb_conv1d": {"embedding": (500, 128), "conv1": (494, 32), "pool1": (98, 32),
                    "conv2": (92, 32), "pool2": (32,)},
    "shallownet": {"block1_conv": (32, 32, 32), "flatten": (32_768,)},
    "lenet": {"pool1": (14, 14, 20), "pool2": (7, 7, 50), "flatten": (2450,), "dense1": (500,)},
    "minivggnet": {"block1b_bn": (32, 32, 32), "pool1": (16, 16, 32), "block2b_bn": (16, 16, 64),
                   "pool2": (8, 8, 64), "flatten": (4096,), "fc1_bn": (512,)},
    "alexnet": {"block1_conv": (57, 57, 96), "pool1": (28, 28, 96), "block2_conv": (28, 28, 256),
                "pool2": (13, 13, 256), "block3a_conv": (13, 13, 384),
                "block3b_conv": (13, 13, 384), "block3c_conv": (13, 13, 256),
                "pool3": (6, 6, 256), "flatten": (9216,), "fc1_bn": (4096,), "fc2_bn": (4096,)},
    "vgg16": {"block1_conv2": (224, 224, 64), "block1_pool": (112, 112, 64),
              "block2_pool": (56, 56, 128), "block3_pool": (28, 28, 256),
              "block4_pool": (14, 14, 512), "block5_pool": (7, 7, 512), "flatten": (25_088,)},
    "minigooglenet": {"block1_act": (32, 32, 96), "1a_mixed": (32, 32, 64),
                      "1b_mixed": (32, 32, 80), "down1_3x3_act": (15, 15, 80),
                      "down1_pool": (15, 15, 80), "down1_mixed": (15, 15, 160),
                      "2a_mixed": (15, 15, 160), "2b_mixed": (15, 15, 160),
                      "2c_mixed": (15, 15, 160), "2d_mixed": (15, 15, 144),
                      "down2_mixed": (7, 7, 240), "3a_mixed": (7, 7, 336),
                      "3b_mixed": (7, 7, 336), "pool": (1, 1, 336), "flatten": (336,)},
    "deepergooglenet": {"block1_act": (64, 64, 64), "pool1": (32, 32, 64),
                        "block2_act": (32, 32, 64), "block3_act": (32, 32, 192),
                        "pool2": (16, 16, 192), "3a_mixed": (16, 16, 256),
                        "3b_mixed": (16, 16, 480), "pool3": (8, 8, 480), "4a_mixed": (8, 8, 512),
                        "4b_mixed": (8, 8, 512), "4c_mixed": (8, 8, 512), "4d_mixed": (8, 8, 528),
                        "4e_mixed": (8, 8, 832), "pool4": (4, 4, 832), "pool5": (1, 1, 832),
                        "flatten": (832,), "labels": (200,), "softmax": (200,)},
    "googlenet": {"block1_act": (112, 112, 64), "pool1": (56, 56, 64), "block3_act": (56, 56, 192),
                  "pool2": (28, 28, 192), "3a_mixed": (28, 28, 256), "3b_mixed": (28, 28, 480),
                  "pool3": (14, 14, 480), "4a_mixed": (14, 14, 512), "4e_mixed": (14, 14, 832),
                  "pool4": (7, 7, 832), "5a_mixed": (7, 7, 832), "5b_mixed": (7, 7, 1024),
                  "pool5": (1, 1, 1024)},
    "resnet_cifar": {"input_bn": (32, 32, 3), "stem_conv": (32, 32, 64),
                     "stage1_block9_add": (32, 32, 64), "stage2_block1_add": (16, 16, 128),
                     "stage2_block1_1_conv": (16 * 2, 16 * 2, 32),
                     "stage2_block1_2_conv": (16, 16, 32), "stage2_block9_add": (16, 16, 128),
                     "stage3_block9_add": (8, 8, 256), "pool": (1, 1, 256), "flatten": (256,)},
    "resnet_tiny_imagenet": {"stem_conv": (64, 64, 64), "stem_pool": (32, 32, 64),
                             "stage1_block3_add": (32, 32, 128),
                             "stage2_block4_add": (16, 16, 256),
                             "stage3_block6_add": (8, 8, 512), "flatten": (512,)},
    "resnet18": {"conv1_act": (112, 112, 64), "pool1": (56, 56, 64),
                 "conv2_block2_out": (56, 56, 64), "conv3_block2_out": (28, 28, 128),
                 "conv4_block2_out": (14, 14, 256), "conv5_block2_out": (7, 7, 512),
                 "avg_pool": (512,)},
    "resnet34": {"conv2_block3_out": (56, 56, 64), "conv3_block4_out": (28, 28, 128),
                 "conv4_block6_out": (14, 14, 256), "conv5_block3_out": (7, 7, 512)},
    "resnet50": {"conv2_block3_out": (56, 56, 256), "conv3_block4_out": (28, 28, 512),
                 "conv4_block6_out": (14, 14, 1024), "conv5_block3_out": (7, 7, 2048),
                 "avg_pool": (2048,), "predictions": (1000,)},
    "squeezenet": {"conv1": (114, 114, 64), "pool1": (56, 56, 64), "fire3_concat": (56, 56, 128),
                   "pool3": (27, 27, 128), "fire5_concat": (27, 27, 256), "pool5": (13, 13, 256),
                   "fire7_concat": (13, 13, 384), "fire9_concat": (13, 13, 512),
                   "conv10": (13, 13, 1000), "avg_pool": (1000,)},
    "efficientnet_lite0": {"stem_act": (112, 112, 32), "block1a_project_bn": (112, 112, 16),
                           "block2b_add": (56, 56, 24), "block3b_add": (28, 28, 40),
                           "block4c_add": (14, 14, 80), "block5c_add": (14, 14, 112),
                           "block6d_add": (7, 7, 192), "block7a_project_bn": (7, 7, 320),
                           "top_act": (7, 7, 1280), "avg_pool": (1280,)},
}


@pytest.mark.parametrize("name", SHAPES)
def test_layers_have_the_shapes_of_the_source(name):
    found = shapes_of(network(name))
    assert {layer: found.get(layer) for layer in SHAPES[name]} == SHAPES[name]


COUNTS = {  # parameters of the layers whose names begin so
    "lab1_cifar": {"conv1": 4_864, "bn1": 256, "conv2": 102_464, "dense1": 590_080},
    "lab_cifar": {"conv1": 896, "conv2": 18_496, "conv3": 73_856, "dense1": 4_194_816,
                  "dense2": 5_130},
    "cats_dogs_small": {"conv1": 896, "conv2": 18_496, "conv3": 73_856, "conv4": 295_168,
                        "conv5": 590_080, "dense": 12_545},
    "telemetry_conv1d": {"conv1": 1_280, "conv2": 65_664, "dense": 129},
    "alexnet": {"block1_conv": 34_944, "block1_bn": 384, "block2_conv": 614_656,
                "block2_bn": 1_024, "block3a_conv": 885_120, "block3a_bn": 1_536,
                "block3b_conv": 1_327_488, "block3c_conv": 884_992, "fc1_dense": 37_752_832,
                "fc1_bn": 16_384, "fc2_dense": 16_781_312, "labels": 8_194},
    "vgg16": {"block1": 1_792 + 36_928, "block2": 73_856 + 147_584,
              "block3": 295_168 + 2 * 590_080, "block4": 1_180_160 + 2 * 2_359_808,
              "block5": 3 * 2_359_808, "fc1": 102_764_544, "predictions": 4_097_000},
    "minigooglenet": {"block1": 3_072, "1a": 31_040, "1b": 30_096, "down1": 58_000, "2a": 87_840,
                      "2b": 108_320, "2c": 128_800, "2d": 146_640, "down2": 124_896,
                      "3a": 389_520, "3b": 544_656, "labels": 3_370},
    "squeezenet": {"conv1_": 0, "fire2": 11_408, "fire3": 12_432, "fire4": 45_344, "fire5": 49_440,
                   "fire6": 104_880, "fire7": 111_024, "fire8": 188_992, "fire9": 197_184,
                   "conv10": 513_000},
    "efficientnet_lite0": {"stem": 992, "block1a": 992, "block2a": 5_568, "top": 414_720,
                           "predictions": 1_281_000},
}


@pytest.mark.parametrize("name", COUNTS)
def test_layers_have_the_parameters_of_the_source(name):
    layers = network(name).named_children()
    found = {start: sum(m.count_parameters() for n, m in layers.items() if n.startswith(start))
             for start in COUNTS[name]}
    assert found == COUNTS[name]


@pytest.mark.parametrize(("build", "parameters"), [
    (lambda: models.alexnet(classes=1000), 62_416_616),
    (lambda: models.vgg16(include_top=False), 14_714_688),
    (lambda: models.minivggnet((64, 64, 3), 17), 8_466_225),
    (lambda: models.deepergooglenet(fourth=False), 773_752),
    (lambda: models.googlenet(auxiliary=True), 13_378_280),
    (lambda: models.resnet_cifar(FILTERS[1], 0.0001), 60_790),
    (lambda: models.resnet_cifar(FILTERS[2], 0.0001), 880_774),
    (lambda: models.resnet_cifar(FILTERS[3]), 886_102),
    (lambda: models.resnet50(style=residual.TORCH), 25_557_032 + 53_120),
    (lambda: models.resnet50(include_top=False), 23_587_712),
    (lambda: models.squeezenet(classes=10), 1_235_496 - 990 * 513),
    (lambda: models.squeezenet(include_top=False, style="torch"), 722_496),
    (lambda: models.efficientnet_lite0(include_top=False), 3_413_024),
    (lambda: models.telemetry_conv1d(5), 67_073 + 4 * 129),
], ids=lambda value: "" if callable(value) else f"{value:,}")
def test_variants_have_their_parameters(build, parameters):
    assert empty(build).count_parameters() == parameters


def test_variants_have_their_outputs():
    assert empty(lambda: models.vgg16((180, 180, 3), include_top=False)
                 ).output_shape == (None, 5, 5, 512)
    assert empty(lambda: models.googlenet(auxiliary=True)).output_shape == [(None, 1000)] * 3
    torch_edges = shapes_of(empty(lambda: models.squeezenet(style="torch")))
    assert [torch_edges[f"{name}"][0] for name in ("conv1", "pool1", "pool3", "pool5")] == [
        113, 56, 28, 14]
    assert models.telemetry_conv1d(5).output_shape == (None, 5)
    assert "dropout" in models.cats_dogs_small(dropout=0.5).named_children()
    assert list(shapes_of(models.deepergooglenet(fourth=False)))[-5:] == [
        "pool5", "do", "flatten", "labels", "softmax"]


def test_convolutions_and_normalisations_are_as_many_as_in_the_book():
    counts = {name: (len(layers_of(network(name), Conv2D)),
                     len(layers_of(network(name), BatchNormalization)))
              for name in ("deepergooglenet", "resnet_cifar", "resnet_tiny_imagenet")}
    assert counts == {"deepergooglenet": (45, 45), "resnet_cifar": (85, 83),
                      "resnet_tiny_imagenet": (43, 42)}


MULTIPLY_ADDS = {  # millions for one image, forwards
    "vgg16": 15_350 + 124, "deepergooglenet": 458, "resnet_cifar": 133,
    "resnet_tiny_imagenet": 283, "squeezenet": 353, "efficientnet_lite0": 385,
}


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_are_those_of_the_source(name):
    rows = summarize(network(name)).rows
    assert round(sum(row.multiply_adds for row in rows) / 1e6) == pytest.approx(
        MULTIPLY_ADDS[name], abs=0.5 + 0.001 * MULTIPLY_ADDS[name])


# ---- names ---------------------------------------------------------------------------------


def parts(name, *order):
    return [f"{name}_{part}" for part in order]


def test_deepergooglenet_has_the_names_of_the_book():
    names = list(network("deepergooglenet").named_children())
    cba = ("conv", "bn", "act")
    branches = ("first", "second1", "second2", "third1", "third2")
    module = [n for branch in branches for n in parts(f"3a_{branch}", *cba)]
    module += ["3a_pool", *parts("3a_fourth", *cba), "3a_mixed"]
    start = [*parts("block1", *cba), "pool1", *parts("block2", *cba), *parts("block3", *cba),
             "pool2", *module]
    assert names[:len(start)] == start
    assert names[-8:] == ["4e_fourth_act", "4e_mixed", "pool4", "pool5", "do", "flatten", "labels",
                          "softmax"]
    assert sorted(n for n in names if n.startswith("pool")) == [f"pool{i}" for i in range(1, 6)]


def test_vgg16_has_the_names_and_places_of_the_book():
    names = list(network("vgg16").named_children())
    assert names == [
        "block1_conv1", "block1_conv2", "block1_pool", "block2_conv1", "block2_conv2",
        "block2_pool", "block3_conv1", "block3_conv2", "block3_conv3", "block3_pool",
        "block4_conv1", "block4_conv2", "block4_conv3", "block4_pool", "block5_conv1",
        "block5_conv2", "block5_conv3", "block5_pool", "flatten", "fc1", "fc2", "predictions"]
    assert names[14] == "block5_conv1"  # the book unfreezes from 15 on, counting the input


def test_alexnet_and_minivggnet_normalise_what_was_activated():
    assert list(network("alexnet").named_children())[:5] == [
        *parts("block1", "conv", "act", "bn"), "pool1", "dropout1"]
    assert list(network("alexnet").named_children())[-7:] == [
        "dropout4", *parts("fc2", "dense", "act", "bn"), "dropout5", "labels", "softmax"]
    assert list(network("minivggnet").named_children())[:8] == [
        *parts("block1a", "conv", "act", "bn"), *parts("block1b", "conv", "act", "bn"), "pool1",
        "dropout1"]


def test_blocks_without_a_name_are_numbered_by_the_model():
    x = Input((16, 16, 8))
    y = blocks.downsample_module(blocks.miniception_module(x, (4, 4)), 8)
    names = list(Model(x, blocks.residual_module(y, 16)).named_children())
    assert len(names) == len(set(names))
    assert names[:3] == ["conv2d", "batch_normalization", "activation"]
    assert {"concatenate", "concatenate_1", "add"} <= set(names)


# ---- what the penalty reaches --------------------------------------------------------------


def test_alexnet_and_deepergooglenet_penalise_every_kernel():
    for name in ("alexnet", "deepergooglenet"):
        found = penalties(network(name))
        assert set(found) == kernels(network(name)), name
        assert set(found.values()) == {0.0002}


@pytest.mark.parametrize("name", ["resnet_cifar", "resnet_tiny_imagenet"])
def test_reg_does_not_reach_the_modules_of_the_books_residual_networks(name):
    found = penalties(network(name))
    assert set(found) == kernels(network(name))
    assert {path for path, reg in found.items() if reg == 0.0005} == {"stem_conv/kernel",
                                                                      "labels/kernel"}
    assert {reg for path, reg in found.items() if path.startswith("stage")} == {0.0001}


def test_reg_reaches_the_modules_where_it_is_asked_to():
    model = resnet_preactivation((32, 32, 3), 10, (1, 1, 1), (8, 8, 16, 32), 0.0003,
                                 reg_everywhere=True)
    assert set(penalties(model)) == kernels(model)
    assert set(penalties(model).values()) == {0.0003}


def test_no_other_network_has_penalties():
    penalised = ("alexnet", "deepergooglenet", "resnet_cifar", "resnet_tiny_imagenet")
    assert [name for name in TOTALS if name not in penalised and penalties(network(name))] == []


def test_cats_dogs_small_takes_a_regularizer():
    model = models.cats_dogs_small(regularizer=L2(0.001))
    assert set(penalties(model)) == kernels(model)


# ---- other quirks --------------------------------------------------------------------------


def normalisations(name):
    return {(m.epsilon, m.momentum) for m in layers_of(network(name), BatchNormalization).values()}


def test_normalisations_have_the_constants_of_the_source():
    found = {name: normalisations(name) for name in TOTALS if normalisations(name)}
    keras = {(1e-3, 0.99)}
    assert found == {
        "lab1_cifar": keras, "minivggnet": keras, "alexnet": keras, "minigooglenet": keras,
        "deepergooglenet": keras, "resnet_cifar": {(2e-5, 0.9)},
        "resnet_tiny_imagenet": {(2e-5, 0.9)}, "resnet18": {(1e-5, 0.9)},
        "resnet34": {(1e-5, 0.9)}, "resnet50": {(1.001e-5, 0.99)}, "efficientnet_lite0": keras}


def test_only_residual_networks_and_the_efficient_one_leave_biases_out():
    without = {name for name in TOTALS
               if any(not m.use_bias for m in layers_of(network(name), Conv2D).values())}
    assert without == {"resnet_cifar", "resnet_tiny_imagenet", "resnet18", "resnet34",
                       "efficientnet_lite0"}
    for name in without:
        assert not any(m.use_bias for m in layers_of(network(name), Conv2D).values()), name


def inputs_of(model, name):
    node = next(n for n in model.to_graph().nodes if n.name == name)
    return [symbol.node.name for symbol in node.inputs]


def test_projections_start_at_the_first_activation():
    model = network("resnet_cifar")
    for stage in (1, 2, 3):
        block = f"stage{stage}_block1"
        assert inputs_of(model, f"{block}_0_conv") == [f"{block}_1_act"]
        assert inputs_of(model, f"{block}_1_conv") == [f"{block}_1_act"]
        assert inputs_of(model, f"{block}_add") == [f"{block}_3_conv", f"{block}_0_conv"]
        assert inputs_of(model, f"stage{stage}_block2_add")[1] == f"{block}_add"
    projections = [n for n in model.named_children() if n.endswith("_0_conv")]
    assert projections == [f"stage{stage}_block1_0_conv" for stage in (1, 2, 3)]


def test_projections_of_2015_start_at_the_input_and_are_normalised():
    model = network("resnet50")
    assert inputs_of(model, "conv3_block1_0_conv") == ["conv2_block3_out"]
    assert inputs_of(model, "conv3_block1_add") == ["conv3_block1_0_bn", "conv3_block1_3_bn"]
    assert inputs_of(model, "conv3_block2_add")[0] == "conv3_block1_out"
    assert [n for n in network("resnet18").named_children() if n.endswith("_0_conv")] == [
        f"conv{stage}_block1_0_conv" for stage in (3, 4, 5)]


@pytest.mark.parametrize(("style", "strided"), [(residual.KERAS, "1"), (residual.TORCH, "2")])
def test_keras_takes_the_steps_in_the_first_convolution_and_torch_in_the_second(style, strided):
    x = Input((8, 8, 16))
    model = Model(x, blocks.bottleneck_block(x, 32, 2, True, style, "b"))
    steps = {n: m.strides for n, m in layers_of(model, Conv2D).items()}
    assert steps == {"b_1_conv": (1, 1), "b_2_conv": (1, 1), "b_3_conv": (1, 1),
                     "b_0_conv": (2, 2), f"b_{strided}_conv": (2, 2)}
    assert all(m.use_bias == style.use_bias for m in layers_of(model, Conv2D).values())


def test_the_book_pads_with_zeros_before_the_pool_of_the_stem():
    x = np.maximum(np.random.default_rng(3).normal(size=(2, 9, 9, 3)), 0)
    padded = F.max_pool2d(F.pad(dl.Tensor(x), ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 2)
    np.testing.assert_array_equal(F.max_pool2d(dl.Tensor(x), 3, 2, 1).numpy(), padded.numpy())


PADDING = {  # of the layers whose windows are larger than their steps, and the steps above 1
    "alexnet": {"block1_conv": "same", "pool1": "valid", "pool2": "valid", "pool3": "valid"},
    "minigooglenet": {f"down{i}_{part}": "valid" for i in (1, 2) for part in ("3x3_conv", "pool")},
    "deepergooglenet": {f"pool{i}": "same" for i in (1, 2, 3, 4)},
    "googlenet": {"block1_conv": 3, **{f"pool{i}": "same" for i in (1, 2, 3, 4)}},
    "resnet_cifar": {f"stage{i}_block1_2_conv": "same" for i in (2, 3)},
    "resnet_tiny_imagenet": {"stem_pool": 1,
                             **{f"stage{i}_block1_2_conv": "same" for i in (2, 3)}},
    "resnet18": {"conv1_conv": 3, "pool1": 1, **{f"conv{i}_block1_1_conv": 1 for i in (3, 4, 5)}},
    "resnet50": {"conv1_conv": 3, "pool1": 1},
    "squeezenet": {"conv1": "same", "pool1": "valid", "pool3": "valid", "pool5": "valid"},
    "vgg16": {}, "cats_dogs_small": {}, "minivggnet": {},
}


@pytest.mark.parametrize("name", PADDING)
def test_padding_is_that_of_the_source(name):
    layers = layers_of(network(name), Conv2D | MaxPooling2D)
    windows = {n: getattr(m, "kernel_size", None) or m.pool_size for n, m in layers.items()}
    assert {n: m.padding for n, m in layers.items()
            if 1 < m.strides[0] < windows[n][0]} == PADDING[name]


def test_cats_dogs_small_divides_by_255():
    image = np.full((1, 180, 180, 3), 51, "uint8")
    scaled = models.cats_dogs_small().up_to("rescaling")(image).numpy()
    np.testing.assert_allclose(scaled, 0.2, rtol=1e-6)


def test_lab_cifar_limits_two_kernels_along_axis_0():
    limits = {path: p.constraint for path, p in network("lab_cifar").named_parameters().items()
              if p.constraint is not None}
    assert set(limits) == {"conv2/kernel", "dense1/kernel"}
    for limit in limits.values():
        assert isinstance(limit, MaxNorm)
        assert (limit.max_value, limit.axis) == (3.0, 0)


def test_dropout_is_that_of_the_source():
    rates = {name: [m.rate for m in network(name).layers if hasattr(m, "rate")] for name in TOTALS}
    assert {name: found for name, found in rates.items() if found} == {
        "lecture_mnist": [0.5, 0.5], "lecture_mnist_wide": [0.5], "lab_cifar": [0.2, 0.2, 0.5],
        "minivggnet": [0.25, 0.25, 0.5], "alexnet": [0.25, 0.25, 0.25, 0.5, 0.5],
        "minigooglenet": [0.5], "deepergooglenet": [0.4], "googlenet": [0.4],
        "squeezenet": [0.5], "efficientnet_lite0": [0.2]}


def test_wrong_filters_are_answered_with_an_example():
    with pytest.raises(errors.ArgumentError, match=r"got 3 stages and 3 filters"):
        models.resnet_cifar((16, 32, 64))


# ---- what blocks compute -------------------------------------------------------------------


def drawn(model, shape):
    """Return a model whose weights and statistics are all drawn, and an input."""
    rng = np.random.default_rng(11)
    model.load_state_dict({path: rng.uniform(0.1, 1, v.shape) * (0.3 if "kernel" in path else 1)
                           for path, v in model.state_dict().items()})
    return model.eval(), rng.normal(size=shape).astype("float32")


def steps(model):
    """Return functions that apply a convolution, and a batch normalisation with its relu."""
    w = {path: dl.Tensor(v) for path, v in model.state_dict().items()}

    def conv(x, name, stride=1, padding="same"):
        return F.conv2d(x, w[f"{name}_conv/kernel"], w.get(f"{name}_conv/bias"), stride=stride,
                        padding=padding)

    def bn(x, name, epsilon):
        values = [w[f"{name}_bn/{part}"] for part in ("moving_mean", "moving_variance", "gamma",
                                                      "beta")]
        return F.batch_norm_inference(x, *values, epsilon)

    return conv, bn


def test_residual_module_computes_its_formula():
    x = Input((6, 6, 8))
    model, a = drawn(Model(x, blocks.residual_module(x, 16, 2, True, name="r")), (2, 6, 6, 8))
    conv, bn = steps(model)
    activated = F.relu(bn(dl.Tensor(a), "r_1", 2e-5))
    y = conv(activated, "r_1")
    y = conv(F.relu(bn(y, "r_2", 2e-5)), "r_2", 2)
    y = conv(F.relu(bn(y, "r_3", 2e-5)), "r_3") + conv(activated, "r_0", 2)
    np.testing.assert_allclose(model(a).numpy(), y.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", [residual.KERAS, residual.TORCH], ids=["first", "second"])
def test_bottleneck_block_computes_its_formula(style):
    x = Input((6, 6, 8))
    model, a = drawn(Model(x, blocks.bottleneck_block(x, 16, 2, True, style, "r")), (2, 6, 6, 8))
    conv, bn = steps(model)
    eps, t = style.bn["epsilon"], dl.Tensor(a)
    first, second = (2, 1) if style.strided == 1 else (1, 2)
    y = F.relu(bn(conv(t, "r_1", first), "r_1", eps))
    y = F.relu(bn(conv(y, "r_2", second, 1), "r_2", eps))
    y = F.relu(bn(conv(y, "r_3"), "r_3", eps) + bn(conv(t, "r_0", 2), "r_0", eps))
    np.testing.assert_allclose(model(a).numpy(), y.numpy(), rtol=1e-4, atol=1e-5)


def test_inception_module_computes_its_formula():
    x = Input((5, 5, 4))
    model, a = drawn(Model(x, blocks.inception_module(x, (2, 3, 4, 2, 3, 5), "i")), (2, 5, 5, 4))
    conv, bn = steps(model)

    def module(x, name):
        return F.relu(bn(conv(x, f"i_{name}"), f"i_{name}", 1e-3))

    t = dl.Tensor(a)
    pooled = F.max_pool2d(t, 3, 1, "same")
    y = F.concat([module(t, "first"), module(module(t, "second1"), "second2"),
                  module(module(t, "third1"), "third2"), module(pooled, "fourth")], -1)
    assert y.shape == (2, 5, 5, 14)
    np.testing.assert_allclose(model(a).numpy(), y.numpy(), rtol=1e-4, atol=1e-5)


def test_orders_of_the_conv_module():
    orders = {modules.BN_ACT: ["conv", "bn", "act"], modules.ACT_BN: ["conv", "act", "bn"],
              modules.ACT: ["conv", "act"]}
    for order, wanted in orders.items():
        x = Input((5, 5, 4))
        model = Model(x, blocks.conv_module(x, 3, 3, 2, order=order, activation="elu", name="c"))
        assert list(model.named_children()) == parts("c", *wanted)
        assert [m.activation for m in layers_of(model, Activation).values()] == [F.elu]
        assert model.output_shape == (None, 3, 3, 3)


def test_widths_of_googlenets_modules():
    widths = {stage: f[0] + f[2] + f[4] + f[5] for stage, f in inception.FILTERS.items()}
    assert widths == {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528,
                      "4e": 832, "5a": 832, "5b": 1024}


# ---- initial values ------------------------------------------------------------------------


def test_kernels_start_from_glorots_distribution_and_normalisations_from_one():
    values = models.minivggnet().state_dict()
    fan = {"block1a_conv": (27, 288), "block2b_conv": (576, 576), "fc1_dense": (4096, 512),
           "labels": (512, 10)}
    for layer, fans in fan.items():
        bound = np.sqrt(6 / sum(fans))
        largest = np.abs(values[f"{layer}/kernel"]).max()
        assert 0.95 * bound < largest <= bound, layer
        assert not values[f"{layer}/bias"].any()
    for part, value in (("gamma", 1), ("beta", 0), ("moving_mean", 0), ("moving_variance", 1)):
        assert (values[f"block1a_bn/{part}"] == value).all()


def test_residual_networks_of_2015_start_from_hes_distribution():
    values = models.resnet18(include_top=False).state_dict()
    for layer, fan_in in (("conv1_conv", 147), ("conv2_block1_1_conv", 576),
                          ("conv5_block1_0_conv", 256), ("conv5_block2_2_conv", 4608)):
        spread = values[f"{layer}/kernel"].std() * np.sqrt(fan_in / 2)
        assert spread == pytest.approx(1, abs=0.03), layer


def test_the_efficient_network_starts_from_the_sources_distribution():
    values = models.efficientnet_lite0().state_dict()
    for layer, fan_out in (("block5b_dwconv", 25), ("block6c_expand_conv", 1152),
                           ("top_conv", 1280)):
        spread = values[f"{layer}/kernel"].std() * np.sqrt(fan_out / 2)
        assert spread == pytest.approx(1, abs=0.03), layer
    largest = np.abs(values["predictions/kernel"]).max()
    assert 0.99 * 0.001 ** 0.5 < largest <= 0.001 ** 0.5


# ---- steps and files -----------------------------------------------------------------------


def sample(entry, count):
    """Return random inputs and labels as the network and its loss take them."""
    rng = np.random.default_rng(23)
    labels = rng.integers(entry.classes, size=count)
    outputs = network(entry.name).output_shape[1]
    if entry.name == "imdb_conv1d":
        x = rng.integers(10_000, size=(count, *entry.input_shape))
    else:
        x = rng.random((count, *entry.input_shape)).astype("float32")
    if entry.loss == "nll":
        return x, labels
    one_hot = np.eye(entry.classes, dtype="float32")[labels]
    return x, labels[:, None].astype("float32") if outputs == 1 else one_hot


@pytest.mark.parametrize("name", SMALL)
def test_a_step_of_training_moves_every_kernel(name):
    entry = ENTRIES[name]
    model = entry.build()
    model.compile(entry.new_optimizer(), entry.loss)
    before = model.state_dict()
    x, y = sample(entry, 2)
    history = model.fit(x, y, batch_size=2, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    after = model.state_dict()
    unmoved = [path for path in kernels(model) if np.array_equal(before[path], after[path])]
    assert unmoved == []
    assert all(np.isfinite(values).all() for values in after.values())


@pytest.mark.parametrize("name", TOTALS)
def test_gradients_have_the_shapes_of_the_weights(name):
    model, entry = network(name), ENTRIES[name]
    dtype = model.to_graph().inputs[0].dtype
    with config.shapes_only():
        x = dl.Tensor(np.broadcast_to(np.zeros((), dtype), (2, *entry.input_shape)))
        try:
            F.sum(model.train()(x)).backward()
            shapes = {path: p.grad.shape for path, p in model.named_parameters().items()}
        finally:
            for p in model.parameters():
                p.grad = None
    assert shapes == {path: p.shape for path, p in model.named_parameters().items()}


@pytest.mark.parametrize("name", [name for name in TOTALS if name != "vgg16"])
def test_networks_are_made_again_from_their_config(name):
    model = network(name)
    written = json.loads(json.dumps(serialize(model)))
    again = empty(lambda: deserialize(written))
    assert serialize(again) == written
    assert {p: v.shape for p, v in again.state_dict().items()} == {
        p: v.shape for p, v in model.state_dict().items()}
    assert penalties(again) == penalties(model)


def test_the_command_line_shows_networks_that_no_experiment_has(capsys):
    assert main(["summary", "lenet"]) == 0
    text = capsys.readouterr().out
    assert "Parameters: 1,256,080" in text
    assert "14 x 14 x 50" in text


@pytest.mark.parametrize("name", ["minivggnet", "resnet_tiny_imagenet", "imdb_conv1d"])
def test_networks_are_saved_and_loaded(name, tmp_path):
    model, (x, _) = ENTRIES[name].build().eval(), sample(ENTRIES[name], 2)
    model.save(tmp_path / "network")
    np.testing.assert_array_equal(dl.load_model(tmp_path / "network").eval()(x).numpy(),
                                  model(x).numpy())
