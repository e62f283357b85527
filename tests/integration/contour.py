"""Plays Contour: says of every HTTPProxy that it is valid, that nobody includes it, or what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flaggerpy.kube.objects import JsonObject, generation_of
from flaggerpy.kube.resources import HTTP_PROXIES, Resource
from tests.integration.gateway import Gateway, stamp

ORPHANED = "Orphaned"


@dataclass
class Contour(Gateway):
    """What Contour saw of the HTTPProxies of one namespace."""

    resource: ClassVar[Resource] = HTTP_PROXIES

    trouble: str = ""
    """What is wrong with every proxy, in one word."""

    def share(self, route: JsonObject) -> int | None:
        """Return the share of the last Service of the route that splits traffic, None when no route does."""
        for part in route["spec"].get("routes") or ():
            services = [service for service in part.get("services") or () if not service.get("mirror")]
            if len(services) == 2:
                return int(services[1].get("weight", 0))
        return None

    def answer(self, route: JsonObject) -> JsonObject | None:
        """Return what is new in the status, None when everything was said."""
        said = ((route.get("status") or {}).get("conditions") or [{}])[0]
        errors = [error["reason"] for error in said.get("errors") or ()]
        current = said.get("observedGeneration") == generation_of(route)
        if current and errors == ([self.trouble] if self.trouble else []):
            return None
        condition = {
            "type": "Valid",
            "status": "False" if self.trouble else "True",
            "reason": "ErrorPresent" if self.trouble else "Valid",
            "message": "",
            "observedGeneration": generation_of(route),
            "lastTransitionTime": stamp(),
            "errors": [_error(self.trouble)] if self.trouble else [],
        }
        return {"currentStatus": "invalid" if self.trouble else "valid", "conditions": [condition]}

    async def change(self, trouble: str) -> None:
        """Think differently of all proxies from now on, and say so."""
        self.trouble = trouble
        for proxy in (await self.site.client.list(HTTP_PROXIES, self.site.namespace))[0]:
            await self._look(proxy)


def _error(reason: str) -> JsonObject:
    kind = ORPHANED if reason == ORPHANED else "RouteError"
    return {"type": kind, "status": "True", "reason": reason, "message": "as the test wants it"}
