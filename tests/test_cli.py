"""The command line: what it writes and prints, its exit statuses, its errors; the public names."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import minidl as dl
from minidl import recipes
from minidl.cli import doctor, main, options, show
from minidl.cli.pictures import framed, read_digit
from minidl.data.datasets import digits, mnist
from minidl.recipes import folder as folders

DIGITS = str(digits.FOLDER)  # four IDX files, which serve as a small MNIST
ROOT = Path(__file__).parents[1]
REPORT = ["name", "parameters", "epochs", "seconds", "waiting", "images_per_second", "peak_rss_mb",
          "test"]


class Done(NamedTuple):
    status: int
    out: str
    err: str


def minidl(*words):
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as usage:
            status = usage.code
    return Done(status, out.getvalue(), err.getvalue())


def start(*words, **options):
    """Run a command in a process of its own."""
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen([sys.executable, "-W", "error", "-m", "minidl", *map(str, words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": search}, **options)


def train(out, *words, name="lecture_mnist"):
    return minidl("train", name, "--data", DIGITS, "--out", out, "--limit", 256, *words)


def report(out):
    return json.loads((Path(out) / "report.json").read_text("utf-8"))


def weights(out):
    model = dl.load_model(Path(out) / "model.safetensors")
    return {path: array.tobytes() for path, array in model.state_dict().items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a finished run of two epochs, and what was printed."""
    out = tmp_path_factory.mktemp("runs") / "lecture"
    return out, train(out, "--epochs", 2)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "demo"
    return out, minidl("demo", "--out", out, "--epochs", 1, "--limit", 512)


# ---- demo ----------------------------------------------------------------------------------


def test_demo_writes_what_train_writes_and_the_pictures(demo):
    out, done = demo
    assert done.status == 0, done.err
    assert {p.name for p in out.iterdir()} == {
        *folders.WRITTEN, "digits.png", "filters.png", "feature_maps.png"}
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 300, path
            assert np.asarray(picture.convert("L")).std() > 5, path


def test_demo_says_what_it_did_and_where_the_pictures_are(demo):
    out, done = demo
    accuracy = report(out)["test"]["accuracy"]
    for text in ("learns handwritten digits", f"Test accuracy {accuracy:.4f}",
                 f"reads {accuracy:.1%} of the test digits", "21,840 parameters",
                 str(out / "digits.png"), str(out / "feature_maps.png"), "minidl predict"):
        assert text in done.out
    assert report(out)["parameters"] == 21_840


def test_demo_may_be_run_again_but_replaces_no_other_run(demo, trained):
    out, _ = demo
    assert minidl("demo", "--out", out, "--epochs", 1, "--limit", 64).status == 0
    done = minidl("demo", "--out", trained[0])
    assert done.status == 1
    assert "holds a run that is not a demo" in done.err
    assert report(trained[0])["name"] == "lecture_mnist"


# ---- train ---------------------------------------------------------------------------------


def test_train_writes_model_figures_and_report(trained):
    out, done = trained
    assert done.status == 0, done.err
    assert {p.name for p in out.iterdir()} == set(folders.WRITTEN)
    figures = report(out)
    assert list(figures) == REPORT
    assert figures["name"] == "lecture_mnist"
    assert figures["epochs"] == 2
    assert list(figures["test"]) == ["loss", "accuracy"]
    assert figures["images_per_second"] * figures["seconds"] == pytest.approx(512, rel=0.01)
    assert 30 < figures["peak_rss_mb"] < 100_000
    history = json.loads((out / "history.json").read_text("utf-8"))
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert len(history[name]) == 2
    assert history["val_accuracy"][-1] == figures["test"]["accuracy"]
    assert f"Test accuracy {figures['test']['accuracy']:.4f}" in done.out
    assert str(out) in done.out


@pytest.mark.parametrize("name", ["lecture_mnist_wide", "mnist_convnet"])
def test_every_recipe_trains(name, tmp_path):
    done = minidl("train", name, "--data", DIGITS, "--out", tmp_path / "run", "--limit", 32,
                  "--epochs", 1, "--batch-size", 16)
    assert done.status == 0, done.err
    assert report(tmp_path / "run")["parameters"] == recipes.get(name).model().count_parameters()


