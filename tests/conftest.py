"""Settings that all tests share."""

from __future__ import annotations

import os
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


_compared: list[str] = []
_said: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the comparisons with PyTorch that were really made, and note what tests say."""
    if report.when == "call":
        _said.extend(str(text) for name, text in report.user_properties if name == "says")
        if report.passed and "torch" in report.keywords:
            _compared.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where the comparisons with PyTorch are wanted (MINIDL_NEED_TORCH) but were skipped."""
    if os.environ.get("MINIDL_NEED_TORCH") and session.testscollected and not _compared:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests said by `record_property("says", text)`, and the comparisons' number."""
    for text in (*_said, f"{len(_compared)} comparisons with PyTorch"):
        terminalreporter.write_line(text)
