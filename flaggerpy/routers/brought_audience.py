"""The audience of an A/B test in a route that its user brings along: rules of ours, known by their names.

Each is a copy of the user's rule that leads to us, in front of it, with narrower conditions and with shares of its own;
whatever the user changes in the one is carried over to the other. The names of rules tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flaggerpy.api.canary import Canary
from flaggerpy.kube.objects import JsonObject
from flaggerpy.rollout.errors import UserError
from flaggerpy.routers.brought_rules import Rules
from flaggerpy.routers.httproute import audience_matches

_CONDITIONS = ("headers", "queryParams")


def is_for_audience(canary: Canary, rule: Mapping[str, Any]) -> bool:
    """Tell whether a rule is one that we put in front of a user's."""
    return str(rule.get("name") or "").startswith(_stem(canary))


def for_audience(canary: Canary, kind: str, where: str, rule: JsonObject, number: int) -> JsonObject:
    """Return a user's rule for the audience of the canary alone; ``number`` tells several of them apart.

    Raises:
        UserError: the conditions of both cannot be said in one rule.

    """
    audience = audience_matches(canary.analysis.match)
    if kind == "GRPCRoute" and any("queryParams" in part for part in audience):
        raise UserError(
            "spec.analysis.match asks for queryParams, which a GRPCRoute cannot compare: write headers in their place."
        )
    narrowed = [_both(where, match, part) for part in audience for match in rule.get("matches") or [{}]]
    matches = [match for index, match in enumerate(narrowed) if match not in narrowed[:index]]
    name = _stem(canary) + (f"-{number}" if number else "")
    return {**rule, "name": name, "matches": matches}


def refuse_twin(where: str, made: JsonObject, users: Rules) -> None:
    """Refuse a rule for the audience that could not be told from one of the user's.

    One that was stored without its name is such a rule as well.

    Raises:
        UserError: there is one.

    """
    if any(_content(rule) == _content(made) for rule in users):
        raise UserError(
            f"{where}: another rule has the conditions of spec.analysis.match already: remove it. If you did not write "
            "it, the cluster's routes have no names of rules: install Gateway API 1.4 or newer, or remove match."
        )


def removals(canary: Canary, before: Rules, after: Rules) -> Iterator[JsonObject]:
    """Yield the operations that remove the rules of ours that go, or come back as others."""
    kept = _kept(canary, before, after)
    for index, rule in reversed([*enumerate(before)]):
        if is_for_audience(canary, rule) and rule["name"] not in kept:
            yield {"op": "test", "path": f"/spec/rules/{index}/name", "value": rule["name"]}
            yield {"op": "remove", "path": f"/spec/rules/{index}"}


def additions(canary: Canary, before: Rules, after: Rules) -> Iterator[JsonObject]:
    """Yield the operations that put rules of ours in front of the user's, once these are as they are to be."""
    kept = _kept(canary, before, after)
    for index, rule in enumerate(after):
        if is_for_audience(canary, rule) and rule["name"] not in kept:
            yield {"op": "test", "path": f"/spec/rules/{index}/backendRefs", "value": after[index + 1]["backendRefs"]}
            yield {"op": "add", "path": f"/spec/rules/{index}", "value": rule}


def staying(canary: Canary, before: Rules, after: Rules) -> list[tuple[JsonObject, JsonObject]]:
    """Return the rules that are there before and after, without those of ours that come and go."""
    kept = _kept(canary, before, after)
    old, new = (
        [rule for rule in rules if not is_for_audience(canary, rule) or rule["name"] in kept]
        for rules in (before, after)
    )
    return list(zip(old, new, strict=True))


def _kept(canary: Canary, before: Rules, after: Rules) -> set[str]:
    """Name the rules of ours that stay where they are, and of which only backends may have changed."""
    old, new = (_places(canary, rules) for rules in (before, after))
    same = {name for name in old.keys() & new.keys() if old[name][0] == new[name][0]}
    return {name for name in same if _frame(old[name][1]) == _frame(new[name][1])}


def _places(canary: Canary, rules: Rules) -> dict[str, tuple[int, JsonObject]]:
    """Return the rules of ours by name, each with the number of the user's rules in front of it.

    No name that several have is among them: no API server keeps a user from copying a rule with its name.
    """
    found: dict[str, tuple[int, JsonObject]] = {}
    names = [rule["name"] for rule in rules if is_for_audience(canary, rule)]
    users = 0
    for rule in rules:
        if not is_for_audience(canary, rule):
            users += 1
        elif names.count(rule["name"]) == 1:
            found[rule["name"]] = (users, rule)
    return found


def _frame(rule: JsonObject) -> JsonObject:
    return {key: value for key, value in rule.items() if key != "backendRefs"}


def _content(rule: JsonObject) -> JsonObject:
    return {key: value for key, value in rule.items() if key not in {"backendRefs", "name"}}


def _stem(canary: Canary) -> str:
    return f"{canary.canary_service_name}-audience"


def _both(where: str, match: JsonObject, part: JsonObject) -> JsonObject:
    """Return a condition that holds where two others hold."""
    result = dict(match)
    for field in _CONDITIONS:
        if field not in part:
            continue
        there = list(match.get(field) or ())
        names = {str(one.get("name")).lower() for one in there}
        if twice := next((one["name"] for one in part[field] if one["name"].lower() in names), None):
            raise UserError(
                f"{where}: the rule has a condition on {twice} in its {field}, and spec.analysis.match another, which "
                "cannot both be said: remove one of them."
            )
        result[field] = [*there, *part[field]]
    return result
