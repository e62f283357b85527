"""Caches and leader election on the real API server: echoes, late kinds, rights, a server that dies or forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from flaggerpy.clock import SystemClock
from flaggerpy.kube.cache import Caches, Scope
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Expired, KubeError
from flaggerpy.kube.lease import Elector, LeaseTiming
from flaggerpy.kube.objects import JsonObject, resource_version_of
from flaggerpy.kube.reflector import Pace
from flaggerpy.kube.resources import CONFIG_MAPS, CRDS, DEPLOYMENTS, LEASES, Ref, Resource
from flaggerpy.kube.store import Absent, NotFollowed, Present
from flaggerpy.kube.transport import connect
from tests.cluster.api import Cluster
from tests.kube.clocks import eventually
from tests.kube.real import Place, forget_history, place

pytestmark = pytest.mark.integration

IMPATIENT = Pace(first_delay=0.1, longest_delay=1.0, longest_probe=1.0, relist_jitter=0.2)
WIDGETS = Resource("kube.flaggerpy.test", "v1", "widgets", "Widget")
PATIENCE = 60


@pytest.fixture
async def here(control_plane: Cluster) -> AsyncIterator[Place]:
    async with place() as made:
        yield made


@asynccontextmanager
async def following(client: Client, *refs: Ref, scope: Scope | None = None) -> AsyncIterator[tuple[Caches, list[Ref]]]:
    """Follow objects and collect the news of them."""
    caches = Caches(client, own=(), pace=IMPATIENT, scope=scope or Scope())
    told: list[Ref] = []
    caches.on_change(told.append)
    task = asyncio.ensure_future(caches.run())
    caches.follow(("test", "podinfo"), refs)
    try:
        await caches.ensure(refs)
        yield caches, told
    finally:
        task.cancel()
        await asyncio.wait({task})


def seen(caches: Caches, ref: Ref) -> JsonObject:
    found = caches.get(ref)
    assert isinstance(found, Present)
    return found.obj


def is_at(caches: Caches, ref: Ref, version: str) -> bool:
    found = caches.get(ref)
    return isinstance(found, Present) and int(resource_version_of(found.obj)) >= int(version)


async def test_news_arrive_and_echoes_of_our_own_writes_do_not(here: Place) -> None:
    config, twin = (Ref(CONFIG_MAPS, here.namespace, name) for name in ("mine", "theirs"))
    for ref in (config, twin):
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta(ref.name)})
    async with following(here.client, config, twin) as (caches, told):
        await here.client.merge_patch(twin, {"data": {"k": "0"}})
        await eventually(lambda: twin in told, within=PATIENCE)
        told.clear()
        for number in range(20):
            with caches.writing(config):
                caches.record(config, await here.client.merge_patch(config, {"data": {"k": str(number)}}))
        last = await here.client.merge_patch(twin, {"data": {"k": "last"}})
        await eventually(partial(is_at, caches, twin, resource_version_of(last)), within=PATIENCE)
        assert set(told) == {twin}


async def test_a_scale_is_known_before_the_watch_shows_it_and_stays_true(here: Place) -> None:
    ref = Ref(DEPLOYMENTS, here.namespace, "podinfo")
    await here.client.create(DEPLOYMENTS, here.deployment())
    async with following(here.client, ref) as (caches, _):
        for replicas in (3, 3, 0, 2):
            with caches.writing(ref):
                caches.record_scale(ref, await here.client.scale(ref, replicas))
            known = seen(caches, ref)
            assert known["spec"]["replicas"] == replicas
            assert known["metadata"]["generation"] <= (await here.client.get(ref))["metadata"]["generation"]
        await eventually(
            lambda: (
                seen(caches, ref).get("status", {}).get("observedGeneration")
                == seen(caches, ref)["metadata"]["generation"]
            ),
            within=PATIENCE,
        )
        now = await here.client.get(ref)
        await eventually(partial(is_at, caches, ref, resource_version_of(now)), within=PATIENCE)
        assert seen(caches, ref)["metadata"]["generation"] == now["metadata"]["generation"]


async def test_a_kind_that_is_installed_later_is_picked_up_and_one_that_is_removed_forgotten(here: Place) -> None:
    crd = Ref(CRDS, "", f"{WIDGETS.plural}.{WIDGETS.group}")
    widget = Ref(WIDGETS, here.namespace, "podinfo")
    async with following(here.client, widget) as (caches, told):
        assert caches.get(widget) == NotFollowed()
        assert "widgets.kube.flaggerpy.test" in (caches.trouble(WIDGETS) or "")
        await here.client.create(CRDS, _crd())
        try:
            await eventually(lambda: caches.trouble(WIDGETS) is None, within=PATIENCE)
            assert widget in told
            await caches.ensure([widget])
            assert caches.get(widget) == Absent()
            await here.client.create(
                WIDGETS, {"apiVersion": WIDGETS.api_version, "kind": WIDGETS.kind, "metadata": here.meta("podinfo")}
            )
            await eventually(lambda: isinstance(caches.get(widget), Present), within=PATIENCE)
        finally:
            await here.client.delete(crd)
        await eventually(lambda: caches.trouble(WIDGETS), within=PATIENCE)
        assert caches.get(widget) == NotFollowed()


def _crd() -> JsonObject:
    version = {
        "name": WIDGETS.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": CRDS.api_version,
        "kind": CRDS.kind,
        "metadata": {"name": f"{WIDGETS.plural}.{WIDGETS.group}"},
        "spec": {
            "group": WIDGETS.group,
            "scope": "Namespaced",
            "names": {"plural": WIDGETS.plural, "kind": WIDGETS.kind},
            "versions": [version],
        },
    }


async def test_rights_that_are_missing_trouble_one_kind_until_they_are_given(here: Place, tmp_path: Path) -> None:
    config, deployment = Ref(CONFIG_MAPS, here.namespace, "c"), Ref(DEPLOYMENTS, here.namespace, "podinfo")
    kubeconfig = await here.user(tmp_path)
    await here.allow("guest", "", "configmaps")
    async with await connect(kubeconfig) as guest:
        scope = Scope((here.namespace,))
        await eventually_allowed(Client(guest), config)
        async with following(Client(guest), config, deployment, scope=scope) as (caches, told):
            assert caches.get(config) == Absent()
            assert caches.trouble(CONFIG_MAPS) is None
            assert "may not list and watch deployments.apps" in (caches.trouble(DEPLOYMENTS) or "")
            await here.allow("guest", "apps", "deployments")
            await eventually(lambda: caches.trouble(DEPLOYMENTS) is None, within=PATIENCE)
            assert deployment in told
            assert caches.get(deployment) == Absent()


async def eventually_allowed(client: Client, ref: Ref) -> None:
    """Wait until the server's RBAC cache knows the rights that were just given."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.list(ref.resource, ref.namespace)
            except KubeError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_server_that_dies_and_comes_back_is_followed_on(here: Place, control_plane: Cluster) -> None:
    """Its watch cache starts anew, so that our version is usually too old for it: watch again or list again."""
    kept, removed, added = (Ref(CONFIG_MAPS, here.namespace, name) for name in ("kept", "removed", "added"))
    for ref in (kept, removed):
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta(ref.name)})
    async with following(here.client, kept, removed, added) as (caches, told):
        await asyncio.to_thread(control_plane.stop_apiserver)
        with pytest.raises(KubeError):
            await here.client.get(kept)
        told.clear()
        await asyncio.to_thread(control_plane.start_apiserver)
        await here.client.delete(removed)
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta("added")})
        await eventually(lambda: caches.get(removed) == Absent(), within=PATIENCE)
        await eventually(lambda: isinstance(caches.get(added), Present), within=PATIENCE)
        assert set(told) >= {removed, added}
        assert isinstance(caches.get(kept), Present)


