"""What a person asks of a canary while it runs: ``flaggerpy pause``, ``resume``, ``promote``, ``abort`` and ``retry``.

The Canary's annotation ``flaggerpy.dev/request`` holds one request as JSON; a later one takes the place of an earlier.
The controller answers in ``status.rollout.request`` under the same id. Nothing here acts.
"""

from __future__ import annotations

import json
from enum import StrEnum

from pydantic import ValidationError

from flaggerpy.api.base import ApiModel, MicroTime
from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import REQUEST


class Verb(StrEnum):
    """What can be asked for."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    ABORT = "abort"
    RETRY = "retry"


class Request(ApiModel):
    """One request of one person."""

    id: str
    """Identity of the request, a UUID; the answer has the same."""
    verb: Verb
    """What is asked for."""
    by: str
    """Who asks, as the API server names them."""
    at: MicroTime
    """When it was asked."""

    def to_annotation(self) -> str:
        """Write the request as the annotation's value."""
        return json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False)


def request_on(canary: Canary) -> Request | None:
    """Read the request that stands on a Canary, answered or not; None when there is none or nobody can read it."""
    try:
        return Request.model_validate_json(canary.metadata.annotations.get(REQUEST, ""))
    except ValidationError:
        return None


def unanswered(canary: Canary) -> Request | None:
    """Read the request that stands on a Canary and has no answer yet."""
    asked, answered = request_on(canary), canary.status.rollout.request
    if asked is None or (answered is not None and answered.id == asked.id):
        return None
    return asked
