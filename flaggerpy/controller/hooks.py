"""Webhooks: one question over HTTP with its retries, and the event webhooks that nobody waits for.

What an answer means for a rollout is the core's business; here an answer is passed or not, and why.
Nothing in this module raises: a receiver that misbehaves is an answer too.
"""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import TypeVar

import structlog

from flaggerpy.api.analysis import CanaryWebhook, HookType
from flaggerpy.api.payloads import WebhookPayload
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.controller.credentials import Credentials, ReadSecret, credentials_of
from flaggerpy.controller.outbox import Outbox
from flaggerpy.kube.errors import Forbidden, KubeError
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, Reply, place
from flaggerpy.rollout.errors import UserError

IDEMPOTENCY_HEADER = "Idempotency-Key"
LONGEST_WAIT = 30.0
REASON_LENGTH = 512
_BODY_SIZE = 16 * 1024
Told = TypeVar("Told")
_WORTH_RETRYING = frozenset({429, *range(500, 600)}) - {501}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """How a webhook answered.

    Attributes:
        status: the last answer's status, None when there was no answer.
        reason: why it did not pass: the answer's body as one line of at most 512 characters, or what went wrong on the
            way; without secrets.
        unread: why the cluster did not give us its Secret, so that it was not called: nobody's fault.

    """

    passed: bool
    status: int | None = None
    reason: str = ""
    unread: KubeError | None = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    answer: HookAnswer
    again: bool = False
    wait: float | None = None


