"""Kinds whose objects are found by what they say: kept whole, told of, and nobody's condition for being ready."""

from __future__ import annotations

import asyncio

from flaggerpy.kube.cache import Caches
from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import BUDGETS, Ref
from tests.kube.caching import obj
from tests.kube.clocks import SkippingClock, eventually, settle
from tests.kube.fake_apiserver import FakeApiServer

BUDGET = Ref(BUDGETS, "test", "podinfo")


async def test_objects_are_known_by_namespace_once_all_are_and_every_edit_is_told(
    client: Client, server: FakeApiServer
) -> None:
    server.put(BUDGETS, obj(spec={"minAvailable": 1}))
    caches = Caches(client, own=(), clock=SkippingClock())
    caches.keep_whole(BUDGETS)
    told: list[Ref] = []
    caches.on_change(told.append)
    assert caches.in_namespace(BUDGETS, "test") is None, "not all are known"

    task = asyncio.ensure_future(caches.run())
    try:
        await eventually(lambda: caches.in_namespace(BUDGETS, "test") is not None)
        assert [one["spec"] for one in caches.in_namespace(BUDGETS, "test") or ()] == [{"minAvailable": 1}]
        assert caches.in_namespace(BUDGETS, "elsewhere") == []

        told.clear()
        server.change(BUDGET, lambda o: o.update(status={"currentHealthy": 3}))
        server.change(BUDGET, lambda o: o["spec"].update(minAvailable=2))
        await eventually(lambda: told == [BUDGET])
        await settle()
        assert told == [BUDGET], "what Kubernetes counts is no news"
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_kind_that_may_not_be_read_keeps_nobody_from_being_ready(client: Client, server: FakeApiServer) -> None:
    server.served.discard(BUDGETS)
    caches = Caches(client, own=(), clock=SkippingClock())
    caches.keep_whole(BUDGETS)
    task = asyncio.ensure_future(caches.run())
    try:
        await eventually(lambda: caches.trouble(BUDGETS) is not None)
        assert caches.synced()
        assert caches.in_namespace(BUDGETS, "test") is None
    finally:
        task.cancel()
        await asyncio.wait({task})
