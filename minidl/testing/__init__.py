"""Checks for whoever writes an op, a layer or a function: its gradient, its buffers, its errors."""

from .gradcheck import GradReport, gradcheck
from .opcheck import CHECKS, check_op

__all__ = ["CHECKS", "GradReport", "check_op", "gradcheck"]
