"""Lint admits what the API server admits: compared with another implementation of the same schemas."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flaggerpy.api.crds import KINDS, object_schema
from flaggerpy.api.reading import without_nulls
from flaggerpy.lint.schema import RULES, violations
from tests.api.fixtures import CANARIES, NONSENSE, OTHERS, SCHEMAS, SEED, JsonObject, title
from tests.routers.cases import EVERYTHING

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 10, 70_000, 2**80, "", "x", "10", "5s", "1h", "slack", "Canary", [], {}, [1], {"a": "b"}]
)
FULL = copy.deepcopy(SEED)
FULL["spec"]["service"] |= {
    **EVERYTHING,
    "trafficPolicy": {"loadBalancer": {"consistentHash": {"httpHeaderName": "x-user"}}, "tls": {"mode": "SIMPLE"}},
}
FULL["spec"]["analysis"] |= {"match": [{"headers": {"x-user": {"exact": "insider"}}}], "mirror": True}
OBJECTS = [SEED, FULL, *CANARIES, *NONSENSE, *OTHERS]


def standard(schema: Any) -> Any:
    """Write what only the API server understands in the words of JSON Schema."""
    match schema:
        case {"x-kubernetes-int-or-string": True}:
            return {"type": ["integer", "string"]}
        case dict():
            return {key: standard(inner) for key, inner in schema.items()}
        case list() | tuple():
            return [standard(inner) for inner in schema]
        case _:
            return schema


VALIDATORS = {kind: jsonschema_rs.validator_for(standard(schema)) for kind, schema in SCHEMAS.items()}


def places(value: Any, place: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    yield place
    match value:
        case dict():
            for key, item in value.items():
                yield from places(item, (*place, key))
        case list():
            for index, item in enumerate(value):
                yield from places(item, (*place, index))


def refused(obj: JsonObject) -> bool:
    found = violations(SCHEMAS[obj["kind"]], without_nulls(obj))
    assert all(one.sentence.endswith((".", "?")) for one in found)
    return any(not one.unknown for one in found)


@pytest.mark.parametrize("obj", OBJECTS, ids=title)
def test_what_the_schema_admits_is_admitted(obj: JsonObject) -> None:
    assert refused(obj) == (not VALIDATORS[obj["kind"]].is_valid(without_nulls(obj)))
    assert not any(one.unknown for one in violations(SCHEMAS[obj["kind"]], without_nulls(obj)))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_is_changed_it_is_refused_exactly_when_the_schema_refuses_it(data: st.DataObject) -> None:
    obj = copy.deepcopy(data.draw(st.sampled_from(OBJECTS)))
    for _ in range(data.draw(st.integers(1, 3))):
        *above, last = data.draw(st.sampled_from([place for place in places(obj["spec"]) if place]))
        parent = obj["spec"]
        for part in above:
            parent = parent[part]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove":
                del parent[last]
            case "add" if isinstance(parent, dict):
                parent[data.draw(st.sampled_from(["stepWeights", "iterations", "exact", "regex", "simple", "zzz"]))] = 1
            case _:
                parent[last] = copy.deepcopy(data.draw(JUNK))
        if not obj["spec"]:
            break
    plain = without_nulls(obj)
    found = {one.place for one in violations(SCHEMAS[plain["kind"]], plain) if "a mirror to a Service" in one.sentence}
    assume(not found)  # a rule in CEL, which the other implementation does not know
    assert refused(plain) == (not VALIDATORS[plain["kind"]].is_valid(plain)), plain


def test_every_rule_in_cel_is_known() -> None:
    def rules(schema: Any) -> Iterator[str]:
        match schema:
            case dict():
                yield from (rule["rule"] for rule in schema.get("x-kubernetes-validations", ()))
                for inner in schema.values():
                    yield from rules(inner)
            case list():
                for inner in schema:
                    yield from rules(inner)

    assert {rule for kind in KINDS for rule in rules(object_schema(kind))} == set(RULES)
