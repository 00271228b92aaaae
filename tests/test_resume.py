"""A run that was killed or interrupted goes on and ends with the same bits."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import nn, optim, random
from minidl.data import DataLoader
from minidl.errors import CheckpointError
from minidl.nn import layers
from minidl.train import checkpoint, losses, metrics
from minidl.train.callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from minidl.train.resume import files

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
RNG = np.random.default_rng(11)
X = RNG.standard_normal((75, 6)).astype("float32")
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)
STEPS, EPOCHS = 4, 5  # of 16 samples, the last 60 - 48 = 12; the other 15 samples validate


def digest(model: Any) -> str:
    """Return the SHA-256 of all weights and buffers."""
    sha = hashlib.sha256()
    for name, values in model.state_dict().items():
        sha.update(name.encode() + values.tobytes())
    return sha.hexdigest()


def network(optimizer: Any = None) -> Any:
    random.seed(3)
    model = nn.Sequential([layers.Dense(8, activation="relu", kernel_regularizer="l2"),
                           layers.BatchNormalization(), layers.Dropout(0.4),
                           layers.Dense(3, activation="softmax")])
    model.compile(optimizer or optim.RMSprop(0.02, momentum=0.5),
                  "sparse_categorical_crossentropy", ["accuracy", metrics.ConfusionCounts()])
    return model


def callbacks(folder: Path) -> list[Callback]:
    return [Checkpoint(folder / "runs", every_epochs=2, every_steps=3),
            EarlyStopping(patience=4, restore_best_weights=True),
            ReduceLROnPlateau(patience=1, factor=0.5),
            LearningRateScheduler(lambda epoch, rate: rate * 0.9 if epoch == 2 else rate),
            ModelCheckpoint(folder / "best", save_best_only=True),
            CSVLogger(folder / "log.csv"), JSONLogger(folder / "log.jsonl")]


def train(model: Any, folder: Path, more: Sequence[Callback] = (), **arguments: Any) -> Any:
    return model.fit(X, Y, **{"epochs": EPOCHS, "batch_size": 16, "verbose": 0, "resume": True,
                              "callbacks": [*callbacks(folder), *more], "validation_split": 0.2,
                              **arguments})


def outcome(model: Any, folder: Path, history: Any) -> tuple[Any, ...]:
    """Return everything that must be the same, the timing left out."""
    best = checkpoint.load_tree(folder / "best", "model")["weights"]
    return (digest(model), history.history, history.epoch, random.default.state,
            (folder / "log.csv").read_text(), (folder / "log.jsonl").read_text(),
            {name: values.tobytes() for name, values in best.items()})


class Stopped(Exception):  # noqa: N818
    pass


class FailAt(Callback):
    """Ends the run at a moment, as an error or a kill would."""

    def __init__(self, moment: str, count: int) -> None:
        self.count = count
        setattr(self, moment, self._count)

    def _count(self, *arguments: Any) -> None:
        if not self.count:
            raise Stopped
        self.count -= 1


MOMENTS = [("on_batch_end", k) for k in range(0, EPOCHS * STEPS, 3)] + [
    ("on_batch_begin", 2), ("on_batch_begin", 13), ("on_epoch_end", 0), ("on_epoch_end", 3),
    ("on_epoch_begin", 0), ("on_epoch_begin", 2), ("on_train_end", 0)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    folder = tmp_path_factory.mktemp("unbroken")
    model = network()
    history = train(model, folder, resume=None)
    assert len(history.epoch) == EPOCHS and len(set(history.history["learning_rate"])) > 2
    return outcome(model, folder, history)


@pytest.mark.parametrize("moment, count", MOMENTS)
def test_a_run_stopped_anywhere_ends_with_the_same_bits(
        moment: str, count: int, unbroken: tuple[Any, ...], tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(network(), tmp_path, [FailAt(moment, count)])
    model = network()
    history = train(model, tmp_path)
    assert outcome(model, tmp_path, history) == unbroken


def test_a_run_stopped_again_and_again_ends_with_the_same_bits(unbroken: tuple[Any, ...],
                                                               tmp_path: Path) -> None:
    for _ in range(5):
        with pytest.raises(Stopped):
            train(network(), tmp_path, [FailAt("on_batch_end", 4)])
    model = network()
    assert outcome(model, tmp_path, train(model, tmp_path)) == unbroken


def test_a_run_that_is_done_is_loaded_not_trained(unbroken: tuple[Any, ...], tmp_path: Path
                                                  ) -> None:
    train(network(), tmp_path)
    model = network()
    history = train(model, tmp_path, [FailAt("on_batch_begin", 0)])
    assert outcome(model, tmp_path, history) == unbroken


def test_epochs_may_be_added(unbroken: tuple[Any, ...], tmp_path: Path) -> None:
    train(network(), tmp_path, epochs=2)
    model = network()
    assert outcome(model, tmp_path, train(model, tmp_path)) == unbroken


def test_an_early_stop_stays_one(tmp_path: Path) -> None:
    stop = EarlyStopping("loss", mode="max", patience=1, restore_best_weights=True)
    saves = Checkpoint(tmp_path)
    arguments: Any = {"epochs": 9, "verbose": 0, "callbacks": [stop, saves], "resume": True}
    first, second = network(), network()
    before = first.fit(X, Y, **arguments).epoch
    after = second.fit(X, Y, **arguments).epoch
    assert digest(first) == digest(second) and before == after and len(before) < 9


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("optimizer", [
    lambda: optim.Adam(optim.schedules.CosineDecay(0.02, 30), ema=0.9),
    lambda: optim.SGD(0.05, momentum=0.9, accumulate=3, clip_norm=1.0)])
def test_loaders_and_optimizers_go_on(optimizer: Any, workers: int, tmp_path: Path) -> None:
    results = []
    for stops in (0, 2):
        for left in range(stops, -1, -1):
            model = network(optimizer())
            loader = DataLoader(X, Y, batch_size=16, shuffle=True, seed=5, workers=workers)
            saves = [Checkpoint(tmp_path / str(stops), every_steps=1)]
            fail = [FailAt("on_batch_begin", 7)] if left else []
            try:
                history = model.fit(loader, epochs=3, verbose=0, resume=True,
                                    callbacks=[*saves, *fail])
            except Stopped:
                continue
            results.append((digest(model), history.history, random.default.state))
    assert results[0] == results[1]


@pytest.mark.parametrize("at", [0, 1, 2, 4, 8])
def test_ctrl_c_ends_a_run_in_training_and_in_validation(
        at: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls, results = [0], []

    def watch(y_true: Any, y_pred: Any) -> Any:
        if calls[0] == at:
            signal.raise_signal(signal.SIGINT)
        calls[0] += 1
        return losses.get("sparse_categorical_crossentropy")(y_true, y_pred)

    for folder, before in (("whole", 10_000), ("broken", 0)):
        calls[0] = before
        for interrupted in ([True] * (not before) + [False]):
            model = network()
            model.compile("adam", "sparse_categorical_crossentropy", [watch])
            history = model.fit(X, Y, epochs=3, verbose=0, validation_split=0.4, resume=True,
                                callbacks=[Checkpoint(tmp_path / folder)])
            assert history.interrupted is interrupted and (calls[0] == at + 1) is interrupted
        results.append((digest(model), history.history, history.epoch))
    assert results[0] == results[1]
    epoch, step = divmod(at, 3)  # two batches to train on, one to validate on
    told = f"Stopped in epoch {epoch + 1} after {min(step + 1, 2)} of 2 steps."
    assert told in capsys.readouterr().err


def test_other_threads_train_too() -> None:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(network().fit(X, Y, verbose=0)))
    thread.start()
    thread.join()
    assert results[0].epoch == [0]


# ---- which file ----------------------------------------------------------------------------


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    network().fit(X, Y, epochs=3, batch_size=16, verbose=0,
                  callbacks=[Checkpoint(tmp_path, every_steps=2, keep=4)])
    assert list(files(tmp_path)) == [(2, 0), (2, 2), (2, 4), (3, 0)]
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 8 and names[-1] == "epoch-00003-step-0000000.safetensors"


def test_a_file_can_be_named(tmp_path: Path) -> None:
    model, again = network(), network()
    model.fit(X, Y, epochs=4, verbose=0, callbacks=[Checkpoint(tmp_path, keep=9)])
    for name in ("epoch-00002-step-0000000", "epoch-00002-step-0000000.safetensors"):
        again = network()
        history = again.fit(X, Y, epochs=4, verbose=0, resume=tmp_path / name)
        assert digest(again) == digest(model) and history.epoch == [0, 1, 2, 3]


def test_files_of_an_earlier_run_are_not_mixed_up(tmp_path: Path) -> None:
    def run(**options: Any) -> Any:
        arguments = {k: options.pop(k) for k in ("resume", "epochs") if k in options}
        return network().fit(X, Y, **{"epochs": 3, "verbose": 0, **arguments},
                             callbacks=[Checkpoint(tmp_path, **options)])

    run()
    kept = files(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds epoch-00003.* resume=.* overwrite=True"):
        run()
    with pytest.raises(CheckpointError, match="run starts at epoch 1, step 0"):
        run(resume=kept[1, 0])
    assert files(tmp_path) == kept
    assert run(resume=True, epochs=4).epoch == [0, 1, 2, 3]
    run(overwrite=True, epochs=1)
    assert list(files(tmp_path)) == [(1, 0)]


def test_wrong_resumes_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    network().fit(X, Y, epochs=2, verbose=0, seed=1,
                  callbacks=[Checkpoint(folder), EarlyStopping("loss", patience=3)])

    def resumed(where: Path = folder, optimizer: Any = None, more: bool = True,
                **arguments: Any) -> None:
        network(optimizer).fit(**{"x": X, "y": Y, "epochs": 3, "verbose": 0, "seed": 1,
                                  "resume": where, **arguments},
                               callbacks=[EarlyStopping("loss", patience=3)] if more else [])

    for call, text in [
        (lambda: resumed(tmp_path / "non"), "there is no checkpoint; expected a file, or a folder"),
        (lambda: resumed(tmp_path), "there is no checkpoint"),
        (lambda: resumed(batch_size=8), "had batch_size=32, steps=3; this one has batch_size=8"),
        (lambda: resumed(x=X[:70], y=Y[:70]), "had samples=75; this one has samples=70"),
        (lambda: resumed(seed=2), "had seed=1; this one has seed=2"),
        (lambda: resumed(shuffle=False), "had shuffle=True"),
        (lambda: resumed(optimizer="adam"), "saved with RMSprop; the model is compiled with Adam"),
        (lambda: resumed(more=False), "holds the state of EarlyStopping"),
    ]:
        with pytest.raises(CheckpointError, match=text):
            call()
    newest = files(folder)[2, 0]
    newest.write_bytes(newest.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"Give the one before: resume=.*epoch-00001"):
        resumed()
    resumed(files(folder)[1, 0])


# ---- real processes ------------------------------------------------------------------------

SCRIPT = textwrap.dedent("""
    import json, os, signal, sys, time
    from pathlib import Path
    import test_resume as t
    from minidl import files

    folder, kind, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def die(*arguments):
        os.kill(os.getpid(), signal.SIGKILL)

    class Kill(t.FailAt):
        def _count(self, *arguments):
            try:
                super()._count()
            except t.Stopped:
                die()

    class Slow(t.Callback):
        def on_batch_end(self, step, logs):
            print("step", flush=True)
            time.sleep(float(sys.argv[3]) / 1000)

    def kill_in(name):
        original, left = getattr(files, name), [count]
        def counted(*arguments):
            left[0] -= 1
            if left[0] < 0:
                die()
            return original(*arguments)
        setattr(files, name, counted)

    more = []
    if kind.startswith("on_"):
        more = [Kill(kind, count)]
    elif kind == "slow":
        more = [Slow()]
    elif kind != "whole":
        kill_in(kind)
    model = t.network()
    history = t.train(model, folder, more)
    print(json.dumps([t.digest(model), history.history]))
    sys.exit(130 if history.interrupted else 0)
