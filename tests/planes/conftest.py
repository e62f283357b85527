"""What the tests of data planes start from: all of them on one node, and one controller for all namespaces."""

from __future__ import annotations

import pytest

from tests.cluster.api import Cluster
from tests.cluster.fixtures import full_node
from tests.e2e import stage
from tests.e2e.conftest import figures, set_once
from tests.planes.planes import PLANES

__all__ = ["figures", "full_node"]


@pytest.fixture(scope="session", autouse=True)
def _stage(full_node: Cluster, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """Set the stage of the tests of this folder."""
    set_once(_set_stage, tmp_path_factory, worker_id)


def _set_stage() -> None:
    stage.load_images()
    served = {"rbac.providers": sorted({plane.provider for plane in PLANES})}
    stage.install_controller(stage.SYSTEM, "flaggerpy", **served)
    stage.install_loadtester()
