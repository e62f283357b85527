"""How something that was run came to its end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finished:
    """It ended by itself, with an exit status."""

    code: int
    output: str


@dataclass(frozen=True, slots=True)
class Broken:
    """It ended by itself and says that it failed, in other words than an exit status."""

    reason: str
    output: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It ran into the time limit and was stopped with everything it had started."""

    limit: float
    output: str


@dataclass(frozen=True, slots=True)
class NotStarted:
    """There was nothing to run: the program is missing, or the system or a server refused."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The load tester is shutting down and took it with it."""

    output: str


Outcome = Finished | Broken | TimedOut | NotStarted | Interrupted
