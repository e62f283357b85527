"""Conditions on requests: how a service's route matches, and whom an A/B test is for."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict

from flaggerpy.api.base import ApiModel, Integer


def _at_most_one(*names: str) -> dict[str, Any]:
    alternatives: list[dict[str, Any]] = [{"required": [name]} for name in names]
    return {"oneOf": [{"not": {"anyOf": alternatives}}, *alternatives]}


def exactly_one(*names: str) -> dict[str, Any]:
    """Say in a schema that exactly one of some fields is there."""
    return {"oneOf": [{"required": [name]} for name in names]}


_STRING_MATCHES: Final = ("exact", "prefix", "regex")


class StringMatch(ApiModel):
    """How a string is compared; at most one way may be given."""

    model_config = ConfigDict(json_schema_extra=_at_most_one(*_STRING_MATCHES))

    exact: str | None = None
    """The whole string."""
    prefix: str | None = None
    """The beginning of the string."""
    regex: str | None = None
    """A regular expression in RE2 syntax for the whole string."""


class OriginMatch(StringMatch):
    """How an origin is compared; exactly one way must be given."""

    model_config = ConfigDict(json_schema_extra=exactly_one(*_STRING_MATCHES))


class HeaderMatch(StringMatch):
    """How a header of an A/B test is compared; exactly one way must be given."""

    model_config = ConfigDict(json_schema_extra=exactly_one("exact", "prefix", "suffix", "regex"))

    suffix: str | None = None
    """The end of the string."""


class RouteMatch(ApiModel):
    """One condition on the requests that the service's route takes; all parts of it must hold."""

    name: str | None = None
    """Name of the condition, for people."""
    uri: StringMatch | None = None
    """Path of the request."""
    scheme: StringMatch | None = None
    """Scheme of the request."""
    method: StringMatch | None = None
    """HTTP method of the request."""
    authority: StringMatch | None = None
    """Host that the request asks for."""
    headers: dict[str, StringMatch] | None = None
    """Header name to what its value must be."""
    query_params: dict[str, StringMatch] | None = None
    """Query parameter to what its value must be."""
    without_headers: dict[str, StringMatch] | None = None
    """Header name to what its value must not be."""
    port: Integer | None = None
    """Port that the request was sent to."""
    source_labels: dict[str, str] | None = None
    """Labels of the workload that sends the request (Istio)."""
    source_namespace: str | None = None
    """Namespace of the workload that sends the request (Istio)."""
    gateways: tuple[str, ...] | None = None
    """Gateways for which the condition counts (Istio)."""
    ignore_uri_case: bool | None = None
    """Whether upper and lower case are the same in the path."""


class AudienceMatch(ApiModel):
    """One condition on the requests that an A/B test sends to the canary; all parts of it must hold."""

    headers: dict[str, HeaderMatch] | None = None
    """Header name to what its value must be."""
    query_params: dict[str, StringMatch] | None = None
    """Query parameter to what its value must be."""
    source_labels: dict[str, str] | None = None
    """Labels of the workload that sends the request (Istio)."""