def test_options_reach_the_training(tmp_path):
    done = train(tmp_path, "--epochs", 1, "--batch-size", 100, "--lr", 0.25, "--seed", 9)
    assert done.status == 0, done.err
    settings = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert settings == {"name": "lecture_mnist", "epochs": 1, "batch_size": 100, "seed": 9,
                        "learning_rate": 0.25, "limit": 256, "data": DIGITS, "members": 1,
                        "classes": None, "checkpoint_every": None, "device": "cpu",
                        "learning_rates": [{"epoch": 0, "step": 0, "learning_rate": 0.25}]}
    history = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert history["learning_rate"] == [0.25]


def test_the_same_seed_gives_the_same_bits(trained, tmp_path):
    train(tmp_path / "again", "--epochs", 2)
    train(tmp_path / "other", "--epochs", 2, "--seed", 2)
    assert weights(tmp_path / "again") == weights(trained[0])
    assert weights(tmp_path / "other") != weights(trained[0])


# ---- resume and overwrite ------------------------------------------------------------------


def test_a_resumed_run_ends_with_the_same_bits(trained, tmp_path):
    assert train(tmp_path, "--epochs", 1).status == 0
    done = minidl("train", "lecture_mnist", "--out", tmp_path, "--resume", "--epochs", 2)
    assert done.status == 0, done.err
    assert weights(tmp_path) == weights(trained[0])
    assert report(tmp_path)["epochs"] == 2


def test_resume_from_a_folder_and_from_an_older_file(trained, tmp_path):
    out, _ = trained
    first = sorted((out / "checkpoints").glob("epoch-00001*.safetensors"))[0]
    for source in (first, out / "checkpoints"):
        done = train(tmp_path / source.stem, "--epochs", 2, "--resume", source)
        assert done.status == 0, done.err
        assert weights(tmp_path / source.stem) == weights(out)


def test_resume_in_an_empty_folder_begins(tmp_path):
    done = train(tmp_path / "new", "--resume", "--epochs", 1)
    assert done.status == 0, done.err
    assert report(tmp_path / "new")["epochs"] == 1


def test_a_finished_run_is_only_replaced_on_demand(tmp_path):
    train(tmp_path, "--epochs", 1)
    before = weights(tmp_path)
    done = train(tmp_path, "--epochs", 1, "--seed", 3)
    assert done.status == 1
    assert "holds a run already" in done.err
    assert "--resume" in done.err
    assert "--overwrite" in done.err
    assert weights(tmp_path) == before
    assert train(tmp_path, "--epochs", 1, "--seed", 3, "--overwrite").status == 0
    assert weights(tmp_path) != before


@pytest.mark.parametrize(("option", "value", "text"), [
    ("--seed", 5, "got seed=5; the run to resume has seed=1"),
    ("--batch-size", 32, "got batch_size=32; the run to resume has batch_size=64"),
    ("--limit", 100, "got limit=100; the run to resume has limit=256"),
])
def test_a_resumed_run_keeps_its_settings(trained, option, value, text):
    done = minidl("train", "lecture_mnist", "--out", trained[0], "--resume", option, value)
    assert done.status == 1
    assert text in done.err


