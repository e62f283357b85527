"""Provider ``alb``: one annotation of the user's own Ingress, with a forward action that carries the shares.

The AWS Load Balancer Controller turns it into target groups with weights. The action has the name of the apex Service:
the user's Ingress leads to ``service: {name: APEX, port: {name: use-annotation}}``, and all else of it stays as it is.
There is no answer from the load balancer on which to wait: what is written counts as taken.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject, annotations_of, metadata_of
from flaggerpy.kube.resources import Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Acceptance, Capabilities, Routes, RouteState, to_canary
from flaggerpy.routers import ingress
from flaggerpy.routers.base import Live

_PREFIX = "alb.ingress.kubernetes.io"
_BEFORE = "flaggerpy.dev/action"
_USE_ANNOTATION = "use-annotation"

Groups = list[JsonObject]


class AlbRouter:
    """Application Load Balancers of AWS, through the AWS Load Balancer Controller."""

    capabilities = Capabilities(weights=True, grpc=True, own_route=True)

    def refs(self, canary: Canary) -> tuple[Ref, ...]:
        """Return the user's Ingress."""
        own = ingress.own_ref(canary)
        return () if own is None else (own,)

    def problems(self, canary: Canary) -> tuple[str, ...]:
        """Say what is missing."""
        return ingress.missing_settings(canary, "alb")

    def state(self, canary: Canary, live: Live) -> RouteState:
        """Read the shares from the action, and compare it with what we would write."""
        own = _own(canary, live)
        groups = [] if own is None else _groups(_action(canary, own))
        weights = {str(group.get("serviceName")): _weight(group) for group in groups}
        share = weights.get(canary.canary_service_name, 0)
        total = share + weights.get(canary.primary_service_name, 0)
        if own is None or not total:
            return RouteState(routes=None)
        routes = to_canary(round(100 * share / total))
        return RouteState(routes, _drifted(canary, own, groups, routes), Acceptance.YES)

    def render(self, canary: Canary, live: Live, routes: Routes) -> tuple[JsonObject, ...]:
        """Return the user's Ingress with these shares in the action."""
        own = ingress.own_ingress(canary, live)
        _refuse(canary, own)
        return (_with_groups(canary, own, _shares(canary, routes)),)

    def restore(self, canary: Canary, live: Live) -> tuple[JsonObject, ...]:
        """Return the user's Ingress with the action it had, or with one that leads to the apex Service."""
        own = _own(canary, live)
        if own is None or not _is_held(canary, own):
            return ()
        before = _action_before(canary, own)
        if not before or _names_ours(canary, _groups(_parsed(before))):
            apex = [{**_group(canary, canary.apex_name, 100), "servicePort": _port(canary, own)}]
            before = _text(_changed(_action(canary, own), apex))
        kept = {key: value for key, value in annotations_of(own).items() if key != _before(canary)}
        return (_with_annotations(own, kept | {_key(canary): before}),)

    def ahead(self, canary: Canary, live: Live, bodies: tuple[JsonObject, ...]) -> tuple[JsonObject, ...]:
        """Return the action with target groups at weight 0 that it is about to name, or to name no longer.

        A target group has no healthy targets when a load balancer hears of it.
        """
        own = _own(canary, live)
        if own is None:
            return ()
        return tuple(step for body in bodies if (step := _step_ahead(canary, own, body)) is not None)


def _own(canary: Canary, live: Live) -> JsonObject | None:
    own = ingress.own_ref(canary)
    return None if own is None else live.get(own)


def _key(canary: Canary) -> str:
    return f"{_PREFIX}/actions.{canary.apex_name}"


def _before(canary: Canary) -> str:
    """Return the annotation that keeps the action as it was; several canaries may share an Ingress.

    It is no longer than the action's own, since names of annotations end at 63 characters.
    """
    return f"{_BEFORE}.{canary.apex_name}"


def _action(canary: Canary, own: JsonObject) -> JsonObject:
    return _parsed(annotations_of(own).get(_key(canary), ""))


def _parsed(text: str) -> JsonObject:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(action: JsonObject) -> str:
    return json.dumps(action, sort_keys=True, separators=(",", ":"))


def _groups(action: JsonObject) -> Groups:
    """Return the target groups of a forward action; empty for any other."""
    forward = action.get("forwardConfig")
    groups = forward.get("targetGroups") if isinstance(forward, dict) and action.get("type") == "forward" else None
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def _weight(group: Mapping[str, Any]) -> int:
    """Return a group's weight; a single one may be without."""
    weight = group.get("weight", 1)
    return max(weight, 0) if isinstance(weight, int) else 0


def _group(canary: Canary, name: str, weight: int) -> JsonObject:
    port = canary.spec.service.port if canary.spec.service else None
    return {"serviceName": name, "servicePort": port, "weight": weight}


