"""CloudWatch: GetMetricData over AWS' JSON protocol, signed here and not by AWS' library.

That library would be a third of the image for one call, and asks without asyncio.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, outcome_of, send
from flaggerpy.metrics.aws import SECRET_KEYS, SECRET_TOKEN, Pod, endpoint
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.discreet import hidden
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, Reply
from flaggerpy.metrics.points import newest, several
from flaggerpy.metrics.reading import json_of, quoted, read
from flaggerpy.metrics.sigv4 import Credentials, Scope, signed
from flaggerpy.metrics.tokens import NotLent, borrow, give_back
from flaggerpy.rollout.errors import UserError

NAME = "CloudWatch"
KEYS = "the controller's right to do cloudwatch:GetMetricData"
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "GraniteServiceVersion20100801.GetMetricData",
}
_QUERY = f"The query of {NAME}"
_WINDOW = 10
"""How many intervals are asked for, as in Flagger: points come late."""
_MOST_POINTS = 20
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_MISTAKES = ("Validation", "InvalidParameter", "MissingParameter", "MissingRequiredParameter")
"""How the codes begin with which AWS refuses a query."""
_NO_MEASUREMENT = frozenset({"InternalError", "Forbidden"})
_FIELDS = {
    field.lower(): field
    for field in (
        *("Id", "Expression", "Label", "ReturnData", "Period", "AccountId", "MetricStat", "Metric", "Namespace"),
        *("MetricName", "Dimensions", "Name", "Value", "Stat", "Unit"),
    )
}
"""Fields of a query. AWS wants them written like this, Flagger takes them in any case."""


class CloudWatch:
    """Asks CloudWatch in one region.

    Raises:
        UserError: the region, the address or the credentials cannot be used.

    """

    def __init__(
        self,
        settings: ProviderSettings,
        outbound: Outbound,
        *,
        timeout: float = TIMEOUT_SECONDS,
        clock: Clock | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._region = _region(settings.region)
        base = address_of(settings, NAME, endpoint("monitoring", self._region))
        verify = not settings.insecure_skip_verify
        self._server = Server(NAME, base, outbound, (), KEYS, verify, timeout)
        self._own = _own_credentials(settings.secret)
        self._pod = Pod(environment, self._region, outbound, timeout)
        self._clock = clock or SystemClock()

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query, which is a JSON list of MetricDataQuery, over the last ten intervals."""
        try:
            queries = queries_of(query)
        except UserError as error:
            return BadQuery(str(error).rstrip("."))
        now = self._clock.now()
        question = {
            "MetricDataQueries": queries,
            "MaxDatapoints": _MOST_POINTS,
            "StartTime": int((now - _WINDOW * interval).timestamp()),
            "EndTime": int(now.timestamp()),
            "ScanBy": "TimestampDescending",
        }
        return await self._ask(json.dumps(question).encode())

    async def _ask(self, body: bytes) -> Outcome:
        try:
            credentials = self._own or await self._borrowed()
            reply = await send(self._server.outbound, self._signed(body, credentials))
        except NotLent as error:
            # It is not CloudWatch that gave no answer: another metric may have credentials of its own.
            return self._server.error(str(error))
        except OutboundError as error:
            return self._server.silent(error)
        match _outcome(reply):
            case ProviderError(reason):
                if reply.status in {400, 401, 403}:
                    give_back(self._server.outbound, self._pod.whose)
                return self._server.error(hidden(reason, filter(None, [credentials.token, credentials.secret])))
            case outcome:
                return outcome

    async def _borrowed(self) -> Credentials:
        return await borrow(self._server.outbound, self._pod.whose, self._clock.now(), self._pod.lend)

    def _signed(self, body: bytes, credentials: Credentials) -> Call:
        call = self._server.call("POST", f"{self._server.base}/", body)
        scope = Scope(self._region, "monitoring")
        return replace(call, headers=signed(call.url, _HEADERS, body, credentials, scope, self._clock.now()))


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx: the newest value of the only result."""
    return read(payload, _interpreted)


def queries_of(text: str) -> list[Any]:
    """Read a query as Flagger does.

    Raises:
        UserError: it is none, or asks for nothing.

    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{_QUERY} is not JSON{where}: write a list of MetricDataQuery, as in [{{...}}].") from None
    if not isinstance(document, list) or not document or not all(isinstance(query, dict) for query in document):
        raise UserError(f"{_QUERY} is no list of MetricDataQuery: write one, as in [{{...}}].")
    queries: list[Any] = _as_aws_writes_it(document)
    if nameless := [number for number, query in enumerate(queries, 1) if not query.get("Id")]:
        raise UserError(f"{_QUERY} has no Id at number {nameless[0]} of its list: give each one of its own, as in e1.")
    if not any(query.get("ReturnData", True) for query in queries):
        raise UserError(
            f"{_QUERY} has ReturnData: false everywhere, so that nothing is answered: remove it from the one that "
            "counts."
        )
    return queries


def _as_aws_writes_it(value: Any) -> Any:
    match value:
        case dict():
            return {_FIELDS.get(name.lower(), name): _as_aws_writes_it(inner) for name, inner in value.items()}
        case list():
            return [_as_aws_writes_it(inner) for inner in value]
        case _:
            return value


def _interpreted(document: Any) -> Outcome:
    results = document.get("MetricDataResults") if isinstance(document, dict) else None
    match results:
        case []:
            return NoData()
        case [{"StatusCode": str() as status}] if status in _NO_MEASUREMENT:
            return ProviderError(f"CloudWatch could not measure: {status}")
        case [{"Values": list() as values}]:
            return newest([reversed(values)], "")
        case [dict()]:
            return ProviderError("the answer has a result without values")
        case [dict(), *_]:
            advice = "let one return data, with ReturnData: false for the others, and none have GROUP BY or SEARCH"
            return several(len(results), advice)
        case _:
            return ProviderError("the answer has no results")


def _outcome(reply: Reply) -> Outcome:
    document = json_of(reply.body) if 400 <= reply.status < 500 else None
    if not isinstance(document, dict) or not isinstance(document.get("__type"), str):
        return outcome_of(reply, parse, lambda _: "", KEYS)
    code = quoted(document["__type"].rpartition("#")[2])
    said = quoted(document.get("message") or document.get("Message"))
    if code.startswith(_MISTAKES):
        return BadQuery(said or code)
    if "Signature" in code:  # these repeat the request, and with it the token
        said = ""
    hint = f"; check {KEYS}" if reply.status in {401, 403} or "AccessDenied" in code else ""
    return ProviderError(f"it answered {reply.status} {code}{': ' if said else ''}{said}{hint}")


def _region(region: str) -> str:
    if not _REGION.fullmatch(region):
        what = f'"{region}" is none' if region else "it is missing"
        raise UserError(f"{NAME} needs a region in spec.provider.region, as in eu-west-1; {what}.")
    return region


def _own_credentials(secret: Mapping[str, str] | None) -> Credentials | None:
    """Return the Secret's credentials, None where the Pod's are meant."""
    if secret is None:
        return None
    if not all(key in secret for key in SECRET_KEYS):
        has = ", ".join(sorted(secret)) or "none"
        raise UserError(
            f"The Secret of {NAME} must have the keys {' and '.join(SECRET_KEYS)}; it has {has}. Without a Secret the "
            "controller's own role is used."
        )
    key, password = (secret[name].strip() for name in SECRET_KEYS)
    return Credentials(key, password, secret.get(SECRET_TOKEN, "").strip())
