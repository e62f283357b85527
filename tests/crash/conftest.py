"""Fixtures of the crash suite, and its figures at the end of a test run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crash.ears import only_complaints
from tests.integration.conftest import control_plane, crds

__all__ = ["control_plane", "crds"]

_FIGURES: list[str] = []


@pytest.fixture
def figures() -> list[str]:
    """Sentences for the summary."""
    return _FIGURES


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Hundreds of dying controllers have much to say that nobody reads: the journal tells the story."""
    with only_complaints():
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how much was disturbed."""
    for line in _FIGURES:
        terminalreporter.write_line(f"crash: {line}")
