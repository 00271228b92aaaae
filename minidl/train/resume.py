"""Exact resuming: a run that was killed at any step goes on and ends with the same bits.

Batches are a function of (seed, epoch, step) and random numbers of (seed, counter), so weights,
optimizer state, these few numbers and the callbacks' states are all there is to save.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import random
from ..errors import ArgumentError, CheckpointError
from ..spec import tuple_of
from . import checkpoint
from .callback import Callback, Logs

if TYPE_CHECKING:
    from .loop import Run

KIND = "checkpoint"
Position = tuple[int, int]  # epoch, step
EVERY, NAMED = r"epoch-(\d+)-step-(\d+)", r"epoch_(\d+)(?:_step_(\d+))?"
"""Names of the files of `Checkpoint` and of `EpochCheckpoint`."""


class Checkpoint(Callback):
    """Saves all that `fit(..., resume=folder)` needs to go on as if nothing had happened.

    Files are named by epochs and steps done; each appears whole or not at all.

    Args:
        folder: where they go.
        every_epochs: save at the end of every so many epochs, and at the end of training.
        every_steps: also save every so many steps.
        keep: how many files stay; the oldest go first.
        overwrite: a run that starts anew replaces the files of an earlier one.

    Raises:
        CheckpointError: a file cannot be written, or the folder holds files of an earlier run.

    >>> callbacks = [Checkpoint("runs/first", every_steps=100)]
    """

    last = True
    form = EVERY
    keep: int | None

    def __init__(self, folder: str | os.PathLike[str], every_epochs: int = 1,
                 every_steps: int | None = None, keep: int = 3, overwrite: bool = False) -> None:
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps or 1),
                            ("keep", keep)):
            if value < 1:
                raise ArgumentError("Checkpoint", f"got {name}={value}", "expected at least 1",
                                    f"Change {name}.")
        self.folder, self.keep, self.overwrite = Path(folder), keep, overwrite
        self.every_epochs, self.every_steps = every_epochs, every_steps

    def check_folder(self) -> None:
        """Raise if files lie here that are ahead of where the run starts, or remove them."""
        ahead = {p: f for p, f in self._own().items() if p > self._position
                 or (p == self._position == (0, 0))}
        if ahead and not self.overwrite:
            raise CheckpointError(str(self.folder), f"it holds {max(ahead.items())[1].name}",
                                  f"the run starts at epoch {self._position[0]}, step "
                                  f"{self._position[1]}",
                                  f'Give resume="{self.folder}" to go on from there, another '
                                  "folder, or overwrite=True.")
        for file in ahead.values():
            _remove(file)

    @property
    def _position(self) -> Position:
        return self.run.epoch, self.run.step

    def save(self) -> Path:
        """Write a checkpoint of the run as it is; return its path."""
        epoch, step = self._position
        written = checkpoint.save_tree(self.folder / self.stem(epoch, step), KIND,
                                       capture(self.run))
        for old in list(self._own().values())[:-self.keep] if self.keep else ():
            _remove(old)
        return written

    def stem(self, epoch: int, step: int) -> str:
        """Return the name of the file for so many epochs and steps, without its ending."""
        return f"epoch-{epoch:05d}-step-{step:07d}"

    def _own(self) -> dict[Position, Path]:
        return files(self.folder, self.form)

    def on_batch_end(self, step: int, logs: Logs) -> None:
        """Save where the number of steps says so."""
        done = self.run.epoch * self.run.steps + self.run.step
        if self.every_steps is not None and done % self.every_steps == 0:
            self.save()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Save where the number of epochs says so."""
        over = self.run.epoch >= self.run.epochs or self.model.stop_training
        if over or self._position[0] % self.every_epochs == 0:
            self.save()

    def on_interrupt(self) -> None:
        """Save where Ctrl+C stopped the run."""
        self.save()


class EpochCheckpoint(Checkpoint):
    """Saves the whole state every so many epochs and keeps every file: any can be gone on from.

    Files are named by the number of epochs done, such as epoch_25.safetensors; where Ctrl+C stops
    a run in the middle of an epoch, epoch_25_step_130.safetensors. `fit(..., resume=FILE,
    learning_rate=0.01)` goes on from one, and `model.load_weights(FILE)` takes the weights alone.

    Args:
        folder: where they go.
        every: number of epochs from one file to the next; the last epoch is saved, too.
        start_at: epochs done before, where the run is begun with weights that were loaded; they
            count in the names. Runs that go on by `resume` or `initial_epoch` know it themselves.
        overwrite: replace files of an earlier run that are ahead of where this one starts.

    Raises:
        CheckpointError: a file cannot be written, or the folder holds files that are ahead.

    >>> callbacks = [EpochCheckpoint("runs/first", every=5)]
    """

    form = NAMED

    def __init__(self, folder: str | os.PathLike[str], every: int = 5, start_at: int = 0,
                 overwrite: bool = False) -> None:
        super().__init__(folder, every, overwrite=overwrite)
        self.start_at, = tuple_of("EpochCheckpoint", "start_at", start_at, 1, lowest=0)
        self.keep, self._before = None, 0

    def check_folder(self) -> None:
        """Raise if files lie here that are ahead of where the run starts, or remove them."""
        self._before = self._before or max(self.start_at - self.run.epoch, 0)
        super().check_folder()

    @property
    def _position(self) -> Position:
        return self.run.epoch + self._before, self.run.step

    def stem(self, epoch: int, step: int) -> str:
        """Return the name of the file for so many epochs and steps, without its ending."""
        return f"epoch_{epoch}" + (f"_step_{step}" if step else "")

    def state_dict(self) -> dict[str, Any]:
        """Return the epochs done before the run began, where there are any."""
        return {"before": self._before} if self._before else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._before = int(state["before"])


