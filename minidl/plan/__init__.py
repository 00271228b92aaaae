"""Recording a step once and running it again without the Python around it."""

from .record import Recording, record

__all__ = ["Recording", "record"]
