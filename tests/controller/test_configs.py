"""ConfigMaps and Secrets as they are read: once a version, and never taken for missing when they cannot be read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import KubeError
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS, SECRETS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.targets.configs import ConfigRef, digest
from tests.kube.fake_apiserver import FakeApiServer, Fault
from tests.targets.objects import config_map

SETTINGS, NOWHERE = ConfigRef(CONFIG_MAPS, "settings"), ConfigRef(SECRETS, "nowhere", optional=True)
REF = Ref(CONFIG_MAPS, "shop", "settings")


class Stage:
    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self.caches = Caches(client)
        self.caches.follow(("shop", "web"), [config.ref("shop") for config in (SETTINGS, NOWHERE)])
        self.digests = ConfigDigests(client, self.caches)

    @property
    def config(self) -> JsonObject:
        """The config as the server has it now."""
        return self.server.objects[REF]

    def reads(self) -> int:
        """How often the content was asked for; what follows configs asks for their metadata."""
        asked = self.server.seen("GET", "/configmaps/settings")
        return len([request for request in asked if "PartialObjectMetadata" not in request.headers.get("Accept", "")])


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CONFIG_MAPS, config_map())
        yield Stage(server, Client(transport))


async def test_content_is_read_once_a_version(stage: Stage) -> None:
    for _ in range(3):
        found = await stage.digests.read([SETTINGS, NOWHERE], "shop")
        assert found == {SETTINGS: digest(stage.config), NOWHERE: None}
    assert stage.reads() == 1
    stage.server.change(REF, lambda obj: obj["data"].update(color="blue"))
    await stage.caches.refresh([REF])
    assert (await stage.digests.read([SETTINGS], "shop"))[SETTINGS] == digest(stage.config)
    assert stage.reads() == 2


@pytest.mark.parametrize("fault", [Fault("status", status=500), Fault("status", status=403, reason="Forbidden")])
async def test_what_cannot_be_read_is_no_missing_config(stage: Stage, fault: Fault) -> None:
    await stage.caches.ensure([REF])
    fault.path, fault.times = "/configmaps/settings", 100
    stage.server.fail(fault)
    with pytest.raises(KubeError, match=str(fault.status)):
        await stage.digests.read([SETTINGS], "shop")
    fault.times = 0
    assert (await stage.digests.read([SETTINGS], "shop"))[SETTINGS] == digest(stage.config)
