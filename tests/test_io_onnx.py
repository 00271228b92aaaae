"""ONNX files: what is written runs in onnxruntime, what is read computes the same, and errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minidl import errors
from minidl.autograd import functional as F  # noqa: N812
from minidl.cli import main
from minidl.io import import_onnx, load_onnx, save_onnx
from minidl.io.onnx_layers import LAYERS
from minidl.io.onnx_operators import OPERATORS
from minidl.models import zoo
from minidl.nn import Input, Model, Module, Sequential, initializers
from minidl.nn import layers as L  # noqa: N812
from minidl.nn.load import load_model

onnx = pytest.importorskip("onnx", reason="onnx is not installed; it is in the extra 'test'")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
helper = onnx.helper

INPUTS = {  # smaller than the zoo's, where the network allows
    "alexnet": (67, 67, 3), "vgg16": (32, 32, 3), "googlenet": (224, 224, 3),
    "resnet18": (64, 64, 3), "resnet34": (64, 64, 3), "resnet50": (64, 64, 3)}


# ---- helpers -------------------------------------------------------------------------------


def drawn(shape, rng, dtype="float32"):
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 7, shape).astype(dtype)
    return rng.standard_normal(shape).astype("float32")


def quick(self, shape, dtype="float32", fan=None):
    """Draw initial values as fast as NumPy can, of a size that keeps the signal's."""
    inputs = float(np.prod(shape[:-1])) if len(shape) > 1 else 4.0
    block = np.random.default_rng(len(shape)).standard_normal(65521, dtype=np.float32)
    return np.resize(block * np.float32(np.sqrt(1.5 / inputs)), shape).astype(dtype, copy=False)


def network(name):
    """Return a network of the zoo with random weights and statistics, and a batch for it."""
    entry, rng = zoo.ENTRIES[name], np.random.default_rng(3)
    shape = INPUTS.get(name, entry.input_shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initializers.Initializer, "__call__", quick)
        model = entry.build(shape) if name in INPUTS else entry.build()
    for path, tensor in {**model.named_buffers(), **model.named_parameters()}.items():
        if path.endswith(("gamma", "variance")):
            tensor.array[...] = rng.uniform(0.5, 1.5, tensor.shape)
        elif tensor.ndim == 1:
            tensor.array[...] = rng.standard_normal(tensor.shape) * 0.1
    dtype = model.to_graph().inputs[0].dtype
    x = drawn((2, *shape), rng, dtype)
    scale_logits(model, x)
    return model, x


def scale_logits(model, x):
    """Let the last layer with a kernel give numbers near 1, or all outputs would be 0 or 1."""
    last = [m for m in model.modules() if isinstance(m, (L.Dense, L.Conv2D))][-1]
    seen = []
    remove = last.register_forward_hook(lambda m, inputs, y: seen.append((inputs[0], y)))
    model.predict(x)
    remove()
    taken, given = (tensor.numpy() for tensor in seen[-1])
    dense = isinstance(last, L.Dense)
    size = float(np.abs(taken @ last.kernel.array if dense else given).max())
    last.kernel.array[...] /= max(size, 1e-6)


def first(array):
    return np.moveaxis(array, -1, 1) if array.ndim > 2 else array


def run(path, *inputs):
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    return session.run(None, dict(zip(names, map(np.ascontiguousarray, inputs), strict=True)))


def close(ours, theirs, limit=1e-5):
    assert ours.shape == theirs.shape
    assert np.isfinite(theirs).all()
    scale = max(float(np.abs(theirs).max()), 1e-3)
    assert float(np.abs(ours - theirs).max()) <= limit * scale


def both(array, layout):
    return first(array) if layout == "NCHW" else array


# ---- the zoo -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.ENTRIES)
def test_zoo_goes_out_and_comes_back(name, tmp_path):
    model, x = network(name)
    y, path = model.predict(x), tmp_path / "net.onnx"
    assert float(np.ptp(y)) > 1e-4 * float(np.abs(y).max()), "the outputs say nothing"
    for layout in ("NCHW", "NHWC"):
        report = save_onnx(model, path, layout)
        assert (layout in report.notes[0]) == (x.ndim > 2)
        close(run(path, both(x, layout))[0], y)
        back, _ = import_onnx(path, check=False)
        close(back.predict(x), y)
        path.unlink()
        if model.count_parameters() > 5e6:
            break  # one layout of the large ones; the turn in front is the same for all
    assert back.count_parameters() == model.count_parameters()
    names = set(model.to_graph().named_children())
    assert {n for n, m in back.named_children().items() if m.parameters()} <= names


# ---- every layer ---------------------------------------------------------------------------

