"""What users get wrong: one clear sentence as event and condition, no write to traffic, and no harm to anybody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.kube.errors import Invalid
from flaggerpy.kube.objects import JsonObject, name_of, uid_of
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, SERVICES
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.base import Live
from flaggerpy.routers.gatewayapi import GatewayApiRouter
from tests.integration.beside import another_goes_on, touched
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, canary, config_map, deployment, progressive, routed
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("calm"), pytest.mark.timeout(180)]

LARGE = "x" * 900_000
ITERATIONS = {"iterations": 1}


def wrong(analysis: JsonObject | None = None, **fields: Any) -> JsonObject:
    """Write a Canary named ``wrong`` for the Deployment of the same name."""
    return canary("wrong", analysis or ITERATIONS, **{"provider": "kubernetes", **fields})


AUDIENCE = [{"headers": {"x-canary": {"exact": "yes"}}}]


def without_service() -> JsonObject:
    """Write a Canary that says nothing of Services."""
    made = wrong()
    del made["spec"]["service"]
    return made


def labelled(**labels: str) -> JsonObject:
    """Write the Deployment ``wrong``, whose pods have these labels only."""
    made = deployment("wrong")
    made["spec"]["selector"]["matchLabels"] = made["spec"]["template"]["metadata"]["labels"] = labels
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param(wrong(provider="nonsense"), ["nonsense", "kubernetes", "gatewayapi:v1"], id="unknown provider"),
        pytest.param(wrong(provider="appmesh"), ["appmesh", "gatewayapi:v1"], id="a provider that is not built yet"),
        pytest.param(wrong(provider=""), ["spec.provider is missing"], id="no provider"),
        pytest.param(
            wrong(targetRef={"apiVersion": "v1", "kind": "Service", "name": "wrong"}),
            ["spec.targetRef is a Service", "name a provider that routes traffic"],
            id="a Service whose users nobody can split",
        ),
        pytest.param(wrong(service={"port": 0}), ["spec.service.port"], id="a port that is none"),
        pytest.param(without_service(), ["spec.service is missing", "add spec.service.port"], id="no port at all"),
        pytest.param(
            wrong({**ITERATIONS, "interval": "10mfoo"}),
            ["spec.analysis.interval", '"mfoo" is no unit (h, m, s'],
            id="an interval that only begins like one",
        ),
        pytest.param(
            wrong({**ITERATIONS, "metrics": [{"name": "request-duration", "interval": "1mfoo"}]}),
            ["spec.analysis.metrics[0].interval", '"mfoo" is no unit'],
            id="a metric's interval",
        ),
        pytest.param(
            wrong({**ITERATIONS, "webhooks": [{"name": "gate", "url": "http://gate.test/", "timeout": "5mfoo"}]}),
            ["spec.analysis.webhooks[0].timeout", '"mfoo" is no unit'],
            id="a hook's time limit",
        ),
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
            routed("wrong", {"stepWeight": 10, "match": AUDIENCE, "sessionAffinity": {"cookieName": "x"}}),
            ["sessionAffinity", "match"],
            id="two ways to choose users",
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
    await _is_told_and_touches_nothing(site, deployment("wrong"), made, words)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        pytest.param(
            labelled(tier="wrong"),
            ["tier=wrong", "none of app, name, app.kubernetes.io/name", "spec.selector.matchLabels"],
            id="no label tells its pods apart",
        ),
        pytest.param(
            labelled(app="w" * 56),
            ["longer than the 63 characters", "choose a shorter value"],
            id="a label without room for the primary's",
        ),
        pytest.param(
            deployment("wrong", container={"envFrom": [{"secretRef": {"name": "token"}}]}),
            ["reads Secret token, which does not exist", "create it, or mark the reference as optional"],
            id="a Secret that nobody made",
        ),
    ],
)
async def test_a_target_that_cannot_be_copied_is_told_and_left_alone(
    site: Site, gateway: Gateway, target: JsonObject, words: list[str]
) -> None:
    await _is_told_and_touches_nothing(site, target, wrong(), words)


async def _is_told_and_touches_nothing(site: Site, target: JsonObject, made: JsonObject, words: list[str]) -> None:
    async with site.controller(mesh_provider="") as controller:
        await site.apply(target, made)
        sentence = await site.stalled("", "wrong")
        assert all(word in sentence for word in words), sentence
        assert await site.event(sentence) == sentence
        await another_goes_on(site)
        await site.settled("wrong")

        assert (await site.condition("Ready", "wrong"))["status"] == "False"
        assert touched(controller.writes, "wrong") == {"canaries"}
        found = await site.get(DEPLOYMENTS, "wrong")
        assert found["spec"]["replicas"] == found["status"]["readyReplicas"] == 2


async def test_an_interval_that_is_none_is_refused_by_the_api_server(site: Site) -> None:
    with pytest.raises(Invalid, match=r"spec\.analysis\.interval"):
        await site.apply(wrong({**ITERATIONS, "interval": "soon"}))


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


async def test_a_route_that_is_deleted_while_a_mistake_stands_comes_back_with_its_shares(
    site: Site, gateway: Gateway
) -> None:
    unbounded = {"name": "mood", "interval": "1m", "query": "mood"}
    async with site.controller():
        await site.apply(deployment(), progressive(step=10, most=100, interval="5s"))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        # On record, too: a share that is not counts for nothing when the route is lost.
        await site.until(lambda: _step_is(site, 10), "the first step")
        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"metrics": [unbounded]}}})
        sentence = await site.stalled("mood has no bound")
        await site.settled()
        shares, before = await site.weights(), await site.get(HTTP_ROUTES, "podinfo")
        assert shares["podinfo-canary"] == 10

        await site.client.delete(site.ref(HTTP_ROUTES, "podinfo"))
        await site.until(lambda: _is_another(site, before), "another route")
        await site.event("The route of podinfo")
        assert (await site.weights(), await site.phase()) == (shares, "Progressing")
        stalled = await site.condition("Stalled")
        assert (stalled["status"], stalled["message"]) == ("True", sentence)


async def test_a_mistake_that_only_a_write_finds_is_told_holds_the_rollout_and_is_tried_again(
    site: Site, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    why, mended, render = (
        "spec.service.match says what no route of 20 % can: write prefix.",
        [False],
        GatewayApiRouter.render,
    )

    def choosy(router: GatewayApiRouter, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        if routes.canary == 20 and not mended[0]:
            raise UserError(why)
        return render(router, canary, live, routes)

    monkeypatch.setattr(GatewayApiRouter, "render", choosy)
    async with site.controller():
        await site.apply(deployment(), progressive(step=10, most=30))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.stalled(why)
        assert (gateway.shares()[-1], await site.phase()) == (10, "Progressing")
        mended[0] = True
        await site.phase_is("Succeeded")
        assert len([text for text in await site.events() if why in text]) == 1


async def test_w20_a_reference_into_another_namespace_stops_a_canary_that_was_valid_before(site: Site) -> None:
    elsewhere = {"name": "mood", "templateRef": {"name": "mood", "namespace": "monitoring"}, "threshold": 1}
    async with site.controller(no_cross_namespace_refs=True):
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"metrics": [elsewhere]}}})
        sentence = await site.stalled("monitoring is another namespace, which this controller forbids")
        assert await site.event(sentence) == sentence
        made = await site.canary()
        rows = made["status"]["conditions"]
        assert {row["observedGeneration"] for row in rows} == {made["metadata"]["generation"]}
        assert (await site.condition("Stalled"))["reason"] == "UserError"


async def test_a_target_may_come_later(site: Site) -> None:
    async with site.controller():
        await site.apply(blue_green())
        sentence = await site.stalled("Deployment podinfo does not exist")
        assert await site.event("does not exist") == sentence
        assert (await site.condition("Ready"))["reason"] == "TargetMissing"
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


async def test_mirroring_where_nothing_can_is_told_and_does_not_loop_w09(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green(iterations=1, mirror=True))
        await site.phase_is("Initialized")
        await site.event("mirror")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")


async def test_objects_of_900_kb_are_rolled_out_like_small_ones(site: Site, hooks: Hooks) -> None:
    """The API server takes objects of up to one and a half megabytes."""
    reads = {"env": [{"name": "LARGE", "value": LARGE}], "envFrom": [{"configMapRef": {"name": "settings"}}]}
    hook = hooks.webhook("pre-rollout", metadata={"large": LARGE})
    async with site.controller():
        await site.apply(config_map("settings", {"large": LARGE, "color": "red"}))
        await site.apply(deployment(container=reads), blue_green(iterations=1, webhooks=[hook]))
        await site.phase_is("Initialized")
        assert (await site.get(CONFIG_MAPS, "settings-primary"))["data"] == {"large": LARGE, "color": "red"}

        await site.edit(CONFIG_MAPS, "settings", {"data": {"color": "blue"}})
        await site.set_image("6.0.1")
        await site.until(lambda: _runs(site, "6.0.1"), "the promotion", patience=60)
        await site.phase_is("Succeeded")
        await another_goes_on(site)

    assert (await site.get(CONFIG_MAPS, "settings-primary"))["data"] == {"large": LARGE, "color": "blue"}
    container = (await site.get(DEPLOYMENTS, "podinfo-primary"))["spec"]["template"]["spec"]["containers"][0]
    assert container["env"] == reads["env"]
    assert {call.body["metadata"]["large"] for call in hooks.to("pre-rollout")} == {LARGE}


async def _runs(site: Site, tag: str) -> bool:
    return await site.image("podinfo-primary") == tag


async def _generations(site: Site) -> dict[str, int]:
    """Return how often the spec of each workload and Service was changed."""
    found = {}
    for resource in (DEPLOYMENTS, SERVICES):
        items, _ = await site.client.list(resource, site.namespace)
        for item in items:
            key = "generation" if resource is DEPLOYMENTS else "resourceVersion"
            found[f"{resource.kind} {name_of(item)}"] = int(item["metadata"][key])
    return found


async def _is_another(site: Site, before: JsonObject) -> bool:
    route = await site.find(HTTP_ROUTES, "podinfo")
    return route is not None and uid_of(route) != uid_of(before)


async def _step_is(site: Site, weight: int) -> bool:
    return int((await site.get(CANARIES, "podinfo"))["status"]["canaryWeight"]) == weight


async def _share_is(gateway: Gateway, share: int) -> bool:
    return gateway.shares()[-1:] == [share]
