"""``flaggerpy release`` as a person runs it: users are served by the targets, and back again with --undo."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import finalizers_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from tests.integration.commands import flaggerpy
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.served import always_served
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


async def test_all_canaries_are_released_and_taken_back_with_users_served(site: Site, gateway: Gateway) -> None:
    names = ("podinfo", "shop")
    async with site.controller():
        await site.apply(deployment(), progressive(), deployment("shop"), blue_green("shop"))
        for name in names:
            await site.phase_is("Initialized", name)

        async with always_served(site), always_served(site, "shop"):
            code, said = await flaggerpy("release", "--all", "--namespace", site.namespace)
            assert code == 0, said
            for name in names:
                assert f"{site.namespace}/{name} released" in said
                assert not finalizers_of(await site.canary(name))
                assert await site.selector(name) == {"app": name}
                assert (await site.get(DEPLOYMENTS, name))["status"]["readyReplicas"] == 2
                await site.phase_is("Terminated", name)
            assert await site.ours() == []
            assert await site.weights() == {"podinfo": 100}

            # It is inert now: a new revision is the user's own business.
            await site.set_image("6.0.1")
            await site.settled()
            assert await site.phase() == "Terminated"

            code, said = await flaggerpy("release", "--all", "--namespace", site.namespace, "--undo")
            assert code == 0, said
            for name in names:
                await site.phase_is("Initialized", name)
                assert await site.replicas(name) == 0
                assert await site.selector(name) == {"app": f"{name}-primary"}
        assert await site.image("podinfo-primary") == "6.0.1"


async def test_a_released_canary_needs_no_controller_any_more(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        code, said = await flaggerpy("release", "podinfo", "-n", site.namespace)
        assert code == 0, said
    await site.client.delete(site.ref(CANARIES, "podinfo"))
    assert await site.find(CANARIES, "podinfo") is None
    assert await site.selector("podinfo") == {"app": "podinfo"}


async def test_without_a_controller_the_command_says_so(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
    code, said = await flaggerpy("release", "podinfo", "-n", site.namespace, "--timeout", "1s")
    assert code == 1
    assert f"not released within 1s: {site.namespace}/podinfo. Is the controller running?" in said


async def test_a_canary_that_is_being_deleted_is_waited_for(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.settled()
    await site.client.delete(site.ref(CANARIES, "podinfo"))
    everything = ("release", "--all", "--namespace", site.namespace)
    code, said = await flaggerpy(*everything, "--timeout", "1s")
    assert code == 1
    assert f"not released within 1s: {site.namespace}/podinfo" in said
    async with site.controller():
        code, said = await flaggerpy(*everything)
    assert code == 0, said
    assert await site.find(CANARIES, "podinfo") is None
    assert await site.selector("podinfo") == {"app": "podinfo"}


async def test_one_canary_or_all(site: Site) -> None:
    code, said = await flaggerpy("release", "-n", site.namespace)
    assert code == 2
    assert "name one canary, or say --all" in said
    code, said = await flaggerpy("release", "nobody", "-n", site.namespace)
    assert code == 1
    assert "nobody" in said
