"""Where the routes of a canary are, as far as its spec says: what ``status.rollout.routes`` keeps on record."""

from __future__ import annotations

from flaggerpy.api.base import ApiModel


class NamedRoute(ApiModel):
    """What routeRef named."""

    api_version: str
    """API version of the object."""
    kind: str
    """Kind of the object."""
    name: str
    """Name of the object."""
    section_name: str | None = None
    """Name of the rule whose users are shared."""


class RoutePlace(ApiModel):
    """What of a spec leads to the objects that carry the routes: an edit of it could leave them behind."""

    provider: str
    """Who routes traffic."""
    service: str
    """Name of the apex Service, after which routes are named."""
    ingress: str | None = None
    """Name in ingressRef."""
    route: NamedRoute | None = None
    """The route in routeRef."""
    port: int | None = None
    """The port in spec.service, where objects are named after it (provider gloo)."""
