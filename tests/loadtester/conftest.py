from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from flaggerpy.loadtester.program import Settings
from tests.loadtester.harness import Caller, load_tester


@pytest.fixture
def settings() -> Settings:
    """A load tester on loopback that is impatient with its children."""
    return Settings(port=0, address="127.0.0.1", time_limit=30.0, kill_grace=0.1, shutdown_grace=0.1)


@pytest_asyncio.fixture
async def caller(settings: Settings) -> AsyncIterator[Caller]:
    async with load_tester(settings) as caller:
        yield caller
