"""``flaggerpy adopt --dry-run``: one line a canary, told by the controller's own decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flaggerpy.api.status import CanaryStatus, Phase
from flaggerpy.cli.outlook import Outlook, outlook, table
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, Resource
from flaggerpy.rollout.observation import History
from tests.cli import served
from tests.cli.served import Served
from tests.rollout.left import given_up, left, rolling
from tests.rollout.world import World, hook, initialized, spec

FIRST = "adds its finalizer; takes Flagger's ownerReference off payment-primary"


def seen(world: World) -> Outlook:
    return outlook(world.observe(), world.now)


@pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED])
def test_a_canary_at_rest_is_quiet(phase: Phase) -> None:
    world = left(initialized(), phase)
    assert seen(world) == Outlook("shop/payment", phase.value, f"nothing to roll out; {FIRST}")


def test_a_rollout_goes_on_quietly() -> None:
    assert seen(left(rolling(20), Phase.PROGRESSING)) == Outlook(
        "shop/payment", "Progressing", f"the rollout goes on at 20%; {FIRST}"
    )


def test_a_gate_that_would_be_asked_is_told() -> None:
    world = left(initialized(spec=spec(webhooks=[hook("confirm-rollout")])).push("v2"), Phase.WAITING)
    row = seen(world)
    assert (row.words, row.quiet) == ("its new revision waits for approval; asks its webhooks", True)


def test_what_begins_anew_is_not_quiet() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    world.history = History(world.now.replace(year=2030))
    row = seen(world)
    assert row.quiet is False
    assert row.words.startswith("payment.shop was changed since, so its analysis begins anew; ")
    assert "sends 0% of users to payment" in row.words


def test_a_pushed_revision_is_not_quiet() -> None:
    row = seen(left(initialized(), Phase.SUCCEEDED).push("v2"))
    assert (row.quiet, row.words.partition(";")[0]) == (False, "a new revision was pushed since")


def test_what_cannot_go_on_is_not_quiet() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    world.problems = ("provider appmesh is not served",)
    assert seen(world) == Outlook(
        "shop/payment", "Progressing", "cannot go on: provider appmesh is not served", quiet=False
    )


def test_a_bootstrap_that_flagger_gave_up_is_told() -> None:
    assert seen(given_up()).words == "the bootstrap of payment.shop goes on; scales payment to 2"


def test_one_that_was_taken_over_is_left_out() -> None:
    assert seen(initialized()).words == "has been taken over already"


def test_the_report_is_what_the_controller_then_does() -> None:
    world = left(rolling(20), Phase.PROGRESSING)
    foretold = seen(world).words.partition(";")[0]
    world.run()
    assert world.texts[0] == f"Taken over from Flagger in phase Progressing: {foretold}"


def test_the_table_has_a_line_a_canary() -> None:
    rows = [Outlook("shop/a", "Failed", "x"), Outlook("shop/payment", "New", "y")]
    assert table(rows) == [
        "CANARY         PHASE    WHAT WOULD HAPPEN",
        "shop/a         Failed   x",
        "shop/payment   New      y",
    ]


# The command on a server


def idle(**spec: Any) -> JsonObject:
    """A canary of provider kubernetes as Flagger leaves it."""
    status = CanaryStatus(phase=Phase.SUCCEEDED, last_applied_spec="8dbdc448", last_promoted_spec="8dbdc448")
    made = served.canary(status, **{"provider": "kubernetes", "analysis": {"iterations": 2}, **spec})
    del made["metadata"]["finalizers"], made["status"]["rollout"]
    return made


def adopt(cluster: Served, *words: str) -> tuple[int, str]:
    result = cluster.run("adopt", "--dry-run", "--no-config-tracking", *words)
    return result.exit_code, result.output


def test_nothing_is_written_and_nobody_would_notice(cluster: Served) -> None:
    cluster.put(CANARIES, idle())
    code, said = adopt(cluster)
    assert (code, "shop/web   Succeeded   nothing to roll out" in said) == (0, True), said
    assert {seen.method for seen in cluster.do(lambda server: server.seen())} == {"GET"}


def test_a_rollout_that_would_begin_is_an_exit_code(cluster: Served) -> None:
    cluster.put(CANARIES, idle())
    cluster.put(DEPLOYMENTS, served.workloads("2")[0])
    code, said = adopt(cluster, "web")
    assert (code, "a new revision was pushed since" in said) == (1, True), said


def test_a_provider_that_is_not_served_is_told(cluster: Served) -> None:
    cluster.put(CANARIES, idle(provider="levitation"))
    code, said = adopt(cluster)
    assert (code, "cannot go on: " in said) == (1, True), said


def named(name: str, *, minute: int, settled: bool) -> list[tuple[Resource, JsonObject]]:
    """A canary and its target, whose pods have the label ``app: web``, and if it is settled its primary."""
    canary = idle(targetRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": name})
    canary["metadata"] |= {
        "name": name,
        "uid": f"uid-of-{name}",
        "creationTimestamp": f"2026-11-27T12:{minute:02}:00Z",
    }
    made = served.workloads()
    for workload, suffix in zip(made, ("", "-primary"), strict=True):
        workload["metadata"] |= {"name": name + suffix, "annotations": {"flaggerpy.dev/canary": f"shop/{name}"}}
    return [(CANARIES, canary), *((DEPLOYMENTS, workload) for workload in made[: 1 + settled])]


@pytest.mark.parametrize("words", [(), ("api",)])
def test_targets_that_cannot_be_told_apart_are_told_though_both_have_primaries(
    cluster: Served, words: tuple[str, ...]
) -> None:
    for resource, obj in (*named("api", minute=5, settled=True), *named("web", minute=1, settled=True)):
        cluster.put(resource, obj)
    code, said = adopt(cluster, *words)
    assert code == 1
    assert "shop/api   Succeeded   cannot go on: Deployment api selects its pods by app=web" in said, said
    assert "Deployment web selects" not in said
    assert ("shop/web" in said) is (not words), said


@pytest.mark.parametrize("words", [(), ("api",)])
def test_whoever_has_a_primary_comes_before_an_older_one_without(cluster: Served, words: tuple[str, ...]) -> None:
    for resource, obj in (*named("api", minute=1, settled=False), *named("web", minute=5, settled=True)):
        cluster.put(resource, obj)
    code, said = adopt(cluster, *words)
    rows = [line for line in said.splitlines() if "selects its pods by app=web" in line]
    assert (code, [row.split()[0] for row in rows]) == (1, ["shop/api"]), said


def test_a_flagger_that_wrote_lately_is_told(cluster: Served) -> None:
    canary = idle()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    canary["metadata"]["managedFields"] = [{"manager": "flagger", "operation": "Update", "time": now}]
    cluster.put(CANARIES, canary)
    code, said = adopt(cluster)
    assert (code, "Flagger wrote shop/web within the last minute" in said) == (0, True), said


def test_without_canaries_there_is_nothing_to_tell(cluster: Served) -> None:
    code, said = adopt(cluster)
    assert (code, "there are no canaries in namespace shop" in said) == (0, True), said
