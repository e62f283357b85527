"""What end-to-end tests start from: the full node with both charts on it, set up once for all workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.api import Cluster
from tests.cluster.fixtures import full_node
from tests.e2e import place, stage

__all__ = ["full_node"]

Figures = Callable[[str], None]


PRIORITY = -10
"""Niceness of the users: who counts answers must not be late when the cluster is busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that several workers end at about the same time."""
    items.sort(key=lambda item: "test_kill" not in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def _stage(full_node: Cluster, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """Set the stage of the tests of this folder."""
    set_once(stage.set_stage, tmp_path_factory, worker_id)


def set_once(set_stage: Callable[[], None], tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """Set a stage, once: workers of pytest-xdist share the folder above their own."""
    _hurry()
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with (shared / "stage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shared / "stage.done"
        if not done.exists():
            shutil.rmtree(place.KEPT, ignore_errors=True)
            set_stage()
            done.touch()


def _hurry() -> None:
    """Go first; where a session's processes weigh as much as one together, the session has to say it too."""
    os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    session = Path("/proc/self/autogroup")
    if session.exists():
        session.write_text(str(PRIORITY))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Take lines that belong in the report of the run, passed or not."""

    def note(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        request.node.user_properties.append(("figures", text))

    return note
