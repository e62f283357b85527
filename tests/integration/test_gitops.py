"""A GitOps tool applies Deployment and Canary every three seconds: nothing starts, nobody moves, no fight is hot."""

from __future__ import annotations

from time import monotonic

import pytest

from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, EVENTS
from tests.integration.gateway import Gateway
from tests.integration.gitops import Tool, syncing
from tests.integration.objects import blue_green, deployment, progressive
from tests.integration.served import always_served
from tests.integration.site import Controller, Site

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("calm"), pytest.mark.timeout(300)]

INTERVAL = 5.0
FOUGHT = "something else scales podinfo"


@pytest.mark.parametrize(
    ("manager", "routed"), [("argocd-controller", True), ("kustomize-controller", False)], ids=["argo cd", "flux"]
)
async def test_replicas_in_git_start_nothing_and_are_answered_once_an_interval(
    site: Site, gateway: Gateway, manager: str, routed: bool
) -> None:
    make = progressive if routed else blue_green
    made = make(interval=f"{INTERVAL:g}s")
    async with site.controller() as controller, syncing(site, manager, deployment(), made) as tool:
        await site.phase_is("Initialized", patience=60)
        async with always_served(site):
            before = await site.canary()
            await _fight(site, tool, controller)
            after = await site.canary()
            assert after["status"]["phase"] == "Initialized"
            assert after["status"]["rollout"]["applied"] == before["status"]["rollout"]["applied"]
            assert await _rollouts(site) == 0

            tool.push("6.0.1")
            await site.phase_is("Succeeded", patience=90)
            await _fight(site, tool, controller)
            assert await site.phase() == "Succeeded"
            assert await _rollouts(site) == 1

            # What docs/gitops.md asks for; Argo CD does the same where it respects ignored differences.
            tool.leave_replicas_alone()
            await tool.goes_round(3)
            await site.until(lambda: _asleep(site), "sleep of the target")
            written = len(controller.writes)
            await tool.goes_round(3)
            assert controller.writes[written:] == []
            assert await _asleep(site)

    assert await site.image("podinfo-primary") == "6.0.1"
    assert gateway.shares() == ([0, 25, 50, 0] if routed else [])


async def _fight(site: Site, tool: Tool, controller: Controller) -> None:
    """Watch the tool and the controller disagree for six rounds."""
    await site.reason_has(FOUGHT)
    assert FOUGHT in await site.event(FOUGHT)
    began, written = monotonic(), len(controller.writes)
    await tool.goes_round(6)
    answers = (monotonic() - began) / INTERVAL + 1

    paths = [request.path for request in controller.writes[written:]]
    scales = paths.count(site.ref(DEPLOYMENTS, "podinfo").path("scale"))
    records = paths.count(site.ref(CANARIES, "podinfo").path("status"))
    assert 2 <= scales <= answers + 1, paths
    # A label that the tool writes at the same moment makes a record conflict, and the next tick writes it again.
    assert records <= 2 * answers + 2, paths
    assert len(paths) == scales + records, paths
    ready = await site.condition("Ready")
    assert (ready["status"], FOUGHT in ready["message"]) == ("True", True)


async def _rollouts(site: Site) -> int:
    """Count the rollouts that began; events that are alike are one object with a count."""
    events, _ = await site.client.list(EVENTS, site.namespace)
    return sum(int(event["count"]) for event in events if "New revision detected!" in event["message"])


async def _asleep(site: Site) -> bool:
    return await site.replicas("podinfo") == 0
