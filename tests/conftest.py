"""Settings that all tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import minidl.ops  # noqa: F401 (fills the op table that tests are parametrised by)
from minidl import random

settings.register_profile("minidl", deadline=None, derandomize=True, max_examples=60,
                          print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("minidl")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from seed 0, whichever ran before it."""
    state = random.default.state
    random.seed(0)
    yield
    random.default.state = state
