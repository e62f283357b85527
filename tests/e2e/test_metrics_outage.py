"""Prometheus is away for two minutes in mid-rollout: the release waits, says so, and goes on; it is not rolled back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e import own_prometheus
from tests.e2e.conftest import Figures
from tests.e2e.held_up import holds, paused, stand, times_told, told, verdicts
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import builtin_metrics, progressive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

OUTAGE = timedelta(minutes=2)
LIMIT = 5
"""Rounds without an answer before people are told: more than new pods have before they were scraped twice."""


def judged(place: Place, metrics_server: str) -> JsonObject:
    """Write a Canary that two failed checks would roll back; a Prometheus that begins anew has no values at first."""
    patient = {"onNoData": "wait", "consecutiveErrorLimit": LIMIT}
    metrics = [{**metric, **patient} for metric in builtin_metrics(slowest=2500)]
    canary = progressive(place.host, step=10, interval="5s", threshold=2, metrics=metrics)
    canary["spec"]["metricsServer"] = metrics_server
    return canary


async def test_two_minutes_without_prometheus_hold_a_release_and_do_not_roll_it_back(figures: Figures) -> None:
    async with new_place("metrics-outage") as place:
        server = await own_prometheus.install(place)
        await place.set_up()
        await place.bootstrap(judged(place, server))
        async with place.users() as users:
            await place.roll_out("6.0.1")
            await place.weight_is(20)
            await own_prometheus.stop(place)
            stopped = datetime.now(UTC)

            await paused(place)
            pausing = datetime.now(UTC) - stopped
            held = await stand(place)
            assert (held.phase, held.failed_checks, held.primary) == ("Progressing", 0, "6.0.0")
            assert await place.weights() == {"podinfo-primary": 100 - held.weight, "podinfo-canary": held.weight}
            assert {check["verdict"] for check in (await verdicts(place)).values()} == {"Error"}
            await holds(place, held, stopped + OUTAGE)
            back = datetime.now(UTC)

            await own_prometheus.start(place)
            await place.event("podinfo.metrics-outage goes on: every metric has a verdict again", patience=90)
            await place.ends("Succeeded", patience=180)
            await place.all_served_by(users, "6.0.1")
        shares = users.summary().shares(stopped, back)
        figures(f"metrics-outage: held at {held.weight} %, told after {pausing.total_seconds():.0f} s, shares {shares}")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert set(shares) == {"6.0.0", "6.0.1"}
        # Which of the two metrics is named depends on the query that met the outage first.
        await told(place, "podinfo.metrics-outage is paused by flaggerpy: metric request-", 1)
        reason = await place.event("podinfo.metrics-outage is paused by flaggerpy: ")
        assert f" gave no verdict more than {LIMIT} times in a row; the last time: " in reason
        assert await times_told(place, "Rolling back ") == 0
        assert {check["verdict"] for check in (await verdicts(place)).values()} == {"Passed"}
