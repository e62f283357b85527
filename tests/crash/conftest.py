"""Fixtures of the crash suite, and its figures at the end of a test run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.crash.ears import only_complaints
from tests.crash.explore import Exploration, explore
from tests.crash.flows import FLOWS, Flow
from tests.crash.scene import Ground, ground
from tests.integration.conftest import control_plane, crds

__all__ = ["control_plane", "crds"]

_FOUND: list[Exploration] = []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def exploring(crds: None, request: pytest.FixtureRequest) -> AsyncIterator[asyncio.Task[list[Exploration]]]:
    """Explore all chosen flows at once: each alone would leave the machine idle at its beginning and its end."""
    chosen = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    flows = [flow for flow in FLOWS.values() if flow.name in chosen] or list(FLOWS.values())
    with only_complaints():
        async with ground() as where:
            task = asyncio.create_task(_explore(flows, where))
            yield task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _explore(flows: list[Flow], where: Ground) -> list[Exploration]:
    _FOUND.extend(await explore(flows, where))
    return _FOUND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how much was disturbed."""
    for found in _FOUND:
        runs = found.runs
        terminalreporter.write_line(
            f"crash: {found.flow.name}: {len(runs[0].writes)} writes, {len(runs)} runs of "
            f"{sum(run.seconds for run in runs) / len(runs):.1f} s, {sum(bool(run.wrong) for run in runs)} break a law"
        )
