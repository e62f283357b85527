"""The panels: what somebody who runs rollouts asks, and the PromQL that answers it.

Series are aggregated over the processes that expose them, so that lines go on when another replica takes over.
"""

from flaggerpy.api.status import Phase
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
    stat,
)

WHO = 'namespace=~"$namespace", name=~"$name"'
"""The canaries that were chosen at the top."""
CANARY = "{{namespace}}/{{name}}"
ROLLING = "Waiting|Progressing|WaitingPromotion|Promoting|Finalising"
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


def quantile(of: str, bucket: str, by: str, *, matching: str = "", window: str = "$__rate_interval") -> str:
    """Write a quantile of a histogram."""
    chosen = f"{{{matching}}}" if matching else ""
    return f"histogram_quantile({of}, sum by (le, {by}) (rate({bucket}{chosen}[{window}])))"


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
            f'count({EACH} (flaggerpy_canary_phase{{{WHO}, phase=~"{ROLLING}"}})) or vector(0)',
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
    """What the rollouts do."""
    outcome = "sum by (namespace, name, deployment_strategy, analysis_status) (increase({}{{{}}}[$__interval]))"
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


def questions() -> tuple[Panel, ...]:
    """Whom the controller asks and tells."""
    return (
        graph(
            "Metrics servers: time to answer",
            "The slowest twentieth of queries.",
            Query(quantile("0.95", "flaggerpy_metric_query_duration_seconds_bucket", "provider"), "{{provider}}"),
            unit="s",
            width=6,
        ),
        bars(
            "Metrics servers: answers",
            "unanswered holds rollouts: the server is away, slow or refuses us. refused is a wrong query.",
            Query(
                "sum by (provider, outcome) (increase(flaggerpy_metric_query_duration_seconds_count[$__interval]))",
                "{{provider}} {{outcome}}",
            ),
        ),
        bars(
            "Webhooks: answers",
            "refused is an answer that is no 2xx, a closed gate for example; unanswered is none at all.",
            Query(
                "sum by (type, result) (increase(flaggerpy_webhook_duration_seconds_count[$__interval]))",
                "{{type}} {{result}}",
            ),
        ),
        bars(
            "Alerts",
            "Delivered, given up after three attempts, and dropped because a receiver is too slow.",
            Query(
                "sum by (receiver, result) (increase(flaggerpy_alerts_total[$__interval]))",
                "{{receiver}} {{result}}",
            ),
            Query("sum by (kind) (increase(flaggerpy_notifications_dropped_total[$__interval]))", "{{kind}} dropped"),
        ),
    )


def controller() -> tuple[Panel, ...]:
    """How the controller is."""
    process = "{} and on (job, instance) flaggerpy_leader"
    return (
        stat("Leaders", "One for each installation is right.", "sum(flaggerpy_leader) or vector(0)"),
        stat("Replicas", "Processes that are scraped.", "count(flaggerpy_leader) or vector(0)"),
        stat(
            "Waiting canaries", "More than zero for long: too few workers.", "sum(flaggerpy_queue_depth) or vector(0)"
        ),
        stat("Oldest tick", "How long the slowest runs.", "max(flaggerpy_longest_reconcile_seconds)", unit="s"),
        stat(
            "Since the last tick",
            "An idle cluster needs none.",
            "time() - max(flaggerpy_last_reconcile_timestamp_seconds)",
            unit="s",
        ),
        stat("Oldest watch", "Above five minutes changes are missed.", "max(flaggerpy_watch_age_seconds)", unit="s"),
        graph(
            "Ticks",
            "error is a bug of flaggerpy, with its stacktrace in the log; retry is the API server or a conflict.",
            Query("sum by (result) (rate(flaggerpy_reconcile_duration_seconds_count[$__rate_interval]))", "{{result}}"),
            unit="ops",
        ),
        graph(
            "How long ticks take",
            "The slowest twentieth, hooks and metrics included.",
            Query(quantile("0.95", "flaggerpy_reconcile_duration_seconds_bucket", "result"), "{{result}}"),
            unit="s",
        ),
        graph(
            "Age of watches",
            "Seconds since the API server last said anything; bookmarks come about once a minute.",
            Query("max by (resource, scope) (flaggerpy_watch_age_seconds)", "{{resource}} in {{scope}}"),
            unit="s",
        ),
        graph(
            "Requests to the API server",
            "An idle controller makes none but watches.",
            Query("sum by (verb) (rate(flaggerpy_api_requests_total[$__rate_interval]))", "{{verb}}"),
            unit="reqps",
            width=6,
        ),
        graph(
            "Refused requests to the API server",
            "409 is an everyday conflict. none means that no answer came.",
            Query(
                'sum by (verb, code) (rate(flaggerpy_api_requests_total{code!~"2.."}[$__rate_interval]))',
                "{{verb}} {{code}}",
            ),
            unit="reqps",
            width=6,
        ),
        graph(
            "Memory",
            "Resident, by process.",
            Query(process.format("process_resident_memory_bytes"), "{{instance}}"),
            unit="bytes",
            width=6,
        ),
        graph(
            "CPU",
            "In cores, by process.",
            Query(process.format("rate(process_cpu_seconds_total[$__rate_interval])"), "{{instance}}"),
            width=6,
        ),
    )


ROWS = {"": overview, "Rollouts": rollouts, "Metrics servers, webhooks, alerts": questions, "Controller": controller}
"""Titles of the rows, and what is in them; the first row has none."""
