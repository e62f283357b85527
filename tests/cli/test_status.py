"""``flaggerpy status``: it waits for the right end, and its exit code says which one it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flaggerpy.api.status import CanaryStatus, Pause, Phase, Revision
from flaggerpy.cli.ending import Ending, Exit
from flaggerpy.cli.status import STALLED_FOR, Patience
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS, DEPLOYMENTS, EVENTS, KNATIVE_SERVICES, PODS, SECRETS, Ref
from flaggerpy.targets.configs import checksum
from flaggerpy.targets.knative import KnativeTarget
from tests.builders import with_status
from tests.cli.seen import at_rest, rolling, snapshot
from tests.cli.served import WEB, Served, canary, revision, set_status, status, workloads
from tests.kube.fake_apiserver import FakeApiServer
from tests.targets.objects import config_map
from tests.targets.test_knative import NAMED
from tests.targets.test_knative import service as knative_service

QUICKLY = ["--timeout", "300ms"]
FAILING = {"failing": "failed checks threshold reached 5"}


def test_what_has_ended_well_is_told_at_once(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED)))
    result = cluster.run("status", "web")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "shop/web succeeded: web-primary serves what Deployment web asks for."
    assert "Succeeded          0 %" in result.stdout


@pytest.mark.parametrize(
    ("title", "phase", "rollout", "code", "says"),
    [
        ("failed", Phase.FAILED, FAILING, 3, "shop/web failed: failed checks threshold reached 5."),
        (
            "paused",
            Phase.PROGRESSING,
            {"paused": Pause(by="alice")},
            4,
            "shop/web is paused by alice: `flaggerpy resume web -n shop` goes on.",
        ),
        (
            "behind a gate",
            Phase.WAITING_PROMOTION,
            {"reason": "waiting for promotion approval gate"},
            4,
            "shop/web waits for approval: waiting for promotion approval gate.",
        ),
    ],
)
def test_every_other_end_has_its_code_and_a_sentence(
    cluster: Served, title: str, phase: Phase, rollout: dict[str, object], code: int, says: str
) -> None:
    for obj in workloads("2"):
        cluster.put(DEPLOYMENTS, obj)
    cluster.put(CANARIES, canary(status(phase, "2", rollout=rollout)))
    result = cluster.run("status", "web")
    assert (result.exit_code, result.stdout.splitlines()[-1], result.stderr) == (code, says, ""), title


def test_a_suspended_rollout_is_paused(cluster: Served) -> None:
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2"), suspend=True))
    result = cluster.run("status", "web")
    assert (result.exit_code, "set spec.suspend to false" in result.stdout) == (4, True)


def test_the_end_of_the_rollout_before_is_not_taken_for_the_one_just_applied(cluster: Served) -> None:
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED, "1")))

    async def roll(server: FakeApiServer) -> None:
        for phase, weight in ((Phase.PROGRESSING, 0), (Phase.PROGRESSING, 10), (Phase.PROMOTING, 10)):
            server.change(WEB, set_status(status(phase, "2", canary_weight=weight)))
        server.change(WEB, set_status(status(Phase.FAILED, "2", rollout=FAILING)))

    cluster.meanwhile(roll)
    result = cluster.run("status", "web")
    assert result.exit_code == 3
    told = [line.split("  ")[1].split()[0] for line in result.stdout.splitlines() if "%" in line]
    assert told == ["Succeeded", "Progressing", "Progressing", "Promoting", "Failed"], "every state is told"


def test_when_nothing_ends_in_time_it_says_where_everything_stands(cluster: Served) -> None:
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2", rollout={"reason": "waiting for canary deployment"})))
    result = cluster.run("status", "web", *QUICKLY)
    assert (result.exit_code, result.stdout.splitlines()[-1], result.stderr) == (
        5,
        "shop/web has not ended within 300ms; it is Progressing: waiting for canary deployment",
        "",
    )


def test_a_canary_that_nobody_works_on_makes_one_think_of_the_controller(cluster: Served) -> None:
    cluster.put(CANARIES, canary())
    result = cluster.run("status", "web", *QUICKLY)
    assert (result.exit_code, "it is new: is the controller running?" in result.stdout) == (5, True)


def test_paused_rollouts_can_be_waited_for(cluster: Served) -> None:
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2", rollout={"paused": Pause(by="alice")})))

    async def resume(server: FakeApiServer) -> None:
        server.change(WEB, set_status(status(Phase.SUCCEEDED, "2")))

    cluster.meanwhile(resume)
    result = cluster.run("status", "web", "--wait-when-paused")
    assert result.exit_code == 0
    assert "paused by alice" in result.stdout


def test_a_deleted_canary_ends_the_wait(cluster: Served) -> None:
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2")))

    async def delete(server: FakeApiServer) -> None:
        server.remove(WEB)

    cluster.meanwhile(delete)
    result = cluster.run("status", "web")
    assert (result.exit_code, result.stderr) == (1, "Error: canary shop/web was deleted.\n")


def test_a_canary_being_deleted_or_released_is_not_waited_for(cluster: Served) -> None:
    leaving = canary(status(Phase.PROGRESSING, "2"))
    leaving["metadata"]["annotations"] = {"flaggerpy.dev/release": "true"}
    cluster.put(CANARIES, leaving)
    result = cluster.run("status", "web")
    assert (result.exit_code, "is released" in result.stdout) == (1, True)


# Configs


def test_a_changed_config_is_a_rollout_that_has_not_begun(cluster: Served) -> None:
    cluster.put(CONFIG_MAPS, config_map())
    recorded = {"configmap/settings": checksum(config_map())}
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED, rollout={"applied": revision(configs=recorded)})))
    assert cluster.run("status", "web").exit_code == 0
    cluster.put(CONFIG_MAPS, config_map(data={"color": "blue"}))
    assert cluster.run("status", "web", *QUICKLY).exit_code == 5


def test_a_secret_that_may_not_be_read_is_taken_for_unchanged_and_that_is_said(cluster: Served) -> None:
    cluster.put(CONFIG_MAPS, config_map())
    recorded = {"configmap/settings": checksum(config_map()), "secret/key": "0123456789abcdef"}
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED, rollout={"applied": revision(configs=recorded)})))
    cluster.do(lambda server: server.forbidden.add(SECRETS))
    result = cluster.run("status", "web")
    assert result.exit_code == 0
    assert 'User "someone" cannot access secrets (taken for unchanged)' in result.stdout
    cluster.put(CONFIG_MAPS, config_map(data={"color": "blue"}))
    assert cluster.run("status", "web", *QUICKLY).exit_code == 5, "the ConfigMap is still compared"


def test_where_no_configs_are_tracked_none_are_read(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED)))
    assert cluster.run("status", "web").exit_code == 0
    assert cluster.do(lambda server: [*server.seen(path="configmaps"), *server.seen(path="secrets")]) == []


# What is around


def test_why_pods_are_not_ready_is_told(cluster: Served) -> None:
    target = workloads("2")[0]
    target["status"] = {**target["status"], "availableReplicas": 1}
    cluster.put(DEPLOYMENTS, target)
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2")))
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    for name, labels in (("web-1", {"app": "web"}), ("other", {"app": "other"})):
        metadata = {"name": name, "namespace": "shop", "labels": labels}
        cluster.put(PODS, {"metadata": metadata, "status": {"containerStatuses": [waiting]}})
    result = cluster.run("status", "web", *QUICKLY)
    assert "canary web: 1 of 2 pods available; 1 × ImagePullBackOff: no such image\n" in result.stdout


def test_of_a_knative_service_no_pods_are_read(cluster: Served) -> None:
    """It selects none: whoever asked for its pods would get all of the namespace."""
    made = knative_service(noted="web-00001")
    template = KnativeTarget().state(made).template
    applied = Revision(template=template, controller_revision="web-00001")
    at = status(Phase.SUCCEEDED, rollout={"applied": applied, "promoted": applied})
    cluster.put(KNATIVE_SERVICES, made)
    cluster.put(CANARIES, canary(at, provider="knative", targetRef=NAMED, service=None))

    result = cluster.run("status", "web")

    assert result.exit_code == 0, result.stdout
    assert "canary web: ready" in result.stdout
    assert "primary web-00001: ready" in result.stdout
    assert cluster.do(lambda server: server.seen(path="pods")) == []


def test_pods_that_may_not_be_read_are_done_without_and_events_are_not_even_asked_for(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED)))
    cluster.do(lambda server: server.forbidden.update({PODS, EVENTS}))
    result = cluster.run("status", "web")
    assert result.exit_code == 0
    assert "cannot access pods" in result.stdout
    assert "cannot access events" not in result.stdout
    assert "cannot access events" in cluster.run("watch", "web", "--once").stdout


def test_a_missing_target_is_waited_for(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED)))
    cluster.do(lambda server: server.remove(Ref(DEPLOYMENTS, "shop", "web")))
    assert cluster.run("status", "web", *QUICKLY).exit_code == 5


# Patience


def stalled(message: str) -> CanaryStatus:
    row = {"type": "Stalled", "status": "True", "reason": "UserError", "message": message}
    return CanaryStatus.model_validate({"conditions": [row]})


def test_a_mistake_ends_the_wait_once_it_has_stood_for_a_while() -> None:
    seen = snapshot(with_status(rolling(), conditions=stalled("Deployment web does not exist.").conditions))
    other = snapshot(with_status(rolling(), conditions=stalled("ConfigMap settings does not exist.").conditions))
    patience, second = Patience(stop_at_pause=True), timedelta(seconds=1)
    assert patience.over(seen) is None
    assert patience.over(replace(seen, now=seen.now + STALLED_FOR - second)) is None
    assert patience.over(replace(other, now=seen.now + STALLED_FOR)) is None, "another mistake"
    assert patience.over(replace(snapshot(), now=seen.now + STALLED_FOR + second)) is None, "mended"
    assert patience.over(replace(seen, now=seen.now + 2 * STALLED_FOR)) is None, "made again"
    assert patience.over(replace(seen, now=seen.now + 3 * STALLED_FOR)) == Ending(
        Exit.ERROR, "shop/web cannot go on: Deployment web does not exist."
    )


def test_a_mistake_made_after_the_end_does_not_take_the_end_back() -> None:
    row = stalled("spec.provider is missing").conditions
    ended = snapshot(
        with_status(at_rest(applied=revision().model_copy(update={"template": "v1-1111111111111111"})), conditions=row)
    )
    end = Patience(stop_at_pause=True).over(ended)
    assert end is not None
    assert end.code is Exit.SUCCEEDED
