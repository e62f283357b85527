"""Announce: tell people and receivers what was decided, after it was stored, and without making a rollout wait.

Alerts go their own way: a receiver that hangs holds up neither a hook nor an event, nor the alert to anybody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import structlog

from flaggerpy.api.analysis import CanaryWebhook, HookType, Severity
from flaggerpy.api.canary import Canary
from flaggerpy.api.payloads import EventType, WebhookPayload, event_payload
from flaggerpy.api.status import CanaryStatus, Pending, Phase
from flaggerpy.clock import Clock
from flaggerpy.controller.alerts import AlertSender, Receiver, receivers_for
from flaggerpy.controller.hooks import EventHooks, HookAnswer, WebhookClient, backoff, in_order
from flaggerpy.controller.sources import Library, checksum_of, payload
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.workqueue import Key
from flaggerpy.notifiers.base import Alert
from flaggerpy.notifiers.facts import LONGEST_MESSAGE, facts_of, lines, shortened
from flaggerpy.notifiers.link import link_of
from flaggerpy.rollout.decision import Event, Plan
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.observation import AlertsSeen

SAME_WITHIN = 600.0
"""Seconds in which an alert that says the same as the last one of its canary is not sent again."""
UNREAD_TRIES = 24
"""How often a post-rollout hook is begun whose Secret the cluster does not give: with the pauses about ten minutes."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Channels:
    """The ways out of the controller, all of them in the background.

    Attributes:
        receiver: who gets the alerts of canaries that name nobody.
        cluster: the name of the cluster in alerts.
        link: template of the link of alerts, for receivers that have none of their own.

    """

    events: EventRecorder
    event_hooks: EventHooks
    hooks: WebhookClient
    alerts: AlertSender
    receiver: Receiver | None = None
    cluster: str = ""
    link: str = ""


