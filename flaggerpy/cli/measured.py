"""What `analyze` shows, as plain values and as text; pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never
from urllib.parse import urlsplit

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Phase
from flaggerpy.api.validation import problems
from flaggerpy.cli.access import sentence
from flaggerpy.cli.lines import VERDICTS
from flaggerpy.cli.progress import progress
from flaggerpy.controller.check import Examined
from flaggerpy.controller.questions import Question
from flaggerpy.kube.errors import Forbidden
from flaggerpy.kube.objects import JsonObject
from flaggerpy.metrics import judge
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.judge import Measure
from flaggerpy.metrics.outbound import place
from flaggerpy.metrics.verdict import Measurements
from flaggerpy.rollout.checks import MetricCheck, MetricSource, Verdict
from flaggerpy.rollout.transition import BOOTSTRAP, ROLLING

_UNITS: Final = {Measure.PERCENT: "%", Measure.MILLISECONDS: " ms", Measure.PLAIN: ""}
_TITLES: Final = {
    "canary": "query",
    "samples": "its samples",
    "primary": "of the primary",
    "primarySamples": "the primary's samples",
    "good": "good requests",
    "total": "all requests",
    "primaryGood": "good of the primary",
    "primaryTotal": "all of the primary",
}
_VALUED: Final = ("canary", "samples", "primary", "primarySamples")
_COUNTED: Final = ("good", "total", "primaryGood", "primaryTotal")
"""What the queries of a question are for, in their order: of one that asks for a value, and of a sequential test."""
_COLUMN: Final = 23
_LOCAL_PORT: Final = 9090
"""Port to forward to where the server's own may not be listened on by everybody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One query as it was rendered, and what was answered; ``of`` says what it is for."""

    of: str
    query: str
    answer: str


@dataclass(frozen=True, slots=True)
class Row:
    """One metric.

    Attributes:
        source: where its query is from: builtin, query or template; counters are those of a sequential test.
        server: type and place of the server, empty where it is not known.
        reason: why it did not pass, in the words of events; empty when it passed. A sequential test says what it saw.

    """

    name: str
    source: str
    verdict: Verdict
    value: str | None
    bound: str | None
    reason: str
    dry_run: bool
    server: str
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """All that is shown.

    Attributes:
        standing: who gets users now, and so what is measured.
        hooks: type and name of each webhook.
        notes: what else is worth a sentence.

    """

    canary: Canary
    at: datetime
    standing: str
    rows: tuple[Row, ...]
    hooks: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def document(self) -> JsonObject:
        """Write it for programs."""
        return {
            "canary": self.canary.name,
            "namespace": self.canary.namespace,
            "phase": self.canary.status.phase.value,
            "measuredAt": self.at.isoformat(timespec="seconds"),
            "standing": self.standing,
            "metrics": [_document(row) for row in self.rows],
            "hooks": [{"type": kind, "name": name, "called": False} for kind, name in self.hooks],
            "notes": list(self.notes),
        }


def _document(row: Row) -> JsonObject:
    return {
        "name": row.name,
        "source": row.source,
        "verdict": row.verdict.value,
        "value": row.value,
        "bound": row.bound,
        "reason": row.reason,
        "dryRun": row.dry_run,
        "server": row.server,
        "queries": [{"of": asked.of, "query": asked.query, "answer": asked.answer} for asked in row.asked],
    }


def report_of(canary: Canary, at: datetime, rows: Sequence[Row], hints: Sequence[str]) -> Report:
    """Put together what is shown."""
    notes = [f"the controller does not roll this canary out: {problem}" for problem in problems(canary)]
    if canary.spec.skip_analysis:
        notes.append("spec.skipAnalysis is true: the controller measures nothing.")
    if not canary.analysis.metrics:
        notes.append("there is nothing to measure: spec.analysis.metrics is empty.")
    hooks = tuple((hook.type.value, hook.name) for hook in canary.analysis.webhooks)
    return Report(canary, at, standing(canary), tuple(rows), hooks, (*notes, *dict.fromkeys(hints)))


def standing(canary: Canary) -> str:
    """Say who gets users now, which decides what there is to be measured."""
    status, target, primary = canary.status, canary.target_name, canary.primary_name
    match status.phase:
        case phase if phase in BOOTSTRAP:
            return f"{target} serves its users itself, so that is what is measured."
        case _ if status.rollout.serving_canary:
            return f"{target} serves all users, because {primary} cannot."
        case phase if phase in ROLLING - {Phase.WAITING}:
            return f"{progress(canary).words}, and the canary's weight is {status.canary_weight} %."
        case _:
            return (
                f"nothing is being analysed: {primary} serves all users and {target} none, so metrics of the canary "
                "may have no data, or only that of an earlier rollout."
            )


