"""Fixtures of the crash suite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.crash.ears import only_complaints
from tests.crash.explore import Exploration, explore
from tests.crash.flows import FLOWS
from tests.crash.scene import ground
from tests.integration.conftest import control_plane, crds

__all__ = ["control_plane", "crds"]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def exploring(crds: None, request: pytest.FixtureRequest) -> AsyncIterator[asyncio.Task[list[Exploration]]]:
    """Explore all chosen flows at once: each alone would leave the machine idle at its beginning and its end."""
    chosen = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    flows = [flow for flow in FLOWS.values() if flow.name in chosen] or list(FLOWS.values())
    with only_complaints():
        async with ground() as where:
            task = asyncio.create_task(explore(flows, where))
            yield task
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
