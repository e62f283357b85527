"""What users get wrong: one clear sentence as event and condition, no write to traffic, and no harm to anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject, name_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, SERVICES
from flaggerpy.kube.wire import Request
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, canary, deployment, progressive, routed
from tests.integration.site import Site

pytestmark = pytest.mark.integration

ITERATIONS = {"iterations": 1}


def wrong(analysis: JsonObject | None = None, **fields: Any) -> JsonObject:
    """Write a Canary named ``wrong`` for the Deployment of the same name."""
    return canary("wrong", analysis or ITERATIONS, **{"provider": "kubernetes", **fields})


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(wrong(provider="nonsense"), ["nonsense", "kubernetes", "gatewayapi:v1"], id="unknown provider"),
        pytest.param(wrong(provider="istio"), ["istio", "gatewayapi:v1"], id="a provider that is not built yet"),
        pytest.param(wrong(provider=""), ["spec.provider is missing"], id="no provider"),
        pytest.param(
            wrong(targetRef={"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "wrong"}),
            ["DaemonSet"],
            id="a kind of target that is not built yet",
        ),
        pytest.param(wrong(service={"port": 0}), ["spec.service.port"], id="a port that is none"),
        pytest.param(
            routed("wrong", {"stepWeight": 0}), ["spec.analysis.stepWeight", "never advances"], id="stepWeight 0"
        ),
        pytest.param(
            routed("wrong", {"stepWeights": [50, 20]}), ["20 after 50 is not ascending"], id="stepWeights descend"
        ),
        pytest.param(routed("wrong", {"stepWeights": [10, 101]}), ["101 is no share"], id="a share beyond everybody"),
        pytest.param(
            canary("wrong", {"stepWeight": 10}, provider="gatewayapi:v1"), ["gatewayRefs is empty"], id="no Gateway"
        ),
        pytest.param(
            routed("wrong", {"stepWeight": 10, "sessionAffinity": {"cookieName": "x"}}),
            ["sessionAffinity"],
            id="no session affinity",
        ),
        pytest.param(wrong({**ITERATIONS, "metrics": [{"name": "mood"}]}), ['"mood"'], id="nothing to measure"),
        pytest.param(
            wrong({**ITERATIONS, "webhooks": [{"name": "gate", "url": "nowhere"}]}),
            ["webhooks[0].url"],
            id="no address",
        ),
    ],
)
async def test_a_mistake_is_told_and_touches_nothing(
    site: Site, gateway: Gateway, made: JsonObject, words: list[str]
) -> None:
    async with site.controller(mesh_provider="") as controller:
        await site.apply(deployment("wrong"), made, deployment(), blue_green())
        sentence = await site.stalled("", "wrong")
        assert all(word in sentence for word in words), sentence
        assert await site.event(sentence) == sentence
        await site.phase_is("Initialized")
        await site.settled("wrong")

        assert (await site.condition("Ready", "wrong"))["status"] == "False"
        assert _touched(controller.writes) == {"canaries"}
        target = await site.get(DEPLOYMENTS, "wrong")
        assert target["spec"]["replicas"] == target["status"]["readyReplicas"] == 2


async def test_a_mistake_that_is_mended_is_forgotten(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.edit(CANARIES, "podinfo", {"spec": {"provider": "nonsense"}})
        await site.stalled("nonsense")
        await site.edit(CANARIES, "podinfo", {"spec": {"provider": "kubernetes"}})
        await site.phase_is("Initialized")
        assert (await site.condition("Stalled"))["status"] == "False"
        assert (await site.condition("Ready"))["status"] == "True"


async def test_a_mistake_made_during_a_rollout_holds_it_where_it_is(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=10, most=100))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.until(lambda: _share_is(gateway, 10), "the first step")
        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"webhooks": [{"name": "x", "url": "nowhere"}]}}})
        await site.stalled("webhooks[0].url")
        held = gateway.shares()[-1]
        await site.settled()
        assert gateway.shares()[-1] == held
        assert await site.phase() == "Progressing"

        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"webhooks": [], "stepWeight": 100}}})
        await site.phase_is("Succeeded")


async def test_a_target_may_come_later(site: Site) -> None:
    async with site.controller():
        await site.apply(blue_green())
        sentence = await site.stalled("Deployment podinfo does not exist")
        assert await site.event("does not exist") == sentence
        assert await site.find(SERVICES, "podinfo-canary") is None
        await site.apply(deployment())
        await site.phase_is("Initialized")
        assert (await site.condition("Stalled"))["status"] == "False"


async def test_the_second_canary_of_a_target_is_refused_and_its_end_harms_nobody(site: Site) -> None:
    second = blue_green("second")
    second["spec"]["targetRef"]["name"] = "podinfo"
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1))
        await site.phase_is("Initialized")
        await site.settled()

        await site.apply(second)
        sentence = await site.stalled(f"canary {site.namespace}/podinfo", "second")
        assert await site.event(sentence) == sentence
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded")
        await site.settled()
        generations = await _generations(site)

        await site.client.delete(site.ref(CANARIES, "second"))
        await site.gone(CANARIES, "second")
        await asyncio.sleep(1.5)
        assert await _generations(site) == generations
        assert await site.replicas("podinfo") == 0
        assert await site.selector("podinfo") == {"app": "podinfo-primary"}


async def test_the_longest_name_works_and_one_more_letter_is_refused(site: Site) -> None:
    longest = "n" * 55
    async with site.controller():
        await site.apply(deployment(longest), blue_green(longest))
        await site.apply(deployment(longest + "n"), blue_green(longest + "n"))
        await site.phase_is("Initialized", longest)
        sentence = await site.stalled("more than 63 characters", longest + "n")
        assert "at most 55 characters" in sentence


@pytest.mark.parametrize(
    ("title", "made", "words"),
    [
        (
            "an audience where nobody can be told apart",
            blue_green(iterations=1, match=[{"headers": {"x": {"exact": "y"}}}]),
            "A/B testing is not supported",
        ),
        ("steps where there are no weights", canary("podinfo", {"stepWeight": 50}), "Progressive traffic is not"),
        ("copies of requests where there are none", blue_green(iterations=1, mirror=True), "mirror"),
    ],
)
async def test_what_a_provider_cannot_do_is_told_once_and_does_not_stop_the_rollout(
    site: Site, title: str, made: JsonObject, words: str
) -> None:
    async with site.controller():
        await site.apply(deployment(), made)
        await site.phase_is("Initialized")
        await site.event(words)
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded", patience=60)
        assert len([text for text in await site.events() if words in text]) == 1, title


async def test_mirroring_in_steps_is_told_and_does_not_loop_w09(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, mirror=True))
        await site.phase_is("Initialized")
        await site.event("mirror")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
    assert gateway.shares() == [0, 50, 0]


def _touched(writes: list[Request]) -> set[str]:
    """Return the kinds of those objects of the canary ``wrong`` that were written."""
    parts = [request.path.split("/") for request in writes if "/wrong" in request.path]
    assert not any(b'"name":"wrong' in (request.body or b"") for request in writes if request.method == "POST")
    return {path[path.index("namespaces") + 2] for path in parts}


async def _generations(site: Site) -> dict[str, int]:
    """Return how often the spec of each workload and Service was changed."""
    found = {}
    for resource in (DEPLOYMENTS, SERVICES):
        items, _ = await site.client.list(resource, site.namespace)
        for item in items:
            key = "generation" if resource is DEPLOYMENTS else "resourceVersion"
            found[f"{resource.kind} {name_of(item)}"] = int(item["metadata"][key])
    return found


async def _share_is(gateway: Gateway, share: int) -> bool:
    return gateway.shares()[-1:] == [share]
