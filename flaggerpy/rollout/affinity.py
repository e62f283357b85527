"""Session affinity: which cookies keep users on the version that they have seen, and for how long.

Flagger's three fields of the status say which cookies there are. A value is in the status before any route knows it, so
a crash never changes the cookie of a rollout that has begun, and every rollout and every new beginning gets another.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from flaggerpy.rollout import strategy
from flaggerpy.rollout.traffic import NO_COOKIES, Cookies

if TYPE_CHECKING:
    from flaggerpy.rollout.turn import Turn

_VALUE_LENGTH = 16


def cookies(turn: Turn, weight: int) -> Cookies:
    """Return the cookies of a route that gives the canary this share.

    A canary without users takes its cookie back. One with all of them leaves nobody on the primary, which is about to
    be replaced.
    """
    if not _is_kept(turn):
        return NO_COOKIES
    held = turn.status.session_affinity_cookie or ""
    if weight == 0:
        given = held if _was_given(turn) else ""
        return Cookies(expired=given or turn.status.previous_session_affinity_cookie or "")
    return Cookies(canary=held, primary=_primary_cookie(turn) if held and weight < 100 else "")


def assign(turn: Turn) -> bool:
    """Give a rollout that lacks them its cookies; True when it had to, and routes with them wait for the next tick."""
    settings = turn.canary.analysis.session_affinity
    status = turn.status
    if settings is None or not _is_kept(turn) or status.session_affinity_cookie or status.rollout.serving_canary:
        return False
    primary = settings.primary_cookie_name
    turn.set(
        session_affinity_cookie=f"{settings.cookie_name}={_value(turn, 'canary')}",
        primary_session_affinity_cookie=f"{primary}={_value(turn, 'primary')}" if primary else None,
    )
    turn.wake_now()
    return True


def retire(turn: Turn) -> None:
    """End the canary's cookie: who has it loses it, and the next rollout gets another one."""
    held = turn.status.session_affinity_cookie
    if held is None:
        return
    turn.set(session_affinity_cookie=None)
    if held and _was_given(turn):
        turn.set(previous_session_affinity_cookie=held)


def _is_kept(turn: Turn) -> bool:
    """Whether there is affinity: where all users are on one side at any time, it would do nothing."""
    analysis = turn.canary.analysis
    progressive = strategy.is_progressive(analysis, routed=turn.seen.routed)
    return analysis.session_affinity is not None and turn.seen.capabilities.affinity and progressive


def _was_given(turn: Turn) -> bool:
    """Whether users may have the canary's cookie; a crash may have kept it from being recorded that they do."""
    live, held = turn.seen.route.routes, turn.status.session_affinity_cookie
    return turn.status.rollout.step.weight > 0 or (live is not None and live.cookies.canary == held)


def _primary_cookie(turn: Turn) -> str:
    """Return the primary's cookie; one of another name, or of none as Flagger writes it, belongs to nobody."""
    settings, found = turn.canary.analysis.session_affinity, turn.status.primary_session_affinity_cookie or ""
    name = settings.primary_cookie_name if settings else None
    return found if name and found.startswith(f"{name}=") else ""


def _value(turn: Turn, whose: str) -> str:
    """Derive a value from what no other rollout has: the canary, its revision, and when it began."""
    applied, began = turn.status.rollout.applied, turn.status.rollout.step.started_at or turn.now
    revision = (applied.template, sorted(applied.configs.items())) if applied else ()
    parts = [turn.canary.metadata.uid, revision, began.isoformat(), whose]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_VALUE_LENGTH]
