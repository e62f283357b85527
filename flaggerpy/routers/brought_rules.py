"""Rules of a route that its user brings along: whose backends are ours, and how they share the users of a rule.

Weights are what the user gave the apex Service beside other backends, and at least 100 where it is alone. So each per
cent can be said, nobody else's share changes, and the apex Service gets back what it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import Routes
from flaggerpy.routers.ports import lacking_port, lacks_port

Rules = list[JsonObject]

_WHOLE: Final = 100
"""The least that the weights of primary and canary add up to, so that each per cent can be said."""
_DEFAULT_WEIGHT: Final = 1
_MOST_BACKENDS: Final = 16


def rules_of(route: Mapping[str, Any]) -> Rules:
    """Return the rules of a route."""
    return list((route.get("spec") or {}).get("rules") or ())


def backends_of(rule: Mapping[str, Any]) -> list[JsonObject]:
    """Return the backends of a rule."""
    return list(rule.get("backendRefs") or ())


def leads_to_us(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule names one of the canary's three Services."""
    return bool(_ours(canary, rule))


def leads_to_apex_alone(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule names the apex Service and neither of the other two."""
    return {backend["name"] for backend in _ours(canary, rule)} == {canary.apex_name}


def lacks_ports(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule leads to our Services at ports only that those of primary and canary will not have."""
    ours = _ours(canary, rule)
    return bool(ours) and all(lacks_port(canary, backend.get("port")) for backend in ours)


def refuse_ports(canary: Canary, where: str, rule: Mapping[str, Any]) -> None:
    """Refuse a rule because of such a port.

    Raises:
        UserError: always.

    """
    raise UserError(lacking_port(canary, where, _ours(canary, rule)[0].get("port")))


def is_shared(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule names primary and canary, as one does whose users we share, or is on its way back."""
    names, primary = {backend["name"] for backend in _ours(canary, rule)}, canary.primary_service_name
    return primary in names and len(names) > 1


def our_weights(canary: Canary, rule: Mapping[str, Any]) -> dict[str, int]:
    """Return the weights of those of the canary's three Services that a rule names."""
    return {backend["name"]: _weight(backend) for backend in _ours(canary, rule)}


def shared(canary: Canary, rule: JsonObject, routes: Routes) -> JsonObject:
    """Return a rule of which primary and canary get their shares; what is written beside them stays."""
    ours, pair = _ours(canary, rule), _pair(canary)
    written = {backend["name"]: backend for backend in ours}
    if len(written) < len(ours):
        return rule  # which of two with one name means what is not ours to say
    whole = _total(canary, rule)
    if whole < _WHOLE and not _sends_others(canary, rule):
        whole = _WHOLE
    share = round(whole * routes.canary / 100)
    weights = dict(zip(pair, (whole - share, share), strict=True))
    if written.keys() == weights.keys():
        weighed = {name: {**backend, "weight": weights[name]} for name, backend in written.items()}
        backends = [weighed[one["name"]] if _is_ours(canary, one) else one for one in backends_of(rule)]
        return {**rule, "backendRefs": backends}
    like = written.get(canary.apex_name) or ours[0]
    made = [{**written.get(name, like), "name": name, "weight": weight} for name, weight in weights.items()]
    return _with_ours(canary, rule, made)


def to_apex(canary: Canary, rule: JsonObject) -> JsonObject:
    """Return a rule with the apex Service in the place of the other two, and with their weight."""
    ours = _ours(canary, rule)
    if not any(backend["name"] in _pair(canary) for backend in ours):
        return rule
    like = max(ours, key=_weight)
    apex = {key: value for key, value in like.items() if key != "weight"} | {"name": canary.apex_name}
    total = _total(canary, rule)
    if _sends_others(canary, rule) or total not in {_WHOLE, _DEFAULT_WEIGHT}:
        apex["weight"] = total
    return _with_ours(canary, rule, [apex])


def with_unused(rule: JsonObject, other: JsonObject) -> JsonObject:
    """Return a rule with the backends to which only the other one sends somebody, at weight 0."""
    named = {backend.get("name") for backend in backends_of(rule)}
    used = {one.get("name"): {**one, "weight": 0} for one in backends_of(other) if _weight(one)}
    backends = [*backends_of(rule), *(backend for name, backend in used.items() if name not in named)]
    return {**rule, "backendRefs": backends} if len(backends_of(rule)) < len(backends) <= _MOST_BACKENDS else rule


def refuse_rule(canary: Canary, where: str, rule: JsonObject) -> None:
    """Refuse a rule whose users cannot be shared.

    Raises:
        UserError: it is such a rule.

    """
    ours, total = _ours(canary, rule), _total(canary, rule)
    names = [backend["name"] for backend in ours]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{where}: Service {twice} is named more than once: leave one backendRef for it.")
    if not total:
        raise UserError(
            f"{where}: Service {canary.apex_name} has the weight 0, so that nobody would see a new revision: give it a "
            "weight, or name another rule in spec.routeRef.sectionName."
        )
    if total < _WHOLE and _sends_others(canary, rule):
        raise UserError(
            f"{where}: Service {canary.apex_name} has the weight {total} beside other backends, which cannot be split "
            f"into per cents: multiply all weights of the rule, so that it has {_WHOLE} or more."
        )


def _pair(canary: Canary) -> tuple[str, str]:
    return canary.primary_service_name, canary.canary_service_name


def _weight(backend: Mapping[str, Any]) -> int:
    return int(backend.get("weight", _DEFAULT_WEIGHT))


def _is_ours(canary: Canary, backend: Mapping[str, Any]) -> bool:
    is_service = not backend.get("group") and backend.get("kind", "Service") == "Service"
    here = backend.get("namespace") in {None, "", canary.namespace}
    return is_service and here and backend.get("name") in {canary.apex_name, *_pair(canary)}


def _ours(canary: Canary, rule: Mapping[str, Any]) -> list[JsonObject]:
    return [backend for backend in backends_of(rule) if _is_ours(canary, backend)]


def _total(canary: Canary, rule: Mapping[str, Any]) -> int:
    return sum(_weight(backend) for backend in _ours(canary, rule))


def _sends_others(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule sends users to somebody else as well, so that our weights mean something beside theirs."""
    return any(_weight(backend) for backend in backends_of(rule) if not _is_ours(canary, backend))


def _with_ours(canary: Canary, rule: JsonObject, backends: list[JsonObject]) -> JsonObject:
    """Return a rule with these backends in the place of ours."""
    old = backends_of(rule)
    place = next(index for index, backend in enumerate(old) if _is_ours(canary, backend))
    rest = [backend for backend in old[place:] if not _is_ours(canary, backend)]
    return {**rule, "backendRefs": [*old[:place], *backends, *rest]}
