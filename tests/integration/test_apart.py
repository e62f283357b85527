"""Tests that disturb everybody in a cluster, each module in a cluster of its own.

They change CRDs, stop the API server or its store, or run controllers that take care of every namespace, and so cannot
run beside the others. Their modules are not named ``test_…``: only from here do they get their cluster.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 900
"""Seconds: several times what they take, for clusters that compete with all others on a small machine."""


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize(
    "modules",
    [
        ["tests/charts/under_rights.py", "tests/integration/rights_of_routes.py"],
        [
            "tests/integration/late_kinds.py",
            "tests/integration/schema_versions.py",
            "tests/integration/external_metrics.py",
        ],
        ["tests/integration/kube_caches.py"],
        ["tests/integration/outages.py"],
        pytest.param(["tests/integration/stored_defaults.py"], marks=pytest.mark.takeover),
    ],
    ids=lambda modules: Path(modules[0]).stem,
)
def test_in_a_cluster_of_its_own(modules: list[str]) -> None:
    others = {key: value for key, value in os.environ.items() if not key.startswith(("FLAGGERPY_", "PYTEST_"))}
    others.pop("KUBECONFIG", None)
    cluster = [sys.executable, "-m", "tests.cluster", "run", "--control-plane", "--"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *modules]
    done = subprocess.run(
        [*cluster, *tests],
        env=others,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT - 20,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