IMAGE, SEQUENCE, ROW = (9, 8, 4), (11, 4), (6,)
CASES = {  # layers one after another, and the shape of a sample
    "conv1d": ([L.Conv1D(5, 4, 2, 1)], SEQUENCE),
    "conv1d same": ([L.Conv1D(6, 4, 2, "same", groups=2)], SEQUENCE),
    "conv2d": ([L.Conv2D(5, (3, 2), (2, 1), ((1, 0), (0, 2)), activation="tanh")], IMAGE),
    "conv2d same": ([L.Conv2D(6, 4, 2, "same", groups=2, use_bias=False)], IMAGE),
    "conv2d dilated": ([L.Conv2D(5, 3, 1, "same", dilation_rate=2)], IMAGE),
    "depthwise": ([L.DepthwiseConv2D(3, 2, "same", depth_multiplier=2)], IMAGE),
    "conv1d transposed": ([L.Conv1DTranspose(5, 3, 2, "same")], SEQUENCE),
    "conv2d transposed": ([L.Conv2DTranspose(6, (2, 4), (3, 2), groups=2)], IMAGE),
    "conv2d transposed cut": ([L.Conv2DTranspose(5, 3, 2, 1, output_padding=1)], IMAGE),
    "max pool 1d": ([L.MaxPooling1D(3, 2, "same")], SEQUENCE),
    "max pool 2d": ([L.MaxPooling2D((3, 2), 2, ((1, 1), (0, 1)))], IMAGE),
    "average pool 1d": ([L.AveragePooling1D(3, 2, "same")], SEQUENCE),
    "average pool 2d": ([L.AveragePooling2D(3, 2, "same")], IMAGE),
    "global max 1d": ([L.GlobalMaxPooling1D()], SEQUENCE),
    "global max 2d": ([L.GlobalMaxPooling2D(True)], IMAGE),
    "global average 1d": ([L.GlobalAveragePooling1D(True)], SEQUENCE),
    "global average 2d": ([L.GlobalAveragePooling2D()], IMAGE),
    "dense": ([L.Dense(3, "sigmoid", use_bias=False)], ROW),
    "dense on places": ([L.Dense(3, "relu")], IMAGE),
    "flatten": ([L.Flatten()], IMAGE),
    "flatten, dense": ([L.Flatten(), L.Dense(3)], IMAGE),
    "flatten, norm, dense": ([L.Flatten(), L.BatchNormalization(), L.ReLU(), L.Dropout(0.5),
                              L.Dense(3, "softmax")], IMAGE),
    "flatten, reshape": ([L.Flatten(), L.Reshape((8, 36))], IMAGE),
    "flatten a sequence": ([L.Flatten(), L.Dense(3)], SEQUENCE),
    "batch norm": ([L.BatchNormalization(center=False, activation="relu")], IMAGE),
    "batch norm unscaled": ([L.BatchNormalization(scale=False)], ROW),
    "layer norm": ([L.LayerNormalization()], IMAGE),
    "group norm": ([L.GroupNormalization(2)], IMAGE),
    "instance norm": ([L.GroupNormalization(-1, scale=False)], SEQUENCE),
    "group norm of rows": ([L.GroupNormalization(3)], ROW),
    "local response": ([L.LocalResponseNormalization(1, 0.3)], IMAGE),
    "local response 1d": ([L.LocalResponseNormalization(2, 0.3)], SEQUENCE),
    "reshape": ([L.Reshape((6, -1, 3))], IMAGE),
    "permute": ([L.Permute((3, 1, 2)), L.Conv2D(2, 3)], IMAGE),
    "zero padding 1d": ([L.ZeroPadding1D((1, 2))], SEQUENCE),
    "zero padding 2d": ([L.ZeroPadding2D(((1, 2), (0, 3)))], IMAGE),
    "relu slope": ([L.ReLU(1.5, 0.1)], ROW), "relu 6": ([L.ReLU(6.0)], ROW),
    "relu threshold": ([L.ReLU(2.0, 0.2, 0.5)], ROW), "leaky": ([L.LeakyReLU(0.1)], ROW),
    "elu": ([L.ELU(0.7)], ROW), "softmax": ([L.Softmax()], IMAGE),
    "softmax of rows": ([L.Softmax(1)], IMAGE),
    "rescaling": ([L.Rescaling([2.0, 3.0, 0.5, 1.0], -0.5)], IMAGE),
    "nothing": ([L.Identity(), L.Dropout(0.3), L.SpatialDropout2D(0.2), L.RandomFlip(),
                 L.RandomContrast(0.2), L.RandomRotation(0.1), L.RandomTranslation(0.1, 0.1),
                 L.RandomZoom(0.1), L.ReLU()], IMAGE),
    "nothing 1d": ([L.SpatialDropout1D(0.2), L.ReLU()], SEQUENCE),
    **{f"activation {name}": ([L.Activation(name)], IMAGE) for name in (
        "linear", "relu", "sigmoid", "tanh", "softmax", "log_softmax", "elu", "leaky_relu",
        "softplus", "gelu", "silu", "relu6", "exponential")},
}


def of_layers(layers, shape, rng):
    model = Sequential([Input(shape), *layers])
    for path, tensor in {**model.named_parameters(), **model.named_buffers()}.items():
        low = 0.5 if path.endswith(("gamma", "variance")) else -0.5
        tensor.array[...] = rng.uniform(low, 1.0, tensor.shape)
    return model


def branches():
    """Return a graph with every layer that has several inputs, and a table of words."""
    x, words = Input(IMAGE, name="image"), Input((5,), "words", "int64")
    a, b = L.Conv2D(4, 1)(x), L.Conv2D(4, 3, padding="same")(x)
    merged = [L.Add(activation="relu")([a, b, x]), L.Subtract()([a, b]), L.Multiply()([a, b]),
              L.Average()([a, b, x]), L.Maximum()([a, b]), L.Minimum()([a, b])]
    y = L.Concatenate()(merged)
    y = L.Concatenate(1)([y * 0.5 + 1.0, 2.0 - y, (y * y + 1.0) ** 0.5, 1.0 / (y * y + 1.0), y / 3])
    gate = L.GlobalAveragePooling2D(keepdims=True)(y)
    sequence = L.Conv1D(3, 2)(L.Embedding(7, 4)(words))
    pair = L.Concatenate()([L.Flatten()(sequence), L.Flatten()(y)])
    ratio = L.Arithmetic("divide")([y, L.ReLU()(gate) + 1.0])
    weighted = L.Arithmetic("multiply", [1.0, 2.0, 3.0, 4.0])(x)
    return Model([x, words], [L.Dense(3, name="scores")(pair), ratio, weighted, y])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("layout", "opset"), [("NCHW", 13), ("NHWC", 18)])
