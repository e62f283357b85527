"""What the rest of the program may ask of a provider of traffic: the protocol, and nothing of any provider.

How bodies are written follows from themselves: one that carries ``metadata.resourceVersion`` takes the whole place of
the live object (PUT), any other is applied on the server's side (``render`` names only what we own). One with a
``PATCH`` is neither: it is what the object will be, and the patch is what is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.traffic import Capabilities, Routes, RouteState

Live = Mapping[Ref, JsonObject]
"""The objects that exist, of those a router wants to read."""
PATCH: Final = "patch"
"""Where a body keeps the operations of a JSON Patch that leads to it, and that tests what it depends on."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator chose for providers, and no Canary can say.

    Attributes:
        ingress_class: who among several Contours serves our HTTPProxies; empty leaves it open.
        ingress_annotations_prefix: what the annotations of an NGINX begin with that was started with another prefix.
        gateway_mirror_percent: the Gateway API's CRDs and its proxies know copies of a share of the requests.

    """

    ingress_class: str = ""
    ingress_annotations_prefix: str = "nginx.ingress.kubernetes.io"
    gateway_mirror_percent: bool = False


DEFAULTS = Options()


class Router(Protocol):
    """A provider of traffic, as pure translations between its objects and shares of traffic."""

    capabilities: Capabilities

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the objects to read beyond the three Services; empty for a provider without objects."""

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return one sentence for everything in this canary that the provider cannot serve."""

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Say how traffic is spread now; never raises."""

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the objects to apply so that traffic is spread like this.

        Raises:
            UserError: the canary has problems.

        """

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the objects as they stay behind: the user's original, or everything to the apex Service.

        Empty when nothing is in our hands any more but what goes with our Services; never raises.
        """

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return what is to be written instead of these bodies first, so that they take nobody by surprise.

        A proxy that learns of routes and of Services separately has no address for one that the same change names for
        the first time or the last. Empty when no such step is left; until then each write is one of them.
        """
