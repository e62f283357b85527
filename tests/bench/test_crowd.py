"""The bench's users, on a fake API server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.settings import Settings
from tests.integration.site import Site
from tests.kube.clocks import eventually
from tests.kube.fake_apiserver import FakeApiServer
from tools.bench.crowd import DEADLINE_S, NEED_S, Member, Statuses, create, crowd, push, unfinished, watching
from tools.bench.errors import BenchError

SITES = ("site-1-1", "site-1-2")


class Stage:
    """Some canaries in two namespaces, and whoever plays their controller."""

    def __init__(self, server: FakeApiServer, client: Client) -> None:
        self.server = server
        self.client = client
        self.members = crowd([Site(client, name, Settings()) for name in SITES], 4)

    def says(self, member: Member, phase: str, promoted: str = "v1-old", **status: Any) -> None:
        """Write a Canary's status."""
        namespace, name = member.key
        metadata = {"namespace": namespace, "name": name}
        self.server.put(
            CANARIES, {"metadata": metadata, "status": {"phase": phase, "lastPromotedSpec": promoted, **status}}
        )


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with FakeApiServer() as server, HttpTransport(Server(server.url)) as transport:
        yield Stage(server, Client(transport))


def test_canaries_are_spread_over_the_namespaces_under_names_of_their_own(stage: Stage) -> None:
    many = crowd([member.site for member in stage.members[:2]], 7)
    assert Counter(member.key[0] for member in many) == {SITES[0]: 4, SITES[1]: 3}
    assert len({member.name for member in many}) == 7


def test_a_rollout_needs_five_analyses_of_ten_seconds() -> None:
    assert NEED_S == 50


async def test_canaries_have_five_steps_a_target_of_one_replica_and_time_for_slow_machines(stage: Stage) -> None:
    await create(stage.members)
    for member in stage.members:
        canary, target = (stage.server.get(Ref(kind, *member.key)) for kind in (CANARIES, DEPLOYMENTS))
        analysis = canary["spec"]["analysis"]
        assert (analysis["stepWeight"], analysis["maxWeight"], analysis["interval"]) == (10, 50, "10s")
        assert not {"metrics", "webhooks"} & analysis.keys()
        assert canary["spec"]["progressDeadlineSeconds"] == DEADLINE_S
        assert target["spec"]["replicas"] == 1


@pytest.mark.parametrize("rate", [None, 200.0])
async def test_a_push_changes_each_target_once(stage: Stage, rate: float | None) -> None:
    await create(stage.members)
    before = len(stage.server.requests)
    await push(stage.members, "6.0.1", rate)
    assert [request.method for request in stage.server.requests[before:]] == ["PATCH"] * len(stage.members)
    assert [await member.site.image(member.name) for member in stage.members] == ["6.0.1"] * len(stage.members)


async def test_a_paced_push_keeps_its_rate(stage: Stage) -> None:
    await create(stage.members)
    began = asyncio.get_running_loop().time()
    await push(stage.members, "6.0.1", 20.0)
    assert asyncio.get_running_loop().time() - began >= (len(stage.members) - 1) / 20.0


async def test_statuses_are_seen_as_they_change_and_across_watches(stage: Stage) -> None:
    first = stage.members[0]
    stage.says(first, "Initializing")
    async with watching(stage.client) as statuses:
        await eventually(lambda: statuses.phase(first) == "Initializing")
        stage.says(first, "Initialized", "v1-new")
        await eventually(lambda: (statuses.phase(first), statuses.promoted(first)) == ("Initialized", "v1-new"))
        await eventually(lambda: stage.server.watching(CANARIES))
        stage.server.end_watches()
        stage.says(first, "Progressing")
        await eventually(lambda: statuses.phase(first) == "Progressing")


async def test_waiting_ends_with_the_news_that_nobody_is_missing(stage: Stage) -> None:
    async with watching(stage.client) as statuses:
        waiting = asyncio.create_task(
            statuses.until(lambda: [m for m in stage.members if statuses.phase(m) != "Initialized"], "Initialized", 10)
        )
        for member in stage.members:
            await eventually(lambda: stage.server.watching(CANARIES))
            assert not waiting.done()
            stage.says(member, "Initialized")
        await waiting


async def test_who_is_late_is_named_with_its_own_reason(stage: Stage) -> None:
    async with watching(stage.client) as statuses:
        stage.says(stage.members[1], "Initializing", rollout={"reason": "waiting for pods"})
        await eventually(lambda: statuses.phase(stage.members[1]))
        with pytest.raises(BenchError, match=r"^1 canaries were not Initialized after 0\.01 s: site-1-2/app-0001 is"):
            await statuses.until(lambda: stage.members[1:2], "Initialized", 0.01)
        assert statuses.describe(stage.members[1]).endswith("is Initializing (waiting for pods)")


async def known(stage: Stage, statuses: Statuses, *phases: tuple[str, str]) -> list[Member]:
    """Give members these phases and promoted revisions, and wait until they are seen."""
    members = stage.members[: len(phases)]
    for member, (phase, promoted) in zip(members, phases, strict=True):
        stage.says(member, phase, promoted)
    await eventually(lambda: [(statuses.phase(m), statuses.promoted(m)) for m in members] == list(phases))
    return members


async def test_a_rollout_is_over_when_something_new_was_promoted(stage: Stage) -> None:
    async with watching(stage.client) as statuses:
        members = await known(
            stage, statuses, ("Succeeded", "v1-old"), ("Progressing", "v1-old"), ("Succeeded", "v1-new")
        )
        assert unfinished(statuses, members, ["v1-old"] * 3) == members[:2]


async def test_a_rollout_that_failed_ends_the_bench(stage: Stage) -> None:
    async with watching(stage.client) as statuses:
        members = await known(stage, statuses, ("Progressing", "v1-old"), ("Failed", "v1-old"))
        with pytest.raises(BenchError, match=r"^1 of 2 rollouts failed: site-1-2/app-0001 is Failed"):
            unfinished(statuses, members, ["v1-old"] * 2)
