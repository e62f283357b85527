"""Releases behind Envoy, judged by what a real Prometheus measured: a good one, one with errors, a slow one."""

from __future__ import annotations

import pytest

from flaggerpy.kube.objects import JsonObject
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, new_place, tally
from tests.e2e.workloads import builtin_metrics, progressive, task

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

HEY = "hey -z {time} -q 10 -c 2 http://podinfo-canary.{namespace}/"


def judged(place: Place, *, interval: str = "2s", threshold: int = 2) -> JsonObject:
    """Write a Canary with the built-in checks and a load test, which runs before users come, too."""
    return progressive(
        place.host,
        step=10,
        interval=interval,
        threshold=threshold,
        metrics=builtin_metrics(),
        webhooks=[
            # Prometheus needs two scrapes of the new pods before it can tell a rate.
            task("pre-rollout", "acceptance-test", HEY.format(time="11s", namespace=place.namespace), type="bash"),
            task("rollout", "load-test", HEY.format(time="1m", namespace=place.namespace), timeout="5s"),
        ],
    )


async def test_good_release_reaches_all_users_and_none_of_them_notices(figures: Figures) -> None:
    async with new_place("good") as place:
        await place.set_up()
        async with place.users() as users:
            await place.bootstrap(judged(place))
            await place.roll_out("6.0.1")
            await place.ends("Succeeded")
            await place.all_served_by(users, "6.0.1")
        end = await place.end()
        summary = users.summary()
        figures(tally(summary))
        assert_served(summary)
        assert set(summary.by_version()) == {"6.0.0", "6.0.1"}
        assert end.images["podinfo-primary"] == "6.0.1"
        assert end.replicas == {"podinfo": 0, "podinfo-primary": 2}
        assert end.route == {"podinfo-primary": 100, "podinfo-canary": 0}
        expected = [
            "Initialization done! podinfo.good",
            "New revision detected! Scaling up podinfo.good",
            "Starting canary analysis for podinfo.good",
            "Pre-rollout check acceptance-test passed",
            *(f"Advance podinfo.good canary weight {weight}" for weight in (10, 20, 30, 40, 50)),
            "Copying podinfo.good template spec to podinfo-primary.good",
            "Routing all traffic to primary",
            "Promotion completed! Scaling down podinfo.good",
        ]
        await place.event(expected[-1])
        assert [message for message in await place.events() if message in expected] == expected


@pytest.mark.parametrize(
    ("name", "flags", "metric"),
    [
        ("bad", ("--random-error=true",), "request-success-rate"),
        (
            "slow",
            (
                "--random-delay=true",
                "--random-delay-unit=ms",
                "--random-delay-min=600",
                "--random-delay-max=900",
            ),
            "request-duration",
        ),
    ],
)
async def test_release_that_measures_badly_is_rolled_back_and_hurts_only_who_met_it(
    name: str, flags: tuple[str, ...], metric: str, figures: Figures
) -> None:
    async with new_place(name) as place:
        await place.set_up()
        # As long as a scrape of Prometheus: shorter steps may all be over before it has seen the first error.
        await place.bootstrap(judged(place, interval="5s"))
        async with place.users() as users:
            await place.roll_out("6.0.2", *flags)
            canary = await place.ends("Failed")
            await place.all_served_by(users, "6.0.0")
        # Errors say nothing about who made them; what a pod answered is the bad revision's, the proxy's own is not.
        summary = users.summary().attributed(pod_errors_to="6.0.2")
        figures(tally(summary))
        assert_served(summary, summary.failed(excluding_versions=["6.0.2"]))
        assert metric in canary["status"]["rollout"]["failing"]
        await place.event(f"Canary failed! Scaling down podinfo.{name}")
        assert metric in await place.event(f"Rolling back podinfo.{name}")
        end = await place.end()
        assert end.images["podinfo-primary"] == "6.0.0"
        assert end.route == {"podinfo-primary": 100, "podinfo-canary": 0}
