"""The figures as tables of Markdown, and what became of the targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tools.simulate.study import FIXED, TEST, Figures, Study, equal, harmless, regressions
from tools.simulate.worlds import Traffic, World

MOST_FALSE = 0.01
LEAST_CAUGHT = 0.95
TARGETED = Traffic(1_000, 0.001, 0.01)


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that is wanted, and the one that was found."""

    what: str
    found: float
    reached: bool

    def __str__(self) -> str:
        return f"{'reached' if self.reached else 'MISSED'}: {self.what}: {percent(self.found)}"


def targets(found: Study) -> list[Target]:
    """Compare with what the test has to do; a missed one is said, and nothing more."""
    wanted = []
    for world in World:
        worst = max(found[traffic, TEST].rolled_back for traffic in harmless(world))
        what = f"false rollbacks a rollout, A/A {world}, worst of six kinds, at most {percent(MOST_FALSE)}"
        wanted.append(Target(what, worst, worst <= MOST_FALSE))
    caught = found[TARGETED, TEST].rolled_back
    what = f"0.1 → 1 % at 1,000 requests an interval, caught before promotion, at least {percent(LEAST_CAUGHT)}"
    return [*wanted, Target(what, caught, caught >= LEAST_CAUGHT)]


def tables(found: Study) -> str:
    """Write everything for a page."""
    bounds = tuple(judge.title for judge in FIXED)
    return "\n".join(
        (
            "**Nothing is wrong with the canary (A/A): rolled back all the same**\n",
            _table(
                ("world", "fails", "requests", "sequential", "undecided", "promoted after", *bounds),
                _false(found),
            ),
            "**The canary is worse: caught before promotion, in intervals (median), requests that failed (mean)**\n",
            _table(("fails", "requests", "sequential", "undecided", *bounds), _caught(found)),
            "**The same against the strictest bound that rolls back no more than 1 % of harmless canaries**\n",
            _table(("fails", "requests", "sequential", "bound, threshold 1", "bound, threshold 5"), _equal(found)),
            "**How often those bounds roll back harmless canaries: plain / drifting / bursty**\n",
            _table(("fails", "requests", "sequential", "bound, threshold 1", "bound, threshold 5"), _elsewhere(found)),
            "**Targets**\n",
            "\n".join(f"- {target}" for target in targets(found)) + "\n",
        )
    )


def _false(found: Study) -> Iterator[tuple[str, ...]]:
    for world in World:
        for traffic in harmless(world):
            test = found[traffic, TEST]
            yield (
                world.value,
                f"{traffic.primary * 100:g} %",
                f"{traffic.total:,}",
                percent(test.rolled_back),
                percent(test.undecided),
                _number(test.to_promote),
                *(percent(found[traffic, judge].rolled_back) for judge in FIXED),
            )


def _caught(found: Study) -> Iterator[tuple[str, ...]]:
    for traffic in regressions():
        test = found[traffic, TEST]
        bounds = [_catch(found[traffic, judge]) for judge in FIXED]
        yield (_change(traffic), f"{traffic.total:,}", _catch(test), percent(test.undecided), *bounds)


def _equal(found: Study) -> Iterator[tuple[str, ...]]:
    for traffic in regressions():
        rivals = [equal(found, traffic, threshold) for threshold in (1, 5)]
        cells = [f"{rival.title}: {_catch(found[traffic, rival])}" for rival in rivals]
        yield (_change(traffic), f"{traffic.total:,}", _catch(found[traffic, TEST]), *cells)


def _elsewhere(found: Study) -> Iterator[tuple[str, ...]]:
    for plain in harmless(World.PLAIN):
        judges = (TEST, equal(found, plain, 1), equal(found, plain, 5))
        cells = [
            " / ".join(percent(found[replace(plain, world=world), judge].rolled_back) for world in World)
            for judge in judges
        ]
        names = ("", *(f"{judge.title}: " for judge in judges[1:]))
        cells = [name + cell for name, cell in zip(names, cells, strict=True)]
        yield (f"{plain.primary * 100:g} %", f"{plain.total:,}", *cells)


def _change(traffic: Traffic) -> str:
    change = f"{traffic.primary * 100:g} → {traffic.canary * 100:g} %"
    return change if traffic.world is World.PLAIN else f"{change}, {traffic.world}"


def _catch(figures: Figures) -> str:
    if figures.to_detect is None:
        return f"0 % ({figures.failed:,.0f} failed)"
    return f"{percent(figures.rolled_back)} in {_number(figures.to_detect)} ({figures.failed:,.0f} failed)"


def percent(share: float) -> str:
    """Write a share with as many decimals as it needs near nothing and everything."""
    number = share * 100
    digits = 2 if 0 < number < 1 else 1 if number < 10 or 99 < number < 100 else 0
    text = f"{number:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _table(heads: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
