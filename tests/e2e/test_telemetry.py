"""The dashboard on a real Prometheus that scrapes the controller's Pods, while a canary is rolled out."""

from __future__ import annotations

import pytest

from tests.e2e.measured import prometheus
from tests.e2e.place import load_tester, new_place
from tests.e2e.workloads import builtin_metrics, gate, progressive, task
from tests.telemetry.queries import Shipped, filled, panels, rules, variables

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

CORE = (
    "Canaries",
    "Rollouts now",
    "Where every canary stands",
    "Phases",
    "Canary's share of traffic",
    "Measured values",
    "Failed rounds of running analyses",
    "How long a round of analysis takes",
    "Metrics servers: answers",
    "Webhooks: answers",
    "Leaders",
    "Ticks",
    "Age of watches",
    "Requests to the API server",
    "Memory",
    "CPU",
)
"""Panels that have something to show while a canary is rolled out; the others may have nothing to complain of."""
SHARE = "Canary's share of traffic"
SCRAPES = 60.0
"""Seconds within which Prometheus has scraped the controller several times."""


def by_title() -> dict[str, list[Shipped]]:
    return {title.partition(" ")[2]: queries for title, queries in panels().items()}


async def test_every_query_of_the_dashboard_is_answered_and_the_core_shows_the_rollout() -> None:
    found = by_title()
    assert set(CORE) <= set(found)
    async with new_place("telemetry") as place, load_tester(place) as tester, prometheus(place) as asked:
        await place.set_up()
        hey = "hey -z {} -q 10 -c 2 http://podinfo-canary.telemetry/"
        canary = progressive(
            place.host,
            interval="2s",
            threshold=5,
            metrics=builtin_metrics(),
            webhooks=[
                task("pre-rollout", "acceptance-test", hey.format("11s"), type="bash"),
                task("rollout", "load-test", hey.format("1m"), timeout="5s"),
                gate("confirm-promotion"),
            ],
        )
        await place.bootstrap(canary)
        async with place.users():
            await place.roll_out("6.0.1")
            await place.phase_is("WaitingPromotion", patience=120)
            (share,) = found[SHARE]
            await asked.until(
                filled(share.expression, namespace=place.namespace),
                lambda rows: [float(row["value"][1]) for row in rows] == [50],
                within=SCRAPES,
            )

            for title, queries in found.items():
                for query in queries:
                    expression = filled(query.expression, namespace=place.namespace)
                    if title in CORE:
                        await asked.until(expression, within=SCRAPES)
                    else:
                        await asked.query(expression)
            for query in variables():
                (label,) = query.named
                values = await asked.labels(label, filled(query.expression))
                assert {"namespace": place.namespace, "name": "podinfo"}[label] in values
            for rule in rules():
                await asked.query(rule.expression)

            await tester.open()
            await place.ends("Succeeded")
        (phases,) = found["Phases"]
        await asked.until(
            filled(phases.expression, namespace=place.namespace),
            lambda rows: [float(row["value"][1]) for row in rows] == [7],
            within=SCRAPES,
        )
