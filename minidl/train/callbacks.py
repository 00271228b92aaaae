"""All callbacks, as `minidl.callbacks`."""

from __future__ import annotations

from .callback import Callback, History
from .logs import CSVLogger, JSONLogger
from .monitor import TrainingMonitor
from .monitors import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    StopAfter,
    TerminateOnNaN,
)
from .progress import ProgressBar
from .resume import Checkpoint, EpochCheckpoint

__all__ = ["CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "EpochCheckpoint", "History",
           "JSONLogger", "LearningRateScheduler", "ModelCheckpoint", "ProgressBar",
           "ReduceLROnPlateau", "StopAfter", "TerminateOnNaN", "TrainingMonitor"]