def test_layers_run_in_onnxruntime(case, layout, opset, tmp_path):
    rng = np.random.default_rng(len(case))
    model = of_layers(*CASES[case], rng)
    x = drawn((3, *CASES[case][1]), rng)
    save_onnx(model, tmp_path / "net.onnx", layout, opset)
    y = model.predict(x)
    close(run(tmp_path / "net.onnx", both(x, layout))[0], both(y, layout))


NOT_READ = {"layer norm", "group norm", "group norm of rows", "instance norm", "relu threshold",
            "activation gelu", "rescaling", "local response 1d"}
"""Written as several nodes; some of those have no layer."""


@pytest.mark.parametrize("case", sorted(set(CASES) - NOT_READ))
def test_layers_come_back(case, tmp_path):
    rng = np.random.default_rng(len(case))
    model = of_layers(*CASES[case], rng)
    x = drawn((2, *CASES[case][1]), rng)
    save_onnx(model, tmp_path / "net.onnx")
    back, report = import_onnx(tmp_path / "net.onnx")
    close(back.predict(x), model.predict(x))
    said = "not possible" if case == "conv2d transposed" else "outputs differ"  # groups
    assert f"Self-check: {said}" in str(report)


def test_graphs_with_several_inputs_and_outputs(tmp_path):
    model, rng = branches(), np.random.default_rng(1)
    x = [drawn((2, *IMAGE), rng), drawn((2, 5), rng, "int64")]
    wanted = model.predict(x)
    save_onnx(model, tmp_path / "net.onnx")
    for y, ours in zip(run(tmp_path / "net.onnx", first(x[0]), x[1]), wanted, strict=True):
        close(y, first(ours))
    back = load_onnx(tmp_path / "net.onnx", verbose=False)
    for y, ours in zip(back.predict(x), wanted, strict=True):
        close(y, ours)


def test_every_layer_has_a_writer_and_a_case():
    written = {type(layer) for layers, _ in CASES.values() for layer in layers}
    written |= {type(node.layer) for node in branches().nodes}
    assert set(LAYERS) - written == set()
    known = {getattr(L, name) for name in L.__all__}
    none = {L.InputLayer, L.Lambda, L.Model, L.Module, L.Sequential}
    assert {c for c in known if isinstance(c, type)} - set(LAYERS) == none


def test_nested_models_shared_layers_and_forwards_that_call_layers(tmp_path):
    class Twice(Module):
        def __init__(self):
            super().__init__()
            self.body = Sequential([L.Conv2D(4, 3, padding="same"), L.ReLU()])
            self.head = L.Dense(3)

        def forward(self, x):
            y = self.body(self.body(x)) + x
            return self.head(L.GlobalAveragePooling2D()(y))

    x, rng = Input(IMAGE), np.random.default_rng(0)
    module = Twice()
    model = Model(x, L.Softmax()(module(x)))
    images = drawn((2, *IMAGE), rng)
    for whole in (model, module):
        save_onnx(whole, tmp_path / "net.onnx")
        close(run(tmp_path / "net.onnx", first(images))[0], whole.predict(images))
    weights = [w.name for w in onnx.load(tmp_path / "net.onnx").graph.initializer]
    assert weights == ["body/conv2d/kernel", "body/conv2d/bias", "head/kernel", "head/bias"]


def test_lengths_and_batches_that_are_open(tmp_path):
    model = Sequential([Input((None, None, 3)), L.Conv2D(4, 3, 2, "same"), L.MaxPooling2D(2, 2),
                        L.GlobalAveragePooling2D(), L.Dense(2)])
    save_onnx(model, tmp_path / "net.onnx")
    back = load_onnx(tmp_path / "net.onnx", verbose=False)
    assert back.input_shape == (None, None, None, 3)
    for shape in ((1, 8, 9, 3), (3, 11, 6, 3)):
        x = drawn(shape, np.random.default_rng(1))
        close(run(tmp_path / "net.onnx", first(x))[0], model.predict(x))
        close(back.predict(x), model.predict(x))
    save_onnx(model, tmp_path / "one.onnx", batch=1)
    dims = onnx.load(tmp_path / "one.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in dims][:2] == [1, 3]


def test_the_file_says_what_it_is(tmp_path):
    model = Sequential([Input(IMAGE), L.Conv2D(5, 3, name="conv1")], name="net")
    report = save_onnx(model, tmp_path / "net.onnx", "NHWC")
    proto = onnx.load(tmp_path / "net.onnx")
    assert proto.ir_version == 7 and proto.opset_import[0].version == 13
    assert {p.key: p.value for p in proto.metadata_props} == {"layout": "NHWC"}
    assert 'Input "input": (N, 9, 8, 4), channels last (NHWC).' in proto.doc_string
    assert report.notes[0] in str(report) and "conv1  Conv2D  Conv   (N, 5, 7, 6)" in str(report)
    assert [o.name for o in proto.graph.output] == ["conv1"]


# ---- PyTorch -------------------------------------------------------------------------------


def torch_nets():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    nn, tf = torch.nn, torch.nn.functional

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(8)
            self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
            self.conv2 = nn.Conv2d(8, 8, 3, 1, 1)
            self.bn2 = nn.BatchNorm2d(8)
            self.down = nn.Conv2d(8, 8, 1)
            self.fc = nn.Linear(8 * 30, 5)

        def forward(self, x):
            x = self.pool(torch.relu(self.bn1(self.conv1(x))))
            x = torch.relu(self.bn2(self.conv2(x)) + self.down(x))
            return self.fc(x.view(x.size(0), -1))

    class Inception(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 4, 3, padding=1)
            self.pool = nn.AvgPool2d(3, 1, 1)
            self.fc = nn.Linear(13 * 5 * 7, 7)

        def forward(self, x):
            x = (x - torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)) / 0.25
            y = torch.cat([tf.relu(self.a(x)), tf.leaky_relu(self.b(x)), self.pool(x)], 1)
            y = tf.avg_pool2d(y, 3, 3, 1, ceil_mode=True, count_include_pad=True)
            return tf.log_softmax(self.fc(torch.flatten(y, 1)), -1)

    mobile = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 16, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(16), nn.Hardswish(),
        nn.Conv2d(16, 16, 1), nn.SiLU(), nn.PReLU(16), nn.Hardsigmoid(), nn.ELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 4))

    class Squeeze(nn.Module):
        def __init__(self):
            super().__init__()
            self.squeeze, self.out = nn.Conv2d(3, 4, 1), nn.Conv2d(12, 5, 1)
            self.one, self.three = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 6, 3, padding=1)

        def forward(self, x):
            x = torch.relu(self.squeeze(tf.max_pool2d(x, 3, 2, ceil_mode=True)))
            x = torch.cat([torch.relu(self.one(x)), torch.relu(self.three(x))], 1)
            return tf.softmax(self.out(x).mean([2, 3]), 1)

    return torch, {"residual": (Residual(), (15, 17)), "inception": (Inception(), (13, 19)),
                   "mobile": (mobile, (9, 12)), "squeeze": (Squeeze(), (14, 11))}


