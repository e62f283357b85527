"""Running caches and what tests of them share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import (
    CANARIES,
    DEPLOYMENTS,
    Ref,
    Resource,
)
from tests.kube.clocks import SkippingClock, eventually
from tests.kube.fake_apiserver import FakeApiServer

KEY = ("test", "podinfo")
OTHER_KEY = ("test", "other")
TARGET = Ref(DEPLOYMENTS, "test", "podinfo")
CANARY = Ref(CANARIES, "test", "podinfo")


def obj(name: str = "podinfo", namespace: str = "test", **content: object) -> JsonObject:
    return {"metadata": {"name": name, "namespace": namespace}, **content}


@asynccontextmanager
async def running(client: Client, **options: object) -> AsyncIterator[tuple[Caches, list[Ref]]]:
    """Run caches and collect whom they tell about."""
    caches = Caches(client, **{"clock": SkippingClock(), **options})  # type: ignore[arg-type] # options of Caches
    told: list[Ref] = []
    caches.on_change(told.append)
    task = asyncio.ensure_future(caches.run())
    try:
        yield caches, told
    finally:
        task.cancel()
        await asyncio.wait({task})


async def ready(caches: Caches, server: FakeApiServer, *resources: Resource) -> None:
    await eventually(caches.synced)
    for resource in (CANARIES, *resources):
        await eventually(partial(server.watching, resource), what=f"watch {resource.title}")
