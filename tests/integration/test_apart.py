"""Tests that disturb everybody in a cluster, each module in a cluster of its own.

They change CRDs or stop the API server, and so could not run beside the others. Their modules are not named
``test_…``: only from here do they get their cluster.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
LIMIT = 420


@pytest.mark.timeout(LIMIT)
@pytest.mark.parametrize("module", ["kube_caches.py", "schema_versions.py"])
def test_in_a_cluster_of_its_own(module: str) -> None:
    others = {key: value for key, value in os.environ.items() if not key.startswith(("FLAGGERPY_", "PYTEST_"))}
    others.pop("KUBECONFIG", None)
    cluster = [sys.executable, "-m", "tests.cluster", "run", "--control-plane", "--"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", str(HERE / module)]
    done = subprocess.run(
        [*cluster, *tests],
        env=others,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=LIMIT - 20,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
