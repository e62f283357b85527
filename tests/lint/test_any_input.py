"""Whatever a file holds, lint answers with faults at places in it."""

from __future__ import annotations

import copy
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flaggerpy.lint.inventory import Options
from flaggerpy.lint.run import Report, lint
from flaggerpy.lint.source import Source
from tests.api.fixtures import CANARIES, OTHERS
from tests.lint.test_schema import FULL, places
from tests.targets.objects import deployment
from tools.lints import CASES

OPTIONS = (
    Options(),
    Options(mesh_provider="kubernetes", namespace="shop", no_cross_namespace_refs=True),
    Options(mesh_provider="gatewayapi:v1"),
)
WORDS = ["apiVersion", "flagger.app/v1beta1", "kind", "Canary", "spec", "analysis", "metrics", "v1", "Service", "items"]
MARKS = [
    ":",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n---\n",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "*a",
    "<<",
    "? ",
    "|",
    "#",
    "!!int ",
    '"',
    "\t",
]
LEAF: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        10,
        1.5,
        10**30,
        "",
        "x",
        "30s",
        "1h",
        "{{ x",
        "http://web-canary:x/",
        "hey http://web",
        "☃",
        [],
        {},
    ]
)
FOREIGN = [
    deployment(),
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"}, "data": {"token": "x"}},
    {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web"},
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}},
        },
    },
    {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "web", "annotations": {"autoscaling.keda.sh/paused": "x"}},
        "spec": {
            "scaleTargetRef": {"name": "web"},
            "minReplicaCount": 0,
            "idleReplicaCount": 0,
            "pollingInterval": 5,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {}}}},
            "triggers": [{"type": "cpu", "name": "cpu"}],
        },
    },
]
CASE_TEXTS = [case.read_text(encoding="utf-8") for case in sorted(CASES.iterdir())]


def checked(data: bytes) -> list[Report]:
    reports = [lint([Source("a.yaml", data)], options) for options in OPTIONS]
    lines = data.count(b"\n") + data.count(b"\r") + 2
    for report in reports:
        assert all(1 <= fault.line <= lines and fault.column >= 1 and fault.sentence for fault in report.faults)
    return reports


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from([*WORDS, *MARKS]), max_size=60).map(lambda x: "".join(x).encode())
)
def test_any_bytes_are_answered(data: bytes) -> None:
    checked(data)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_object_of_a_known_kind_is_answered(data: st.DataObject) -> None:
    objects = copy.deepcopy(
        data.draw(st.lists(st.sampled_from([FULL, *CANARIES, *OTHERS, *FOREIGN]), min_size=1, max_size=4))
    )
    for obj in objects:
        for _ in range(data.draw(st.integers(0, 3))):
            *above, last = data.draw(st.sampled_from([place for place in places(obj) if place]))
            parent: Any = obj
            for part in above:
                parent = parent[part]
            parent[last] = copy.deepcopy(data.draw(LEAF))
    checked(yaml.safe_dump_all(objects, allow_unicode=True).encode())


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(CASE_TEXTS), st.data())
def test_any_edit_of_a_file_is_answered(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    insert = data.draw(st.sampled_from(["", *MARKS, "0", "null", "x"]))
    checked((text[:start] + insert + text[end:]).encode())