@pytest.mark.torch
@pytest.mark.parametrize("name", ["residual", "inception", "mobile", "squeeze"])
@pytest.mark.parametrize(("opset", "open_batch"), [(9, True), (13, False), (17, True)])
def test_networks_of_pytorch(name, opset, open_batch, tmp_path):
    torch, nets = torch_nets()
    net, size = nets[name]
    if name == "residual":
        net.fc = torch.nn.Linear(8 * 5 * 6, 5)
        size = (17, 21)
    if name == "inception":
        net.fc = torch.nn.Linear(13 * 5 * 7, 7)
    torch.manual_seed(0)
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2.0)
    net.eval()
    x = torch.randn(2 if open_batch else 1, 3, *size)
    with warnings.catch_warnings():  # the exporter warns of itself and of constants in the trace
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), str(tmp_path / "net.onnx"), dynamo=False,
                          opset_version=opset, input_names=["x"],
                          dynamic_axes={"x": {0: "n"}} if open_batch else None)
    model = load_onnx(tmp_path / "net.onnx", verbose=False)
    close(model.predict(x.numpy().transpose(0, 2, 3, 1)), net(x).detach().numpy())
    if name == "residual":
        assert "conv1" in model.named_children()


# ---- operators -----------------------------------------------------------------------------


def graph(nodes, shape, weights=None, outputs=("y",), opset=13, ranks=None):
    """Return a model of nodes (op, inputs, output, attributes) from x of a shape."""
    made = [helper.make_node(op, ins.split(","), [out], name=f"{op.lower()}_{i}", **attributes)
            for i, (op, ins, out, attributes) in enumerate(nodes)]
    stored = [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()]
    x = helper.make_tensor_value_info("x", 1, shape)
    y = [helper.make_tensor_value_info(o, 1, None) for o in outputs]
    proto = helper.make_graph(made, "net", [x], y, stored)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(proto, opset_imports=imports,
                             ir_version=helper.find_min_ir_version_for(imports))


RNG = np.random.default_rng(7)
W = {"w": drawn((6, 4, 3, 2), RNG), "b": drawn((6,), RNG), "one": np.float32(1.5),
     "c": drawn((4,), RNG), "m": drawn((9, 5), RNG), "m5": drawn((5,), RNG), "v": RNG.random(4)
     .astype("f4") + 0.5, "slope": drawn((4, 1, 1), RNG), "depth": drawn((8, 1, 3, 3), RNG),
     "grouped": drawn((6, 2, 3, 3), RNG), "s1": drawn((1, 4, 1, 1), RNG),
     "lo": np.float32(-0.5), "hi": np.float32(0.7), "zero": np.float32(0), "six": np.float32(6),
     "pads": np.array([0, 0, 1, 0, 0, 0, 2, 3]), "rate": np.float32(0.25),
     "flat": np.array([0, -1]), "to": np.array([0, 2, 36, 4]), "ax23": np.array([2, 3]),
     "ax2": np.array([2]), "i0": np.array(0), "minus": np.array([-1]),
     "up": drawn((4, 3, 3, 3), RNG), "f": drawn((288, 5), RNG), "ft": drawn((5, 288), RNG),
     "row": drawn((1, 5), RNG), "whole": drawn((1, 4, 9, 8), RNG)}
