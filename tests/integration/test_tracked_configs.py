"""ConfigMaps and Secrets of a target: what starts a rollout, and what the primary's copies hold at any moment."""

from __future__ import annotations

import json

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS, DEPLOYMENTS, SECRETS
from flaggerpy.kube.wire import Request
from tests.integration.objects import blue_green, config_map, deployment
from tests.integration.servers import Call, Hooks
from tests.integration.site import Site

pytestmark = pytest.mark.integration

READS: JsonObject = {"envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "token"}}]}


def secret(value: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "token"},
        "stringData": {"key": value},
    }


async def start(site: Site, *, webhooks: list[JsonObject] | None = None, iterations: int = 1) -> None:
    await site.apply(config_map("settings", {"color": "red"}), secret("one"))
    await site.apply(deployment(container=READS), blue_green(iterations=iterations, webhooks=webhooks or []))
    await site.phase_is("Initialized")


async def color(site: Site, name: str = "settings-primary") -> str:
    return str((await site.get(CONFIG_MAPS, name))["data"]["color"])


async def test_the_primary_reads_copies_and_the_target_its_own(site: Site) -> None:
    async with site.controller():
        await start(site)

    primary = (await site.get(DEPLOYMENTS, "podinfo-primary"))["spec"]["template"]["spec"]["containers"][0]
    target = (await site.get(DEPLOYMENTS, "podinfo"))["spec"]["template"]["spec"]["containers"][0]
    assert primary["envFrom"] == [
        {"configMapRef": {"name": "settings-primary"}},
        {"secretRef": {"name": "token-primary"}},
    ]
    assert target["envFrom"] == READS["envFrom"]
    copy = await site.get(SECRETS, "token-primary")
    assert (copy["type"], copy["data"]) == ("Opaque", (await site.get(SECRETS, "token"))["data"])


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
async def test_an_edit_is_analysed_before_the_copy_changes(site: Site, hooks: Hooks, kind: str) -> None:
    hooks.close("confirm-promotion")
    async with site.controller():
        await start(site, webhooks=[hooks.webhook("confirm-promotion")])
        before = await site.get(SECRETS, "token-primary")
        if kind == "ConfigMap":
            await site.apply(config_map("settings", {"color": "blue"}))
        else:
            await site.apply(secret("two"))
        await site.phase_is("WaitingPromotion")
        assert await color(site) == "red"
        assert (await site.get(SECRETS, "token-primary"))["data"] == before["data"]

        hooks.open("confirm-promotion")
        await site.phase_is("Succeeded")
        after = await site.get(SECRETS, "token-primary")
        assert await color(site) == ("blue" if kind == "ConfigMap" else "red")
        assert (after["data"] != before["data"]) == (kind == "Secret")


async def test_a_config_that_opted_out_is_shared_and_its_edits_start_nothing(site: Site) -> None:
    out = config_map("settings", {"color": "red"})
    out["metadata"]["annotations"] = {"flagger.app/config-tracking": "disabled"}
    async with site.controller() as controller:
        await site.apply(out, secret("one"))
        await site.apply(deployment(container=READS), blue_green())
        await site.phase_is("Initialized")
        await site.settled()
        before = len(controller.writes)

        await site.apply({**out, "data": {"color": "blue"}})
        await site.settled()

        assert controller.writes[before:] == []
        assert await site.phase() == "Initialized"
        assert await site.find(CONFIG_MAPS, "settings-primary") is None
    primary = (await site.get(DEPLOYMENTS, "podinfo-primary"))["spec"]["template"]["spec"]["containers"][0]
    assert primary["envFrom"][0] == {"configMapRef": {"name": "settings"}}


async def test_an_edit_of_metadata_only_starts_nothing(site: Site) -> None:
    async with site.controller() as controller:
        await start(site)
        await site.settled()
        before = len(controller.writes)
        await site.edit(CONFIG_MAPS, "settings", {"metadata": {"labels": {"team": "payments"}}})
        await site.edit(SECRETS, "token", {"metadata": {"annotations": {"example.com/rotated": "never"}}})
        await site.settled()
        assert controller.writes[before:] == []


async def test_content_that_is_put_back_cancels_w08(site: Site) -> None:
    async with site.controller():
        await start(site, iterations=50)
        await site.apply(config_map("settings", {"color": "blue"}))
        await site.phase_is("Progressing")

        await site.apply(config_map("settings", {"color": "red"}))
        await site.phase_is("Succeeded")
        await site.event("cancelled")

        assert await color(site) == "red"
        await site.settled()
        assert await site.replicas("podinfo") == 0


async def test_a_copy_that_somebody_deletes_or_edits_is_made_again_at_the_next_promotion(site: Site) -> None:
    async with site.controller():
        await start(site)
        await site.edit(CONFIG_MAPS, "settings-primary", {"data": {"color": "green"}})
        await site.client.delete(site.ref(SECRETS, "token-primary"))

        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")

        assert await color(site) == "red"
        assert await site.find(SECRETS, "token-primary") is not None


async def test_a_config_edited_at_the_last_moment_is_analysed_before_it_is_promoted_w14(
    site: Site, hooks: Hooks
) -> None:
    """The edit lands while the last gate answers: what was analysed is no longer there to be promoted."""

    async def edit(call: Call) -> None:
        if len(hooks.to(call.path)) == 1:
            await site.apply(config_map("settings", {"color": "blue"}))

    hooks.before["confirm-promotion"] = edit
    async with site.controller() as controller:
        await start(site, webhooks=[hooks.webhook("pre-rollout"), hooks.webhook("confirm-promotion")])
        await site.apply(config_map("settings", {"color": "yellow"}))
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")

    assert _copied(controller.writes, "settings-primary") == ["red", "blue"]
    assert hooks.asked("pre-rollout") == hooks.asked("confirm-promotion") == 2


async def test_a_missing_config_is_told_and_its_arrival_goes_on(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(container=READS), blue_green(), secret("one"))
        await site.stalled("reads ConfigMap settings, which does not exist")
        await site.apply(config_map("settings", {"color": "red"}))
        await site.phase_is("Initialized")


def _copied(writes: list[Request], name: str) -> list[str]:
    """Return the colours that were written to a copy, one after the other."""
    bodies = [
        json.loads(request.body)
        for request in writes
        if request.body and "/configmaps" in request.path and request.method in {"POST", "PUT"}
    ]
    return [body["data"]["color"] for body in bodies if body["metadata"]["name"] == name]
