"""The figures as a picture: curves of detection, what is caught, and what is rolled back for nothing. SVG by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from tools.simulate.report import percent
from tools.simulate.study import CURVE, FIXED, REGRESSIONS, TEST, TOTALS, Chosen, Study, equal
from tools.simulate.worlds import Traffic, World

WIDTH, HEIGHT = 1020, 880
PANEL_WIDTH, PANEL_HEIGHT = 270, 170
LEFT, TOP, ACROSS, DOWN = 70, 90, 320, 260
COLOURS = ("#0b6e4f", "#e07a1f", "#c9a227", "#7a5195", "#888888")
"""The test first; it is dark so that it stands out in print, too."""


@dataclass(slots=True)
class Panel:
    """One small diagram with shares from 0 to 100 % upwards."""

    column: int
    row: int
    title: str
    parts: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        return LEFT + self.column * ACROSS

    @property
    def bottom(self) -> float:
        return TOP + self.row * DOWN + PANEL_HEIGHT

    def x(self, part: float) -> float:
        return self.left + part * PANEL_WIDTH

    def y(self, share: float) -> float:
        return self.bottom - share * PANEL_HEIGHT

    def frame(self) -> None:
        """Draw title, lines and their numbers."""
        self.text(self.left, self.bottom - PANEL_HEIGHT - 12, self.title, bold=True)
        for share in (0, 0.25, 0.5, 0.75, 1):
            line = f'<line x1="{self.left}" x2="{self.left + PANEL_WIDTH}" y1="{self.y(share)}" y2="{self.y(share)}"'
            self.parts.append(f'{line} stroke="#ddd"/>')
            self.text(self.left - 6, self.y(share) + 4, f"{share * 100:.0f} %", anchor="end")

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", bold: bool = False) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(words)}</text>')

    def curve(self, shares: tuple[float, ...], colour: str) -> None:
        """Draw a staircase from the first interval on."""
        path, last = [f"M{self.x(0):.1f},{self.y(0):.1f}"], 0.0
        for number, share in enumerate(shares, start=1):
            x = self.x(number / len(shares))
            path += [f"L{x:.1f},{self.y(last):.1f}", f"L{x:.1f},{self.y(share):.1f}"]
            last = share
        self.parts.append(f'<path d="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="2.5"/>')

    def bars(self, groups: list[tuple[str, list[tuple[float, str]]]]) -> None:
        """Draw groups of bars, each bar a share and its colour; what is too low to be seen is still a line."""
        wide = PANEL_WIDTH / len(groups)
        for place, (name, bars) in enumerate(groups):
            start = self.left + place * wide + wide * 0.1
            each = wide * 0.8 / len(bars)
            for number, (share, colour) in enumerate(bars):
                high = max(share * PANEL_HEIGHT, 1)
                at = f'x="{start + number * each:.1f}" y="{self.bottom - high:.1f}"'
                size = f'width="{each - 2:.1f}" height="{high:.1f}"'
                self.parts.append(f'<rect {at} {size} fill="{colour}"><title>{percent(share)}</title></rect>')
            self.text(start + wide * 0.4, self.bottom + 16, name, anchor="middle")


def picture(found: Study) -> str:
    """Draw three rows, with a column for each number of requests an interval."""
    panels = []
    for column, total in enumerate(TOTALS):
        panels += [_detection(found, column, total), _caught(found, column, total), _false(found, column, total)]
    body = "\n".join(part for panel in panels for part in panel.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        f' font-size="12" fill="#222">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n'
        f"{_legends()}\n{body}\n</svg>\n"
    )


def _detection(found: Study, column: int, total: int) -> Panel:
    panel = Panel(column, 0, f"{total:,} requests an interval: 0.1 → 1 %")
    panel.frame()
    traffic = Traffic(total, 0.001, 0.01)
    for judge, colour in zip((*_rivals(found, traffic), TEST), (*COLOURS[1:3], COLOURS[0]), strict=True):
        panel.curve(found[traffic, judge].by_interval, colour)
    for number in (5, 10, 20, 30):
        panel.text(panel.x(number / CURVE), panel.bottom + 16, str(number), anchor="middle")
    panel.text(panel.x(0.5), panel.bottom + 32, "intervals until rolled back", anchor="middle")
    return panel


def _caught(found: Study, column: int, total: int) -> Panel:
    panel = Panel(column, 1, f"{total:,} requests an interval: caught")
    panel.frame()
    groups = []
    for primary, canary in REGRESSIONS:
        traffic = Traffic(total, primary, canary)
        shares = [found[traffic, judge].rolled_back for judge in (TEST, *_rivals(found, traffic))]
        groups.append((f"{primary * 100:g}→{canary * 100:g} %", list(zip(shares, COLOURS[:3], strict=True))))
    panel.bars(groups)
    return panel


def _false(found: Study, column: int, total: int) -> Panel:
    panel = Panel(column, 2, f"{total:,} requests an interval: for nothing")
    panel.frame()
    groups = []
    for world in World:
        traffic = Traffic(total, 0.001, 0.001, world)
        shares = [found[traffic, judge].rolled_back for judge in (TEST, *FIXED)]
        groups.append((world.value, list(zip(shares, COLOURS, strict=True))))
    panel.bars(groups)
    return panel


def _rivals(found: Study, traffic: Traffic) -> tuple[Chosen, Chosen]:
    return equal(found, traffic, 1), equal(found, traffic, 5)


def _legends() -> str:
    comparable = ("sequential test", "fixed bound, threshold 1", "fixed bound, threshold 5")
    first = _legend(28, "Rolled back, at equal false rollbacks (1 %):", comparable)
    last = _legend(TOP + 2 * DOWN - 45, "A/A, 0.1 % fail:", tuple(one.title for one in (TEST, *FIXED)))
    return f"{first}\n{last}"


def _legend(y: float, title: str, names: tuple[str, ...]) -> str:
    x = float(LEFT)
    parts = [f'<text x="{x}" y="{y}" font-size="14" font-weight="bold">{escape(title)}</text>']
    x += 9 * len(title)
    for name, colour in zip(names, COLOURS, strict=False):
        parts.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="{y}">{escape(name)}</text>')
        x += 40 + 7 * len(name)
    return "\n".join(parts)
