"""Recording a step once and running it again without the Python around it."""

from .inputs import Slot, outside, wrote
from .record import Recording, record
from .recorded import Recorded, conditions

__all__ = ["Recorded", "Recording", "Slot", "conditions", "outside", "record", "wrote"]
