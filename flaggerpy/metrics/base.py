"""What a metric provider is and what it can answer. No HTTP and no provider lives here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from flaggerpy.api.templates import RangeQuery, WebMetric
from flaggerpy.kube.wire import Transport


@dataclass(frozen=True, slots=True)
class Value:
    """The provider measured a number, which is never NaN but may be infinite."""

    value: float


@dataclass(frozen=True, slots=True)
class NoData:
    """The provider works and has nothing to say: no series, or NaN. It is a failed check."""


@dataclass(frozen=True, slots=True)
class BadQuery:
    """The provider works, read the query and says that it is wrong. It is a failed check, as in Flagger.

    The mistake is the user's and does not go away by waiting. ``reason`` is a clause without secrets.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class ProviderError:
    """The question could not be answered, which says nothing about the canary.

    Unreachable servers, timeouts, refused credentials and answers that are no answers end here. The rollout
    holds and says so; nothing is counted. ``reason`` is a clause without secrets. With ``silent`` there was no answer
    at all, so that nothing else is asked of the server in the same round.
    """

    reason: str
    silent: bool = False


Outcome = Value | NoData | BadQuery | ProviderError


class MetricProvider(Protocol):
    """Asks one metrics server."""

    async def measure(self, query: str, interval: timedelta) -> Outcome:
        """Run a rendered query; never raises but for cancellation."""


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """A MetricTemplate's provider with its secret already read.

    ``secret`` is the decoded data of the Secret, None when the template names none. Neither it nor
    ``headers`` may ever be logged, hence they are left out of the repr. What must be in the Secret is looked for
    with ``in``, what may be with ``get``: lint knows of Secrets outside its input only that they are complete.
    ``cluster`` is the API server as the controller asks it, None where there is none.
    """

    type: str
    address: str = ""
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    secret: Mapping[str, str] | None = field(default=None, repr=False)
    region: str = ""
    insecure_skip_verify: bool = False
    range_query: RangeQuery | None = None
    web: WebMetric | None = None
    cluster: Transport | None = field(default=None, repr=False, compare=False)
