"""Fixtures of replays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.conftest import control_plane, crds
from tests.replay.play import replay
from tests.replay.recording import Recording, load
from tests.replay.story import Story
from tests.replay.told import keep

__all__ = ["control_plane", "crds"]

AT_ONCE = 12
"""A replay mostly waits; more of them at once would keep each other waiting."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replays(crds: None, request: pytest.FixtureRequest) -> AsyncIterator[dict[str, asyncio.Task[Story]]]:
    """Replay all chosen recordings side by side."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    chosen = [str(item.callspec.params["name"]) for item in items if "replays" in item.fixturenames]
    turn = asyncio.Semaphore(AT_ONCE)

    async def in_turn(recording: Recording) -> Story:
        async with turn:
            story = await replay(recording)
        keep(recording.name, story)
        return story

    tasks = {name: asyncio.create_task(in_turn(load(name)), name=name) for name in chosen}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
