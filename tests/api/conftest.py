"""The cluster for the tests of the kinds on a real API server."""

from tests.cluster.fixtures import control_plane

__all__ = ["control_plane"]