X = (None, 4, 9, 8)
OPS = {
    "Conv": [("Conv", "x,w,b", "y", {"strides": [2, 1], "pads": [1, 0, 2, 1]})],
    "Conv upper": [("Conv", "x,w", "y", {"strides": [2, 2], "auto_pad": "SAME_UPPER"})],
    "Conv lower": [("Conv", "x,w", "y", {"strides": [2, 2], "auto_pad": "SAME_LOWER"})],
    "Conv valid": [("Conv", "x,w", "y", {"dilations": [2, 3], "auto_pad": "VALID"})],
    "Conv depth": [("Conv", "x,depth", "y", {"group": 4, "pads": [1, 1, 1, 1]})],
    "Conv groups": [("Conv", "x,grouped", "y", {"group": 2})],
    "ConvTranspose": [("ConvTranspose", "x,up", "y", {"strides": [2, 2], "pads": [1, 0, 1, 2],
                                                      "output_padding": [1, 0]})],
    "MaxPool": [("MaxPool", "x", "y", {"kernel_shape": [3, 2], "strides": [2, 3],
                                       "pads": [1, 0, 0, 1]})],
    "MaxPool ceil": [("MaxPool", "x", "y", {"kernel_shape": [3, 3], "strides": [2, 2],
                                            "ceil_mode": 1})],
    "MaxPool lower": [("MaxPool", "x", "y", {"kernel_shape": [2, 2], "strides": [2, 3],
                                             "auto_pad": "SAME_LOWER"})],
    "AveragePool": [("AveragePool", "x", "y", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 1]})],
    "AveragePool counted": [("AveragePool", "x", "y", {
        "kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1})],
    "GlobalAveragePool": [("GlobalAveragePool", "x", "y", {})],
    "GlobalMaxPool": [("GlobalMaxPool", "x", "y", {})],
    "ReduceMean": [("ReduceMean", "x", "y", {"axes": [2, 3], "keepdims": 0})],
    "ReduceMax": [("ReduceMax", "x", "y", {"axes": [-1, -2]})],
    "BatchNormalization": [("BatchNormalization", "x,c,c,c,v", "y", {"epsilon": 0.01})],
    "InstanceNormalization": [("InstanceNormalization", "x,c,c", "y", {})],
    "LRN": [("LRN", "x", "y", {"size": 3, "alpha": 0.3, "bias": 2.0})],
    "MatMul": [("MatMul", "x,mm", "y", {})],
    "MatMul Add": [("Flatten", "x", "a", {}), ("MatMul", "a,f", "p", {}), ("Add", "m5,p", "y", {})],
    "Gemm": [("Flatten", "x", "a", {}), ("Gemm", "a,ft,row", "y", {
        "transB": 1, "alpha": 0.5, "beta": 2.0})],
    "Flatten norm": [("Flatten", "x", "a", {}), ("Relu", "a", "r", {}), ("Gemm", "r,f", "y", {})],
    **{op: [(op, "x", "y", {})] for op in ("Relu", "Sigmoid", "Tanh", "Softplus", "Exp", "Neg",
                                           "LeakyRelu", "Elu", "HardSigmoid", "Identity")},
    "Sqrt": [("Exp", "x", "e", {}), ("Sqrt", "e", "y", {})],
    "Reciprocal": [("Exp", "x", "e", {}), ("Reciprocal", "e", "y", {})],
    "HardSwish": [("HardSwish", "x", "y", {})], "Swish": [("Swish", "x", "y", {})],
    "Gelu": [("Gelu", "x", "y", {})],
    "PRelu": [("PRelu", "x,slope", "y", {})], "PRelu one": [("PRelu", "x,one", "y", {})],
    "Clip": [("Clip", "x,zero,six", "y", {})], "Clip both": [("Clip", "x,lo,hi", "y", {})],
    "Clip low": [("Clip", "x,lo", "y", {})], "Clip high": [("Clip", "x,,hi", "y", {})],
    "Softmax": [("Softmax", "x", "y", {"axis": 1})],
    "Softmax rows": [("Softmax", "x", "y", {"axis": 2})],
    "LogSoftmax": [("LogSoftmax", "x", "y", {})],
    "Add": [("Add", "x,one", "y", {})], "Sub": [("Sub", "one,x", "y", {})],
    "Mul": [("Mul", "s1,x", "y", {})], "Div": [("Exp", "x", "e", {}), ("Div", "s1,e", "y", {})],
    "Mul whole": [("Mul", "x,whole", "y", {})],
    "Pow": [("Exp", "x", "e", {}), ("Pow", "e,one", "y", {})],
    "Sum": [("Relu", "x", "r", {}), ("Sum", "x,r,x", "y", {})],
    "Mean": [("Relu", "x", "r", {}), ("Mean", "x,r", "y", {})],
    "Max": [("Tanh", "x", "r", {}), ("Max", "x,r", "y", {})],
    "Min": [("Tanh", "x", "r", {}), ("Min", "x,r", "y", {})],
    "Mul turned": [("Transpose", "x", "t", {"perm": [0, 3, 2, 1]}),
                   ("Transpose", "t", "u", {"perm": [0, 3, 2, 1]}), ("Mul", "u,x", "y", {})],
    "Sub two": [("Relu", "x", "r", {}), ("Sub", "r,x", "y", {})],
    "Div two": [("Exp", "x", "r", {}), ("Div", "x,r", "y", {})],
    "Cast": [("Cast", "x", "y", {"to": 1})],
    "Reshape": [("Reshape", "x,to", "y", {})], "Reshape flat": [("Reshape", "x,flat", "y", {})],
    "Squeeze": [("GlobalMaxPool", "x", "g", {}), ("Squeeze", "g,ax23", "y", {})],
    "Unsqueeze": [("GlobalMaxPool", "x", "g", {}), ("Flatten", "g", "h", {}),
                  ("Unsqueeze", "h,ax23", "y", {})],
    "Transpose": [("Transpose", "x", "y", {"perm": [0, 2, 1, 3]})],
    "Transpose conv": [("Transpose", "x", "t", {"perm": [0, 1, 3, 2]}), ("Conv", "t,w", "y", {})],
    "Flatten": [("Flatten", "x", "y", {})],
    "Concat": [("Relu", "x", "r", {}), ("Concat", "x,r", "y", {"axis": 1})],
    "Concat rows": [("Relu", "x", "r", {}), ("Concat", "x,r", "y", {"axis": -2})],
    "Concat flat": [("Flatten", "x", "h", {}), ("Relu", "h", "r", {}),
                    ("Concat", "h,r", "y", {"axis": 1})],
    "Pad": [("Pad", "x,pads", "y", {})],
    "Dropout": [("Dropout", "x,rate", "y", {}), ],
    "Constant": [("Constant", "", "k", {"value_float": 3.0}), ("Mul", "x,k", "y", {})],
    "Shape": [("Shape", "x", "s", {}), ("Gather", "s,i0", "n", {}),
              ("Unsqueeze", "n,zero64", "u", {}), ("Concat", "u,minus", "t", {"axis": 0}),
              ("Reshape", "x,t", "a", {}), ("Gemm", "a,f", "y", {})],
    "two outputs": [("Relu", "x", "y", {}), ("Sigmoid", "y", "z", {})],
}
W["mm"], W["zero64"] = drawn((8, 5), RNG), np.array([0])
NEEDS = {"HardSwish": 14, "Gelu": 20, "Swish": 24}


@pytest.mark.parametrize("case", OPS)
def test_operators(case, tmp_path):
    used = {n for _, ins, _, _ in OPS[case] for n in ins.split(",")}
    nodes = [(op, ins, out, attributes) for op, ins, out, attributes in OPS[case]]
    outputs = ("z", "y") if case == "two outputs" else ("y",)
    weights = {name: W[name] for name in used if name in W}
    proto = graph(nodes, X, weights, outputs, NEEDS.get(case, 13))
    if case == "Constant":
        del proto.graph.node[0].input[:]
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    model = load_onnx(path, check=case != "Swish", verbose=False)  # onnx has no Swish
    x = drawn((2, 9, 8, 4), np.random.default_rng(5))
    ours = model.predict(x)
    for y, wanted in zip(ours if len(outputs) > 1 else [ours], reference(proto, path, first(x)),
                         strict=True):
        close(first(y), wanted)


def reference(proto, path, x):
    if proto.opset_import[0].version < 24:
        return run(path, x)
    return [x / (1 + np.exp(-x))]


def test_every_operator_has_a_case():
    assert set(OPERATORS) - {op for nodes in OPS.values() for op, *_ in nodes} == set()


@pytest.mark.parametrize(("opset", "nodes"), [
    (7, [("BatchNormalization", "x,c,c,c,v", "h", {}), ("Dropout", "h", "d", {"ratio": 0.5}),
         ("Clip", "d", "q", {"min": 0.0, "max": 6.0}),
         ("Pad", "q", "p", {"pads": [0, 0, 1, 1, 0, 0, 2, 0]}),
         ("GlobalAveragePool", "p", "g", {}), ("Softmax", "g", "y", {})]),
    (9, [("Conv", "x,w", "a", {}), ("Squeeze", "g", "h", {"axes": [2, 3]}),
         ("GlobalMaxPool", "a", "g", {}), ("Unsqueeze", "h", "y", {"axes": [2, 3]})]),
    (18, [("ReduceMean", "x,ax23", "y", {"keepdims": 1})]),
])
def test_older_and_newer_forms_and_any_order_of_nodes(opset, nodes, tmp_path):
    used = {n for _, ins, _, _ in nodes for n in ins.split(",")}
    ordered = sorted(nodes, key=lambda n: n[0] == "Squeeze" or n[0] == "Unsqueeze")
    x, weights = drawn((2, 9, 8, 4), RNG), {n: W[n] for n in used if n in W}
    (tmp_path / "a.onnx").write_bytes(graph(nodes, X, weights, opset=opset).SerializeToString())
    right = graph(ordered, X, weights, opset=opset)
    (tmp_path / "b.onnx").write_bytes(right.SerializeToString())
    model = load_onnx(tmp_path / "a.onnx", check=False, verbose=False)
    close(first(model.predict(x)), run(tmp_path / "b.onnx", first(x))[0])


@pytest.mark.parametrize("kind", [1, 10, 11, 16])
@pytest.mark.parametrize("raw", [True, False])
def test_weights_of_any_float(kind, raw, tmp_path):
    values = np.array([[0.5, -1.25], [3.0, 0.0]], np.float32)
    proto = graph([("MatMul", "x,w", "y", {})], (None, 2))
    name = {1: "float32", 10: "float16", 11: "float64"}.get(kind)
    if kind == 16:
        bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        tensor = onnx.TensorProto(name="w", data_type=16, dims=[2, 2])
        if raw:
            tensor.raw_data = bits.tobytes()
        else:
            tensor.int32_data.extend(bits.ravel().tolist())
    else:
        array = values.astype(name)
        given = array.tobytes() if raw else array.ravel().tolist()
        tensor = helper.make_tensor("w", kind, [2, 2], given, raw=raw)
    proto.graph.initializer.append(tensor)
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    model = load_onnx(tmp_path / "net.onnx", check=False, verbose=False)
    assert np.array_equal(model.parameters()[0].array, values)
    assert model.parameters()[0].dtype == np.float32


def test_weights_beside_the_file_lie_in_its_folder(tmp_path):
    proto = graph([("MatMul", "x,w", "y", {})], (None, 2), {"w": np.eye(2, dtype="f4")})
    tensor = proto.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "w.bin", offset=4, length=16)
    (tmp_path / "w.bin").write_bytes(b"1234" + tensor.raw_data)
    tensor.ClearField("raw_data")
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    model = load_onnx(path, verbose=False)
    assert np.array_equal(model.parameters()[0].array, np.eye(2))
    for name, text in (("../w.bin", "expected one in the model's folder"),
                       ("/etc/passwd", "expected one in the model's folder"),
                       ("none.bin", "Keep all files of the model")):
        tensor.external_data[0].value = name
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(errors.FormatError, match=text):
            load_onnx(path)
    tensor.external_data[0].value = "w.bin"
    (tmp_path / "w.bin").write_bytes(b"12345678")
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(errors.FormatError, match="expected 16 bytes within the file"):
        load_onnx(path)


def test_report(tmp_path, capsys):
    nodes = [("Relu", "x", "r", {}), ("Transpose", "r", "t", {"perm": [0, 2, 3, 1]}),
             ("Transpose", "t", "u", {"perm": [0, 3, 1, 2]}), ("Conv", "u,w,b", "y", {})]
    proto = graph(nodes, X, {"w": W["w"], "b": W["b"], "spare": W["c"]})
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    load_onnx(tmp_path / "net.onnx")
    text = " ".join(capsys.readouterr().out.split())
    for part in ("relu_0 Relu relu Activation (N, 9, 8, 4)",
                 "transpose_1 Transpose - -", "conv_3 Conv conv Conv2D",
                 'Input "x": (N, 9, 8, 4), channels last; the file has channels first.',
                 "Left over: 1 weights that no node uses: spare.", "150 weights.",
                 "Self-check: outputs differ from onnx's by at most"):
        assert part in text


# ---- the command line ----------------------------------------------------------------------


def test_export_and_import_on_the_command_line(tmp_path, capsys):
    model = Sequential([Input(IMAGE), L.Conv2D(5, 3), L.Flatten(), L.Dense(2)])
    model.save(tmp_path / "small")
    x = drawn((2, *IMAGE), RNG)
    file = str(tmp_path / "net.onnx")
    assert main(["export", str(tmp_path / "small"), file, "--layout", "NHWC"]) == 0
    assert "channels last (NHWC)" in capsys.readouterr().out
    close(run(file, x)[0], model.predict(x))
    assert main(["import", file, "--out", str(tmp_path / "back")]) == 0
    assert f"Saved in {tmp_path / 'back.safetensors'}" in capsys.readouterr().out
    close(load_model(tmp_path / "back").predict(x), model.predict(x))
    assert main(["export", "lecture_mnist", file]) == 0
    assert "channels first (NCHW)" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "text"), [
    (["export", "nothing", "net.onnx"], "nothing"),
    (["import", "none.onnx", "--out", "m"], "none.onnx: cannot be read"),
    (["import", "odd.onnx", "--out", "m"], "of no known format; expected a model in ONNX, Keras"),
])
def test_errors_of_the_command_line(words, text, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.onnx").write_bytes(b"PNG")
    assert main(words) == 1
    assert text in capsys.readouterr().err


# ---- errors --------------------------------------------------------------------------------


class Wordy(Module):
    def forward(self, x):
        return F.relu(x)


class Own(L.ReLU):
    pass


@pytest.mark.parametrize(("model", "options", "text"), [
    (lambda: Sequential([Input(ROW), L.Lambda(F.relu, name="fn")]), {},
     r'layer "fn" \(Lambda\): has no counterpart in the ONNX format'),
    (lambda: Sequential([Input(ROW), Own(name="own")]), {}, r'layer "own" \(Own\): has no'),
    (lambda: Sequential([Input(ROW), L.Dense(2, lambda x: x, name="d")]), {},
     r'layer "d" \(Dense\): has the activation .*expected one of linear, relu'),
    (lambda: Wordy(name="w"), {}, r'layer "w" \(Wordy\): has no weights yet'),
    (lambda: Sequential([Input(ROW), L.ReLU()]), {"layout": "CHWN"}, "expected one of NCHW, NHWC"),
    (lambda: Sequential([Input(ROW), L.ReLU()]), {"opset": 9}, "got opset=9; expected 13 to"),
    (lambda: Sequential([Input(ROW), L.ReLU()]), {"batch": 0}, "got batch=0"),
])
def test_what_cannot_be_written(model, options, text, tmp_path):
    with pytest.raises(errors.MinidlError, match=text):
        save_onnx(model(), tmp_path / "net.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_forward_that_cannot_be_followed(tmp_path):
    module = Wordy(name="w")
    module(np.zeros((2, 3), "float32"))
    with pytest.raises(errors.FormatError, match=r"cannot be followed.*Use layers instead"):
        save_onnx(module, tmp_path / "net.onnx")


def test_a_model_over_2_gb_is_refused(tmp_path, monkeypatch):
    import minidl.io.onnx_save as save
    monkeypatch.setattr(save, "MOST_BYTES", save._ROOM + 100)
    with pytest.raises(errors.FormatError, match="would have more than 2 GB"):
        save_onnx(Sequential([Input(ROW), L.Dense(9)]), tmp_path / "net.onnx")


def test_an_older_file_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"older")
    monkeypatch.setattr(onnx.checker, "check_model", lambda *a, **k: 1 / 0)
    with pytest.raises(errors.FormatError, match="breaks a rule of ONNX"):
        save_onnx(Sequential([Input(ROW), L.Dense(9)]), path)
    assert path.read_bytes() == b"older"


def loop():
    inner = helper.make_graph([], "inner", [], [])
    return ("If", "x", "y", {"then_branch": inner, "else_branch": inner})


@pytest.mark.parametrize(("nodes", "options", "text"), [
    ([("Erf", "x", "y", {})], {}, r'node "erf_0" \(Erf, operator set 13\): is an operator that'),
    ([("Relu", "q", "y", {})], {}, 'needs "q", which no node makes'),
    ([("Relu", "z", "y", {}), ("Relu", "y", "z", {})], {}, "wait for each other"),
    ([loop()], {}, r'node "if_0" \(If\): holds a graph of its own'),
    ([("Conv", "x,x", "y", {})], {}, r'\(Conv, .*has input 1 that is not constant'),
    ([("Conv", "x,w", "y", {"pads": [1]})], {}, "has pads=.1.; expected 4 numbers"),
    ([("Conv", "x,w", "y", {"strides": [0, 1]})], {}, "does not fit: got strides"),
    ([("Conv", "x,w", "y", {"group": 3})], {}, "does not fit: got groups=3"),
    ([("Conv", "x,w", "y", {"colour": 1})], {}, "has the attribute 'colour'"),
    ([("Conv", "x,c", "y", {})], {}, r"has weights of shape \(4,\); expected 4 axes"),
    ([("Reshape", "x,all", "y", {})], {"all": np.array([-1])}, "samples to stay apart"),
    ([("Transpose", "x", "y", {"perm": [1, 0, 2, 3]})], {}, "expected the batch to stay first"),
    ([("Concat", "x,x", "y", {"axis": 0})], {}, "joins along axis 0"),
    ([("Pad", "x,pads", "y", {"mode": "reflect"})], {}, "has mode='reflect'"),
    ([("MaxPool", "x", "y", {"kernel_shape": [3, 3], "dilations": [2, 2]})], {}, "has dilations"),
    ([("BatchNormalization", "x,c,c,c,c", "y", {"training_mode": 1})], {}, "has training_mode=1"),
    ([("Gemm", "x,m", "y", {"transA": 1})], {}, "has transA=1"),
    ([("ReduceMean", "x", "y", {"axes": [1]})], {}, "expected all places, height and width"),
    ([("ConstantOfShape", "n", "k", {}), ("Add", "x,k", "y", {})],
     {"n": np.array([1 << 20, 1 << 20])}, "a constant of 1099511627776 elements would be made"),
    ([("Shape", "x", "y", {})], {}, 'output "y": does not depend on the inputs'),
    ([("MaxPool", "x", "y", {"kernel_shape": [2, 2], "auto_pad": "AROUND"})], {}, "AROUND"),
])
def test_what_cannot_be_read(nodes, options, text, tmp_path):
    proto = graph(nodes, X, {**W, **options}, opset=14 if "training" in text else 13)
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(errors.FormatError, match=text) as caught:
        load_onnx(tmp_path / "net.onnx", check=False)
    assert str(tmp_path / "net.onnx") in str(caught.value)


def relu(path, change):
    proto = graph([("Relu", "x", "y", {})], X, opset=13)
    change(proto)
    path.write_bytes(proto.SerializeToString())


def many(proto):
    node = proto.graph.node.pop()
    for i in range(2500):
        proto.graph.node.append(helper.make_node("Relu", [f"t{i}" if i else "x"], [f"t{i + 1}"]))
    proto.graph.node.append(helper.make_node("Relu", ["t2500"], list(node.output)))


def absurd(proto):
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    dims[2].dim_value = dims[3].dim_value = 1 << 40


def lying(proto):
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[1 << 20, 1 << 20], raw_data=b"1234")
    proto.graph.initializer.append(tensor)
    proto.graph.node[0].op_type = "Add"
    proto.graph.node[0].input.append("w")


