"""Releases whose containers cannot start, in the words of a real kubelet: given up in half a minute, not in ten."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DEPLOYMENTS, PODS
from tests.e2e import workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.integration.site import IMAGE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

LATE = timedelta(seconds=10)
NOWHERE = "127.0.0.1:1/podinfo:6.0.9"
"""Nobody listens there, so that the pull fails at once."""


def patient() -> JsonObject:
    """Write a Canary that waits ten minutes for pods of which it knows nothing bad."""
    made = workloads.blue_green(interval="1s")
    made["spec"]["progressDeadlineSeconds"] = 600
    return made


async def change_container(place: Place, **fields: Any) -> None:
    """Push a new revision that differs in these fields of its container."""
    path = "/spec/template/spec/containers/0"
    patch = [{"op": "add", "path": f"{path}/{name}", "value": value} for name, value in fields.items()]
    await place.client.json_patch(place.ref(DEPLOYMENTS, "podinfo"), patch)


@pytest.mark.parametrize(
    ("name", "container", "reason"),
    [
        ("image-missing", {"image": f"{IMAGE}:6.0.9", "imagePullPolicy": "Never"}, r"ErrImageNeverPull \(.*6\.0\.9"),
        ("image-nowhere", {"image": NOWHERE}, r"(ErrImagePull|ImagePullBackOff) \(.*127\.0\.0\.1:1"),
        ("crashes", {"command": ["./podinfo", "--no-such-flag"]}, r"CrashLoopBackOff \(Error, exit code \d"),
    ],
)
async def test_a_release_that_cannot_start_is_given_up_early_and_says_why(
    name: str, container: JsonObject, reason: str, figures: Figures
) -> None:
    async with new_place(name) as place:
        await place.set_up(routed=False)
        await place.bootstrap(patient())
        async with place.users(url=f"http://{await place.cluster_ip()}/") as users:
            pushed = datetime.now(UTC)
            await change_container(place, **container)
            failed = await place.ends("Failed", patience=200)
            took = datetime.now(UTC) - pushed
        figures(f"{name}: given up after {took.total_seconds():.0f} s; {tally(users.summary())}")
        assert_served(users.summary())
        why = str(failed["status"]["rollout"]["failing"])
        said = rf"podinfo\.{name} cannot become ready: container podinfod of [12] of 2 pods: {reason}"
        assert re.match(said, why), why
        await place.event(why)
        assert await place.image("podinfo-primary") == "6.0.0"


def late(*keys: str) -> JsonObject:
    """Write a Secret that is no part of a revision, with these keys."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "late", "annotations": {"flagger.app/config-tracking": "disabled"}},
        "stringData": dict.fromkeys(keys, "t-1"),
    }


async def test_a_secret_that_arrives_ten_seconds_late_holds_nothing_up(figures: Figures) -> None:
    async with new_place("secret-late") as place:
        await place.apply(late("other"))
        await place.set_up(routed=False)
        await place.bootstrap(patient())
        token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "late", "key": "token"}}}
        await change_container(place, image=f"{IMAGE}:6.0.1", env=[token])
        since = datetime.fromisoformat(await place.until(lambda: _hopeless_since(place), "hopelessSince"))
        assert await _reasons(place) == {"CreateContainerConfigError"}

        await place.until(lambda: _is_past(since + LATE), "ten seconds", patience=30)
        await place.apply(late("other", "token"))
        arrived = datetime.now(UTC) - since
        await place.until(lambda: _hopes_again(place), "a new start")
        figures(f"secret-late: arrived after {arrived}, mended after {datetime.now(UTC) - since}")
        await place.ends("Succeeded")
        assert not [message for message in await place.events() if "cannot become ready" in message]
        assert await place.image("podinfo-primary") == "6.0.1"


async def _hopeless_since(place: Place) -> str:
    status = (await place.canary()).get("status") or {}
    return str((status.get("rollout") or {}).get("hopelessSince") or "")


async def _hopes_again(place: Place) -> bool:
    return await _hopeless_since(place) == ""


async def _is_past(moment: datetime) -> bool:
    return datetime.now(UTC) >= moment


async def _reasons(place: Place) -> set[str]:
    """Tell what containers of the target wait for, of those that wait for anything."""
    pods, _ = await place.client.list(PODS, place.namespace)
    rows = [row for pod in pods for row in (pod.get("status") or {}).get("containerStatuses") or ()]
    waiting = [(row.get("state") or {}).get("waiting") or {} for row in rows]
    return {str(state["reason"]) for state in waiting if state} - {"ContainerCreating"}
