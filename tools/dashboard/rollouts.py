"""What somebody who runs rollouts asks, and the PromQL that answers it.

Series are aggregated over the processes that expose them, so that lines go on when another replica takes over.
"""

from flaggerpy.api.status import Phase
from flaggerpy.rollout.transition import ROLLING
from tools.dashboard.grafana import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Panel,
    Query,
    bars,
    graph,
    mapping,
    override,
    quantile,
    stat,
)

WHO = 'namespace=~"$namespace", name=~"$name"'
"""The canaries that were chosen at the top."""
CANARY = "{{namespace}}/{{name}}"
RUNNING = "|".join(phase.value for phase in Phase if phase in ROLLING)
COLORS = {
    Phase.INITIALIZING: YELLOW,
    Phase.INITIALIZED: GRAY,
    Phase.WAITING: ORANGE,
    Phase.PROGRESSING: BLUE,
    Phase.WAITING_PROMOTION: ORANGE,
    Phase.PROMOTING: PURPLE,
    Phase.FINALISING: PURPLE,
    Phase.SUCCEEDED: GREEN,
    Phase.FAILED: RED,
    Phase.TERMINATING: YELLOW,
    Phase.TERMINATED: GRAY,
}
"""Every phase but the one before a controller has looked."""
EACH = "max by (namespace, name)"
"""Of several processes that show one canary, as at a takeover, one."""
SHARE = (
    f'{EACH} (label_replace(flagger_canary_weight{{namespace=~"$namespace", workload=~"$name"}}, '
    f'"name", "$1", "workload", "(.*)") and on (namespace, name) flaggerpy_canary_phase{{{WHO}}})'
)
"""Weights by target; the primaries' are left out because no target is called like them."""


def standing() -> Panel:
    """Where every canary stands, as a table."""
    queries = (
        f"max by (namespace, name, phase) (flaggerpy_canary_phase{{{WHO}}})",
        SHARE,
        f"{EACH} (flaggerpy_canary_failed_checks{{{WHO}}})",
        f"{EACH} (flaggerpy_canary_stalled{{{WHO}}})",
        f"time() - {EACH} (flaggerpy_canary_last_transition_timestamp_seconds{{{WHO}}})",
        f"time() - {EACH} (flaggerpy_canary_rollout_start_timestamp_seconds{{{WHO}}})",
    )
    names = ("Canary's share", "Failed checks", "Stalled", "Unchanged for", "Rollout runs for")
    columns = {f"Value #{chr(ord('B') + number)}": name for number, name in enumerate(names)}
    hidden = ("Time", "Value #A")
    shown = ("namespace", "name", "phase", *columns)
    colors = {phase.value: {"color": color, "index": number} for number, (phase, color) in enumerate(COLORS.items())}
    return Panel(
        "Where every canary stands",
        "Name is the target's. Unchanged for: since phase, weight, iteration, failed checks or revision changed.",
        "table",
        tuple(Query(expr, instant=True, table=True) for expr in queries),
        width=24,
        height=9,
        options={"sortBy": [{"displayName": "Rollout runs for", "desc": True}]},
        overrides=(
            override("Phase", mappings=[{"type": "value", "options": colors}], cell="color-text"),
            override("Canary's share", unit="percent", cell="gauge", min=0, max=100),
            override("Stalled", mappings=[mapping("no", "yes")]),
            override("Unchanged for", unit="s"),
            override("Rollout runs for", unit="s"),
        ),
        more={
            "transformations": [
                {"id": "merge", "options": {}},
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": dict.fromkeys(hidden, True),
                        "indexByName": {name: position for position, name in enumerate(shown)},
                        "renameByName": {"namespace": "Namespace", "name": "Name", "phase": "Phase", **columns},
                    },
                },
            ],
        },
    )


def timeline() -> Panel:
    """The phases of every canary over time; a number stands for each phase and is shown as its name."""
    terms = " or ".join(
        f'{number} * flaggerpy_canary_phase{{{WHO}, phase="{phase.value}"}}' for number, phase in enumerate(COLORS)
    )
    texts = {
        str(number): {"text": phase.value, "color": color, "index": number}
        for number, (phase, color) in enumerate(COLORS.items())
    }
    return Panel(
        "Phases",
        "What every canary went through.",
        "state-timeline",
        (Query(f"{EACH} ({terms})", CANARY),),
        width=24,
        height=9,
        custom={"fillOpacity": 70, "lineWidth": 0},
        defaults={"mappings": [{"type": "value", "options": texts}]},
        options={"mergeValues": True, "showValue": "auto", "rowHeight": 0.8, "legend": {"showLegend": False}},
    )


