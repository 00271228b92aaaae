"""Trainings in stages: which layers are trained, and by which optimizer, changes between epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..models.transfer import train_from
from ..train.callback import Callback
from .recipe import Stage


def stage_of(stages: Sequence[Stage], epoch: int, epochs: int) -> int:
    """Return the number of the stage that an epoch, from 0, of so many belongs to.

    >>> two = (Stage(25, None), Stage(100, None))
    >>> [stage_of(two, epoch, 125) for epoch in (0, 24, 25, 124)]
    [0, 0, 1, 1]
    >>> [stage_of(two, epoch, 5) for epoch in range(5)]
    [0, 1, 1, 1, 1]
    """
    total, ended = sum(stage.epochs for stage in stages), 0
    for number, stage in enumerate(stages):
        ended += stage.epochs
        if epoch < round(ended * epochs / total):
            return number
    return len(stages) - 1


class Stages(Callback):
    """Begins each stage of a training at its first epoch: freezes layers, takes its optimizer.

    Args:
        stages: in their order.
        epochs: of the whole run.
    """

    def __init__(self, stages: Sequence[Stage], epochs: int) -> None:
        self.stages, self.epochs = stages, epochs

    def prepare(self, model: Any, position: tuple[int, int] | None) -> Any:
        """Freeze layers as they are at a position (epoch, step), and return the optimizer there.

        At the end of an epoch that is still the one of this epoch.
        """
        epoch, step = position or (0, 0)
        stage = self.stages[self._number(epoch if step else max(epoch - 1, 0))]
        train_from(model, stage.train_from)
        return stage.optimizer()

    def on_epoch_begin(self, epoch: int) -> None:
        """Change over where a stage begins."""
        if epoch and self._number(epoch) != self._number(epoch - 1):
            stage = self.stages[self._number(epoch)]
            train_from(self.model, stage.train_from)
            self.run.how.optimizer = stage.optimizer()

    def _number(self, epoch: int) -> int:
        return stage_of(self.stages, epoch, self.epochs)
