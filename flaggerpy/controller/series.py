"""Which canaries have series, and what a tick adds to them.

Only a process that leads shows canaries: two that show the same would be counted twice, and one that led before would
go on showing what was true then.
"""

from __future__ import annotations

from datetime import datetime

from flaggerpy.api.analysis import HookType
from flaggerpy.api.canary import Canary
from flaggerpy.kube.workqueue import Key
from flaggerpy.rollout.decision import Plan
from flaggerpy.rollout.transition import rollout_began
from flaggerpy.telemetry.recorder import METRIC, CheckName, Labels, Recorder

_NOT_CHECKS = frozenset({HookType.EVENT, HookType.POST_ROLLOUT})
"""Webhooks that are told something and decide nothing."""


class CanarySeries:
    """The series of every canary that this process has looked at since it leads."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._shown: dict[Key, Labels] = {}

    def show(self, canary: Canary) -> None:
        """Show where a canary stands."""
        labels = labels_of(canary)
        if self._shown.get(canary.key, labels) != labels:
            self.forget(canary.key)  # its target was exchanged for another
        self._shown[canary.key] = labels
        self._recorder.introduce(labels, canary.analysis.strategy.value, checks_of(canary))
        self._recorder.show(labels, canary.status)

    def ticked(self, before: Canary, plan: Plan, *, seconds: float, now: datetime) -> None:
        """Count what a tick did, which took so many seconds."""
        labels, strategy = labels_of(before), before.analysis.strategy.value
        if plan.analysed:
            self._recorder.observe_duration(labels, seconds)
        if plan.outcome is None:
            return
        if plan.outcome == "failed":
            self._recorder.count_failure(labels, strategy)
        else:
            self._recorder.count_success(labels, strategy, skipped=plan.outcome == "skipped")
        began = rollout_began(before.status)
        if began is not None:
            self._recorder.observe_rollout(strategy, plan.outcome, (now - began).total_seconds())

    def forget(self, key: Key) -> None:
        """Show a canary no more; series that it shares with another one stay."""
        labels = self._shown.pop(key, None)
        if labels is not None and labels not in self._shown.values():
            self._recorder.forget(labels)

    def forget_all(self) -> None:
        """Show no canary any more."""
        self._shown.clear()
        self._recorder.forget_all()


def labels_of(canary: Canary) -> Labels:
    """Return whose series a canary's are: its target's, as in Flagger."""
    return Labels(canary.target_name, canary.primary_name, canary.namespace)


def checks_of(canary: Canary) -> frozenset[CheckName]:
    """Return the checks that decide over a canary's rollouts."""
    metrics = {CheckName(METRIC, metric.name) for metric in canary.analysis.metrics}
    hooks = {CheckName(hook.type.value, hook.name) for hook in canary.analysis.webhooks if hook.type not in _NOT_CHECKS}
    return frozenset(metrics | hooks)
