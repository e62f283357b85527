"""Google Cloud Monitoring, once Stackdriver: queries in its own language (MQL) over ``timeSeries:query``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flaggerpy.clock import Clock, SystemClock
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Server, address_of, secret_of
from flaggerpy.metrics.base import NoData, Outcome, ProviderError, ProviderSettings
from flaggerpy.metrics.discreet import hidden
from flaggerpy.metrics.google import MetadataServer, ServiceAccount, metadata_server, service_account
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.points import newest, several
from flaggerpy.metrics.reading import quoted, read
from flaggerpy.metrics.tokens import NotLent, borrow, give_back
from flaggerpy.rollout.errors import UserError

NAME = "Stackdriver"
ADDRESS = "https://monitoring.googleapis.com"
KEYS = "the account's right to read the project's metrics (roles/monitoring.viewer)"
_KEY = "serviceAccountKey"
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]*")
_ADVICE = "combine them, as group_by [], [sum(val())] does"
_NUMBERS = ("doubleValue", "int64Value")


class Stackdriver:
    """Asks Cloud Monitoring about one project.

    Raises:
        UserError: the Secret, the address or the key cannot be used.

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
        project = _project(settings)
        self._account = _account(settings, environment)
        base, verify = address_of(settings, NAME, ADDRESS), not settings.insecure_skip_verify
        self._server = Server(NAME, f"{base}/v3/projects/{project}", outbound, (), KEYS, verify, timeout)
        self._clock = clock or SystemClock()

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a query; the interval is already inside it."""
        now, server = self._clock.now(), self._server
        try:
            token = await borrow(
                server.outbound,
                self._account.whose,
                now,
                lambda: self._account.lend(server.outbound, now, server.seconds),
            )
        except NotLent as error:
            return server.without_credentials(error)
        asking = replace(server, headers=(("Authorization", f"Bearer {token}"),))
        body = json.dumps({"query": query.strip()}).encode()
        call = asking.call("POST", f"{server.base}/timeSeries:query", body, "application/json")
        match await asking.ask(call, parse, complaint):
            case ProviderError(reason, silent):
                give_back(server.outbound, self._account.whose)
                return ProviderError(hidden(reason, [token]), silent)
            case outcome:
                return outcome


def parse(payload: bytes) -> Outcome:
    """Read the body of an answer with status 2xx: of one series the newest point."""
    return read(payload, _interpreted)


def complaint(document: Any) -> str:
    """Quote what Google itself says is wrong, and where in the query."""
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    summaries = [
        quoted(detail.get("errorSummary"))
        for detail in (details if isinstance(details, list) else [])
        if isinstance(detail, dict)
    ]
    return quoted(": ".join(filter(None, [quoted(error.get("message")), *summaries])))


def _interpreted(document: Any) -> Outcome:
    if not isinstance(document, dict):
        return ProviderError("the answer is no object")
    if partial := document.get("partialErrors"):
        first = partial[0] if isinstance(partial, list) else None
        said = quoted(first.get("message")) if isinstance(first, dict) else ""
        return ProviderError(f"the answer is only a part of the data: {said or 'it does not say why'}")
    series = document.get("timeSeriesData", [])
    match series:
        case []:
            return NoData()
        case [{"pointData": list() as points}]:
            return _points(points)
        case [dict() as one] if "pointData" not in one:
            return NoData()
        case [dict(), *_]:
            return several(len(series), _ADVICE)
        case _:
            return ProviderError("the answer has no list of series")


def _points(points: list[Any]) -> Outcome:
    """Points come newest first, each with one value for each column of the query."""
    values: list[object] = []
    for point in points:
        match point:
            case {"values": [dict() as value]} if any(name in value for name in _NUMBERS):
                values.append(next(value[name] for name in _NUMBERS if name in value))
            case {"values": [{"distributionValue": _}]}:
                return ProviderError(
                    "the query gives a distribution where one value is needed: take one from it, as percentile() does"
                )
            case {"values": [dict() as value]}:
                return ProviderError(f"the query gives a {_kind(value)} where a number is needed")
            case {"values": [_, _, *_] as columns}:
                return ProviderError(f"the query gives {len(columns)} values a point where one is needed")
            case _:
                return ProviderError("the answer has a point without a value")
    return newest([reversed(values)], _ADVICE)


def _kind(value: Mapping[str, Any]) -> str:
    return quoted(next(iter(value), "")).removesuffix("Value") or "value of no type"


def _project(settings: ProviderSettings) -> str:
    (project,) = secret_of(settings, NAME, "project")
    if not _PROJECT.fullmatch(project):
        raise UserError(f"The key project of the Secret of {NAME} is no project's id, which is like my-project-7.")
    return project


def _account(settings: ProviderSettings, environment: Mapping[str, str]) -> ServiceAccount | MetadataServer:
    """Choose who asks. The controller's own token goes to Google alone, never to an address of a template."""
    secret = settings.secret or {}
    if key := secret.get(_KEY):
        return service_account(key, f"The key {_KEY} of the Secret of {NAME}")
    if settings.address and _KEY not in secret:
        raise UserError(
            f"{NAME} is asked at spec.provider.address only with the key {_KEY} in its Secret: the controller's own "
            "token is for Google alone."
        )
    return metadata_server(environment)
