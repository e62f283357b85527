"""Fixtures of the crash suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from flaggerpy.kube.transport import connect
from tests.crash.ears import only_complaints
from tests.crash.explore import Exploration, explore
from tests.crash.flows import FLOWS
from tests.crash.focused import FOCUSED
from tests.crash.origins import remembered
from tests.integration.conftest import control_plane, crds

__all__ = ["control_plane", "crds"]

_SHEETS = {"test_crashes": FLOWS, "test_crashes_focused": FOCUSED}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exploring(crds: None, request: pytest.FixtureRequest) -> AsyncIterator[asyncio.Task[list[Exploration]]]:
    """Explore all chosen flows of a module at once: one alone would leave the machine idle at both of its ends."""
    mine = [item for item in request.session.items if item.path == request.path]
    chosen = {item.callspec.params.get("name") for item in mine if hasattr(item, "callspec")}
    sheet = _SHEETS[request.path.stem].values()
    flows = [flow for flow in sheet if flow.name in chosen] or list(sheet)
    with only_complaints(), remembered():
        async with await connect() as wire:
            task = asyncio.create_task(explore(flows, wire))
            yield task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
