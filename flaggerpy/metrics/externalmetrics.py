"""Metrics that the API server serves for others (``external.metrics.k8s.io``), as autoscalers read them.

The controller asks as itself only where it always does, at the API server; an address of a template is asked with
the template's own token, or with none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

import httpx

from flaggerpy.kube.errors import Unreachable
from flaggerpy.kube.wire import Request, Transport
from flaggerpy.metrics.asking import TIMEOUT_SECONDS, Headers, Server, address_of, sendable
from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.credentials import authority_of
from flaggerpy.metrics.outbound import Call, Outbound, OutboundError, Reply
from flaggerpy.metrics.points import several
from flaggerpy.metrics.reading import quoted, read
from flaggerpy.rollout.errors import UserError

NAME = "The external metrics API"
GROUP = "external.metrics.k8s.io"
API_SERVER = "https://kubernetes.default.svc"
OWN_RIGHT = f"the controller's right to list it in {GROUP} (chart: rbac.externalMetrics)"
_HOSTS = frozenset(f"kubernetes{domain}" for domain in ("", ".default", ".default.svc", ".default.svc.cluster.local"))
_FORM = "write namespace/metric?labelSelector=key%3Dvalue, of which only the metric is needed"
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:([eE][+-]?[0-9]{1,3})|(n|u|m|k|M|G|T|P|E)|(K|M|G|T|P|E)i)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query names."""

    namespace: str
    metric: str
    selector: str = ""

    @property
    def path(self) -> str:
        """Return the path of its values, below the address of an API server."""
        selector = f"?{urlencode({'labelSelector': self.selector})}" if self.selector else ""
        return f"/apis/{GROUP}/v1beta1/namespaces/{self.namespace}/{quote(self.metric, safe='')}{selector}"


class ExternalMetrics:
    """Asks the API server, or another server of the same API.

    Raises:
        UserError: the address or the token cannot be used.

    """

    def __init__(self, settings: ProviderSettings, outbound: Outbound, *, timeout: float = TIMEOUT_SECONDS) -> None:
        base = address_of(settings, NAME, API_SERVER)
        headers = _headers(settings)
        keys = "the token of the Secret"
        if httpx.URL(base).host in _HOSTS and not headers:
            outbound, keys = _ApiServer(settings.cluster), OWN_RIGHT
        elif not settings.address:
            raise UserError(
                "The Secret of the external metrics API has a token, and spec.provider.address does not say for which "
                "server: the API server is asked with the controller's own account, without a Secret."
            )
        verify, ca = not settings.insecure_skip_verify, authority_of(settings, NAME)
        self._server = Server(NAME, base, outbound, headers, keys, verify, timeout, ca)

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Read the value that a query names; it is the newest that there is."""
        try:
            wanted = wanted_by(query)
        except UserError as error:
            return BadQuery(str(error).rstrip("."))
        return await self._server.get(wanted.path, {}, parse, complaint)


class _ApiServer(Outbound):
    """Sends over the controller's own connections to the API server, as the controller."""

    def __init__(self, cluster: Transport | None) -> None:
        super().__init__()
        self._cluster = cluster

    async def send(self, call: Call) -> Reply:
        """Make one call."""
        if self._cluster is None:
            raise OutboundError("there is no API server here", retryable=False)
        url = httpx.URL(call.url)
        parameters = tuple(parse_qsl(url.query.decode("ascii")))
        request = Request(call.method, url.raw_path.decode("ascii").partition("?")[0], parameters, timeout=call.seconds)
        try:
            answer = await self._cluster.send(request)
        except Unreachable as error:
            raise OutboundError(str(error), retryable=True) from None
        return Reply(answer.status, httpx.Headers(), answer.body[: call.size], len(answer.body) > call.size)


def wanted_by(query: str) -> Wanted:
    """Read a query as Flagger does: ``[namespace/]metric[?labelSelector=...]``, the selector encoded as in a URL.

    Raises:
        UserError: it is something else.

    """
    path, _, parameters = query.strip().partition("?")
    namespace, _, metric = path.rpartition("/")
    if path.count("/") > 1:
        raise UserError(f"The query of an external metric has more than one slash: {_FORM}.")
    if not metric or unquote(metric) in {".", ".."}:
        raise UserError(f"The query of an external metric names no metric: {_FORM}.")
    namespace = namespace or "default"
    if not _NAMESPACE.fullmatch(namespace):
        raise UserError(f'"{quoted(namespace)}" in the query of an external metric is no namespace: {_FORM}.')
    fields = dict(parse_qsl(parameters))
    if parameters and set(fields) != {"labelSelector"}:
        raise UserError(f'"{quoted(parameters)}" in the query of an external metric is no labelSelector: {_FORM}.')
    return Wanted(namespace, unquote(metric), fields.get("labelSelector", "").strip())


def stay_within(query: str, namespace: str) -> None:
    """Look whether a query asks for what its own namespace has.

    Raises:
        UserError: it asks for another one's, or is none.

    """
    wanted = wanted_by(query)
    if wanted.namespace != namespace:
        raise UserError(
            f"The query asks for an external metric of namespace {wanted.namespace}, which this controller forbids "
            f"(--no-cross-namespace-refs): write {namespace}/{quoted(wanted.metric)}."
        )


def parse(payload: bytes) -> Outcome:
    """Read an ExternalMetricValueList with one value."""
    return read(payload, _interpreted)


def complaint(document: Any) -> str:
    """Quote the message of a Status."""
    return quoted(document.get("message")) if isinstance(document, dict) else ""


def number_of(quantity: str) -> float | None:
    """Read a quantity of Kubernetes, such as 1500m, 2k or 1Mi; None for what is none."""
    found = _QUANTITY.fullmatch(quantity)
    if found is None:
        return None
    digits, exponent, decimal, binary = found.groups()
    try:
        value = Decimal(f"{digits}{exponent or ''}")
    except InvalidOperation:
        return None
    if binary:
        return float(value * 1024 ** _BINARY[binary])
    return float(value.scaleb(_DECIMAL[decimal])) if decimal else float(value)


def _interpreted(document: Any) -> Outcome:
    if not isinstance(document, dict) or document.get("kind") != "ExternalMetricValueList":
        return ProviderError("the answer is no ExternalMetricValueList")
    match document.get("items"):
        case None | []:
            return NoData()
        case [{"value": str() as text}]:
            value = number_of(text)
            return ProviderError("the answer holds no number") if value is None else Value(value)
        case [_]:
            return ProviderError("the answer holds no number")
        case [_, *_] as items:
            return several(len(items), "choose one with labelSelector")
        case _:
            return ProviderError("the answer has no list of values")


def _headers(settings: ProviderSettings) -> Headers:
    if settings.secret is None:
        return ()
    if "token" not in settings.secret:
        has = ", ".join(sorted(settings.secret)) or "none"
        raise UserError(f"The Secret of the external metrics API must have the key token; it has {has}.")
    return sendable(NAME, (("Authorization", f"Bearer {settings.secret['token'].strip()}"),))
