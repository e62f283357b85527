"""Pytest fixtures over the cluster that the tests run in; a conftest imports what it offers."""

from __future__ import annotations

import pytest

from tests.cluster import api


@pytest.fixture(scope="session")
def control_plane() -> api.Cluster:
    """Any cluster: real API server, controllers and scheduler; pods may only look ready."""
    return api.current()


@pytest.fixture(scope="session")
def full_node() -> api.Cluster:
    """A cluster whose pods really run."""
    cluster = api.current()
    if cluster.kind == "control-plane":
        pytest.fail("This test needs pods that run: 'python -m tests.cluster run -- …' without --control-plane.")
    return cluster
