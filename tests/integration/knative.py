"""Plays Knative: numbers the revisions of services, says which are ready, and who is sent to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from flaggerpy.kube.objects import JsonObject, generation_of, name_of
from flaggerpy.kube.resources import KNATIVE_SERVICES, Resource
from tests.integration.gateway import Gateway, stamp
from tests.integration.site import IMAGE

BROKEN = "broken"
"""Tag of an image whose revisions never become ready."""


@dataclass
class Knative(Gateway):
    """What Knative made of the services of one namespace."""

    resource: ClassVar[Resource] = KNATIVE_SERVICES

    made: dict[str, list[JsonObject]] = field(default_factory=dict)
    """Templates by service; the first is revision 00001."""

    def share(self, route: JsonObject) -> int | None:
        """Return the share of the newest revision where another one is named, None elsewhere."""
        traffic = list(route["spec"].get("traffic") or ())
        return int(traffic[0]["percent"]) if len(traffic) == 2 and traffic[0].get("latestRevision") else None

    def answer(self, route: JsonObject) -> JsonObject | None:
        """Return what is new in the status, None when everything was said."""
        if (route.get("status") or {}).get("observedGeneration") == generation_of(route):
            return None
        name, template = name_of(route), route["spec"]["template"]
        made = self.made.setdefault(name, [])
        if made[-1:] != [template]:
            made.append(template)
        numbered = enumerate(made, 1)
        ready = [revision(name, number) for number, one in numbered if BROKEN not in str(one)]
        newest = revision(name, len(made))
        fine = ready[-1:] == [newest]
        return {
            "observedGeneration": generation_of(route),
            "latestCreatedRevisionName": newest,
            "latestReadyRevisionName": ready[-1],
            "traffic": [served(entry, ready[-1]) for entry in route["spec"].get("traffic") or [{"percent": 100}]],
            "conditions": [
                said("ConfigurationsReady", fine=fine, why=f'Revision "{newest}" failed: ErrImagePull.'),
                said("RoutesReady", fine=True),
                said("Ready", fine=fine, why=f'Revision "{newest}" failed: ErrImagePull.'),
            ],
        }


def revision(name: str, number: int) -> str:
    """Return the name that Knative gives to a revision."""
    return f"{name}-{number:05}"


def served(entry: JsonObject, newest: str) -> JsonObject:
    """Return an entry of the traffic as the status has it, where everybody has a name."""
    return {**entry, "revisionName": entry.get("revisionName", newest), "latestRevision": "revisionName" not in entry}


def said(kind: str, *, fine: bool, why: str = "") -> JsonObject:
    """Write a condition."""
    told = {} if fine else {"reason": "RevisionFailed", "message": why}
    return {"type": kind, "status": "True" if fine else "False", "lastTransitionTime": stamp(), **told}


def knative_service(name: str = "podinfo", tag: str = "6.0.0", **spec: Any) -> JsonObject:
    """Write a Knative service; ``spec`` adds to its spec."""
    container = {"image": f"{IMAGE}:{tag}", "ports": [{"containerPort": 9898, "protocol": "TCP"}]}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"containers": [container]}}, **spec},
    }


def of_knative(name: str = "podinfo", **spec: Any) -> JsonObject:
    """Write a Canary of a Knative service that advances in two equal steps; ``spec`` adds to its spec."""
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": name},
        "spec": {
            "provider": "knative",
            "targetRef": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name},
            "analysis": {"interval": "1s", "threshold": 2, "stepWeight": 25, "maxWeight": 50},
            "progressDeadlineSeconds": 60,
            **spec,
        },
    }
