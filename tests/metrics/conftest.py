"""What tests of metric providers share: calls that leave this process, and a server on loopback that takes them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.metrics.outbound import Outbound
from tests.metrics.loopback import Loopback, loopback


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    """Call servers, whatever proxies this machine names."""
    async with Outbound(trust_env=False) as made:
        yield made


@pytest.fixture
async def server() -> AsyncIterator[Loopback]:
    """Answer on loopback."""
    async with loopback() as running:
        yield running
