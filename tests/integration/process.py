"""A controller in a process of its own, under a name of its own, as it runs in a Pod."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from flaggerpy.kube.objects import JsonObject
from tests.cluster.api import Cluster
from tests.integration.site import Site

QUIET_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """A ServiceAccount that may do everything in the site's cluster, and can be told apart in the audit log."""

    name: str
    user: str
    kubeconfig: Path

    def requests(self, cluster: Cluster, offset: int = 0) -> Iterator[JsonObject]:
        """Yield the finished requests of this account from an offset of the audit log on."""
        for event in cluster.audit_events(offset):
            if event["user"].get("username") == self.user and event["stage"] == "ResponseComplete":
                yield event

    def counted(self, cluster: Cluster, offset: int = 0) -> Counter[str]:
        """Count the finished requests of this account by verb and resource."""
        return Counter(
            f"{event['verb']} {(event.get('objectRef') or {}).get('resource', event['requestURI'])}"
            for event in self.requests(cluster, offset)
        )

    async def quiet(self, cluster: Cluster) -> None:
        """Return when the account has done nothing but renew its lease for a while."""
        while True:
            offset = cluster.audit_size()
            await asyncio.sleep(QUIET_SECONDS)
            if set(self.counted(cluster, offset)) <= {"update leases"}:
                return


def new_account(site: Site, cluster: Cluster, folder: Path, name: str) -> Account:
    """Make an account and log in as it."""
    kubectl("create", "serviceaccount", name, "--namespace", site.namespace)
    who = f"{site.namespace}:{name}"
    kubectl("create", "clusterrolebinding", who, "--clusterrole", "cluster-admin", "--serviceaccount", who)
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    token = kubectl("create", "token", name, "--namespace", site.namespace, "--duration", "1h").strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Account(name, f"system:serviceaccount:{who}", file)


def kubectl(*words: str) -> str:
    """Run kubectl and return what it prints."""
    done = subprocess.run(["kubectl", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(slots=True)
class Process:
    """A running controller."""

    account: Account
    port: int
    child: asyncio.subprocess.Process
    log: list[JsonObject] = field(default_factory=list)

    def said(self, words: str) -> bool:
        """Tell whether a line of the log contains these words."""
        return any(words in str(line.get("msg")) for line in self.log)

    def rss(self) -> int:
        """Return the resident memory in MiB."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
        raise AssertionError("the kernel does not tell the resident memory")

    async def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.child.kill()
        await self.child.wait()

    async def read_log(self) -> None:
        """Read the log until the process ends."""
        assert self.child.stderr is not None
        async for line in self.child.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.log.append({"level": "raw", "msg": line.decode("utf-8", "replace")})


@asynccontextmanager
async def running(site: Site, account: Account, **flags: str) -> AsyncIterator[Process]:
    """Run a controller for the site's namespace while the block lasts; flags are written with underscores."""
    port = _free_port()
    words = {
        "namespace": site.namespace,
        "mesh-provider": "kubernetes",
        "leader-election-namespace": site.namespace,
        "min-interval": "1s",
        "accept-within": "1s",
        "kubeconfig": str(account.kubeconfig),
        "port": str(port),
        **{name.replace("_", "-"): value for name, value in flags.items()},
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "flaggerpy",
        "controller",
        *(f"--{name}={value}" for name, value in words.items()),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "KUBECONFIG": ""},
        limit=2**20,
    )
    process = Process(account, port, child)
    reading = asyncio.create_task(process.read_log())
    try:
        yield process
    finally:
        if child.returncode is None:
            child.terminate()
        async with asyncio.timeout(30):
            await child.wait()
            await reading


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
