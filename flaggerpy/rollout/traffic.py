"""How users are spread over primary and canary, as numbers; how that is written is the routers' business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies of session affinity that a route knows, each as ``name=value``; empty where there is none.

    Attributes:
        canary: given to users of the canary, who stay on it.
        primary: given to users of the primary, who stay on it while it lives.
        expired: taken from whoever still has it.

    """

    canary: str = ""
    primary: str = ""
    expired: str = ""


NO_COOKIES = Cookies()


@dataclass(frozen=True, slots=True)
class Routes:
    """Shares of traffic in percent, which add up to 100, copies of requests for the canary, and users' cookies.

    Raises:
        ValueError: a share is negative, the two do not add up to 100, or a cookie leads to a side without a share.

    """

    primary: int
    canary: int
    mirrored: bool = False
    cookies: Cookies = NO_COOKIES

    def __post_init__(self) -> None:
        if self.primary < 0 or self.canary < 0 or self.primary + self.canary != 100:
            raise ValueError(f"shares must be 0..100 and add up to 100, not {self.primary}/{self.canary}")
        held, kept, gone = self.cookies.canary, self.cookies.primary, self.cookies.expired
        if (held and not self.canary) or (kept and not (held and self.primary)) or (gone and self.canary):
            raise ValueError(f"{self.cookies} do not fit the shares {self.primary}/{self.canary}")

    @property
    def traffic(self) -> tuple[int, bool]:
        """What the canary gets, whoever the users are: its share, and whether it gets copies."""
        return self.canary, self.mirrored


def to_canary(weight: int, *, mirrored: bool = False, cookies: Cookies = NO_COOKIES) -> Routes:
    """Give the canary ``weight`` percent and the primary the rest."""
    return Routes(100 - weight, weight, mirrored, cookies)


ALL_TO_PRIMARY = Routes(100, 0)
ALL_TO_CANARY = Routes(0, 100)
NOTHING = ALL_TO_PRIMARY.traffic
"""What a canary gets that nobody reaches."""


class Acceptance(Enum):
    """Whether the data plane says that it serves the route as written.

    ``BEHIND`` is one that has spoken of the route before, and not yet of what was written last. It is not believed to
    serve that: of ``UNKNOWN``, who never speaks, it is after a while.
    """

    YES = "yes"
    NO = "no"
    BEHIND = "behind"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do with traffic, as data for validation and for the core.

    ``mirror_weight`` is whether it can copy a share of the requests; else it copies all of them or none. Where
    ``whole_audience`` is true, the users whom a match describes go to the canary all or not at all, never a share of
    them. ``tcp`` and ``grpc`` are what a route may carry beside HTTP, and ``own_route`` is whether the user brings a
    routing object that is there before the canary. ``answers`` is whether the data plane says of a route that it serves
    it; where it does not, what is written counts as served. With ``by_replicas`` shares are numbers of pods. ``brings``
    is whether ``spec.routeRef`` may name a route of the Gateway API, of which the weights are changed and nothing else.
    """

    weights: bool = False
    match: bool = False
    mirror: bool = False
    mirror_weight: bool = False
    affinity: bool = False
    whole_audience: bool = False
    tcp: bool = False
    grpc: bool = False
    own_route: bool = False
    answers: bool = False
    by_replicas: bool = False
    brings: bool = False


@dataclass(frozen=True, slots=True)
class RouteState:
    """What the routing object says now.

    ``routes`` is None while there is no usable routing object. ``drifted`` means that something other than the
    weights differs from what we would write; ``note`` is the provider's own sentence when it refuses the route or does
    not serve it yet.
    """

    routes: Routes | None
    drifted: bool = False
    accepted: Acceptance = Acceptance.UNKNOWN
    note: str = ""