def _remove(file: Path) -> None:
    for path in (file.with_suffix(".json"), file):
        path.unlink(missing_ok=True)


def files(folder: Path, *forms: str) -> dict[Position, Path]:
    """Return the checkpoints in a folder by epochs and steps done, in this order.

    Args:
        forms: regular expressions of their names; those of all callbacks by default.
    """
    found = {}
    for path in folder.glob(f"epoch*{checkpoint.SUFFIX}"):
        for form in forms or (NAMED, EVERY):
            numbers = re.fullmatch(form, path.name[:-len(checkpoint.SUFFIX)])
            if numbers:
                found[int(numbers[1]), int(numbers[2] or 0)] = path
    return dict(sorted(found.items()))


# ---- what is saved -------------------------------------------------------------------------


def _data(run: Run) -> dict[str, Any]:
    loader = run.feed.loader
    return {"samples": loader.samples, "batch_size": loader.batch_size, "steps": run.steps,
            "shuffle": loader.shuffle, "seed": loader.seed}


def capture(run: Run) -> dict[str, Any]:
    """Return the state of a run between two steps."""
    optimizer = run.how.optimizer
    return {"epoch": run.epoch, "step": run.step, "seconds": run.seconds,
            "waited": run.waited, "data": _data(run),
            "stopped": bool(run.model.stop_training), "random": list(random.default.state),
            "weights": run.model.state_dict(),
            "optimizer": {"class": type(optimizer).__name__, "state": optimizer.state_dict()},
            "metrics": run.tracker.get_state(), "callbacks": run.callbacks.state_dict()}


def restore(run: Run, resume: bool | str | os.PathLike[str]) -> None:
    """Bring a run to where a checkpoint was saved.

    Args:
        resume: a checkpoint file; a folder, for the newest one in it; True for the folder of the
            run's `Checkpoint` callback. A run whose own folder is still empty starts anew.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to another run.
    """
    path = find(resume, [c.folder for c in run.checkpoints])
    if path is None:
        return
    state = _load(path)
    _check_data(path, run, state["data"])
    optimizer = run.how.optimizer
    if state["optimizer"]["class"] != type(optimizer).__name__:
        raise CheckpointError(str(path), f"it was saved with {state['optimizer']['class']}",
                              f"the model is compiled with {type(optimizer).__name__}",
                              "Compile as the run was begun.")
    run.model.load_state_dict(state["weights"])
    optimizer.load_state_dict(state["optimizer"]["state"])
    run.callbacks.load_state_dict(state["callbacks"])
    run.tracker.set_state(state["metrics"])
    random.default.state = tuple(state["random"])
    run.epoch, run.step, run.seconds = state["epoch"], state["step"], state["seconds"]
    run.waited = state.get("waited", 0.0)
    run.done = run.step
    run.model.stop_training = state["stopped"]


def find(resume: bool | str | os.PathLike[str], own: Sequence[Path]) -> Path | None:
    """Return the checkpoint file that `resume` stands for; None where the run's folder is empty.

    Args:
        resume: a checkpoint file; a folder, for the newest one in it; True for the first of `own`.
        own: folders into which the run saves; these may be empty.

    Raises:
        ArgumentError: resume is True, and the run has no folder.
        CheckpointError: there is no checkpoint.
    """
    if resume is True and not own:
        raise ArgumentError("fit", "got resume=True without a Checkpoint callback",
                            "expected a folder", "Give resume=FOLDER or add the callback.")
    folder = own[0] if resume is True else Path(resume)  # type: ignore[arg-type]
    if not folder.is_dir() and checkpoint.file_of(folder).is_file():
        return checkpoint.file_of(folder)
    found = list(files(folder).values())
    if not found and folder.resolve() not in [place.resolve() for place in own]:
        raise CheckpointError(str(folder), "there is no checkpoint",
                              "expected a file, or a folder with epoch-*-step-* files",
                              "Check the path that you gave as resume.")
    return found[-1] if found else None


def position(path: Path) -> Position:
    """Return how many epochs, and steps of the next one, were done when a file was saved."""
    state = _load(path)
    return state["epoch"], state["step"]


def _load(path: Path) -> dict[str, Any]:
    try:
        return checkpoint.load_tree(path, KIND)
    except CheckpointError as error:
        older = [f.name for f in files(path.parent).values() if f < path]
        if not older:
            raise
        raise CheckpointError(error.where, error.got, error.expected,
                              f'Give the one before: resume="{path.parent / older[-1]}".'
                              ) from error


def _check_data(path: Path, run: Run, saved: dict[str, Any]) -> None:
    """Raise where the data are not cut as they were; a seed drawn by chance is set."""
    if run.feed.seed_drawn:
        run.feed.loader.seed = saved["seed"]
    here = _data(run)
    differ = [name for name in here if here[name] != saved[name]]
    if differ:
        raise CheckpointError(
            str(path), "the run had " + ", ".join(f"{n}={saved[n]}" for n in differ),
            "this one has " + ", ".join(f"{n}={here[n]}" for n in differ),
            "Resume with the same data and the same batch_size, shuffle and seed.")
