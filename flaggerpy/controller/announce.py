"""Announce: tell people and receivers what was decided, after it was stored, and without making a rollout wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import structlog

from flaggerpy.api.analysis import HookType, Severity
from flaggerpy.api.canary import Canary
from flaggerpy.api.payloads import EventType, event_payload
from flaggerpy.api.status import CanaryStatus, Pending, Phase
from flaggerpy.clock import Clock
from flaggerpy.controller.alerts import AlertSender, Receiver, receivers_for
from flaggerpy.controller.hooks import EventHooks, WebhookClient, in_order
from flaggerpy.controller.sources import Library, payload
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.workqueue import Key
from flaggerpy.notifiers.base import Alert, alert_fields
from flaggerpy.rollout.decision import Event, Plan

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Channels:
    """The ways out of the controller, all of them in the background.

    Attributes:
        receiver: who gets the alerts of canaries that name nobody.
        cluster: the name of the cluster in alerts.

    """

    events: EventRecorder
    event_hooks: EventHooks
    hooks: WebhookClient
    alerts: AlertSender
    receiver: Receiver | None = None
    cluster: str = ""


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
        self._running: set[asyncio.Task[None]] = set()

    def made(self, key: Key) -> frozenset[str]:
        """Return the ids of the announcements that are delivered, or were given up."""
        return frozenset(self._made.get(key, ()))

    def forget(self, key: Key) -> None:
        """Forget a canary that is gone."""
        self._begun.pop(key, None)
        self._made.pop(key, None)

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
        if not fresh:
            return
        task = asyncio.create_task(self._make(raw, canary, fresh))
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
                    case "alert":
                        await self._alert(canary, item)
                    case "event":
                        kind: Literal["Normal", "Warning"] = "Normal" if item.severity == "info" else "Warning"
                        self.event(raw, canary, Event(kind, item.message), important=True, name=item.id)
                    case "hooks":
                        await self._post_rollout(raw, canary, item)
                self._made.setdefault(canary.key, set()).add(item.id)
        finally:
            self._done(canary.key)

    async def _alert(self, canary: Canary, item: Pending) -> None:
        alert = Alert(
            canary=canary.name,
            namespace=canary.namespace,
            severity=Severity(item.severity),
            message=item.message,
            fields=alert_fields(canary, cluster=self._out.cluster, details=item.fields),
        )
        receivers, missing = receivers_for(canary, alert, self._library.alert_provider, self._out.receiver)
        for sentence in missing:
            log.warning(sentence, canary=alert.author)
        letters = [self._out.alerts.publish(alert, receiver) for receiver in receivers]
        if letters:
            await asyncio.wait(letters)

    async def _post_rollout(self, raw: JsonObject, canary: Canary, item: Pending) -> None:
        """Call every post-rollout hook; none keeps the next from being called."""
        hooks = canary.analysis.hooks(HookType.POST_ROLLOUT)
        asks = [
            partial(
                self._out.hooks.call,
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


def after(canary: Canary, status: CanaryStatus | None) -> Canary:
    """Return the canary with the status that was just written, for payloads that name its phase."""
    return canary if status is None else canary.model_copy(update={"status": status})
