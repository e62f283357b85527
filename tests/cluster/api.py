"""What tests may use of the cluster they run in: its files, its kind, and a few rough hands on it.

Tests run inside `python -m tests.cluster run -- python -m pytest …`; the facts come from the environment that it
sets. Nothing is started here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import launch
from tests.cluster.errors import ClusterError
from tests.cluster.kube import Kube
from tests.cluster.state import Home


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster that this process runs in."""

    kubeconfig: Path
    kind: str
    """`full`, `control-plane`, or `external` where KUBECONFIG came from the person."""
    audit_log: Path | None
    """One JSON line for each finished request; None on an external cluster."""
    home: Path | None
    """The state folder, None on an external cluster."""

    @property
    def exec_prefix(self) -> list[str]:
        """The words before a command that put it into the cluster's network; empty inside it."""
        return launch.entrance(Home(self.home)) if self.home else []

    def restart_apiserver(self) -> None:
        """End the API server, start it again, and wait until it is ready."""
        self.component("restart", "kube-apiserver")
        self.wait_ready()

    def stop_apiserver(self) -> None:
        """End the API server; it stays away until it is started again."""
        self.component("stop", "kube-apiserver")

    def start_apiserver(self) -> None:
        """Start the API server again and wait until it is ready."""
        self.component("start", "kube-apiserver")
        self.wait_ready()

    def component(self, verb: str, name: str) -> None:
        """Start, stop, restart, freeze or thaw one process of the cluster, such as kube-controller-manager."""
        if self.home is None:
            raise ClusterError("The parts of an external cluster cannot be stopped from here.")
        launch.control(Home(self.home), verb, name)

    def wait_ready(self, limit: float = 30.0) -> None:
        """Wait until the API server says that it is ready."""
        Kube(self.kubeconfig).wait_ready(limit)

    def audit_events(self, offset: int = 0) -> Iterator[dict[str, Any]]:
        """The finished requests recorded from a byte offset on; `audit_size` gives the offset of now."""
        if self.audit_log is None:
            raise ClusterError("An external cluster's audit log is not at hand.")
        with self.audit_log.open("rb") as log:
            log.seek(max(offset - 1, 0))
            if offset and log.read(1) != b"\n":
                log.readline()  # the offset was taken in the middle of a write
            for line in log:
                if not line.endswith(b"\n"):
                    return  # half written: what is read next would be its other half
                yield json.loads(line)

    def audit_size(self) -> int:
        """How long the audit log is now."""
        return self.audit_log.stat().st_size if self.audit_log else 0


def current(environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that the environment names; a sentence says what to do where it names none."""
    kubeconfig = environment.get("KUBECONFIG")
    if not kubeconfig:
        raise ClusterError(
            "This test needs a cluster, and KUBECONFIG is not set. Run it as "
            "'python -m tests.cluster run --control-plane -- python -m pytest -m integration'."
        )
    audit, home = environment.get("FLAGGERPY_AUDIT_LOG"), environment.get("FLAGGERPY_CLUSTER_STATE")
    return Cluster(
        kubeconfig=Path(kubeconfig),
        kind=environment.get("FLAGGERPY_CLUSTER_KIND", "external"),
        audit_log=Path(audit) if audit else None,
        home=Path(home) if home else None,
    )
