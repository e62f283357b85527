"""What integration tests start from: a cluster with the CRDs, and a namespace of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from tests.cluster.api import Cluster
from tests.cluster.fixtures import control_plane, full_node
from tests.integration.site import Site, new_site

__all__ = ["control_plane", "full_node"]


@pytest.fixture(scope="session")
def crds(control_plane: Cluster) -> None:
    """Install our CRDs with our own command, and those of Gateway API."""
    for command in (["flaggerpy", "crds", "apply"], ["tests.cluster", "addons", "gateway-api"]):
        subprocess.run([sys.executable, "-m", *command], check=True, timeout=60)


@pytest.fixture
async def site(crds: None) -> AsyncIterator[Site]:
    """Make a namespace of one's own."""
    async with new_site() as site:
        yield site
