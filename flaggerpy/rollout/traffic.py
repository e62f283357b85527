"""How users are spread over primary and canary, as numbers; how that is written is the routers' business."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Routes:
    """Shares of traffic in percent, which add up to 100, and whether the canary gets a copy of every request.

    Raises:
        ValueError: a share is negative or the two do not add up to 100.

    """

    primary: int
    canary: int
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.primary < 0 or self.canary < 0 or self.primary + self.canary != 100:
            raise ValueError(f"shares must be 0..100 and add up to 100, not {self.primary}/{self.canary}")


def to_canary(weight: int, *, mirrored: bool = False) -> Routes:
    """Give the canary ``weight`` percent and the primary the rest."""
    return Routes(100 - weight, weight, mirrored)


ALL_TO_PRIMARY = Routes(100, 0)
ALL_TO_CANARY = Routes(0, 100)


class Acceptance(Enum):
    """Whether the data plane says that it serves the route as written."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do with traffic, as data for validation and for the core."""

    weights: bool = False
    match: bool = False
    mirror: bool = False
    affinity: bool = False


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
