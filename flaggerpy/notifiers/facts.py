"""What an alert tells of its rollout: reason, revision and metrics, as data and as the lines that chats show."""

from __future__ import annotations

from flaggerpy.api.alert import MetricPayload, RevisionPayload
from flaggerpy.api.canary import Canary
from flaggerpy.api.status import CheckResult, Pending, Phase
from flaggerpy.notifiers.base import Facts, Field, alert_fields

MOST_METRICS = 8
"""Metrics that get a line of their own, those that did not pass first; the rest is counted."""
LONGEST_VALUE = 240
LONGEST_REASON = 500
LONGEST_MESSAGE = 800
"""Characters; with them an alert stays within what every receiver takes (Discord: 6000 in all, 1024 a line)."""
_PASSED = "Passed"


def facts_of(canary: Canary, *, cluster: str, checksum: str) -> Facts:
    """Read what is known of a canary's rollout; of one that waits for its start, nothing of the rollout before."""
    status, target = canary.status, canary.spec.target_ref
    rollout, begun = status.rollout, status.phase is not Phase.WAITING
    change = rollout.change
    return Facts(
        cluster=cluster,
        target=f"{target.kind}/{target.name}",
        phase=status.phase.value,
        weight=status.canary_weight,
        failed_checks=status.failed_checks,
        reason=(begun and rollout.failing) or rollout.reason,
        revision=RevisionPayload(
            before=change.before if change else [], after=change.after if change else [], checksum=checksum
        ),
        metrics=tuple(_metric(check) for check in rollout.checks if begun),
    )


def lines(canary: Canary, item: Pending, facts: Facts) -> tuple[Field, ...]:
    """Give the lines below an alert's message: Flagger's, then what led to it."""
    own = [
        Field("Revision", revision_text(facts.revision) if canary.status.rollout.change else ""),
        Field("Reason", "" if facts.reason in item.message else shortened(facts.reason, LONGEST_REASON)),
        *_metric_lines(facts.metrics),
    ]
    flaggers = alert_fields(canary, cluster=facts.cluster, details=item.fields)
    return (*flaggers, *(line for line in own if line.value))


def revision_text(revision: RevisionPayload) -> str:
    """Say what changes: the images that differ, or that none does."""
    before, after = _by_container(revision.before), _by_container(revision.after)
    changed = [
        f"{container}: {before.get(container, 'none')} → {after.get(container, 'none')}"
        for container in dict.fromkeys([*before, *after])
        if before.get(container) != after.get(container)
    ]
    if changed:
        return shortened("; ".join(changed))
    same = f"same images, checksum {revision.checksum}" if after else f"checksum {revision.checksum}"
    return same if revision.checksum else ""


def shortened(text: str, longest: int = LONGEST_VALUE) -> str:
    """Cut a text to so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _metric_lines(metrics: tuple[MetricPayload, ...]) -> list[Field]:
    ordered = sorted(metrics, key=lambda metric: metric.verdict == _PASSED or metric.dry_run)
    shown = [
        Field(shortened(f"Metric {one.name}", 100), shortened(_metric_text(one))) for one in ordered[:MOST_METRICS]
    ]
    left = len(ordered) - len(shown)
    return [*shown, Field("Metrics", f"and {left} more")] if left else shown


def _metric_text(metric: MetricPayload) -> str:
    verdict = f"{metric.verdict}, dry run" if metric.dry_run else metric.verdict
    if not metric.value:
        return f"{verdict}: {metric.reason}" if metric.reason else verdict
    accepted = f", accepted is {metric.bound}" if metric.bound else ""
    return f"{metric.value}{accepted}: {verdict}"


def _metric(check: CheckResult) -> MetricPayload:
    return MetricPayload(
        name=check.name,
        verdict=check.verdict,
        value=check.value or "",
        bound=check.bound or "",
        reason=check.reason,
        dry_run=check.dry_run,
    )


def _by_container(images: list[str]) -> dict[str, str]:
    pairs = (image.partition("=") for image in images)
    return {container: image for container, _, image in pairs}