class Announcer:
    """Sends events, alerts and post-rollout hooks; remembers which pending announcements were made.

    ``done`` is called with a canary's key when its pending announcements have been made, so that the next tick can
    clear them from the status.
    """

    def __init__(self, channels: Channels, library: Library, clock: Clock, done: Callable[[Key], None]) -> None:
        self._out = channels
        self._library = library
        self._clock = clock
        self._done = done
        self._begun: dict[Key, set[str]] = {}
        self._made: dict[Key, set[str]] = {}
        self._last: dict[Key, tuple[Alert, float]] = {}
        self._failures: dict[Key, dict[str, str]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def made(self, key: Key) -> frozenset[str]:
        """Return the ids of the announcements that are delivered, or were given up."""
        return frozenset(self._made.get(key, ()))

    def forget(self, key: Key) -> None:
        """Forget a canary that is gone."""
        for known in (self._begun, self._made, self._last, self._failures):
            known.pop(key, None)

    def alerts_seen(self, canary: Canary) -> AlertsSeen:
        """Say why alerts of a canary do not reach anybody, as far as its settings and the last ones sent show."""
        everybody, wrong = receivers_for(canary, Severity.ERROR, self._library.alert_provider, self._out.receiver)
        names = sorted({receiver.name for receiver in everybody})
        failures = self._failures.get(canary.key)
        told = None if failures is None else " ".join(failures[name] for name in names if name in failures)
        return AlertsSeen(mistake=" ".join(wrong), failure=told)

    def plan(self, raw: JsonObject, canary: Canary, plan: Plan) -> None:
        """Announce what a plan says; returns at once."""
        for event in plan.events:
            self.event(raw, canary, event)
        pending = {item.id for item in plan.announcements}
        begun = self._begun.get(canary.key, set())
        fresh = [item for item in plan.announcements if item.id not in begun]
        self._begun[canary.key] = pending
        self._made[canary.key] = self._made.get(canary.key, set()) & (
            pending | {p.id for p in canary.status.rollout.pending}
        )
        for item in fresh:
            if item.kind == "alert":
                self._start(self._see_through(canary, item))
        if others := [item for item in fresh if item.kind != "alert"]:
            self._start(self._make(raw, canary, others))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def event(self, raw: JsonObject, canary: Canary, event: Event, *, important: bool = False, name: str = "") -> None:
        """Record an event, log it, and tell the event webhooks.

        ``name`` is what an event is called that a restart may repeat, so that receivers know it again.
        """
        author = f"{canary.name}.{canary.namespace}"
        (log.info if event.type == "Normal" else log.warning)(event.message, canary=author)
        self._out.events.event(raw, event.type, event.message, important=important)
        now, phase = self._clock.now(), event.phase or canary.status.phase
        self._out.event_hooks.publish(
            canary.key,
            canary.analysis.hooks(HookType.EVENT),
            lambda hook: event_payload(
                payload(canary, phase, hook.metadata), event.message, EventType(event.type), now
            ),
            key=f"{canary.metadata.uid}/{name or f'{now.timestamp()}/{event.message}'}",
        )

    async def aclose(self, seconds: float) -> None:
        """Finish what was begun, for a limited time."""
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
        for task in list(self._running):
            task.cancel()

    async def _make(self, raw: JsonObject, canary: Canary, items: list[Pending]) -> None:
        try:
            for item in items:
                match item.kind:
                    case "event":
                        kind: Literal["Normal", "Warning"] = "Normal" if item.severity == "info" else "Warning"
                        self.event(raw, canary, Event(kind, item.message), important=True, name=item.id)
                    case "hooks":
                        await self._post_rollout(raw, canary, item)
                self._is_over(canary.key, item)
        finally:
            self._done(canary.key)

    def _is_over(self, key: Key, item: Pending) -> bool:
        """Remember that an announcement is made; tell whether anybody asks, as its canary may be gone meanwhile."""
        if item.id not in self._begun.get(key, ()):
            return False
        self._made.setdefault(key, set()).add(item.id)
        return True

    def _send(self, canary: Canary, item: Pending) -> dict[str, asyncio.Future[str | None]]:
        """Hand an alert to everybody who wants it; returns at once what becomes of it, by the receiver's name."""
        alert = self._alert(canary, item)
        if self._is_repeated(canary.key, alert):
            log.info("an alert is not repeated", canary=alert.author, message=alert.message)
            return {}
        receivers, wrong = receivers_for(canary, alert.severity, self._library.alert_provider, self._out.receiver)
        for sentence in wrong:
            log.warning(sentence, canary=alert.author)
        return {
            receiver.name: self._out.alerts.publish(replace(alert, link=self._link(canary, receiver)), receiver)
            for receiver in receivers
        }

    async def _see_through(self, canary: Canary, item: Pending) -> None:
        """Send an alert, wait until it was delivered or given up, and keep in mind who did not take it.

        Tasks begin in the order in which they were made, and nothing is awaited before the alert stands in line.
        """
        try:
            letters = self._send(canary, item)
            if letters:
                await asyncio.wait(letters.values())
            if self._is_over(canary.key, item):
                for name, letter in letters.items():
                    self._ended(canary, name, letter.result())
        finally:
            self._done(canary.key)

    def _ended(self, canary: Canary, name: str, reason: str | None) -> None:
        if reason is None:
            return
        failures = self._failures.setdefault(canary.key, {})
        failures.pop(name, None)
        if reason:
            failures[name] = f"The last alert of {canary.name}.{canary.namespace} did not reach {name}: {reason}"
            self._last.pop(canary.key, None)

    def _alert(self, canary: Canary, item: Pending) -> Alert:
        facts = facts_of(canary, cluster=self._out.cluster, checksum=checksum_of(canary))
        return Alert(
            canary=canary.name,
            namespace=canary.namespace,
            severity=Severity(item.severity),
            message=shortened(item.message, LONGEST_MESSAGE),
            fields=lines(canary, item, facts),
            id=f"{canary.metadata.uid}/{item.id}",
            at=self._clock.now(),
            facts=facts,
        )

    def _is_repeated(self, key: Key, alert: Alert) -> bool:
        """Tell whether an alert says what the last one of its canary said a little while ago; remember it."""
        last, now = self._last.get(key), self._clock.monotonic()
        if last is not None and now - last[1] < SAME_WITHIN and _said(last[0]) == _said(alert):
            return True
        self._last[key] = (alert, now)
        return False

    def _link(self, canary: Canary, receiver: Receiver) -> str:
        try:
            return link_of(receiver.link or self._out.link, canary)
        except UserError:
            return ""  # which is told already, with all that is wrong with receivers

    async def _post_rollout(self, raw: JsonObject, canary: Canary, item: Pending) -> None:
        """Call every post-rollout hook; none keeps the next from being called."""
        hooks = canary.analysis.hooks(HookType.POST_ROLLOUT)
        asks = [
            partial(
                self._ask,
                hook,
                payload(canary, Phase(item.phase), hook.metadata),
                key=f"{canary.metadata.uid}/{item.id}/{index}/{hook.name}",
            )
            for index, hook in enumerate(hooks)
        ]
        answers = in_order(asks, at_once=canary.analysis.webhooks_parallel)
        for hook in hooks:
            answer = await anext(answers)
            kind: Literal["Normal", "Warning"] = "Normal" if answer.passed else "Warning"
            text = f"Post-rollout check {hook.name} passed"
            if not answer.passed:
                text = f"Post-rollout hook {hook.name} failed {answer.reason}"
            self.event(raw, canary, Event(kind, text))

    async def _ask(self, hook: CanaryWebhook, body: WebhookPayload, *, key: str) -> HookAnswer:
        """Call a hook; where the cluster does not give its Secret now, which is nobody's fault, again for a while."""
        for attempt in range(UNREAD_TRIES - 1):
            answer = await self._out.hooks.call(hook, body, key=key)
            if answer.unread is None:
                return answer
            await self._clock.sleep(backoff(attempt))
        return await self._out.hooks.call(hook, body, key=key)


def _said(alert: Alert) -> tuple[object, ...]:
    return alert.severity, alert.message, alert.facts.revision, alert.facts.reason


def after(canary: Canary, status: CanaryStatus | None) -> Canary:
    """Return the canary with the status that was just written, for payloads that name its phase."""
    return canary if status is None else canary.model_copy(update={"status": status})
