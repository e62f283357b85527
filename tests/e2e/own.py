"""A controller of a test's own, from the chart, with Roles in its one namespace; and the rough hands of a bad day."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flaggerpy.api.constants import LEASE
from flaggerpy.kube.objects import JsonObject, name_of
from flaggerpy.kube.resources import DEPLOYMENTS, LEASES, PODS
from tests.cluster.components import FIRST_SERVICE_IP
from tests.e2e import stage
from tests.e2e.place import Place, kubectl

RELEASE = "flaggerpy"


@dataclass(frozen=True, slots=True)
class OwnController:
    """The release ``flaggerpy`` in a test's namespace, which watches only this namespace."""

    place: Place

    @property
    def account(self) -> str:
        """The user as which its writes reach the API server."""
        return f"system:serviceaccount:{self.place.namespace}:{RELEASE}"

    async def scale(self, replicas: int) -> None:
        """Run this many replicas, and wait until they do."""
        await self.place.client.scale(self.place.ref(DEPLOYMENTS, RELEASE), replicas)
        if replicas:
            await self.place.available(RELEASE)
        else:
            await self.place.until(self._no_pods, "end of all controllers", patience=60)

    async def uninstall(self) -> None:
        """Uninstall the release as a user does."""
        words = ("helm", "uninstall", RELEASE, "--namespace", self.place.namespace, "--wait", "--timeout", "180s")
        await asyncio.to_thread(stage.run, *words)

    async def leader(self, *, after: JsonObject | None = None) -> JsonObject:
        """Wait for a leader that lives, and comes after another one if that is given, and return its Pod."""

        async def there() -> JsonObject | None:
            lease = await self.place.find(LEASES, LEASE)
            name = str(((lease or {}).get("spec") or {}).get("holderIdentity") or "").partition("_")[0]
            if not name or (after is not None and name == name_of(after)):
                return None
            return await self.place.find(PODS, name)

        found: JsonObject = await self.place.until(there, "leader", patience=60)
        return found

    async def remove(self, pod: JsonObject) -> None:
        """Remove a dead controller's Pod at once: the kubelet restarts a container later and later."""
        words = ("delete", "pod", name_of(pod), "--grace-period=0", "--force", "--wait=false")
        await asyncio.to_thread(kubectl, "-n", self.place.namespace, *words, check=True)

    async def _no_pods(self) -> bool:
        items, _ = await self.place.client.list(PODS, self.place.namespace)
        return not [item for item in items if item["metadata"]["labels"].get("app.kubernetes.io/name") == RELEASE]


async def install(place: Place, *, replicas: int = 2, **values: Any) -> OwnController:
    """Install a controller for one namespace into this namespace; ``values`` of the chart may name more of them."""
    chosen = {"watchNamespaces": [place.namespace], "replicaCount": replicas, **values}
    await asyncio.to_thread(lambda: stage.install_controller(place.namespace, RELEASE, **chosen))
    return OwnController(place)


def process_of(pod: JsonObject) -> int:
    """Return the first process of a Pod's only container, as this process namespace counts it."""
    status = pod["status"]["containerStatuses"][0]
    container = str(status["containerID"]).rpartition("/")[2]
    found = [pid for pid in _processes() if container in _read(pid, "cgroup") and _is_first(pid)]
    if len(found) != 1:
        raise AssertionError(f"{name_of(pod)}: looked for one process of container {container}, found {found}")
    return found[0]


def kill(pid: int) -> None:
    """End a process as nothing else does: at once and without a farewell."""
    os.kill(pid, signal.SIGKILL)


def freeze(pid: int) -> None:
    """Stop a process where it stands; its connections stay."""
    os.kill(pid, signal.SIGSTOP)


def thaw(pid: int) -> None:
    """Let a frozen process go on."""
    os.kill(pid, signal.SIGCONT)


def cut_off(pid: int) -> None:
    """Let nothing of a Pod reach the API server any more; nobody is told, and the kubelet still reaches the Pod."""
    _route(pid, "add")


def reconnect(pid: int) -> None:
    """Undo it."""
    _route(pid, "del")


def _route(pid: int, verb: str) -> None:
    inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "--")
    stage.run(*inside, "ip", "route", verb, "blackhole", FIRST_SERVICE_IP)


def _processes() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _is_first(pid: int) -> bool:
    """Whether the process is number one of its own namespace; a container's other processes are not."""
    line = next((row for row in _read(pid, "status").splitlines() if row.startswith("NSpid:")), "")
    return line.split()[-1:] == ["1"]


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
