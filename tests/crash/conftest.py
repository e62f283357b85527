"""Fixtures of the crash suite, and its figures at the end of a test run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.crash.ears import only_complaints
from tests.crash.explore import SIDE_BY_SIDE, Exploration, explore
from tests.crash.flows import FLOWS
from tests.crash.scene import ground
from tests.integration.conftest import control_plane, crds

__all__ = ["control_plane", "crds"]

_FIGURES: list[str] = []


@pytest.fixture
def figures() -> list[str]:
    """Sentences for the summary."""
    return _FIGURES


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def explorations(
    crds: None, request: pytest.FixtureRequest
) -> AsyncIterator[dict[str, asyncio.Task[Exploration]]]:
    """Explore all chosen flows at once: each alone would leave the machine idle at its beginning and its end."""
    chosen = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    names = dict.fromkeys(params["name"] for params in chosen if params.get("name") in FLOWS)
    slots = asyncio.Semaphore(SIDE_BY_SIDE)
    with only_complaints():
        async with ground() as where:
            tasks = {name: asyncio.create_task(explore(FLOWS[name], where, slots)) for name in names}
            yield tasks
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how much was disturbed."""
    for line in _FIGURES:
        terminalreporter.write_line(f"crash: {line}")
