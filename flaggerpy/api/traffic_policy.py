"""Istio's traffic policy as far as a Canary may carry it; DestinationRules get it as written."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from flaggerpy.api.base import ApiModel, Int32, Integer
from flaggerpy.api.matching import exactly_one

_HASHES: Final = exactly_one("httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName")
_RULES: Final[dict[str, Any]] = {
    "oneOf": [
        {"required": ["simple"]},
        {"required": ["consistentHash"], "properties": {"consistentHash": _HASHES}},
        {"not": {"anyOf": [{"required": ["simple"]}, {"required": ["consistentHash"]}]}},
    ]
}
"""One rule at most. Flagger's CRD wants exactly one, which forbids a localityLbSetting alone."""


class HttpPool(ApiModel):
    """Limits of HTTP connections."""

    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = None
    """Whether HTTP/1.1 connections are upgraded to HTTP/2."""
    http1_max_pending_requests: Int32 | None = None
    """Requests that may wait for a connection."""
    http2_max_requests: Int32 | None = None
    """Requests that may be under way at once."""
    idle_timeout: str | None = None
    """How long a connection may be idle, like 1h."""
    max_requests_per_connection: Int32 | None = None
    """Requests after which a connection is closed."""
    max_retries: Int32 | None = None
    """Retries that may be under way at once."""


class ConnectionPool(ApiModel):
    """Limits of connections."""

    http: HttpPool | None = None
    """Limits of HTTP connections."""


class HashCookie(ApiModel):
    """The cookie whose value chooses the pod."""

    name: str | None = None
    """Name of the cookie."""
    path: str | None = None
    """Path of the cookie."""
    ttl: str | None = None
    """How long the cookie lives, like 1h."""


class ConsistentHash(ApiModel):
    """What chooses the pod, so that equal requests meet the same pod."""

    http_cookie: HashCookie | None = None
    """A cookie."""
    http_header_name: str | None = None
    """A header, by name."""
    http_query_parameter_name: str | None = None
    """A query parameter, by name."""
    minimum_ring_size: Integer | None = None
    """Smallest number of virtual nodes of the hash ring."""
    use_source_ip: bool | None = None
    """The address of the sender."""


class LocalityShare(ApiModel):
    """How requests of one locality are spread over others."""

    from_: str | None = Field(default=None, alias="from")
    """Locality that requests come from, like region/zone/*."""
    to: dict[str, Integer] | None = None
    """Locality to its share in percent."""


class LocalityFailover(ApiModel):
    """Where requests of one region go when it fails."""

    from_: str | None = Field(default=None, alias="from")
    """Region that fails."""
    to: str | None = None
    """Region that takes over."""


class LocalitySetting(ApiModel):
    """Load balancing between localities."""

    distribute: tuple[LocalityShare, ...] | None = None
    """Shares by locality; not together with failover."""
    enabled: bool | None = None
    """Whether localities count at all."""
    failover: tuple[LocalityFailover, ...] | None = None
    """Which region takes over from which; not together with distribute."""


class LoadBalancer(ApiModel):
    """How a pod is chosen."""

    model_config = ConfigDict(json_schema_extra=_RULES)

    simple: Literal["ROUND_ROBIN", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "LEAST_REQUEST"] | None = None
    """A rule without memory; not together with consistentHash."""
    consistent_hash: ConsistentHash | None = None
    """A hash, so that equal requests meet the same pod; not together with simple."""
    locality_lb_setting: LocalitySetting | None = None
    """Load balancing between localities."""
    warmup_duration_secs: str | None = None
    """How long a new pod's share grows, like 30s."""


class OutlierDetection(ApiModel):
    """When a failing pod gets no requests for a while."""

    base_ejection_time: str | None = None
    """Shortest time without requests, like 30s."""
    consecutive_5xx_errors: Integer | None = Field(default=None, alias="consecutive5xxErrors")
    """Answers 5xx in a row after which a pod is left out."""
    consecutive_errors: Int32 | None = None
    """Errors in a row after which a pod is left out (deprecated by Istio)."""
    consecutive_gateway_errors: Int32 | None = None
    """Answers 502, 503 and 504 in a row after which a pod is left out."""
    consecutive_local_origin_failures: Integer | None = None
    """Failed connections in a row after which a pod is left out."""
    interval: str | None = None
    """How often pods are judged, like 10s."""
    max_ejection_percent: Int32 | None = None
    """Largest share of pods that may be left out, in percent."""
    min_health_percent: Int32 | None = None
    """Share of healthy pods, in percent, below which nobody is left out."""
    split_external_local_origin_errors: bool | None = None
    """Whether errors of the connection are told from errors of the pod."""


class TlsSettings(ApiModel):
    """TLS to the pods."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] | None = None
    """Whether and how TLS is used."""
    ca_certificates: str | None = None
    """File with the certificates of those who may sign the server's."""
    client_certificate: str | None = None
    """File with the client's certificate; needed with mode MUTUAL."""
    private_key: str | None = None
    """File with the client's key; needed with mode MUTUAL."""
    sni: str | None = None
    """Server name asked for in the handshake."""
    subject_alt_names: tuple[str, ...] | None = None
    """Names of which the server's certificate must carry one."""


class TrafficPolicy(ApiModel):
    """How Istio connects to the pods of both versions."""

    connection_pool: ConnectionPool | None = None
    """Limits of connections."""
    load_balancer: LoadBalancer | None = None
    """How a pod is chosen."""
    outlier_detection: OutlierDetection | None = None
    """When a failing pod gets no requests for a while."""
    tls: TlsSettings | None = None
    """TLS to the pods."""
