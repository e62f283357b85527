"""`python -m pytest -m MARKER` just works: tests that need a cluster get one, as in CI, when none is named.

What tests measured (a user property ``figures``) is printed at the end of the run; that one failed, at once.
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


class _AtOnce:
    """Says which test failed when it does: all about it comes at the end, which may be half an hour away."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        if report.failed and reporter is not None:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = " ".join((crash.message if crash else report.longreprtext).split())
            reporter.write_line(f"\nfailed: {report.nodeid}: {said[:300]}")


def pytest_configure(config: pytest.Config) -> None:
    """Workers of pytest-xdist have nobody to tell; who started them does."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_AtOnce(config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures of every test that has some."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    for report in sorted(reports, key=lambda report: report.nodeid):
        lines = [text for name, text in getattr(report, "user_properties", ()) if name == "figures"]
        if lines and report.when == "call":
            terminalreporter.write_sep("-", report.nodeid.rpartition("::")[2])
            terminalreporter.write_line("\n".join(lines))
