"""Recording a step once and running it again without the Python around it."""

from .inputs import Slot, outside, repeatable
from .record import Recording, record

__all__ = ["Recording", "Slot", "outside", "record", "repeatable"]