def copied(proto):
    """Let hundreds of convolutions use one kernel of a megabyte."""
    del proto.graph.node[:]
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1 << 16, 4, 1, 1), "f4"),
                                                                "w"))
    proto.graph.node.append(helper.make_node("Sum", [f"t{i}" for i in range(400)], ["y"]))
    for i in range(400):
        proto.graph.node.insert(0, helper.make_node("Conv", ["x", "w"], [f"t{i}"]))


@pytest.mark.parametrize(("change", "text"), [
    (lambda p: p.opset_import[0].CopyFrom(helper.make_opsetid("", 6)), "uses operator set 6"),
    (lambda p: p.opset_import[0].CopyFrom(helper.make_opsetid("", 999)), "newer onnx"),
    (lambda p: p.graph.node[0].MergeFromString(b"\x3a\x03foo"), "is an operator of foo"),
    (lambda p: p.graph.ClearField("output"), "has no graph with outputs"),
    (lambda p: p.graph.ClearField("input"), 'needs "x"'),
    (many, "has more than 2048 nodes"), (absurd, "expected at most"), (copied, "many times"),
    (lying, "has the shape .1048576, 1048576. but 1 values"),
])
def test_files_that_are_refused(change, text, tmp_path):
    path = tmp_path / "net.onnx"
    relu(path, change)
    with pytest.raises(errors.FormatError, match=text):
        load_onnx(path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"no model at all", b"\x0a" * 3000])