def _shares(canary: Canary, routes: Routes) -> Groups:
    return [
        _group(canary, canary.primary_service_name, routes.primary),
        _group(canary, canary.canary_service_name, routes.canary),
    ]


def _port(canary: Canary, own: JsonObject) -> Any:
    """Return the port at which the action reaches our Services now; works on whatever is there."""
    return next((group["servicePort"] for group in _groups(_action(canary, own)) if "servicePort" in group), None)


def _changed(action: JsonObject, groups: Groups) -> JsonObject:
    """Return an action with other target groups; a stickiness that the user set stays."""
    forward = action.get("forwardConfig")
    rest = forward if isinstance(forward, dict) else {}
    return {"type": "forward", "forwardConfig": {**rest, "targetGroups": groups}}


def _names_ours(canary: Canary, groups: Groups) -> bool:
    ours = {canary.primary_service_name, canary.canary_service_name}
    return any(group.get("serviceName") in ours for group in groups)


def _is_held(canary: Canary, own: JsonObject) -> bool:
    return _before(canary) in annotations_of(own) or _names_ours(canary, _groups(_action(canary, own)))


def _drifted(canary: Canary, own: JsonObject, groups: Groups, routes: Routes) -> bool:
    if _before(canary) not in annotations_of(own):
        return True
    return canary.spec.service is not None and groups != _shares(canary, routes)


def _refuse(canary: Canary, own: JsonObject) -> None:
    """Refuse an Ingress that would not ask for the action, or whose action does something else."""
    name, apex, given = metadata_of(own)["name"], canary.apex_name, annotations_of(own)
    if canary.spec.service is None:
        raise UserError("spec.service is missing, so there is no port to serve on: add spec.service.port.")
    if apex not in _actions_asked_for(own):
        raise UserError(
            f"Ingress {name} does not ask for the action {apex}: write name: {apex} and "
            f"port: {{name: {_USE_ANNOTATION}}} as the backend.service of the paths that lead to this canary."
        )
    if given.get(f"{_PREFIX}/target-type") == "instance":
        raise UserError(
            f"Ingress {name} has {_PREFIX}/target-type: instance, which the Services of primary and canary cannot "
            "serve, as they have no node port: write ip."
        )
    names = {str(group.get("serviceName")) for group in _groups(_action(canary, own))}
    ours = {apex, canary.primary_service_name, canary.canary_service_name}
    if _key(canary) in given and not (names and names <= ours):
        raise UserError(
            f"The annotation {_key(canary)} of Ingress {name} does not forward to Service {apex} alone: remove it, as "
            "flaggerpy writes it by itself."
        )


def _actions_asked_for(own: JsonObject) -> set[str]:
    services = (backend.get("service") or {} for backend in _backends(own.get("spec") or {}))
    return {
        service.get("name", "") for service in services if (service.get("port") or {}).get("name") == _USE_ANNOTATION
    }


def _backends(spec: JsonObject) -> Iterator[JsonObject]:
    yield spec.get("defaultBackend") or {}
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            yield path.get("backend") or {}


def _with_groups(canary: Canary, own: JsonObject, groups: Groups) -> JsonObject:
    """Return the whole Ingress with other target groups, and with the action that it had before ours."""
    ours = {
        _before(canary): _action_before(canary, own),
        _key(canary): _text(_changed(_action(canary, own), groups)),
    }
    return _with_annotations(own, annotations_of(own) | ours)


def _action_before(canary: Canary, own: JsonObject) -> str:
    """Return the action that is the user's: the one that is there, unless it is ours; empty where there was none."""
    is_ours = _names_ours(canary, _groups(_action(canary, own)))
    text: str = annotations_of(own).get(_before(canary) if is_ours else _key(canary), "")
    return text


def _with_annotations(own: JsonObject, annotations: Mapping[str, str]) -> JsonObject:
    typed = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"}
    return {**own, **typed, "metadata": {**metadata_of(own), "annotations": dict(annotations)}}


def _step_ahead(canary: Canary, own: JsonObject, body: JsonObject) -> JsonObject | None:
    """Return the live action with the groups to come, then the coming one with those that are left, at weight 0."""
    live, coming = _groups(_action(canary, own)), _groups(_action(canary, body))
    groups = _with_unused(live, coming) or _with_unused(coming, live)
    if not live or groups is None:
        return None
    # An Ingress that is given back keeps our annotation until the last step.
    return _with_groups(canary, own, groups)


def _with_unused(groups: Groups, others: Groups) -> Groups | None:
    """Return the groups with those to which only the others send somebody; None without any."""
    named = {group.get("serviceName") for group in groups}
    unused = [{**group, "weight": 0} for group in others if _weight(group) and group.get("serviceName") not in named]
    return [*({**group, "weight": _weight(group)} for group in groups), *unused] if unused else None
