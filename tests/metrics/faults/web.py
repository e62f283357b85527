from __future__ import annotations

from hypothesis import strategies as st

from flaggerpy.api.templates import WebMetric
from flaggerpy.metrics import jsonpath
from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.web import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {"username": "planted-user", "password": "planted-pass w/ord", "header.X-Api-Key": "planted-api-key"}
PATH = '{.services[?(@.name == "web")].rate}'

_SERVICES = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from(["web", "other", 7]), "rate": LEAF}) | LEAF, max_size=3
)

CASE = Case(
    settings=lambda url: ProviderSettings("web", f"{url}/api", secret=SECRET, web=WebMetric(json_path=PATH)),
    query="/v1/rates?window=1m",
    success=says({"services": [{"name": "db", "rate": 7}, {"name": "web", "rate": "0.25"}]}),
    value=0.25,
    no_data=(says({"services": []}), says({"services": [{"name": "web", "rate": None}]}), says({"other": 1})),
    malformed=(
        b'{"services": [{"name": "web", "rate": {}}]}',
        b'{"services": [{"name": "web", "rate": "fast"}]}',
        b'{"services": [{"name": "web", "rate": 1}, {"name": "web", "rate": 2}]}',
    ),
    fine=(b"[]", b"{}", b"7"),
    secret=SECRET,
    sent={"X-Api-Key": "planted-api-key", "Authorization": "Basic cGxhbnRlZC11c2VyOnBsYW50ZWQtcGFzcyB3L29yZA=="},
    parse=lambda payload: parse(payload, jsonpath.compiled(PATH)),
    documents=st.fixed_dictionaries({"services": _SERVICES | LEAF}),
)
