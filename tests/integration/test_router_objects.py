"""What routers write is what the providers' own CRDs admit, and their defaults are no drift."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.marks import made_by_us
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import JsonObject, resource_version_of
from flaggerpy.kube.resources import Ref
from flaggerpy.kube.transport import connect
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Routes
from flaggerpy.routers.base import PATCH, Router
from flaggerpy.routers.registry import ROUTERS
from tests.integration.site import Site
from tests.routers.cases import admits, canaries, cookies_at, foreign_routes, prerequisites, router_behind

pytestmark = [pytest.mark.integration, pytest.mark.router_laws]

WITHOUT_CRDS = frozenset({"apisix", "gloo", "kuma"})
"""Providers whose CRDs the tests' cluster has not got, because no registry serves the modules that hold them."""
CASES = [
    pytest.param(provider, title, id=f"{provider}, {title}")
    for provider in ROUTERS
    if provider not in WITHOUT_CRDS
    for title, owner in canaries(provider).items()
    if router_behind(owner).refs(owner)
]


def shares(router: Router, owner: Canary) -> list[Routes]:
    """Return shares of every kind that a provider can do."""
    every = [ALL_TO_PRIMARY, Routes(70, 30), Routes(100, 0, mirrored=True), ALL_TO_CANARY]
    if owner.analysis.session_affinity is not None:
        every[:0] = [Routes(100 - weight, weight, cookies=cookies_at(weight)) for weight in (0, 30, 100)]
    return [routes for routes in every if admits(router, owner, routes)]


@pytest.fixture
async def ours(site: Site) -> AsyncIterator[Client]:
    """Write as the controller, not as the user of the namespace."""
    async with await connect() as transport:
        yield Client(transport)


async def read(site: Site, router: Router, owner: Canary) -> dict[Ref, JsonObject]:
    found = [(ref, await site.find(ref.resource, ref.name)) for ref in router.refs(owner)]
    return {ref: obj for ref, obj in found if obj is not None}


async def write(client: Client, router: Router, owner: Canary, bodies: tuple[JsonObject, ...]) -> None:
    refs = {ref.name: ref for ref in router.refs(owner)}
    for body in bodies:
        ref = refs[body["metadata"]["name"]]
        if PATCH in body:
            await client.json_patch(ref, body[PATCH])
        else:
            await (client.replace(ref, body) if resource_version_of(body) else client.apply(ref, body))


def _stored(objects: dict[Ref, JsonObject]) -> dict[Ref, JsonObject]:
    """Leave the version out: with a default for a status that nobody has written, the server counts equal writes."""
    return {
        ref: {**obj, "metadata": {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}}
        for ref, obj in objects.items()
    }


@pytest.mark.parametrize(("provider", "title"), CASES)
async def test_the_crd_admits_what_is_written_and_it_is_read_back(
    site: Site, ours: Client, provider: str, title: str
) -> None:
    owner = canaries(provider, site.namespace)[title]
    router = router_behind(owner)
    await site.apply(*prerequisites(router, owner))
    for routes in shares(router, owner):
        live = await read(site, router, owner)
        await write(ours, router, owner, router.render(owner, live, routes))

        served = await read(site, router, owner)
        state = router.state(owner, served)
        assert (state.routes, state.drifted) == (routes, False)

        await write(ours, router, owner, router.render(owner, served, routes))
        assert _stored(await read(site, router, owner)) == _stored(served), "the same again changes nothing"


@pytest.mark.parametrize(("provider", "title"), CASES)
async def test_a_users_route_is_taken_over_and_given_back(site: Site, ours: Client, provider: str, title: str) -> None:
    owner = canaries(provider, site.namespace)[title]
    router = router_behind(owner)
    for obj in foreign_routes(router, owner):
        await site.apply(obj)
    before = await read(site, router, owner)

    for routes in shares(router, owner):
        await write(ours, router, owner, router.render(owner, await read(site, router, owner), routes))
    taken = await read(site, router, owner)
    assert router.state(owner, taken).routes == ALL_TO_CANARY
    assert all(obj["metadata"]["labels"]["mine"] == "1" for obj in taken.values())

    await write(ours, router, owner, router.restore(owner, taken))

    after = await read(site, router, owner)
    assert before.keys() == {ref for ref, obj in after.items() if not made_by_us(obj, owner)}
    for ref, obj in before.items():
        assert after[ref]["spec"] == obj["spec"]
        for field in ("labels", "annotations"):
            assert after[ref]["metadata"][field] == obj["metadata"][field]
    assert router.restore(owner, after) == ()


@pytest.mark.parametrize(("provider", "title"), CASES)
async def test_our_own_route_stays_for_users_once_released(site: Site, ours: Client, provider: str, title: str) -> None:
    owner = canaries(provider, site.namespace)[title]
    router = router_behind(owner)
    await site.apply(*prerequisites(router, owner))
    routes = Routes(70, 30) if admits(router, owner, Routes(70, 30)) else ALL_TO_CANARY
    await write(ours, router, owner, router.render(owner, await read(site, router, owner), routes))

    await write(ours, router, owner, router.restore(owner, await read(site, router, owner)))

    released = await read(site, router, owner)
    kept = [obj["spec"] for obj in released.values() if not made_by_us(obj, owner)]
    assert kept
    assert "-primary" not in str(kept)
    assert router.restore(owner, released) == ()
