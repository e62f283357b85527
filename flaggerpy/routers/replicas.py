"""Shares without a proxy: the apex Service leads to the pods of primary and canary, and their numbers are the shares.

The reasons are told in docs/design/0007-shares-by-replicas.md. The selector has three values: the primary's pods, the
canary's, or a label that both have in common. One write takes the place of one by another, and Kubernetes itself keeps
the list of pods behind it. How many pods there are is not decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import PRIMARY_SUFFIX
from flaggerpy.api.marks import refusal
from flaggerpy.api.replicas import replica_problems
from flaggerpy.api.shares import ALL, Shares, read_shares, without_shares
from flaggerpy.kube.objects import JsonObject, annotations_of, metadata_of, name_of
from flaggerpy.kube.resources import DEPLOYMENTS, SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import (
    ALL_TO_CANARY,
    ALL_TO_PRIMARY,
    Acceptance,
    Capabilities,
    Routes,
    RouteState,
    to_canary,
)
from flaggerpy.routers.base import Live


class ReplicaRouter:
    """The provider ``kubernetes`` with ``spec.analysis.trafficByReplicas``."""

    capabilities = Capabilities(weights=True, tcp=True, grpc=True, by_replicas=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the apex Service, and whatever tells whose pods are whose."""
        services = (canary.apex_name, canary.primary_service_name, canary.canary_service_name)
        workloads = (canary.target_name, canary.primary_name)
        return (
            *(Ref(SERVICES, canary.namespace, name) for name in services),
            *(Ref(DEPLOYMENTS, canary.namespace, name) for name in workloads),
        )

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Return what numbers of pods cannot serve."""
        return tuple(replica_problems(canary))

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Say where the apex Service leads; the proxies of the nodes say nothing of it, so what is stored counts."""
        apex = live.get(_apex(canary))
        return RouteState(_routes(canary, live, apex) if apex is not None else None, accepted=Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the apex Service with another selector, nothing where it has it already.

        Nothing as well before there is a Service or a primary: a Service that is made leads to the primary alone. To
        lead there, no label has to be right.
        """
        label, value = _common_label(canary, live) if routes.canary else ("", "")
        apex, alone = live.get(_apex(canary)), _selectors(canary, live)
        if apex is None or alone is None:
            return ()
        primary, target = alone
        weight = routes.canary
        selector = {0: primary, ALL: target}.get(weight, {label: value})
        body = without_shares(apex)
        if weight:
            annotations = annotations_of(body) | Shares(weight, target).annotation()
            body = {**body, "metadata": {**metadata_of(body), "annotations": annotations}}
        body |= {"apiVersion": "v1", "kind": "Service", "spec": {**(apex.get("spec") or {}), "selector": selector}}
        same = annotations_of(body) == annotations_of(apex) and body["spec"] == apex.get("spec")
        return () if same else (body,)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the apex Service as it leads to the primary alone, as long as it says a share.

        A deletion hands it to its users by itself, and before.
        """
        apex = live.get(_apex(canary))
        if apex is None or read_shares(apex) is None or refusal(apex, canary):
            return ()
        return self.render(canary, live, ALL_TO_PRIMARY)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return nothing: no name is new to anybody."""
        return ()


def _apex(canary: Canary) -> Ref:
    return Ref(SERVICES, canary.namespace, canary.apex_name)


def _routes(canary: Canary, live: Live, apex: JsonObject) -> Routes | None:
    selector, alone, shares = _selector_of(apex), _selectors(canary, live), read_shares(apex)
    if alone is not None and selector == alone[0]:
        return ALL_TO_PRIMARY
    if alone is not None and selector == alone[1]:
        return ALL_TO_CANARY
    shared = canary.analysis.traffic_by_replicas
    common = shared is not None and set(selector) == {shared.label}
    return to_canary(shares.weight) if common and shares is not None and shares.weight < ALL else None


def _selectors(canary: Canary, live: Live) -> tuple[JsonObject, JsonObject] | None:
    """Return what selects the primary's pods and the target's, None while there is no primary and was none."""
    workload = live.get(Ref(DEPLOYMENTS, canary.namespace, canary.primary_name)) or {}
    service = live.get(Ref(SERVICES, canary.namespace, canary.primary_service_name)) or {}
    selector = ((workload.get("spec") or {}).get("selector") or {}).get("matchLabels") or _selector_of(service)
    if len(selector) != 1:
        return None
    return selector, {key: str(value).removesuffix(PRIMARY_SUFFIX) for key, value in selector.items()}


def _selector_of(service: Mapping[str, Any]) -> JsonObject:
    selector: JsonObject = (service.get("spec") or {}).get("selector") or {}
    return selector


def _common_label(canary: Canary, live: Live) -> tuple[str, str]:
    """Return the label that the pods of target and primary have in common.

    Raises:
        UserError: they have not.

    """
    shared = canary.analysis.traffic_by_replicas
    label = shared.label if shared is not None else ""
    found = [live[ref] for ref in _workloads(canary) if ref in live]
    alone = _selectors(canary, live)
    if alone is not None and label in alone[0]:
        raise UserError(
            f"spec.analysis.trafficByReplicas.label: {label} tells the pods of primary and target apart: name another "
            "label, which they have in common and no other pods have."
        )
    values = [(name_of(workload), _labels(workload).get(label)) for workload in found]
    for name, value in values:
        if value is None:
            raise UserError(_lacks_label(canary, name, label))
    if len({value for _, value in values}) > 1:
        (target, new), (primary, old) = values
        raise UserError(
            f"Deployment {target} has {label}={new} in its pod template and {primary} has {old}, so one Service cannot "
            f"find the pods of both (spec.analysis.trafficByReplicas): put {label}={old} back."
        )
    return label, next((str(value) for _, value in values), "")


def _workloads(canary: Canary) -> tuple[Ref, Ref]:
    target, primary = (Ref(DEPLOYMENTS, canary.namespace, name) for name in (canary.target_name, canary.primary_name))
    return target, primary


def _lacks_label(canary: Canary, name: str, label: str) -> str:
    if name == canary.primary_name:
        return (
            f"Deployment {name} has no label {label} in its pod template yet: remove spec.analysis.trafficByReplicas "
            "until a revision that has it is promoted."
        )
    return (
        f"Deployment {name} has no label {label} in its pod template, by which one Service finds the pods of target "
        "and primary (spec.analysis.trafficByReplicas): give it that label, with a value that no other pods have."
    )


def _labels(workload: Mapping[str, Any]) -> dict[str, str]:
    template = (workload.get("spec") or {}).get("template") or {}
    return dict((template.get("metadata") or {}).get("labels") or {})
