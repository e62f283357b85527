"""One registry, and a list of what is in it: for the page of series and for the check of queries against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

# The client library would add a _created series beside every counter and histogram, which Flagger does not have.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it without types

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Series:
    """What a metric is called, what it means, and by what it is told apart."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...]

    @property
    def exposed(self) -> dict[str, frozenset[str]]:
        """The names under which Prometheus stores it, each with its labels."""
        labels = frozenset(self.labels)
        if self.kind != "histogram":
            return {self.name: labels}
        return {f"{self.name}_bucket": labels | {"le"}, f"{self.name}_sum": labels, f"{self.name}_count": labels}


class Catalogue:
    """Makes metrics and remembers what it made."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.series: list[Series] = []
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Make a gauge."""
        self.series.append(Series(name, "gauge", text, labels))
        return Gauge(name, text, labels, registry=self.registry)

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Make a counter; its name ends with ``_total``."""
        self.series.append(Series(name, "counter", text, labels))
        return Counter(name, text, labels, registry=self.registry)

    def histogram(self, name: str, text: str, *labels: str, buckets: Sequence[float]) -> Histogram:
        """Make a histogram with these upper bounds."""
        self.series.append(Series(name, "histogram", text, labels))
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)
