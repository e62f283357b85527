"""Results of phases: read from pytest's report and added up to one closing line."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ENDS = 6
"""Lines of an error that are shown again from its beginning, and from its end."""
_WIDTH = 300


@dataclass(frozen=True, slots=True)
class Result:
    """How one phase ended."""

    name: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    note: str = ""
    failures: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the phase leaves nothing to mend."""
        return self.failed == 0


def from_report(name: str, report: Path, status: int, seconds: float) -> Result:
    """What pytest wrote; a run that ended badly without a failed test is one failure of the phase itself."""
    passed = failed = skipped = 0
    failures: tuple[str, ...] = ()
    if report.is_file() and report.stat().st_size:
        root = ET.parse(report).getroot()  # noqa: S314 - written by our own pytest a moment ago
        failures = tuple(_failures(root))
        for suite in root.iter("testsuite"):
            ran = int(suite.get("tests", "0"))
            bad = int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
            out = int(suite.get("skipped", "0"))
            passed, failed, skipped = passed + max(0, ran - bad - out), failed + bad, skipped + out
    if status == 0 and passed + failed > 0:
        return Result(name, passed, failed, skipped, seconds)
    note = "" if failed else "no tests collected" if status in {0, 5} else f"exit status {status}"
    return Result(name, passed, max(1, failed), skipped, seconds, note, failures)


def _failures(root: ET.Element) -> Iterable[str]:
    """Name the tests that failed, each with the lines that pytest marks as the error: the first and the last ones."""
    for case in root.iter("testcase"):
        for bad in (*case.findall("failure"), *case.findall("error")):
            marked = [line[1:].strip() for line in (bad.text or "").splitlines() if line.startswith("E ")]
            lines = [line for line in marked if line] or [bad.get("message", "")]
            if len(lines) > 2 * _ENDS:
                lines = [*lines[:_ENDS], "…", *lines[-_ENDS:]]
            where = f"{case.get('classname', '')}::{case.get('name', '')}"
            yield "\n".join([where, *(f"    {line[:_WIDTH]}" for line in lines)])


def from_gate(name: str, status: int, seconds: float) -> Result:
    """A gate is one check that holds or does not."""
    note = "" if status == 0 else f"exit status {status}"
    return Result(name, int(status == 0), int(status != 0), 0, seconds, note)


def table(results: Iterable[Result]) -> str:
    """One line a phase: durations first, because those are what one looks for when CI has become slow."""
    rows = []
    for result in results:
        counts = f"{result.passed} passed" + (f", {result.failed} failed" if result.failed else "")
        counts += f", {result.skipped} skipped" if result.skipped else ""
        mark = "ok  " if result.ok else "FAIL"
        note = f"  ({result.note})" if result.note else ""
        rows.append(f"  {mark} {result.name:<12} {result.seconds:7.1f} s  {counts}{note}")
    return "\n".join(rows)


def failures(results: Iterable[Result]) -> str:
    """Say again what failed, where a log of hours is looked at first: at its end."""
    return "".join(f"\n{result.name}: {text}\n" for result in results for text in result.failures)


def closing_line(results: Iterable[Result]) -> str:
    """The last line, shaped as pytest's own."""
    all_of_them = list(results)
    passed, failed = sum(r.passed for r in all_of_them), sum(r.failed for r in all_of_them)
    skipped = sum(r.skipped for r in all_of_them)
    counts = f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
    return f"{counts} in {sum(r.seconds for r in all_of_them):.1f}s"
