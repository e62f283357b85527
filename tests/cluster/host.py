"""What the steps of a start need of the supervisor, and two small helpers that all of them share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Protocol

from tests.cluster.components import Component
from tests.cluster.errors import ClusterError
from tests.cluster.kube import Kube
from tests.cluster.state import Home


class Host(Protocol):
    """The supervisor as the steps see it."""

    home: Home

    def say(self, sentence: str) -> None:
        """Tell the person outside."""

    def start(self, component: Component) -> None:
        """Start a process."""

    def wait_for(self, what: str, ready: Callable[[], bool], limit: float = 60.0) -> None:
        """Wait for a condition."""


def ready_nodes(kube: Kube) -> int:
    """How many nodes say that they are ready."""
    nodes = kube.get("/api/v1/nodes")["items"]
    conditions = [condition for node in nodes for condition in node.get("status", {}).get("conditions", [])]
    return sum(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def command(words: list[str]) -> str:
    """Run a short command to its end inside the namespaces."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise ClusterError(f"'{' '.join(words)}' failed: {done.stderr.strip()}")
    return done.stdout