def row_of(canary: Canary, check: MetricCheck, examined: Examined) -> Row:
    """Read what came of one metric; a right that is missing here is not one that the controller misses."""
    metric, answer = canary.analysis.metrics[check.index], examined.answer
    reason = answer.reason(metric.name) if examined.unread is None else sentence(examined.unread)
    if isinstance(examined.unread, Forbidden):
        reason = f"{reason.rstrip('.')}. It is read with your rights, the controller has its own."
    question = examined.question
    return Row(
        name=metric.name,
        source=check.source.value,
        verdict=answer.verdict,
        value=answer.value,
        bound=answer.bound,
        reason=reason,
        dry_run=metric.dry_run,
        server=_server(question.settings) if question is not None else "",
        asked=tuple(_asked(check.source, question, examined.found)) if question is not None else (),
    )


def _server(settings: ProviderSettings) -> str:
    return f"{settings.type} at {place(settings.address)}" if settings.address else settings.type


def _asked(source: MetricSource, question: Question, found: Measurements | None) -> Iterator[Asked]:
    queries, unit = question.queries, _UNITS[question.measure]
    rows = (
        (queries.value, found.value if found else None, unit),
        (queries.samples, found.samples if found else None, ""),
        (queries.primary, found.primary if found else None, unit),
        (queries.primary_samples, found.primary_samples if found else None, ""),
    )
    names = _COUNTED if source is MetricSource.COUNTERS else _VALUED
    for of, (query, outcome, what) in zip(names, rows, strict=True):
        if query is not None:
            yield Asked(of, query.strip(), _told(outcome, what))


def _told(outcome: Outcome | None, unit: str) -> str:
    match outcome:
        case None:
            return "not asked"
        case Value(value):
            return f"{judge.plain(value)}{unit}"
        case NoData():
            return "no value"
        case BadQuery():
            return "refused"
        case ProviderError():
            return "no answer"
        case _:
            assert_never(outcome)


def hint(examined: Examined) -> Iterator[str]:
    """Say how to get at a server that did not answer because it is inside the cluster, and we are not."""
    question, found = examined.question, examined.found
    if question is None or found is None or not found.is_silent:
        return
    url = urlsplit(question.settings.address)
    host = url.hostname or ""
    if not inside(host):
        return
    service, namespace, *_ = [*host.split("."), "NAMESPACE"]
    port = url.port or (443 if url.scheme == "https" else 80)
    local = port if port > 1023 else _LOCAL_PORT
    flag = "--metrics-server" if question.template is None else "--template-address"
    whose = " (NAMESPACE is the controller's)" if "." not in host else ""
    yield (
        f"{host} looks like an address inside the cluster, which cannot be reached from outside: run "
        f"`kubectl port-forward -n {namespace} service/{service} {local}:{port}`{whose} beside this, and say "
        f"{flag} {url.scheme}://localhost:{local}."
    )


def inside(host: str) -> bool:
    """Tell whether a host's name is most likely that of a Service: ``prometheus``, ``prometheus.istio-system.svc``."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.rstrip(".").split(".")
        return bool(host) and host != "localhost" and (len(labels) <= 2 or "svc" in labels[2:])
    return False


def text(report: Report) -> Iterator[str]:
    """Write it for people."""
    canary = report.canary
    yield f"{canary.namespace}/{canary.name} is {canary.status.phase.value or 'New'}: {report.standing}"
    for row in report.rows:
        yield ""
        yield from _text(row)
    if report.hooks:
        yield ""
        yield f"not called: {', '.join(f'{kind} {name}' for kind, name in report.hooks)}"
    for note in report.notes:
        yield ""
        yield note


def _text(row: Row) -> Iterator[str]:
    dry = ", dry run: nothing follows" if row.dry_run else ""
    yield f"{row.name}: {VERDICTS[row.verdict.value]}{dry}"
    lines = {
        "value": row.value if row.value is not None else "none",
        "accepted": row.bound or "",
        "reason": row.reason,
        "server": row.server,
    }
    for title, content in lines.items():
        if content:
            yield _line(title, content)
    for asked in row.asked:
        yield _line(_TITLES[asked.of], asked.query)
        yield _line("", f"→ {asked.answer}")


def _line(title: str, content: str) -> str:
    """Write one entry; further lines of it stand below its first one."""
    first, *more = content.splitlines() or [""]
    return "\n".join([f"  {title:<{_COLUMN}}{first}", *(f"  {'':<{_COLUMN}}{line}" for line in more)])
