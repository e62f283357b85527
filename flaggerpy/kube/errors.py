"""What can go wrong between us and the API server; no HTTP library's exception crosses this package's border.

* KubeError
  * ApiError: the server answered, and not with success; it carries the server's Status
    * NotFound (404)
    * Conflict (409): the object changed since it was read
    * AlreadyExists (409)
    * Expired (410): the resourceVersion or the continue token is too old
    * TooManyRequests (429): with the seconds the server asks us to wait
    * Unauthorized (401): the credentials are not accepted, or not any more
    * Forbidden (403)
    * Invalid (400, 422): the server will never take this body
    * ServerError (5xx): a write may or may not have happened
  * Unreachable: no answer (connection, time-out); a write may or may not have happened
  * Fenced: we do not hold the lease, so nothing was sent
  * NoCredentials: there is no way to know which server, or who we are
"""

from __future__ import annotations

import json

from flaggerpy.kube.objects import JsonObject


class KubeError(Exception):
    """Anything that a call to the API server raises."""


class ApiError(KubeError):
    """The server answered with something that is not success."""

    def __init__(self, status: int, reason: str, message: str, body: JsonObject | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.body: JsonObject = body or {}


class NotFound(ApiError):
    """There is no such object, or no such kind."""

    @property
    def kind_is_missing(self) -> bool:
        """Tell whether the server knows no such kind; when only the object is missing it names it."""
        details: JsonObject = self.body.get("details") or {}
        return not details.get("name")


class Conflict(ApiError):
    """The object changed since it was read, or another manager owns the field."""


class AlreadyExists(ApiError):
    """An object of this name is already there."""


class Expired(ApiError):
    """The resourceVersion or the continue token is too old; list again."""


class TooManyRequests(ApiError):
    """The server asks us to come back later."""

    def __init__(
        self, status: int, reason: str, message: str, body: JsonObject | None = None, retry_after: float = 1.0
    ) -> None:
        super().__init__(status, reason, message, body)
        self.retry_after = retry_after


class Unauthorized(ApiError):
    """The server does not know who we are; new credentials may be on their way."""


class Forbidden(ApiError):
    """RBAC or an admission rule says no."""


class Invalid(ApiError):
    """The server understood the request and will never take it."""


class ServerError(ApiError):
    """The server failed; a write may or may not have happened."""


class Unreachable(KubeError):
    """No answer came; a write may or may not have happened."""


class Fenced(KubeError):
    """We do not hold the lease; nothing was sent."""


class NoCredentials(KubeError):
    """No kubeconfig and no service account tells which server to talk to and as whom."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
}


def from_status(body: JsonObject, *, status: int | None = None, retry_after: float | None = None) -> ApiError:
    """Return the error for a Status object, as an answer's body or as a watch's ERROR event carries it."""
    code = status if status is not None else int(body.get("code") or 500)
    reason, message = str(body.get("reason") or ""), str(body.get("message") or "")
    if code == 429:
        details: JsonObject = body.get("details") or {}
        seconds = retry_after if retry_after is not None else float(details.get("retryAfterSeconds") or 1)
        return TooManyRequests(code, reason or "TooManyRequests", message, body, seconds)
    if reason == "AlreadyExists":
        return AlreadyExists(code, reason, message, body)
    if reason == "Expired":
        return Expired(code, reason, message, body)
    kind = _BY_STATUS.get(code) or (ServerError if code >= 500 else ApiError)
    return kind(code, reason or kind.__name__, message, body)


def from_answer(status: int, body: bytes, retry_after: float | None = None) -> ApiError:
    """Return the error for an HTTP answer, also one without a Status (proxies, the server's own 404 page)."""
    try:
        decoded = json.loads(body)
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict):
        decoded = {"message": body[:200].decode("utf-8", errors="replace").strip()}
    return from_status(decoded, status=status, retry_after=retry_after)
