"""How a provider is put before a server of the tests, and what that server says when all is well."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from flaggerpy.metrics.base import MetricProvider, Outcome, ProviderSettings
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.metrics.registry import maker_of
from tests.metrics.loopback import Answer, Say

LEAF: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 7, -1, 1.5, "1", "NaN", "+Inf", "x", "", 10**400, {}, [], [[]], [None], float("nan")]
)
Make = Callable[[ProviderSettings, Outbound, float], MetricProvider]


def _made(settings: ProviderSettings, outbound: Outbound, seconds: float) -> MetricProvider:
    return maker_of(settings.type)(settings, outbound, timeout=seconds)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Case:
    """One provider of the registry.

    Attributes:
        settings: the provider's settings for a server at an address, with ``secret`` filled in.
        query: one that the provider takes.
        success: what the server says when it measured ``value``; a function may look at what is asked.
        no_data: what it says when it has nothing, in all its ways.
        bad_query: what it says of a query that is wrong; empty when it has no such answer.
        malformed: bodies of status 200 that look nearly like an answer.
        fine: bodies like "[]" and "{}" that mean something to this provider and are no malformed answers.
        secret: every key of the Secret with a value that must never be told.
        sent: headers in which credentials arrive.
        parse: the pure part.
        documents: JSON near to that of an answer.
        make: the provider with a limit of seconds for all attempts together; ``timeout`` is a keyword of each.

    """

    settings: Callable[[str], ProviderSettings]
    query: str
    success: Say | Answer
    value: float
    no_data: tuple[Say | Answer, ...]
    parse: Callable[[bytes], Outcome]
    documents: st.SearchStrategy[Any]
    bad_query: tuple[Say | Answer, ...] = ()
    malformed: tuple[bytes, ...] = ()
    fine: tuple[bytes, ...] = ()
    secret: Mapping[str, str] = field(default_factory=dict)
    sent: Mapping[str, str] = field(default_factory=dict)
    make: Make = _made


def says(document: Any, status: int = 200) -> Say:
    """Build an answer in JSON."""
    return Say(status, json.dumps(document).encode(), {"Content-Type": "application/json"})
