"""All callbacks, as `minidl.callbacks`."""

from __future__ import annotations

from .callback import Callback, History
from .logs import CSVLogger, JSONLogger
from .monitors import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from .progress import ProgressBar
from .resume import Checkpoint

__all__ = ["CSVLogger", "Callback", "Checkpoint", "EarlyStopping", "History", "JSONLogger",
           "LearningRateScheduler", "ModelCheckpoint", "ProgressBar", "ReduceLROnPlateau",
           "TerminateOnNaN"]
