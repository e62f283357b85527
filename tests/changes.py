"""The table of docs/changes.md: what comes of a change in a phase, as data for tests that make the change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "changes.md"
IMPOSSIBLE = "–"
"""The cell of a change for which there is nothing to change."""

SERVING = "Failed, target serving"
ROUTE = "route deleted"
WEIGHTS = "weights edited"

PHASES = (
    "Initializing",
    "Initialized",
    "Waiting",
    "Progressing",
    "WaitingPromotion",
    "Promoting",
    "Finalising",
    "Succeeded",
    "Failed",
    SERVING,
    "Terminating",
)

CHANGES = (
    "new revision",
    "old revision put back",
    "config edited",
    "retry",
    "rollback hook passes",
    "suspended, then resumed",
    "spec.service edited",
    "analysis edited",
    "skipAnalysis set",
    "Canary deleted",
    "namespace deleted",
    "target scaled up",
    "primary deleted",
    "Services deleted",
    ROUTE,
    WEIGHTS,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a word of the table promises.

    Attributes:
        now: phases of which one follows at once; none where the phase stays what it is.
        users: where users of a route are sent at once, empty where they stay.
        end: the phase in which it all ends, empty where it ends as without the change.
        runs: what the primary runs then: what the change asks for, what it ran before the rollout, or (empty) what it
            would have run without the change.

    """

    now: tuple[str, ...] = ()
    users: str = ""
    end: str = ""
    runs: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """Where a phase leads to when nobody changes anything: the last phase, and the revision that the primary runs."""

    phase: str
    runs: str


GONE = "gone"
A, B, C = "v1", "v2", "v3"

ENDS = {
    "Initializing": End("Initialized", A),
    "Initialized": End("Initialized", A),
    **dict.fromkeys(("Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising"), End("Succeeded", B)),
    "Succeeded": End("Succeeded", B),
    "Failed": End("Failed", A),
    SERVING: End("Succeeded", B),
    "Terminating": End(GONE, ""),
}

SAME = Outcome()
AWAY = ("Terminating", GONE)

OUTCOMES = {
    "nothing": SAME,
    "forgotten": Outcome(now=("Succeeded",), end="Succeeded", runs="before"),
    "taken over": Outcome(runs="change"),
    "analysed": Outcome(now=("Progressing",), end="Succeeded", runs="change"),
    "analysed there": Outcome(now=("Progressing",), end="Succeeded", runs="change"),
    "waits instead": Outcome(runs="change"),
    "begins again": Outcome(now=("Progressing",), users="primary", end="Succeeded", runs="change"),
    "comes next": Outcome(users="primary", end="Succeeded", runs="change"),
    "withdrawn": Outcome(now=("Succeeded",), end="Succeeded", runs="before"),
    "cancelled": Outcome(now=("Succeeded",), users="primary", end="Succeeded", runs="before"),
    "refused": SAME,
    "tried again": Outcome(now=("Progressing",), end="Succeeded", runs="change"),
    "refuses it": Outcome(now=("Failed",), end="Failed", runs="before"),
    "rolled back": Outcome(now=("Failed",), users="primary", end="Failed", runs="before"),
    "called back": Outcome(now=("Promoting",), end="Failed", runs="before"),
    "too late": SAME,
    "held": SAME,
    "written": SAME,
    "goes by it": SAME,
    "handed back": Outcome(now=AWAY, end=GONE),
    "all goes": Outcome(now=AWAY, end=GONE),
    "put back": SAME,
    "promoted": Outcome(now=("Promoting",)),
    "kept": SAME,
    "made again": SAME,
    "promoted again": Outcome(now=("Promoting",), users="target"),
    "after it": Outcome(now=("Waiting",), users="target"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the table."""

    phase: str
    change: str
    word: str
    routed: bool

    def __str__(self) -> str:
        provider = "gatewayapi" if self.routed else "kubernetes"
        return f"{provider} {self.phase} {self.change}"

    @property
    def outcome(self) -> Outcome:
        return OUTCOMES[self.word]

    @property
    def end(self) -> End:
        """Where it all ends, and the revision that the primary runs then."""
        own = ENDS[self.phase]
        runs = {"": own.runs, "before": A, "change": self.asked}[self.outcome.runs]
        return End(self.outcome.end or own.phase, runs)

    @property
    def asked(self) -> str:
        """The revision that the target asks for after the change."""
        before = A if self.phase in {"Initializing", "Initialized", "Terminating"} else B
        return {"new revision": C, "old revision put back": A}.get(self.change, before)


def table() -> Iterator[tuple[str, str, str]]:
    """What the page says: phase, change and word, cell by cell."""
    heads: list[str] = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            heads = []
            continue
        row = [cell.strip() for cell in re.sub("`", "", line).strip("|").split("|")]
        heads = heads or row
        if heads[0] != "phase" or row is heads or set(row[0]) == {"-"}:
            continue
        for change, word in zip(heads[1:], row[1:], strict=True):
            yield row[0], change, word


def words() -> dict[str, str]:
    """The words that the page explains."""
    text = PAGE.read_text(encoding="utf-8").partition("| word | what happens |")[2]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return {word.strip(): meaning.strip() for word, meaning in rows}


def cells() -> list[Cell]:
    """Every cell that can be asked, with the providers that have it."""
    return [
        Cell(phase, change, word, routed)
        for phase, change, word in table()
        for routed in (True, False)
        if word != IMPOSSIBLE and (routed or (phase != SERVING and change not in {ROUTE, WEIGHTS}))
    ]
