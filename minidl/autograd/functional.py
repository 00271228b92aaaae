"""Functions of tensors, one per op; each records itself for backward.

Arrays and numbers may stand where tensors are expected; a number takes the other side's type. The
functions lie in a module per chapter; this one has them all.
"""

from __future__ import annotations

from . import activations, arithmetic, lookup, losses, normalisation, reductions, shapes, windows
from .activations import *  # noqa: F403
from .arithmetic import *  # noqa: F403
from .lookup import *  # noqa: F403
from .losses import *  # noqa: F403
from .normalisation import *  # noqa: F403
from .reductions import *  # noqa: F403
from .shapes import *  # noqa: F403
from .windows import *  # noqa: F403

__all__ = (
    activations.__all__ + arithmetic.__all__ + losses.__all__ + lookup.__all__
    + normalisation.__all__ + reductions.__all__ + shapes.__all__ + windows.__all__)
