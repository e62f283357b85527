"""What somebody who runs the controller asks, and the PromQL that answers it."""

from tools.dashboard.grafana import Panel, Query, bars, graph, quantile, stat


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
    )


def work() -> tuple[Panel, ...]:
    """What the controller does, and what it takes."""
    process = "{} and on (job, instance) flaggerpy_leader"
    return (
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