""")


def start(folder: Path, kind: str, count: int = 0) -> subprocess.Popen[str]:
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), kind, str(count)],
                            env={**os.environ, "PYTHONPATH": path}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@posix
def test_killed_processes_end_with_the_same_bits(unbroken: tuple[Any, ...], tmp_path: Path) -> None:
    for kind, count in (("on_batch_end", 4), ("_sync", 2), ("_sync_folder", 2),
                        ("on_epoch_end", 1)):
        process = start(tmp_path, kind, count)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
        for file in files(tmp_path / "runs").values():  # whatever has its name is whole
            checkpoint.load_tree(file, "checkpoint")
    process = start(tmp_path, "whole")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert json.loads(output.splitlines()[-1]) == [unbroken[0], unbroken[1]]
    assert (tmp_path / "log.csv").read_text() == unbroken[4]
    assert not [name for name in os.listdir(tmp_path / "runs") if name.endswith(".tmp")]


def press(process: subprocess.Popen[str], after: int) -> None:
    """Send Ctrl+C after so many lines of output."""
    for _ in range(after):
        assert process.stdout is not None and process.stdout.readline() == "step\n"
    process.send_signal(signal.SIGINT)


@posix
def test_ctrl_c_saves_and_says_how_to_go_on(unbroken: tuple[Any, ...], tmp_path: Path) -> None:
    process = start(tmp_path, "slow", 50)
    press(process, 6)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Stopping after this batch; press Ctrl+C again to stop at once." in errors
    assert f'All is saved in {tmp_path / "runs"}' in errors
    assert f'call fit with resume="{tmp_path / "runs"}"' in errors
    done = 6 + output.count("step")
    assert max(files(tmp_path / "runs")) == divmod(done, STEPS) and done < 9
    model = network()
    assert outcome(model, tmp_path, train(model, tmp_path)) == unbroken


@posix
def test_a_second_ctrl_c_stops_at_once_and_loses_nothing(unbroken: tuple[Any, ...],
                                                         tmp_path: Path) -> None:
    process = start(tmp_path, "slow", 30_000)
    press(process, 1)
    assert process.stderr is not None and process.stderr.readline() == "\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=25)
    assert process.returncode in (-signal.SIGINT, 130, 1) and "KeyboardInterrupt" in errors
    model = network()
    assert outcome(model, tmp_path, train(model, tmp_path)) == unbroken
