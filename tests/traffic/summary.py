"""Records of requests and what can be said about them. No network."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

_BLURRED = 2.0
"""Seconds around a version's first and last answer in which errors may still be its own."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request: when it was sent, how long it took, and the answer or the kind of error.

    `upstream` is the pod's address as the proxy told it. `from_pod` is whether a pod answered, right or wrong;
    answers that the proxy made up itself and errors of the connection are not.
    """

    at: float
    seconds: float
    status: int | None = None
    error: str | None = None
    version: str | None = None
    hostname: str | None = None
    upstream: str | None = None
    from_pod: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether a 2xx answer came back whole."""
        return self.error is None and self.status is not None and 200 <= self.status < 300

    @property
    def result(self) -> str:
        """The kind of error, else the status."""
        return self.error or str(self.status)

    def line(self) -> str:
        """Write the record as a line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"


def read_records(path: Path) -> Summary:
    """Read a file that a client wrote, or is writing: a line without its end is left alone."""
    with path.open(encoding="utf-8") as lines:
        return Summary(tuple(Record(**json.loads(line)) for line in lines if line.endswith("\n")))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a client saw, in the order in which the answers came.

    `missed` are requests that were due but not sent, because this machine could not keep up.
    """

    records: tuple[Record, ...]
    missed: int = 0

    @property
    def total(self) -> int:
        """How many requests were sent."""
        return len(self.records)

    def by_version(self) -> dict[str, int]:
        """Count the answers of each version; requests of which no version is known are not in it."""
        return dict(sorted(Counter(r.version for r in self.records if r.version is not None).items()))

    def by_version_and_result(self) -> dict[tuple[str | None, str], int]:
        """Count by version (None: not known) and by status or kind of error."""
        counts = Counter((r.version, r.result) for r in self.records)
        return dict(sorted(counts.items(), key=lambda item: (item[0][0] or "", item[0][1])))

    def failed(self, excluding_versions: Iterable[str] = ()) -> tuple[Record, ...]:
        """Give the requests without a 2xx answer, but for those that a version answered of which it was expected."""
        excluded = frozenset(excluding_versions)
        return tuple(r for r in self.records if not r.succeeded and r.version not in excluded)

    def between(self, start: datetime, end: datetime) -> Summary:
        """Keep the requests that were sent from `start` on and before `end`."""
        first, last = start.timestamp(), end.timestamp()
        return Summary(tuple(r for r in self.records if first <= r.at < last))

    def shares(self, start: datetime, end: datetime) -> dict[str, float]:
        """Give each version's share of the answers to requests sent between two instants."""
        counts = self.between(start, end).by_version()
        total = sum(counts.values())
        return {version: count / total for version, count in counts.items()}

    def attributed(self, pod_errors_to: str | None = None) -> Summary:
        """Fill in the version where the answer did not tell it.

        A pod that fails at random says nothing about itself. Where the proxy tells its address, the version is the
        one which that address told nearest in time. Else, with `pod_errors_to`, an error that a pod answered is
        ascribed to that version, as long as that version was answering. Nothing else is guessed.
        """
        sightings = _sightings(self.records)
        seen = [r.at for r in self.records if r.version == pod_errors_to]
        span = (min(seen) - _BLURRED, max(seen) + _BLURRED) if pod_errors_to and seen else None

        def version(record: Record) -> str | None:
            if record.version is not None:
                return record.version
            if record.upstream is not None and record.upstream in sightings:
                return _nearest(sightings[record.upstream], record.at)
            errs = record.from_pod and record.upstream is None and not record.succeeded
            return pod_errors_to if errs and span and span[0] <= record.at <= span[1] else None

        return replace(self, records=tuple(replace(r, version=version(r)) for r in self.records))


def _sightings(records: Iterable[Record]) -> dict[str, list[tuple[float, str]]]:
    """When which address told which version, in order of time."""
    sightings: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for record in records:
        if record.upstream is not None and record.version is not None:
            sightings[record.upstream].append((record.at, record.version))
    return {upstream: sorted(seen) for upstream, seen in sightings.items()}


def _nearest(seen: list[tuple[float, str]], at: float) -> str:
    place = bisect_left(seen, (at, ""))
    return min(seen[max(0, place - 1) : place + 1], key=lambda sighting: abs(sighting[0] - at))[1]
