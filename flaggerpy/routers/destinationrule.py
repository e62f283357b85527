"""The DestinationRules of provider ``istio``: one for each version's Service, with spec.service.trafficPolicy.

A policy is replaced as a whole. Merging it into what somebody else wrote could make one that Istio refuses.
"""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import DESTINATION_RULES, Ref
from flaggerpy.routers import custody
from flaggerpy.routers.base import Live
from flaggerpy.routers.virtualservice import check_duration
from flaggerpy.routers.virtualservice_compare import same_part

_POLICY = "trafficPolicy"
_DURATIONS = frozenset({"idleTimeout", "interval", "baseEjectionTime", "warmupDurationSecs"})
"""Fields of a traffic policy in which Istio's CRD wants a duration."""


def rule_refs(canary: Canary) -> tuple[Ref, ...]:
    """Return the DestinationRules, which are named like their hosts."""
    names = (canary.canary_service_name, canary.primary_service_name)
    return tuple(Ref(DESTINATION_RULES, canary.namespace, name) for name in names)


def check_policy(canary: Canary) -> None:
    """Make sure that Istio takes the traffic policy.

    Raises:
        UserError: it does not.

    """
    _check_durations(f"spec.service.{_POLICY}", _policy(canary))


def rules(canary: Canary, live: Live) -> tuple[JsonObject, ...]:
    """Return the DestinationRules as they are to be."""
    return tuple(_rule(canary, ref, live.get(ref)) for ref in rule_refs(canary))


def drifted(canary: Canary, live: Live) -> bool:
    """Tell whether a DestinationRule is missing or other than it is to be."""
    found = ((ref, live.get(ref)) for ref in rule_refs(canary))
    return any(rule is None or custody.lacks_marks(canary, rule) or _differs(canary, ref, rule) for ref, rule in found)


def given_back(canary: Canary, live: Live) -> tuple[JsonObject, ...]:
    """Return the user's own DestinationRules as they were; ours go with the Services that they are about."""
    found = ((ref, live[ref]) for ref in rule_refs(canary) if ref in live)
    held = ((ref, rule, custody.spec_before(rule)) for ref, rule in found if _is_held(canary, rule))
    return tuple(custody.given_back(ref, rule, before) for ref, rule, before in held if before)


def _rule(canary: Canary, ref: Ref, live: JsonObject | None) -> JsonObject:
    held = live is not None and _is_held(canary, live)
    body = custody.taken(canary, ref, live, _spec(canary, ref), held=held)
    if live is None or (held and not _is_users(live) and not _differs(canary, ref, live)):
        return body
    before = live.get("spec") or {}
    kept = {field: part for field, part in before.items() if field != _POLICY or not held or _is_users(live)}
    return custody.whole({**live, "spec": kept}, {**body, "spec": _spec(canary, ref)})


def _spec(canary: Canary, ref: Ref) -> JsonObject:
    policy = _policy(canary)
    return {"host": ref.name} | ({_POLICY: policy} if policy else {})


def _policy(canary: Canary) -> JsonObject:
    policy = canary.spec.service.traffic_policy if canary.spec.service else None
    return policy.as_written() if policy is not None else {}


def _check_durations(place: str, policy: JsonObject) -> None:
    for field, part in policy.items():
        if isinstance(part, dict):
            _check_durations(f"{place}.{field}", part)
        elif field in _DURATIONS:
            check_duration(f"{place}.{field}", part)


def _is_held(canary: Canary, rule: JsonObject) -> bool:
    return custody.is_held(canary, rule, names_ours=False)


def _is_users(rule: JsonObject) -> bool:
    """Tell whether a DestinationRule that is in our hands was a user's before."""
    return bool(custody.spec_before(rule))


def _differs(canary: Canary, ref: Ref, rule: JsonObject) -> bool:
    """Tell whether what we own is otherwise; a user's own keeps its policy where the canary has none."""
    wanted, found = _spec(canary, ref), rule.get("spec") or {}
    fields = wanted if _is_users(rule) else ("host", _POLICY)
    return any(not same_part(wanted.get(field), found.get(field)) for field in fields)
