"""A Knative service is target, primary and route at once: it is written, and never deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.status import Phase
from flaggerpy.controller.served import kind_of_target, query_context
from flaggerpy.kube.client import Client
from flaggerpy.kube.objects import generation_of
from flaggerpy.kube.resources import CANARIES, KNATIVE_SERVICES, SERVICES, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.metrics.mesh import builtin_query
from flaggerpy.rollout.decision import CopyConfigs, CreatePrimary, DeleteChildren, ReleaseRoute, ScalePrimary, SetRoutes
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, to_canary
from tests.builders import canary_json, metric
from tests.controller.stage import Stage
from tests.controller.test_first_write import CANARY, Cluster, controller
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.test_knative import NAMED, condition, service

REF = Ref(KNATIVE_SERVICES, "shop", "web")
READS = {"envFrom": [{"configMapRef": {"name": "settings"}}], "image": "web:1"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        server.put(CANARIES, canary_json(spec={"provider": "knative", "targetRef": NAMED, "service": None}))
        made = service()
        made["spec"]["template"]["spec"]["containers"] = [READS]
        server.put(KNATIVE_SERVICES, made)
        yield Stage(server, Client(transport))


async def test_it_is_served_as_it_is(stage: Stage) -> None:
    world = await stage.look()

    assert world.seen.problems == ()
    assert world.seen.notes == ()
    assert world.seen.target is not None
    assert world.seen.primary is None
    assert (world.seen.services.canary, world.seen.services.primary, world.seen.services.apex) == (True, True, True)
    assert world.seen.configs.ours == {}, "a revision reads what it was made with"
    assert not world.seen.kept.usable, "Knative keeps revisions"


async def test_a_bootstrap_writes_the_service_alone(stage: Stage) -> None:
    world = await stage.do(CopyConfigs({}), CreatePrimary(), ScalePrimary(3), SetRoutes(ALL_TO_PRIMARY))

    assert world.seen.primary is not None
    assert world.seen.primary.template == world.seen.target.template if world.seen.target else ""
    assert world.seen.route.routes == ALL_TO_PRIMARY
    assert not world.seen.route.drifted
    written = [
        seen.path for seen in [*stage.server.seen("PUT"), *stage.server.seen("PATCH"), *stage.server.seen("POST")]
    ]
    assert set(written) == {REF.path()}


@pytest.mark.parametrize("serving", [True, False])
async def test_deletion_gives_it_back_and_deletes_nothing(stage: Stage, *, serving: bool) -> None:
    stage.server.put(SERVICES, {"metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "ExternalName"}})
    await stage.do(CreatePrimary(), SetRoutes(to_canary(20)))

    world = await stage.do(ReleaseRoute(), DeleteChildren(serving=serving))

    assert world.seen.route_released
    assert world.seen.primary is None
    assert stage.server.objects[REF]["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert stage.server.seen("DELETE") == []


async def test_it_is_not_even_deleted_while_it_is_in_use(stage: Stage) -> None:
    await stage.do(CreatePrimary(), SetRoutes(to_canary(20)))

    await stage.do(DeleteChildren(serving=False))

    assert REF in stage.server.objects


def test_metrics_are_those_of_the_revision_that_is_analysed() -> None:
    made = canary_json(spec={"provider": "knative", "targetRef": NAMED, "service": None})
    made["status"] = {"rollout": {"applied": {"template": "v2", "controllerRevision": "web-00002"}}}
    owner = parse_canary(made)
    kind, context = kind_of_target(owner), query_context(owner, metric())
    query = builtin_query("request-success-rate", "knative", kind, context).text
    assert 'envoy_cluster_name=~"shop/web-00002"' in query


class Knative(Cluster):
    """An API server whose user and whose Knative are the test; it numbers its revisions as their images."""

    before = 0

    def anew(self) -> None:
        """A user deletes the service and makes it again, of the same image: Knative counts from the start."""
        obj = self.objects[REF]
        self.before = int(obj["spec"]["template"]["spec"]["containers"][0]["image"][-1]) - 1
        self.remove(REF)
        self.put(KNATIVE_SERVICES, service("web:2"))

    def push(self, image: str) -> None:
        """A user asks for another image."""
        self.change(REF, lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image=image))

    def look(self, ref: Ref = REF) -> None:
        """Knative looks at the service, makes a revision of its image, and serves what is asked for."""
        obj = self.objects[ref]
        if generation_of(obj) == obj["status"].get("observedGeneration"):
            return
        number = int(obj["spec"]["template"]["spec"]["containers"][0]["image"][-1]) - self.before
        newest = f"web-0000{number}"
        traffic = [{"revisionName": newest, **entry} for entry in obj["spec"]["traffic"]]
        status = {
            "observedGeneration": generation_of(obj),
            "latestCreatedRevisionName": newest,
            "latestReadyRevisionName": newest,
            "traffic": traffic,
            "conditions": [condition("RoutesReady", "True")],
        }
        self.change(ref, lambda live: live.update(status=status))

    def primary(self) -> tuple[str, list[tuple[str, int]]]:
        """Return the revision that is noted as the primary, and what each one gets by name, the newest first."""
        obj = self.objects[REF]
        traffic = [(entry.get("revisionName", ""), entry["percent"]) for entry in obj["spec"]["traffic"]]
        return obj["metadata"].get("annotations", {}).get("flagger.app/primary-revision", ""), traffic

    def share(self) -> int:
        """Return what the newest revision gets."""
        traffic = self.objects[REF]["spec"].get("traffic") or [{"percent": 100}]
        return int(traffic[0]["percent"])


STEPS = {"interval": "1s", "stepWeight": 25, "maxWeight": 50}
SPEC = {"provider": "knative", "targetRef": NAMED, "service": None}


async def test_a_service_that_is_made_anew_is_served_by_its_own_revisions() -> None:
    """Traffic for the revision that was promoted of the one before would serve nobody."""
    async with Knative() as cluster:
        cluster.put(KNATIVE_SERVICES, service("web:2", newest="web-00002", ready="web-00002"))
        cluster.put(CANARIES, canary_json(spec=SPEC, analysis=STEPS))
        async with controller(cluster) as made:
            for _ in range(10):
                await made.tick(cluster)
                cluster.look()
            assert cluster.primary() == ("web-00002", [("", 0), ("web-00002", 100)])

            cluster.anew()
            for _ in range(10):
                await made.tick(cluster)
                cluster.look()

            assert cluster.primary() == ("web-00001", [("", 0), ("web-00001", 100)])
            assert cluster.phase() == Phase.INITIALIZED


async def test_a_service_that_a_canary_leaves_for_another_one_is_given_back() -> None:
    other = Ref(KNATIVE_SERVICES, "shop", "shop")
    async with Knative() as cluster:
        cluster.put(KNATIVE_SERVICES, service("web:1"))
        cluster.put(CANARIES, canary_json(spec=SPEC, analysis=STEPS))
        async with controller(cluster) as made:
            for _ in range(10):
                await made.tick(cluster)
                cluster.look()
            assert cluster.primary() == ("web-00001", [("", 0), ("web-00001", 100)])
            metadata = {**service()["metadata"], "name": "shop"}
            cluster.put(KNATIVE_SERVICES, {**service("web:1"), "metadata": metadata})

            cluster.change(CANARY, lambda obj: obj["spec"].update(targetRef={**NAMED, "name": "shop"}))
            for _ in range(10):
                await made.tick(cluster)
                cluster.look(other)
                cluster.look()

    assert cluster.primary() == ("", [("", 100)])
    assert cluster.objects[other]["metadata"]["annotations"]["flagger.app/primary-revision"] == "web-00001"


async def test_a_rollout_from_the_bootstrap_on_waits_for_no_pods_and_warns_of_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each step of the shares moves the generation of the service, which is no news of its revision."""
    shares: list[int] = []
    async with Knative() as cluster:
        cluster.put(KNATIVE_SERVICES, service())
        cluster.put(CANARIES, canary_json(spec=SPEC, analysis=STEPS))
        async with controller(cluster) as made:
            for image, phase in (("web:1", Phase.INITIALIZED), ("web:2", Phase.SUCCEEDED)):
                cluster.push(image)
                for _ in range(80):
                    for _ in ("before Knative has looked", "and once more"):
                        await made.tick(cluster)
                        shares += [cluster.share()] if shares[-1:] != [cluster.share()] else []
                    cluster.look()
                    if cluster.phase() == phase:
                        break
                assert cluster.phase() == phase
    assert shares == [100, 0, 25, 50, 0]
    assert cluster.objects[REF]["metadata"]["annotations"]["flagger.app/primary-revision"] == "web-00002"
    events = capsys.readouterr().out
    assert "Promotion completed! Scaling down web.shop" in events
    assert "not ready" not in events
