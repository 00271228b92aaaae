"""The parameters that an optimizer gets at every step: checks, and their L1 and L2 penalties."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..autograd.parameter import Parameter
from ..errors import ArgumentError

_REMEDY = "Pass model.parameters()."


def parameter_list(where: str, given: Any) -> list[Parameter]:
    """Return the parameters as a list; raise unless there are only parameters, each once."""
    if isinstance(given, Parameter) or not isinstance(given, Iterable):
        raise ArgumentError(where, f"got {type(given).__name__}", "expected a list of parameters",
                            _REMEDY)
    parameters = list(given)
    for at, parameter in enumerate(parameters):
        if not isinstance(parameter, Parameter):
            raise ArgumentError(where, f"item {at} is of type {type(parameter).__name__}",
                                "expected a Parameter", _REMEDY)
    if len(set(map(id, parameters))) < len(parameters):
        raise ArgumentError(where, "a parameter was given twice", "expected each once", _REMEDY)
    return parameters


def need_same(where: str, given: Sequence[Parameter], before: Sequence[Parameter]) -> None:
    """Raise unless these are the parameters of the steps before: state belongs to positions."""
    if list(map(id, given)) != list(map(id, before)):
        raise ArgumentError(where, f"got {len(given)} parameters that are not those of the steps "
                            "before", f"expected the same {len(before)} in the same order",
                            "Pass model.parameters() each time, or make a new optimizer.")


Pair = tuple[float, float]


def penalty_of(parameter: Parameter) -> Pair | None:
    """Return (l1, l2) where the regularizer is l1 sum |p| + l2 sum p^2, else None.

    Such a regularizer says so by a method `coefficients`. None also where a hook wants to see the
    whole gradient of the parameter.
    """
    coefficients = getattr(parameter.regularizer, "coefficients", None)
    return None if coefficients is None or parameter.hooks else coefficients()