# Leader election


class Candidate:
    """One of several processes that want to lead."""

    def __init__(self, here: Place, timing: LeaseTiming) -> None:
        client = Client(here.transport, session="lease", timeout=timing.request_timeout)
        self.elector = Elector(client, here.namespace, SystemClock(), timing=timing)
        self.leading = False
        self.terms = 0
        self.task = asyncio.ensure_future(self.elector.run(self._lead))

    async def _lead(self) -> None:
        self.leading = True
        self.terms += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.leading = False

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_there_is_one_leader_and_a_clean_end_hands_over_at_once(here: Place) -> None:
    timing = LeaseTiming(duration=6, renew_deadline=4, retry=0.2)
    candidates = [Candidate(here, timing) for _ in range(3)]
    await eventually(lambda: sum(c.leading for c in candidates) == 1)
    first = next(c for c in candidates if c.leading)
    await first.stop()
    candidates.remove(first)
    await eventually(lambda: sum(c.leading for c in candidates) == 1, within=timing.duration / 2)
    lease = await here.client.get(Ref(LEASES, here.namespace, "flagger-leader-election"))
    assert lease["spec"]["leaseTransitions"] == 1
    assert lease["spec"]["holderIdentity"] == next(c for c in candidates if c.leading).elector.identity
    for candidate in candidates:
        await candidate.stop()


async def test_a_leader_survives_a_restart_of_the_server_within_its_deadline(
    here: Place, control_plane: Cluster
) -> None:
    candidate = Candidate(here, LeaseTiming(duration=45, renew_deadline=40, retry=0.2))
    await eventually(lambda: candidate.leading)
    await asyncio.to_thread(control_plane.restart_apiserver)
    before = await here.client.get(Ref(LEASES, here.namespace, "flagger-leader-election"))
    await eventually_renewed(here, before)
    assert candidate.terms == 1
    assert candidate.elector.is_leader
    await candidate.stop()


async def eventually_renewed(here: Place, before: JsonObject) -> None:
    ref = Ref(LEASES, here.namespace, "flagger-leader-election")
    async with asyncio.timeout(PATIENCE):
        while (await here.client.get(ref))["spec"] == before["spec"]:  # noqa: ASYNC110 - it happens elsewhere
            await asyncio.sleep(0.05)


async def test_what_the_server_has_forgotten_is_expired_for_a_watch_and_in_the_middle_of_a_list(
    here: Place, control_plane: Cluster
) -> None:
    for number in range(3):
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta(f"c{number}")})
    async with aclosing(here.client.pages(CONFIG_MAPS, here.namespace, page=1)) as pages:
        first = await anext(pages)
        await here.client.create(CONFIG_MAPS, {"metadata": here.meta("later")})
        await forget_history(control_plane)
        with pytest.raises(Expired):
            await anext(pages)
    watch = here.client.watch(CONFIG_MAPS, here.namespace, resource_version=first.resource_version)
    async with aclosing(watch) as events:
        with pytest.raises(Expired):
            async for _ in events:
                pass
