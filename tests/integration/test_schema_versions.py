"""Older CRDs, tried in a cluster of their own: CRDs belong to everybody in a cluster, the other tests included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

INSIDE = Path(__file__).with_name("schema_versions.py")


@pytest.mark.timeout(300)
def test_a_controller_acts_only_on_a_schema_that_keeps_what_it_writes() -> None:
    ours = {key: value for key, value in os.environ.items() if key != "KUBECONFIG" and not key.startswith("FLAGGERPY_")}
    cluster = [sys.executable, "-m", "tests.cluster", "run", "--control-plane", "--"]
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", str(INSIDE)]
    done = subprocess.run(
        [*cluster, *pytest_run], env=ours, cwd=Path.cwd(), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
