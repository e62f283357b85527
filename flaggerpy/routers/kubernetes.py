"""No traffic provider at all: users reach the primary through the Services, and nothing is ever split."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.traffic import Acceptance, Capabilities, Routes, RouteState
from flaggerpy.routers.base import Live


class KubernetesRouter:
    """The provider ``kubernetes``: Services only."""

    capabilities = Capabilities(tcp=True, grpc=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return nothing: there is no routing object."""
        return ()

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return nothing: what the provider cannot do is in its capabilities."""
        return ()

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Say that there is no route, and that nothing has to accept one."""
        return RouteState(routes=None, accepted=Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return nothing."""
        return ()

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return nothing: the apex Service is handed back by itself."""
        return ()

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return nothing."""
        return ()
