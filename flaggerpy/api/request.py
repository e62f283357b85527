"""What a person asks of a rollout: the annotation that the command line writes and the controller answers.

A request outlives both: it stays in the Canary until the controller has answered it in ``status.rollout.request``, and
is never answered twice.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum

from pydantic import Field, ValidationError

from flaggerpy.api.base import ApiModel, MicroTime
from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import REQUEST
from flaggerpy.api.errors import InvalidObject


class Verb(StrEnum):
    """What can be asked for."""

    PAUSE = "pause"
    RESUME = "resume"
    PROMOTE = "promote"
    PROMOTE_FULL = "promote-full"
    ABORT = "abort"
    RETRY = "retry"


class Request(ApiModel):
    """One request, as the annotation ``flaggerpy.dev/request`` carries it in JSON."""

    id: str = Field(min_length=1, max_length=64)
    """Identity of the request; a new request has another."""
    verb: Verb
    """What is asked for."""
    by: str = Field(default="somebody", min_length=1, max_length=256)
    """Who asks, as the API server or the client names them."""
    at: MicroTime | None = None
    """When it was asked."""
    template: str | None = None
    """Identity of the pod template that the target had then; absent where nobody looked."""

    def to_annotation(self) -> str:
        """Write the request as the annotation's value."""
        return json.dumps(self.to_json(), separators=(",", ":"), ensure_ascii=False)


def read_request(text: str) -> Request:
    """Read the annotation.

    Raises:
        InvalidObject: it is no request.

    """
    try:
        return Request.model_validate_json(text)
    except ValidationError:
        verbs = ", ".join(Verb)
        raise InvalidObject(
            f"annotation flaggerpy.dev/request cannot be read: write it with 'flaggerpy' or as JSON with an id, "
            f"a verb ({verbs}) and by"
        ) from None


def fingerprint(text: str) -> str:
    """Name a request that cannot be read, so that it is answered only once."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def request_on(canary: Canary) -> Request | None:
    """Read the request that stands on a Canary, answered or not; None when there is none or nobody can read it."""
    try:
        return read_request(canary.metadata.annotations.get(REQUEST, ""))
    except InvalidObject:
        return None


def unanswered(canary: Canary) -> Request | None:
    """Read the request that stands on a Canary and has no answer yet."""
    asked, answered = request_on(canary), canary.status.rollout.request
    if asked is None or (answered is not None and answered.id == asked.id):
        return None
    return asked
