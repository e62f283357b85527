from __future__ import annotations

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.graphite import parse
from tests.metrics.faults.case import LEAF, Case, says
from tests.metrics.loopback import Say

SECRET = {"username": "planted-name", "password": "planted-passw0rd"}


def _series(*values: object) -> list[object]:
    return [{"target": "a", "datapoints": [[value, 60 * at] for at, value in enumerate(values)]}]


_POINTS = st.lists(st.lists(LEAF, max_size=3) | LEAF, max_size=3) | LEAF

CASE = Case(
    settings=lambda url: ProviderSettings("graphite", url, secret=SECRET),
    query="target=sumSeries(a.*)",
    success=says(_series(3, 0.25, None)),
    value=0.25,
    no_data=(says([]), says(_series()), says(_series(None, None)), says(_series(float("nan")))),
    # As graphite-web 1.1.10 says it.
    bad_query=(Say(400, b"Invalid parameters (Received request for unknown function: sumSerie)"),),
    malformed=(
        b'{"target": "a"}',
        b"[7]",
        b'[{"target": "a"}]',
        b'[{"datapoints": [7]}]',
        b'[{"datapoints": [["x", 1]]}]',
    ),
    fine=(b"[]",),
    secret=SECRET,
    sent={"Authorization": "Basic cGxhbnRlZC1uYW1lOnBsYW50ZWQtcGFzc3cwcmQ="},
    parse=parse,
    documents=st.lists(st.fixed_dictionaries({"datapoints": _POINTS}) | LEAF, max_size=3),
)
