"""A fake API server and a client of it, for every test that wants them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.sessions import HttpTransport, Server
from tests.kube.fake_apiserver import FakeApiServer


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as running:
        yield running


@pytest.fixture
async def transport(server: FakeApiServer) -> AsyncIterator[HttpTransport]:
    async with HttpTransport(Server(server.url)) as opened:
        yield opened


@pytest.fixture
def client(transport: HttpTransport) -> Client:
    return Client(transport)