def _until(condition, process):
    for _ in range(600):
        if condition():
            return
        if process.poll() is not None:
            pytest.fail(f"ended early: {process.communicate()}")
        time.sleep(0.05)
    pytest.fail("waited 30 s in vain")


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    words = ("train", "lecture_mnist", "--data", DIGITS, "--limit", 2048, "--epochs", 4)
    assert minidl(*words, "--out", tmp_path / "whole").status == 0
    process = start(*words, "--out", tmp_path / "killed")
    _until(lambda: any((tmp_path / "killed" / "checkpoints").glob("*.safetensors")), process)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed" / "report.json").exists()
    for command in ("evaluate", "predict"):
        done = minidl(command, tmp_path / "killed", *(["x.png"] if command == "predict" else []))
        assert done.status == 1
        assert "--resume" in done.err
    done = minidl("train", "lecture_mnist", "--out", tmp_path / "killed", "--resume")
    assert done.status == 0, done.err
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_saves_says_how_to_go_on_and_exits_with_130(tmp_path):
    process = start("train", "lecture_mnist", "--data", DIGITS, "--limit", 1000,
                    "--epochs", 500, "--out", tmp_path)
    _until(lambda: any((tmp_path / "checkpoints").glob("*.safetensors")), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"minidl train lecture_mnist --out {tmp_path} --resume" in out
    assert "Stopping after this batch" in err
    assert "Traceback" not in err
    assert not (tmp_path / "report.json").exists()


def test_ctrl_c_at_any_other_time_is_130_without_traceback(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(recipes, "names", interrupted)
    done = minidl("list")
    assert done.status == 130
    assert done.err == "\ninterrupted\n"


# ---- restarts with another learning rate, classes, members ---------------------------------


def settings(out):
    return json.loads((Path(out) / "run.json").read_text("utf-8"))


def rates(out):
    return [(r["epoch"], r["step"], r["learning_rate"]) for r in settings(out)["learning_rates"]]


def test_a_restart_with_another_rate_is_recorded_and_cuts_the_history(tmp_path):
    assert train(tmp_path, "--epochs", 4, "--checkpoint-every", 2).status == 0
    saved = {p.stem for p in (tmp_path / "checkpoints").glob("epoch_*.safetensors")}
    assert saved == {"epoch_2", "epoch_4"} and rates(tmp_path) == [(0, 0, 0.01)]
    first = json.loads((tmp_path / "history.json").read_text("utf-8"))
    words = ("--resume", tmp_path / "checkpoints" / "epoch_2.safetensors", "--lr", 0.001)
    done = train(tmp_path, *words)
    assert done.status == 1 and "it holds epoch_4.safetensors" in done.err
    assert "--overwrite" in done.err
    assert "epoch_4.safetensors" in {p.name for p in (tmp_path / "checkpoints").iterdir()}
    assert rates(tmp_path) == [(0, 0, 0.01)]  # nothing has happened
    done = train(tmp_path, *words, "--overwrite", "--epochs", 3)
    assert done.status == 0, done.err
    assert rates(tmp_path) == [(0, 0, 0.01), (2, 0, 0.001)]
    second = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert second["epoch"] == [0, 1, 2] and second["loss"][:2] == first["loss"][:2]
    assert second["learning_rate"] == pytest.approx([0.01, 0.01, 0.001])
    assert not any(p.stem.startswith("epoch_4") for p in (tmp_path / "checkpoints").iterdir())
    assert train(tmp_path, "--resume", "--epochs", 4, "--lr", 0.5).status == 0
    assert rates(tmp_path) == [(0, 0, 0.01), (2, 0, 0.001), (3, 0, 0.5)]


def test_a_changed_rate_outlives_a_kill_before_the_next_checkpoint(tmp_path, monkeypatch):
    for out in ("whole", "killed"):
        assert train(tmp_path / out, "--epochs", 1).status == 0
    assert train(tmp_path / "whole", "--epochs", 2, "--resume", "--lr", 0.5).status == 0
    with monkeypatch.context() as patch:
        patch.setattr(dl.callbacks.Checkpoint, "save", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(tmp_path / "killed", "--epochs", 2, "--resume", "--lr", 0.5)
    assert train(tmp_path / "killed", "--resume").status == 0
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_a_checkpoint_of_another_run_may_go_on_with_another_rate(trained, tmp_path):
    done = train(tmp_path, "--epochs", 3, "--resume", trained[0] / "checkpoints", "--lr", 0.125)
    assert done.status == 0, done.err
    history = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert history["learning_rate"] == pytest.approx([0.01, 0.01, 0.125])
    assert rates(tmp_path) == [(0, 0, 0.01), (2, 0, 0.125)]


@pytest.fixture
def recipe(monkeypatch):
    """Let a recipe `mine` be known, that of the wide network with changes; a function to set it."""
    base = recipes.get("lecture_mnist_wide")

    def know(**changes):
        data = replace(base.data, load=lambda folder=None: digits.load_data())
        mine = replace(base, **{"name": "mine", "model": dl.models.mnist_convnet, "data": data,
                                "epochs": 1, **changes})
        monkeypatch.setattr(recipes, "get", lambda name: mine)
        return mine

    return know


@pytest.mark.parametrize(("classes", "names"), [("3", "012"), ("7,2", "72"), ("9,0,4", "904")])
def test_classes_cut_data_and_network(recipe, tmp_path, classes, names):
    recipe()
    done = minidl("train", "mine", "--out", tmp_path, "--classes", classes, "--limit", 64)
    assert done.status == 0, done.err
    model = dl.load_model(tmp_path / "model.safetensors")
    assert model.predict(np.zeros((1, 28, 28, 1), "float32")).shape == (1, len(names))
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'ml'")
    out = minidl("evaluate", tmp_path, "--report").out
    rows = [line.split()[0] for line in out.splitlines() if len(line.split()) == 5]
    assert rows == list(names)
    done = minidl("train", "mine", "--out", tmp_path, "--resume", "--classes", "5")
    assert done.status == 1 and "got classes=5; the run to resume has classes=" in done.err


@pytest.mark.parametrize(("changes", "classes", "text"), [
    ({}, "0,dog", "classes: got the class 'dog'"),
    ({}, "1", "got 1; expected two or more of them"),
    ({}, "4,4", "got the class '4' twice"),
    ({}, "11", "got classes=11; expected 1 to 10"),
    ({"model": dl.models.imdb_conv1d}, "2", "the network of mine has a fixed number of classes"),
])
def test_wrong_classes_are_told(recipe, tmp_path, changes, classes, text):
    recipe(**changes)
    done = minidl("train", "mine", "--out", tmp_path, "--classes", classes)
    assert done.status == 1 and text in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_schedule_holds_until_the_user_sets_a_rate(recipe, tmp_path):
    recipe(schedule=lambda epoch, epochs: 0.01 * (1 - epoch / 4), epochs=3)
    words = ("train", "mine", "--out", tmp_path, "--limit", 64)
    assert minidl(*words, "--epochs", 2).status == 0
    assert minidl(*words, "--resume", "--epochs", 3).status == 0

    def used(out):
        return json.loads((out / "history.json").read_text("utf-8"))["learning_rate"]

    assert used(tmp_path) == pytest.approx([0.01, 0.0075, 0.005])
    assert rates(tmp_path) == [(0, 0, 0.01)]
    assert minidl(*words, "--resume", "--epochs", 5, "--lr", 0.001).status == 0
    assert used(tmp_path) == pytest.approx([0.01, 0.0075, 0.005, 0.001, 0.001])
    words = ("train", "mine", "--out", tmp_path / "higher", "--limit", 64)
    assert minidl(*words, "--lr", 0.04, "--epochs", 2).status == 0
    assert used(tmp_path / "higher") == pytest.approx([0.04, 0.03])
    assert minidl(*words, "--resume", "--epochs", 3).status == 0
    assert used(tmp_path / "higher") == pytest.approx([0.04, 0.03, 0.02])
    assert rates(tmp_path / "higher") == [(0, 0, 0.04)]


def test_the_highest_rate_of_a_schedule_is_the_users(recipe, tmp_path):
    recipe(schedule=lambda epoch, epochs: 0.01 * min(epoch + 1, 2), epochs=3)  # warms up
    assert minidl("train", "mine", "--out", tmp_path, "--limit", 64, "--lr", 0.001).status == 0
    history = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert history["learning_rate"] == pytest.approx([0.0005, 0.001, 0.001])
    assert rates(tmp_path) == [(0, 0, 0.0005)]


def test_a_recipe_with_members_trains_an_ensemble_that_resumes(recipe, tmp_path, monkeypatch):
    recipe(members=3)
    words = ("train", "mine", "--limit", 96, "--lr", 0.001)
    done = minidl(*words, "--out", tmp_path / "whole")
    assert done.status == 0, done.err
    figures = report(tmp_path / "whole")
    members = [report(tmp_path / "whole" / f"member-{k}") for k in (1, 2, 3)]
    assert figures["members"] == [m["test"]["accuracy"] for m in members]
    assert figures["parameters"] == 3 * members[0]["parameters"] and figures["epochs"] == 3
    assert [settings(tmp_path / f"whole/member-{k}")["seed"] for k in (1, 2, 3)] == [1, 2, 3]
    for text in ("Member 3 of 3, seed 3", "Test accuracy of the members: "
                 + ", ".join(f"{a:.4f}" for a in figures["members"]),
                 f"Test accuracy {figures['test']['accuracy']:.4f}"):
        assert text in done.out
    broken, calls = dl.callbacks.Checkpoint.save, []
    with monkeypatch.context() as patch:
        patch.setattr(dl.callbacks.Checkpoint, "save", lambda self: (
            calls.append(1), 1 / 0 if len(calls) > 1 else broken(self))[1])
        with pytest.raises(ZeroDivisionError):
            minidl(*words, "--out", tmp_path / "broken")
    done = minidl("evaluate", tmp_path / "broken")
    assert done.status == 1 and f"--out {tmp_path / 'broken'} --resume" in done.err
    assert minidl("train", "mine", "--out", tmp_path / "broken", "--resume").status == 0
    for k in (1, 2, 3):
        assert weights(tmp_path / f"broken/member-{k}") == weights(tmp_path / f"whole/member-{k}")
    done = minidl("train", "mine", "--out", tmp_path / "broken", "--resume", "--lr", 0.1)
    assert done.status == 1 and "mine has 3 members, each with its own" in done.err
    done = minidl("evaluate", tmp_path / "whole", "--limit", 96)
    assert f"accuracy {figures['test']['accuracy']:.4f}" in done.out, done.err
    Image.fromarray(digits.load_data()[1][0][0, ..., 0]).save(tmp_path / "digit.png")
    assert "probability 0." in minidl("predict", tmp_path / "whole", tmp_path / "digit.png").out


# ---- evaluate and predict ------------------------------------------------------------------


def test_evaluate_finds_the_accuracy_of_the_report(trained, tmp_path):
    out, _ = trained
    picture = tmp_path / "confusion.png"
    done = minidl("evaluate", out, "--limit", 256, "--confusion", picture)
    assert done.status == 0, done.err
    assert f"accuracy {report(out)['test']['accuracy']:.4f}" in done.out
    assert "256 test images" in done.out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "2,000 test images" in minidl("evaluate", out, "--data", DIGITS).out


def test_evaluate_updates_batch_norm_where_there_is_one(trained):
    out, _ = trained
    done = minidl("evaluate", out, "--limit", 256, "--update-batch-norm", 3)
    assert (done.status, done.out) == (1, "")
    assert "without batch normalisations" in done.err


def test_evaluate_reports_by_class(trained, tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'ml'")
    out, _ = trained
    done = minidl("evaluate", out, "--report", "--limit", 256)
    assert done.status == 0, done.err
    text = (out / "classification.txt").read_text("utf-8")
    accuracy = report(out)["test"]["accuracy"]
    assert text in done.out and f"rank-1 {accuracy:.2%}" in text and "rank-5" in text
    total = text.partition("avg / total")[2].split()
    assert total[1] == f"{accuracy:.2f}" and total[3] == "256"
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert str(out / "confusion.png") in done.out
    for name in folders.ADDED:
        (out / name).unlink()


@pytest.fixture
def digit():
    _, (images, _) = digits.load_data()
    return Image.fromarray(images[3, ..., 0])


def _say(out, path):
    """Return class and probability that are printed for an image."""
    done = minidl("predict", out, path)
    assert done.status == 0, done.err
    words = done.out.removeprefix(f"{path}: ").split()
    return words[0], float(words[2]), done.out


def test_predict_says_class_and_probability(demo, digit, tmp_path):
    digit.save(tmp_path / "digit.png")
    label, probability, _ = _say(demo[0], tmp_path / "digit.png")
    model = dl.load_model(demo[0] / "model.safetensors")
    pixels = (np.asarray(digit)[None, ..., None] / 255 - 0.1307) / 0.3081
    expected = np.exp(model.predict(pixels.astype("float32"))[0])
    assert label == str(expected.argmax())
    assert probability == pytest.approx(expected.max(), abs=1e-4)


def test_predict_takes_photos_of_ink_on_paper(demo, digit, tmp_path):
    digit.save(tmp_path / "light.png")
    ink = digit.resize((280, 280)).point(lambda p: 255 - p)
    ink.convert("RGB").save(tmp_path / "paper.jpg", quality=95)
    clear = Image.new("RGBA", (280, 280))
    clear.putalpha(digit.resize((280, 280)))  # black ink on nothing
    clear.save(tmp_path / "clear.png")
    light = _say(demo[0], tmp_path / "light.png")
    assert "inverted" not in light[2]
    for name in ("paper.jpg", "clear.png"):
        label, probability, text = _say(demo[0], tmp_path / name)
        assert (label, probability) == (light[0], pytest.approx(light[1], abs=0.05))
        assert "dark on light, so inverted" in text


@pytest.mark.parametrize("place", [(0, 0), (260, 0), (130, 200)])
def test_a_digit_on_a_large_sheet_is_framed_as_the_data_set_has_it(place, digit, tmp_path):
    sheet = Image.new("L", (400, 400), 240)
    sheet.paste(digit.resize((140, 140)).point(lambda p: 240 - p * 3 // 4), place)
    sheet.save(tmp_path / "sheet.png")
    image, inverted = read_digit(tmp_path / "sheet.png", (28, 28, 1))
    assert inverted
    assert np.corrcoef(image.ravel(), np.asarray(digit).ravel())[0, 1] > 0.95


@pytest.mark.parametrize("size", [(9, 5), (28, 60), (1, 1), (3000, 2)])
@pytest.mark.parametrize("corner", [(3, 8), (57, 31)])
def test_framed_fills_the_box_with_the_mass_at_pixel_14(size, corner):
    light = np.zeros((200, 4000), np.uint8)
    light[corner[0]:corner[0] + size[1], corner[1]:corner[1] + size[0]] = 180
    image = framed(light, (28, 28))
    centre = (np.indices(image.shape) * image).sum(axis=(1, 2)) / image.sum()
    assert np.abs(centre - 14).max() <= 0.5
    assert max(image.any(axis=1).sum(), image.any(axis=0).sum()) == 20
    assert image.max() > 200
    assert framed(light[:1], (28, 28)).max() == 0  # an empty sheet


def test_predict_answers_for_each_image(demo, digit, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path in paths:
        digit.resize((40, 20)).save(path)
    lines = minidl("predict", demo[0], *paths).out.splitlines()
    assert [line.split(":")[0] for line in lines] == [str(path) for path in paths]


# ---- list, summary, doctor -----------------------------------------------------------------


def test_list_shows_source_printed_and_measured_results(monkeypatch):
    measured = {"mnist_convnet": {"accuracy": 0.99123, "loss": 0.0312, "seeds": 3},
                "deepergooglenet_tiny_3": {"accuracy": 0.5, "top_5_accuracy": 0.75,
                                           "epochs": 10, "classes": 40}}
    monkeypatch.setattr(recipes, "results", lambda: measured)
    monkeypatch.setattr(show, "WIDTH", 80)  # of most terminals
    text = minidl("list").out
    assert "…" not in text  # where words were cut, for a long result
    flat = " ".join(text.split())
    for name in recipes.names():
        assert name in text
    assert "(PyTorch)" in flat
    assert "0.9889" in flat
    assert "0.9912" in flat
    assert "not yet" in flat
    assert show.result_text(measured["mnist_convnet"]).endswith("(median of 3 seeds)")


def test_list_of_one_shows_what_differs_from_its_source():
    text = " ".join(minidl("list", "lab1_cifar").out.split())
    assert "Adam, 23 epochs (11,120 steps), batches of 100" in text
    assert recipes.get("lab1_cifar").notes in text
    assert "logistic regression, C of 0.0001" in minidl("list", "animals_features").out
    assert "5 networks, SGD, 40 epochs" in minidl("list", "cifar_ensemble").out
    assert "Did you mean mnist_convnet?" in minidl("list", "mnist_convne").err


def test_summary_shows_layers_and_totals():
    text = minidl("summary", "mnist_convnet").out
    assert "93,322" in text
    assert "conv3" in text
    assert "3 x 3 x 64" in text


def test_doctor_finds_that_everything_works():
    done = minidl("doctor")
    assert done.status == 0, done.out
    for text in ("numba", "BLAS", "threads", "CPU", "kernels", "GPU", "Everything works."):
        assert text in done.out


def test_doctor_says_what_to_install(monkeypatch):
    found = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name in (
        "h5py", "cupy-cuda13x") else found(name))
    done = minidl("doctor")
    assert done.status == 1
    assert "pip install h5py" in done.out
    assert 'pip install "minidl[gpu]"' in done.out
    assert "Does not work: h5py." in done.out


def test_doctor_finds_wrong_kernels(monkeypatch):
    monkeypatch.setattr(doctor, "_one_step", lambda: False)
    done = minidl("doctor")
    assert done.status == 1
    assert "a convolution gave a wrong result" in done.out


def test_version():
    assert minidl("--version").out == f"minidl {dl.__version__}\n"
    process = start("--version")
    assert process.communicate() == (f"minidl {dl.__version__}\n", "")


# ---- errors --------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, demo):
    """A folder of things that may be in the way."""
    (tmp_path / "file").write_text("no image, no folder")
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    (tmp_path / "cut.png").write_bytes((demo[0] / "digits.png").read_bytes()[:5000])
    return tmp_path


ERRORS = {
    "unknown recipe": ("train lecture_mnits", "Did you mean lecture_mnist?"),
    "unknown summary": ("summary convnet", "Did you mean mnist_convnet?\n"),
    "no data folder": ("train lecture_mnist --data {0}/none --out {0}/o", "which is not a folder"),
    "empty data folder": ("train lecture_mnist --data {0}/empty --out {0}/o",
                          "lacks train-images-idx3-ubyte"),
    "demo with data": ("train demo --data {0} --out {0}/o", "the demo has its own digits"),
    "file in the way": ("train demo --out {0}/file", "file: is a file; expected a folder"),
    "file above": ("train demo --out {0}/file/run", "file is a file"),
    "device": ("train demo --device moon --out {0}/o",
               "--device: got 'moon'; expected \"cpu\" or \"cuda\""),
    "no checkpoint": ("train demo --out {0}/o --resume {0}/none", "there is no checkpoint"),
    "not a checkpoint": ("train demo --out {0}/o --resume {0}/file", "there is no checkpoint"),
    "no folder": ("evaluate {0}/none", "there is no such folder"),
    "no run": ("evaluate {0}/empty", "No run was written here"),
    "damaged run": ("evaluate {0}/damaged", "run.json: is damaged"),
    "predict without run": ("predict {0}/empty {0}/file", "holds no run.json"),
    "missing image": ("predict {1} {0}/none.png", "none.png: there is no such file"),
    "not an image": ("predict {1} {0}/file", "file: is not an image; expected JPEG, PNG"),
    "file for a run": ("evaluate {1}/model.json", "model.json: is a file; expected the folder"),
    "folder as image": ("predict {1} {0}/empty",
                        "cannot be decoded" if os.name == "nt" else "empty: is a folder"),
    "cut image": ("predict {1} {0}/cut.png", "cut.png: cannot be decoded"),
    "folder for picture": ("evaluate {1} --limit 10 --confusion {0}/empty",
                           "empty: cannot be written"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_clear_line_and_status_1(case, place, demo):
    words, text = ERRORS[case]
    done = minidl(*(word.format(place, demo[0]) for word in words.split()))
    assert done.status == 1
    assert text in done.err
    lines = done.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")


def test_a_failed_start_leaves_no_run_behind(place):
    assert minidl("train", "lecture_mnist", "--data", place / "none", "--out", place / "o"
                  ).status == 1
    assert list((place / "o").iterdir()) == []


USAGE = {
    "no command": ("", "COMMAND"),
    "unknown command": ("fly", "invalid choice"),
    "no name": ("train", "NAME"),
    "epochs": ("train demo --epochs 0", "got '0', expected a whole number of at least 1"),
    "limit": ("demo --limit many", "got 'many', expected a whole number of at least 1"),
    "seed": ("demo --seed -1", "expected a whole number of at least 0"),
    "rate": ("train demo --lr nan", "got 'nan', expected a number above 0"),
    "no image": ("predict runs/demo", "IMAGE"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_command_lines_are_status_2(case):
    words, text = USAGE[case]
    done = minidl(*words.split())
    assert done.status == 2
    assert text in done.err
    assert "usage: minidl" in done.err


def test_without_a_command_there_is_help():
    done = minidl()
    assert all(name in done.err for name in options.COMMANDS)


def test_a_loss_that_is_not_a_number_is_said(tmp_path):
    done = train(tmp_path / "run", "--epochs", 1, "--lr", 1e10)
    assert "The loss is no longer a number" in done.out


def test_debug_shows_the_traceback():
    with pytest.raises(dl.errors.ArgumentError, match="Did you mean"):
        main(["summary", "convnet", "--debug"])


def test_without_network_the_error_names_data(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist, "MIRRORS", ["http://127.0.0.1:9/"])
    done = minidl("train", "mnist_convnet", "--out", tmp_path / "run")
    assert done.status == 1
    assert "could not download" in done.err
    assert "--data DIR" in done.err


@pytest.mark.parametrize(("error", "text"), [
    (PermissionError(13, "Permission denied"), "cannot be written: Permission denied"),
    (OSError(28, "No space left on device"), "cannot be written: No space left on device"),
    (OSError(30, "Read-only file system"), "cannot be written: Read-only file system"),
])
def test_a_folder_that_cannot_be_written_is_noticed_before_training(error, text, tmp_path,
                                                                    monkeypatch):
    def fail(path, content):
        raise error

    monkeypatch.setattr(Path, "write_bytes", fail)
    done = minidl("train", "demo", "--out", tmp_path / "run")
    assert done.status == 1
    assert text in done.err
    assert "--out" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes")
def test_a_disk_that_fills_up_loses_nothing_that_was_saved(trained, tmp_path):
    import resource

    assert train(tmp_path, "--epochs", 1).status == 0
    kept = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a checkpoint has 180,000
    try:
        done = minidl("train", "lecture_mnist", "--out", tmp_path, "--resume", "--epochs", 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.status == 1
    assert "cannot be written" in done.err
    assert len(done.err.splitlines()) == 1
    changed = {p.name for p in kept if not p.exists() or p.read_bytes() != kept[p]}
    assert changed <= {"run.json", "history.json"}  # epochs wanted, figures of one more epoch
    assert minidl("train", "lecture_mnist", "--out", tmp_path, "--resume").status == 0
    assert weights(tmp_path) == weights(trained[0])


def test_other_errors_of_the_system_are_one_line(monkeypatch):
    def fail():
        raise OSError(5, "Input/output error", "/some/place")

    monkeypatch.setattr(recipes, "names", fail)
    assert minidl("list") == Done(1, "", "error: /some/place: Input/output error.\n")
    monkeypatch.setattr(recipes, "names", lambda: (_ for _ in ()).throw(MemoryError()))
    assert "not enough memory" in minidl("list").err


@pytest.mark.skipif(os.name == "nt", reason="Windows pipes end in another way")
def test_a_closed_pipe_is_no_traceback():
    process = start("list")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert err == ""


def test_a_small_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = folders.write_json(tmp_path / "a.json", {"x": 1})

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders.os, "replace", full)
    with pytest.raises(dl.errors.CheckpointError, match="cannot be written: No space left"):
        folders.write_json(path, {"x": 2})
    assert json.loads(path.read_text("utf-8")) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


# ---- the package ---------------------------------------------------------------------------


def test_help_lists_every_command():
    text = minidl("--help").out
    for name, (place, line) in options.COMMANDS.items():
        assert name in text
        assert line.split(",")[0][:30] in text
        assert minidl(name, "--help").status == 0
        module, _, function = place.partition(":")
        assert (ROOT / "minidl" / "cli" / f"{module}.py").exists()
        assert function


def test_import_is_light():
    code = ("import sys, minidl; print(sorted(m for m in sys.modules if m in ('numba', 'rich', "
            "'matplotlib', 'PIL', 'h5py', 'pooch', 'safetensors', 'threadpoolctl', 'llvmlite')));"
            "minidl.Tensor, minidl.layers, minidl.recipes, minidl.viz, minidl.callbacks;"
            "print(sorted(m for m in sys.modules if m in ('numba', 'rich', 'matplotlib', 'PIL', "
            "'h5py', 'pooch', 'safetensors', 'threadpoolctl', 'llvmlite')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True, cwd=ROOT)
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_every_public_name_is_there_and_documented():
    assert set(dl.__all__) <= set(dir(dl))
    for name in dl.__all__:
        value = getattr(dl, name)
        assert isinstance(value, str) or value.__doc__, name
    editors = ast.parse(Path(dl.__file__).read_text("utf-8"))
    imported = {alias.asname for node in ast.walk(editors) if isinstance(node, ast.ImportFrom)
                and node.level for alias in node.names}
    assert imported == set(dl.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'Tensr'"):
        dl.Tensr  # noqa: B018


def test_peak_memory_grows_with_what_is_used():
    code = ("import numpy as np; from minidl.recipes.memory import peak_rss_mb as peak;"
            "before = peak(); np.ones(25_000_000); print(before, peak())")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          check=True, cwd=ROOT)
    before, after = map(float, done.stdout.split())
    assert 100 < after - before < 250  # 200 MB
