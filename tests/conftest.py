"""`python -m pytest -m MARKER` just works: tests that need a cluster get one, as in CI, when none is named.

What tests measured (a user property ``figures``) is printed at the end of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tools.ci.phases import CLUSTER_MARKERS, PHASES, ROOT


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run this same command inside the cluster that its marker needs; with KUBECONFIG set that one is used."""
    phase = next((one for one in PHASES if one.marker and one.marker == config.option.markexpr.strip()), None)
    if phase is None or phase.marker not in CLUSTER_MARKERS or os.environ.get("KUBECONFIG"):
        return None
    if config.option.collectonly or hasattr(config, "workerinput"):
        return None
    for command in phase.prepare:
        if status := subprocess.run(command, cwd=ROOT, check=False).returncode:
            return status
    inside = [*phase.prefix, sys.executable, "-m", "pytest", *config.invocation_params.args]
    return subprocess.run(inside, check=False).returncode


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of every test that has some."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    for report in sorted(reports, key=lambda report: report.nodeid):
        lines = [text for name, text in getattr(report, "user_properties", ()) if name == "figures"]
        if lines and report.when == "call":
            terminalreporter.write_sep("-", report.nodeid.rpartition("::")[2])
            terminalreporter.write_line("\n".join(lines))
