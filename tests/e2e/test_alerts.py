"""What a team hears of its releases: each end once, with what was measured, why, and where to look."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e import programs
from tests.e2e.conftest import Figures
from tests.e2e.measured import forgotten
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import builtin_metrics, progressive
from tests.integration.site import IMAGE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WINDOW = "20s"
BEGUN = "New revision detected, progressing canary analysis."
PROMOTED = "Canary analysis completed successfully, promotion finished."
ROLLED_BACK = "Failed checks threshold reached 2"
LINK = "https://grafana.example.com/d/canary?var-namespace={{ namespace }}&var-name={{ name }}"


def provider(place: Place) -> JsonObject:
    """Write where the alerts of this namespace go: to a pod in it."""
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "AlertProvider",
        "metadata": {"name": "team"},
        "spec": {"type": "webhook", "address": f"http://receiver.{place.namespace}/", "link": LINK},
    }


def judged(place: Place) -> JsonObject:
    metrics = [{**metric, "onNoData": "wait"} for metric in builtin_metrics(WINDOW)]
    alerts = [{"name": "everything to the team", "providerRef": {"name": "team"}}]
    return progressive(place.host, interval="5s", threshold=2, metrics=metrics, alerts=alerts)


async def received(place: Place) -> list[dict[str, Any]]:
    """Return the alerts that the pod got, in the order in which they came."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        found: list[dict[str, Any]] = (await http.get(f"http://{await place.cluster_ip('receiver')}/")).json()
        return found


async def hears(place: Place, message: str) -> dict[str, Any]:
    """Wait for an alert."""

    async def there() -> dict[str, Any] | None:
        return next((alert for alert in await received(place) if alert["message"] == message), None)

    found: dict[str, Any] = await place.until(there, f"alert {message!r}")
    return found


async def test_each_end_of_a_release_is_told_once_with_values_reason_and_link(figures: Figures) -> None:
    async with new_place("alerted") as place:
        await place.apply(*programs.server("receiver", "receiver"), provider(place))
        await place.available("receiver")
        await place.set_up()
        await place.bootstrap(judged(place))
        async with place.users() as users:
            await place.roll_out("6.0.1")
            await place.ends("Succeeded")
            promoted = await hears(place, PROMOTED)
            await place.all_served_by(users, "6.0.1")

            await forgotten(place, window=WINDOW)
            await place.roll_out("6.0.2", "--random-error=true")
            await place.started()
            failed = await place.ends("Failed")
            rolled_back = await hears(place, ROLLED_BACK)
            await place.all_served_by(users, "6.0.1")
        await place.settled()
        alerts = await received(place)
        summary = users.summary().attributed(pod_errors_to="6.0.2")
        figures(tally(summary))
        assert_served(summary, summary.failed(excluding_versions=["6.0.2"]))

        started = "New Deployment detected, initialization completed."
        assert [alert["message"] for alert in alerts] == [started, BEGUN, PROMOTED, BEGUN, ROLLED_BACK]
        assert len({alert["id"] for alert in alerts}) == len(alerts)
        link = "https://grafana.example.com/d/canary?var-namespace=alerted&var-name=podinfo"
        assert {alert["link"] for alert in alerts} == {link}

        assert promoted["severity"] == "info"
        assert {metric["name"]: metric["verdict"] for metric in promoted["metrics"]} == {
            "request-success-rate": "Passed",
            "request-duration": "Passed",
        }
        assert all(metric["value"] and metric["bound"] for metric in promoted["metrics"])
        assert promoted["revision"]["before"] == [f"podinfod={IMAGE}:6.0.0"]
        assert promoted["revision"]["after"] == [f"podinfod={IMAGE}:6.0.1"]

        assert rolled_back["severity"] == "error"
        assert rolled_back["reason"] == failed["status"]["rollout"]["failing"]
        broken = next(metric for metric in rolled_back["metrics"] if metric["name"] == "request-success-rate")
        assert (broken["verdict"], broken["bound"]) == ("Failed", ">= 99%")
        assert broken["value"] in rolled_back["reason"]
        assert rolled_back["revision"]["after"] == [f"podinfod={IMAGE}:6.0.2"]
