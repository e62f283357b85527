from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from flaggerpy.metrics.base import Outcome, ProviderSettings
from flaggerpy.metrics.splunk import parse
from tests.metrics.faults.case import LEAF, Case, says
from tests.metrics.loopback import Say

SECRET = {"sf_token_key": "planted-sf-token"}
START = ("control-message", {"event": "STREAM_START", "timestampMs": 1733000000000})
END = ("control-message", {"event": "END_OF_CHANNEL", "timestampMs": 1733000000001})


def stream(*events: tuple[str, Any]) -> Say:
    """Build a stream of server-sent events, with its JSON on several lines as the service writes it."""
    lines = [
        f"event: {kind}\n" + "".join(f"data: {line}\n" for line in json.dumps(data, indent=1).splitlines()) + "\n"
        for kind, data in events
    ]
    return Say(200, "".join(lines).encode(), {"Content-Type": "text/event-stream"})


def data(*values: Any, series: str = "AAAAAKSb0HY") -> tuple[str, Any]:
    """Build the values of one moment."""
    return "data", {
        "data": [{"tsId": series, "value": value} for value in values],
        "logicalTimestampMs": 1733000000000,
    }


def _parsed(payload: bytes) -> Outcome:
    """Read JSON in the place of a stream, as a stream of one event."""
    return parse(b"event: data\ndata: " + payload + b"\n\n" + stream(END).body)


_DATUM = st.fixed_dictionaries({"tsId": st.sampled_from(["a", "b", 7, None]), "value": LEAF}) | LEAF

CASE = Case(
    settings=lambda url: ProviderSettings("splunk", url, secret=SECRET),
    query="data('http.server.errors').sum().publish()",
    success=stream(
        START, ("metadata", {"tsId": "AAAAAKSb0HY", "properties": {}}), data(7), data(0.25), data(None), END
    ),
    value=0.25,
    no_data=(stream(START, END), stream(START, data(), END), stream(START, data(None), END), stream(END)),
    bad_query=(
        stream(START, ("error", {"errors": [{"code": "ANALYTICS_PROGRAM_NAME_ERROR", "context": {"name": "dta"}}]})),
        says({"code": 400, "message": "Syntax error in program", "errorType": "ANALYTICS_PROGRAM_SYNTAX_ERROR"}, 400),
    ),
    malformed=(
        stream(START, data(1)).body,
        stream(START, data(1), data(2, series="B"), END).body,
        stream(START, data("x"), END).body,
        stream(START, ("control-message", {"event": "CHANNEL_ABORT", "abortInfo": {}})).body,
    ),
    secret=SECRET,
    sent={"X-SF-Token": "planted-sf-token", "Content-Type": "text/plain"},
    parse=_parsed,
    documents=st.fixed_dictionaries({"data": st.lists(_DATUM, max_size=3) | LEAF}),
)
