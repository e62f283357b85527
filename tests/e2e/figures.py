"""A plugin of pytest (``-p tests.e2e.figures``) that prints at the end what the tests measured."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of every test that has some."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    for report in sorted(reports, key=lambda report: report.nodeid):
        lines = [text for name, text in getattr(report, "user_properties", ()) if name == "figures"]
        if lines and report.when == "call":
            terminalreporter.write_sep("-", report.nodeid.rpartition("::")[2])
            terminalreporter.write_line("\n".join(lines))
