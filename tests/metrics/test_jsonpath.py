from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.metrics.jsonpath import compiled, select
from flaggerpy.rollout.errors import UserError

SHOP = {
    "data": {"rate": 0.5, "error-rate": 1, "a.b": 2, "": 3},
    "services": [
        {"name": "web", "rate": 7, "meta": {"tier": 1, "live": True}},
        {"name": "db", "rate": 8, "meta": {"tier": 1.0, "live": False}},
        "odd",
    ],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("{$}", [SHOP]),
        ("$", [SHOP]),
        ("", [SHOP]),
        ("{$.data.rate}", [0.5]),
        ("{.data.rate}", [0.5]),
        (" $.data.rate ", [0.5]),
        ("$.data.error-rate", [1]),
        ("$['data']['a.b']", [2]),
        ('$["data"]["a.b"]', [2]),
        ("$.data['']", [3]),
        ("$.services[0].rate", [7]),
        ("$.services[-2].rate", [8]),
        ("$.services[7].rate", []),
        ("$.services[-7].rate", []),
        ("$.services[*].rate", [7, 8]),
        ("$.data.*", [0.5, 1, 2, 3]),
        ('{$.services[?(@.name == "db")].rate}', [8]),
        ("$.services[?(@.name=='web')].rate", [7]),
        ("$.services[?@.name=='web'].rate", [7]),
        ("$.services[?(@.name != 'web')].rate", [8]),
        ("$.services[?(@.meta.tier == 1)].rate", [7, 8]),
        ("$.services[?(@.meta.live == true)].rate", [7]),
        ("$.services[?(@.meta.live == 1)].rate", []),
        ("$.services[?(@ == 'odd')]", ["odd"]),
        ("$.nothing.here", []),
        ("$.data.rate.deeper", []),
        ("$.data[0]", []),
        ("$.services.name", []),
    ],
)
def test_a_path_finds_what_stands_there(path: str, found: list[Any]) -> None:
    assert select(compiled(path), SHOP) == found


@pytest.mark.parametrize(
    "path",
    [
        "$..rate",
        "data",
        "$.a b",
        "$.services[0",
        "$.services[0:2]",
        "$.services[(@.length-1)]",
        "$.services[?(@.rate > 3)]",
        "$.services[?(@.name =~ /x/)]",
        "$.services[?(@.name == other)]",
        "$.services[?(@.rate == 1-1)]",
        "$.length()",
        "{$.a}{$.b}",
        "$" + ".a" * 600,
    ],
)
def test_what_is_not_understood_is_the_users_mistake_in_one_sentence(path: str) -> None:
    with pytest.raises(UserError, match=r"^The jsonPath .*\.$"):
        compiled(path)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["$", ".a", "[0]", "[*]", ".*", "['a']", "[?(@.a == 1)]", "..", "[", "]", "{", "}", "x"]))
    .map("".join)
    .filter(len),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=2),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
        max_leaves=10,
    ),
)
def test_every_path_finds_something_or_nothing_in_every_document(path: str, document: Any) -> None:
    try:
        steps = compiled(path)
    except UserError:
        steps = ()

    assert isinstance(select(steps, document), list)


def test_no_path_keeps_the_controller_busy() -> None:
    began = time.monotonic()
    steps = compiled("$" + "[*]" * 300)
    document: list[Any] = [0] * 100_000
    for _ in range(300):
        document = [document]

    assert select(steps, document) == [[0] * 100_000]
    with pytest.raises(UserError):
        compiled("$[?(@" + ".a" * 400 + " ==")
    assert time.monotonic() - began < 2