class WebhookClient:
    """Calls webhooks as their settings say.

    ``read_secret`` reads what headers and certificates are kept in. ``sleep`` is how the waits between attempts pass,
    so that tests need not wait. ``on_answer`` is told of every answer and of the seconds that it took, by ``clock``.
    """

    def __init__(
        self,
        outbound: Outbound,
        read_secret: ReadSecret,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_answer: Callable[[CanaryWebhook, HookAnswer, float], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._outbound = outbound
        self._read_secret = read_secret
        self._sleep = sleep
        self._on_answer = on_answer
        self._clock = clock or SystemClock()

    async def call(
        self, hook: CanaryWebhook, payload: WebhookPayload, *, key: str, private: bool = False
    ) -> HookAnswer:
        """POST the payload and try again as often as the hook allows.

        ``key`` goes into the Idempotency-Key header of every attempt, so that a receiver can tell a
            repetition of the same question from a new one. ``private`` is whether its address is nobody's business.
        """
        began = self._clock.monotonic()
        answer = await self._call(hook, payload, key, private=private)
        if self._on_answer is not None:
            self._on_answer(hook, answer, self._clock.monotonic() - began)
        return answer

    async def _call(self, hook: CanaryWebhook, payload: WebhookPayload, key: str, *, private: bool) -> HookAnswer:
        for attempt in range(max(0, hook.retries)):
            result = await self._attempt(hook, payload, key, private=private)
            if not result.again:
                return result.answer
            await self._sleep(backoff(attempt, result.wait))
        return (await self._attempt(hook, payload, key, private=private)).answer

    async def _attempt(self, hook: CanaryWebhook, payload: WebhookPayload, key: str, *, private: bool) -> _Attempt:
        try:
            held = await credentials_of(hook, payload.namespace, self._read_secret, private=private)
        except UserError as error:
            return _Attempt(HookAnswer(False, reason=str(error)))
        except KubeError as error:
            reason = f"its Secret could not be read: {error}"
            if isinstance(error, Forbidden):
                return _Attempt(HookAnswer(False, reason=reason))
            return _Attempt(HookAnswer(False, reason=reason, unread=error), again=True)
        return await self._send(_call_of(hook, payload, key, held), held)

    async def _send(self, call: Call, held: Credentials) -> _Attempt:
        try:
            reply = await self._outbound.send(call)
        except OutboundError as error:
            reason = presentable(held.hide(f"{place(call.url)}: {error}"))
            return _Attempt(HookAnswer(False, reason=reason), again=error.retryable)
        except Exception as error:
            # A hook is the user's: whatever a strange server provokes must not end the canary's tick. What was sent may
            # be quoted in it.
            trace = held.hide(traceback.format_exc())
            log.error("webhook call failed in an unforeseen way", where=place(call.url), stacktrace=trace)  # noqa: TRY400 - hidden
            return _Attempt(HookAnswer(False, reason=f"{place(call.url)}: {type(error).__name__}"))
        if 200 <= reply.status < 300:
            return _Attempt(HookAnswer(True, reply.status))
        return _Attempt(
            HookAnswer(False, reply.status, reason_of(reply, held)),
            again=reply.status in _WORTH_RETRYING,
            wait=retry_after(reply, datetime.now(UTC)),
        )


def _call_of(hook: CanaryWebhook, payload: WebhookPayload, key: str, held: Credentials) -> Call:
    ours = (("Content-Type", "application/json"), (IDEMPOTENCY_HEADER, _printable(key)))
    return Call(
        method="POST",
        url=hook.url,
        headers=(*ours, *held.headers),
        content=json.dumps(payload.to_json(), ensure_ascii=False).encode(),
        seconds=hook.timeout.total_seconds(),
        size=_BODY_SIZE,
        verify=not hook.disable_tls,
        authorities=held.authorities,
    )


async def in_order(asks: Sequence[Callable[[], Awaitable[Told]]], *, at_once: bool) -> AsyncIterator[Told]:
    """Give answers in the order of the questions, whichever comes first; one after the other if not ``at_once``.

    Where one raises in the place of an answer, the others are waited for first: nothing goes on behind one's back.
    """
    if at_once:
        for answer in await asyncio.gather(*(ask() for ask in asks), return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer
            yield answer
        return
    for ask in asks:
        yield await ask()


def longest(hooks: Sequence[CanaryWebhook]) -> float:
    """Give the seconds that calls of all these hooks, one after the other, take at most."""
    tries = ((1 + max(0, hook.retries), hook.timeout.total_seconds()) for hook in hooks)
    return sum(attempts * seconds + (attempts - 1) * LONGEST_WAIT for attempts, seconds in tries)


def backoff(attempt: int, asked: float | None = None) -> float:
    """Give the seconds before the next attempt: 1, 2, 4 … up to 30, or what the server asked for up to 30."""
    if asked is not None:
        return min(asked, LONGEST_WAIT)
    return min(2.0 ** min(attempt, 10), LONGEST_WAIT)


def retry_after(reply: Reply, now: datetime) -> float | None:
    """Read Retry-After of a 429 or 503, as seconds or as a date; None when there is none that makes sense."""
    if reply.status not in {429, 503} or "retry-after" not in reply.headers:
        return None
    text = reply.headers["retry-after"].strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def reason_of(reply: Reply, held: Credentials) -> str:
    """Make a refusal's body presentable; an empty one is replaced by the status."""
    text = presentable(held.hide(reply.body.decode("utf-8", "replace")))
    return text or f"it answered {reply.status} without a reason"


def presentable(text: str) -> str:
    """Put what a server said into one line that an event has room for."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= REASON_LENGTH else f"{line[: REASON_LENGTH - 1]}…"


@dataclass(frozen=True, slots=True)
class _Notice:
    hook: CanaryWebhook
    payload: WebhookPayload
    key: str = field(repr=False)


class EventHooks:
    """Tells event webhooks of events in the background: in order for each webhook of a canary, and bounded.

    ``everywhere`` is the controller's own event webhook, which hears of the canaries that have none
    themselves; ``on_drop`` is told how many notices a slow receiver just cost.
    """

    def __init__(
        self, client: WebhookClient, *, everywhere: str = "", on_drop: Callable[[int], None] | None = None
    ) -> None:
        self._client = client
        self._everywhere = (
            (CanaryWebhook(name="event-webhook", type=HookType.EVENT, url=everywhere),) if everywhere else ()
        )
        self._outbox: Outbox[_Notice] = Outbox(self._deliver, what="event webhooks", on_drop=on_drop)

    def publish(
        self,
        canary: tuple[str, str],
        hooks: Sequence[CanaryWebhook],
        payload_for: Callable[[CanaryWebhook], WebhookPayload],
        *,
        key: str,
    ) -> None:
        """Hand an event to the canary's event webhooks, or to the controller's; returns at once."""
        for index, hook in enumerate(hooks or self._everywhere):
            notice = _Notice(hook, payload_for(hook), f"{key}/{index}/{hook.name}")
            self._outbox.put((*canary, index), notice, place(hook.url))

    @property
    def dropped(self) -> int:
        """How many notices were dropped because a receiver was too slow."""
        return self._outbox.dropped

    async def aclose(self, seconds: float = 5.0) -> None:
        """Deliver what is left, for a limited time."""
        await self._outbox.aclose(seconds)

    async def flush(self, seconds: float) -> bool:
        """Wait until everything is delivered; False when time ran out."""
        return await self._outbox.flush(seconds)

    async def _deliver(self, notice: _Notice) -> None:
        private = notice.hook in self._everywhere  # its address is none that a Canary shows, and may hold a token
        answer = await self._client.call(notice.hook, notice.payload, key=notice.key, private=private)
        if not answer.passed:
            log.warning(
                "event webhook did not take an event",
                canary=f"{notice.payload.name}.{notice.payload.namespace}",
                hook=notice.hook.name,
                reason=answer.reason,
            )


def _printable(key: str) -> str:
    """Make a key fit for a header: receivers see no blanks, and nothing longer than they may accept."""
    if len(key) > 255:
        return sha256(key.encode("utf-8", "replace")).hexdigest()
    return "".join(character if "!" <= character <= "~" else "_" for character in key)
