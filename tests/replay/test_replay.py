"""Every recording of a lifecycle is played to our controller: what differs is known, and has its reason."""

from __future__ import annotations

import asyncio

import pytest

from tests.replay.differences import explained, listed
from tests.replay.recording import load, names
from tests.replay.story import Story, compare

pytestmark = pytest.mark.replay


@pytest.mark.timeout(600)
@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize("name", names())
async def test_a_recording_differs_only_where_it_is_known(replays: dict[str, asyncio.Task[Story]], name: str) -> None:
    recording = load(name)
    ours = await replays[name]
    seen, unknown = explained(name, compare(recording.flagger, ours))
    assert not unknown, "not listed:\n" + "\n".join(unknown)
    assert listed(recording.differs, seen), (seen, recording.differs)