def test_what_is_no_model(content, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(errors.FormatError, match=r"net\.onnx: is no ONNX model"):
        load_onnx(tmp_path / "net.onnx")
    with pytest.raises(errors.FormatError, match=r"none\.onnx: is no file"):
        load_onnx(tmp_path / "none.onnx")


def test_the_self_check_finds_a_wrong_model(tmp_path, monkeypatch):
    import minidl.io.onnx_operators as operators
    monkeypatch.setitem(operators.OPERATORS, "Relu", operators.OPERATORS["Tanh"])
    relu(tmp_path / "net.onnx", lambda p: None)
    with pytest.raises(errors.FormatError, match="self-check gave values that differ by"):
        load_onnx(tmp_path / "net.onnx")


def test_mutated_files_end_in_an_error_or_a_model(tmp_path):
    model = Sequential([Input((6, 6, 2)), L.Conv2D(3, 3, padding="same", activation="relu"),
                        L.MaxPooling2D(2), L.BatchNormalization(), L.Flatten(), L.Dense(2)])
    save_onnx(model, tmp_path / "net.onnx")
    good, rng = (tmp_path / "net.onnx").read_bytes(), np.random.default_rng(11)
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        data = data[:rng.integers(1, len(data))] if rng.random() < 0.1 else data
        (tmp_path / "net.onnx").write_bytes(data)
        try:
            load_onnx(tmp_path / "net.onnx", check=False, verbose=False)
        except errors.FormatError as error:
            refused += 1
            assert "net.onnx" in str(error)
    assert 50 < refused < 300
