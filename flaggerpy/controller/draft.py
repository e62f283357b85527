"""What is known of one canary while it is being observed."""

from __future__ import annotations

from dataclasses import dataclass, field

from flaggerpy.api.canary import Canary
from flaggerpy.api.places import RoutePlace
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.observation import ConfigsSeen
from flaggerpy.routers.base import Router
from flaggerpy.routers.former import Former
from flaggerpy.targets.base import Target, TargetFacts
from flaggerpy.targets.configs import ConfigRef
from flaggerpy.targets.kept import Kept


@dataclass(slots=True)
class Draft:
    """A world in the making."""

    raw: JsonObject
    canary: Canary
    problems: list[str]
    routable: bool = True
    returnable: bool = True
    live: dict[Ref, JsonObject] = field(default_factory=dict)
    target: Target | None = None
    router: Router | None = None
    place: RoutePlace | None = None
    formers: tuple[Former, ...] = ()
    facts: TargetFacts | None = None
    configs: tuple[ConfigRef, ...] = ()
    seen_configs: ConfigsSeen = field(default_factory=ConfigsSeen)
    kept: tuple[Kept, ...] = ()
    lacking: tuple[str, ...] = ()

    def object(self, ref: Ref | None) -> JsonObject | None:
        """Return the live object, None where there is none."""
        return None if ref is None else self.live.get(ref)