def overview() -> tuple[Panel, ...]:
    """Numbers that say at a glance whether anybody has to do something."""
    return (
        stat(
            "Canaries",
            "How many there are.",
            'sum(flagger_canary_total{namespace=~"$namespace"}) or vector(0)',
        ),
        stat(
            "Rollouts now",
            "Canaries between a new revision and its end, those that wait for approval included.",
            f'count({EACH} (flaggerpy_canary_phase{{{WHO}, phase=~"{RUNNING}"}})) or vector(0)',
        ),
        stat(
            "Last rollout failed",
            "Canaries whose newest revision was rolled back; users are on the one before.",
            f"count({EACH} (flagger_canary_status{{{WHO}}}) == 2) or vector(0)",
            bad=True,
        ),
        stat(
            "Stalled",
            "Canaries that wait until their user mends something; kubectl describe says what.",
            f"sum({EACH} (flaggerpy_canary_stalled{{{WHO}}})) or vector(0)",
            bad=True,
        ),
        stat(
            "Promoted",
            "Rollouts that succeeded in the time shown.",
            f"round(sum(increase(flagger_canary_successes_total{{{WHO}}}[$__range]))) or vector(0)",
        ),
        stat(
            "Failed",
            "Rollouts that failed in the time shown.",
            f"round(sum(increase(flagger_canary_failures_total{{{WHO}}}[$__range]))) or vector(0)",
            bad=True,
        ),
    )


def rollouts() -> tuple[Panel, ...]:
    """What the rollouts do now and did before."""
    return (
        standing(),
        timeline(),
        graph(
            "Canary's share of traffic",
            "In percent, as the controller set it.",
            Query(SHARE, CANARY),
            unit="percent",
            lineInterpolation="stepAfter",
        ),
        graph(
            "Measured values",
            "The last value of every metric check in the metric's own unit; request-duration is in seconds.",
            Query(
                f"max by (namespace, name, metric) (flagger_canary_metric_analysis{{{WHO}}})",
                f"{CANARY} {{{{metric}}}}",
            ),
        ),
        graph(
            "Failed rounds of running analyses",
            "A rollout is rolled back when they reach spec.analysis.threshold.",
            Query(f"{EACH} (flaggerpy_canary_failed_checks{{{WHO}}})", CANARY),
            lineInterpolation="stepAfter",
        ),
    )


def results() -> tuple[Panel, ...]:
    """How checks and rollouts end, and how long they take."""
    outcome = "sum by (namespace, name, deployment_strategy, analysis_status) (increase({}{{{}}}[$__interval]))"
    return (
        bars(
            "Checks that did not pass",
            "By check. An error is a metric that could not be measured: it holds the rollout and is not counted.",
            Query(
                f"sum by (namespace, name, type, check, result) (increase(flaggerpy_canary_checks_total{{{WHO}, "
                f'type!="rollback", result!="passed"}}[$__interval]))',
                f"{CANARY} {{{{check}}}} {{{{result}}}}",
            ),
        ),
        bars(
            "Outcomes",
            "Rollouts that ended.",
            Query(outcome.format("flagger_canary_successes_total", WHO), f"{CANARY} promoted, {{{{analysis_status}}}}"),
            Query(outcome.format("flagger_canary_failures_total", WHO), f"{CANARY} failed"),
        ),
        graph(
            "How long rollouts take",
            "Of all canaries, from the new revision to the end, approvals included: the median and the slowest "
            "twentieth of the day before.",
            *(
                Query(
                    quantile(of, "flaggerpy_rollout_duration_seconds_bucket", "result", window="1d"),
                    f"{name} {{{{result}}}}",
                )
                for of, name in (("0.5", "median"), ("0.95", "95 %"))
            ),
            unit="s",
            width=6,
        ),
        graph(
            "How long a round of analysis takes",
            "The slowest twentieth, hooks and metrics included. Near the interval, rollouts are slower than asked.",
            Query(quantile("0.95", "flagger_canary_duration_seconds_bucket", "namespace, name", matching=WHO), CANARY),
            unit="s",
            width=6,
        ),
    )
