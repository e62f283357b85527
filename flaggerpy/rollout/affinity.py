"""Session affinity: which cookies keep users on the version that they have seen, and for how long.

Flagger's three fields of the status say which cookies there are. A value is in the status before any route knows it, so
a crash never changes the cookie of a rollout that has begun, and every rollout and every new beginning gets another.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from flaggerpy.api.status import CanaryStatus
from flaggerpy.rollout import strategy
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.traffic import NO_COOKIES, Cookies

_VALUE_LENGTH = 16

Changes = dict[str, str | None]
"""Fields of the status, and what becomes of them."""


def cookies(seen: Observation, status: CanaryStatus, weight: int) -> Cookies:
    """Return the cookies of a route that gives the canary this share.

    A canary without users takes its cookie back. One with all of them leaves nobody on the primary, which is about to
    be replaced.
    """
    if not _is_kept(seen):
        return NO_COOKIES
    held = status.session_affinity_cookie or ""
    if weight == 0:
        given = held if _was_given(seen, status) else ""
        return Cookies(expired=given or status.previous_session_affinity_cookie or "")
    return Cookies(canary=held, primary=_primary_cookie(seen, status) if held and weight < 100 else "")


def assigned(seen: Observation, status: CanaryStatus, now: datetime) -> Changes:
    """Return what gives a rollout its cookies; nothing where it lacks none."""
    settings = seen.canary.analysis.session_affinity
    if settings is None or not _is_kept(seen) or status.session_affinity_cookie or status.rollout.serving_canary:
        return {}
    primary = settings.primary_cookie_name
    return {
        "session_affinity_cookie": f"{settings.cookie_name}={_value(seen, status, now, 'canary')}",
        "primary_session_affinity_cookie": f"{primary}={_value(seen, status, now, 'primary')}" if primary else None,
    }


def retired(seen: Observation, status: CanaryStatus) -> Changes:
    """Return what ends the canary's cookie: who has it loses it, and the next rollout gets another one."""
    held = status.session_affinity_cookie
    if held is None:
        return {}
    given = {"previous_session_affinity_cookie": held} if held and _was_given(seen, status) else {}
    return {"session_affinity_cookie": None, **given}


def _is_kept(seen: Observation) -> bool:
    """Whether there is affinity: where all users are on one side at any time, it would do nothing."""
    analysis = seen.canary.analysis
    progressive = strategy.is_progressive(analysis, routed=seen.routed)
    return analysis.session_affinity is not None and seen.capabilities.affinity and progressive


def _was_given(seen: Observation, status: CanaryStatus) -> bool:
    """Whether users may have the canary's cookie; a crash may have kept it from being recorded that they do."""
    live, held = seen.route.routes, status.session_affinity_cookie
    return status.rollout.step.weight > 0 or (live is not None and live.cookies.canary == held)


def _primary_cookie(seen: Observation, status: CanaryStatus) -> str:
    """Return the primary's cookie; one of another name, or of none as Flagger writes it, belongs to nobody."""
    settings, found = seen.canary.analysis.session_affinity, status.primary_session_affinity_cookie or ""
    name = settings.primary_cookie_name if settings else None
    return found if name and found.startswith(f"{name}=") else ""


def _value(seen: Observation, status: CanaryStatus, now: datetime, whose: str) -> str:
    """Derive a value from what no other rollout has: the canary, its revision, and when it began."""
    applied, began = status.rollout.applied, status.rollout.step.started_at or now
    revision = (applied.template, sorted(applied.configs.items())) if applied else ()
    parts = [seen.canary.metadata.uid, revision, began.isoformat(), whose]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_VALUE_LENGTH]
