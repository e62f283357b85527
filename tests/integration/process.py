"""A controller in a process of its own, under a name of its own, as it runs in a Pod."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import yaml

from flaggerpy.api.constants import LEASE
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import LEASES
from tests.cluster.api import Cluster
from tests.integration.site import Site

QUIET_SECONDS = 10.0
LAST_LINES = 30
"""How much of its log is shown when a test fails."""
TAKEOVER = 20.0
"""Seconds after which, at most, a leader that died has a successor."""
_CHANGES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """A change that was asked for."""

    at: str
    """When the request arrived, in a format that sorts."""
    author: str
    verb: str
    resource: str


@dataclass(frozen=True, slots=True)
class Account:
    """A ServiceAccount that may do everything, and can be told apart in the audit log."""

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

    def writes(self, cluster: Cluster, offset: int = 0) -> list[Write]:
        """Return what this account changed, but for leases and events, in the order in which it asked."""
        found = [
            Write(event["requestReceivedTimestamp"], self.name, event["verb"], str(event["objectRef"].get("resource")))
            for event in self.requests(cluster, offset)
            if event["verb"] in _CHANGES and event["objectRef"]["resource"] not in {"leases", "events"}
        ]
        return sorted(found)

    def reaches(self, url: str) -> None:
        """Log in at another address from now on."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        for cluster in config["clusters"]:
            cluster["cluster"]["server"] = url
        self.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")


def new_account(site: Site, cluster: Cluster, folder: Path, name: str, *, everywhere: bool = True) -> Account:
    """Make an account and log in as it; it may do everything, in the cluster or only in the site's namespace."""
    kubectl("create", "serviceaccount", name, "--namespace", site.namespace)
    who = f"{site.namespace}:{name}"
    binding = ("clusterrolebinding", who) if everywhere else ("rolebinding", name, "--namespace", site.namespace)
    kubectl("create", *binding, "--clusterrole", "cluster-admin", "--serviceaccount", who)
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

    def times(self, words: str) -> int:
        """Count the lines of the log that contain these words."""
        return sum(words in str(line.get("msg")) for line in self.log)

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


async def roles(site: Site, one: Process, two: Process) -> tuple[Process, Process]:
    """Return the leader and the other, once one leads and the other waits."""

    async def holder() -> str:
        lease = await site.find(LEASES, LEASE)
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    async def both_started() -> bool:
        return one.said("starting") and two.said("starting")

    async def one_leads() -> bool:
        return one.said("leading") or two.said("leading")

    # Two interpreters start beside the other tests, which takes a while.
    await site.until(holder, "a leader", patience=60)
    await site.until(both_started, "two controllers", patience=60)
    await site.until(one_leads, "a leader")
    await asyncio.sleep(2.5)  # the other one has looked at the lease at least once by then
    assert one.said("leading") != two.said("leading")
    return (one, two) if one.said("leading") else (two, one)


async def leads(site: Site, process: Process, *, term: int = 1) -> None:
    """Wait until a controller leads, for the first time or once more, as long as a takeover may take and a bit."""

    async def there() -> bool:
        return process.times("leading") >= term

    await site.until(there, "takeover", patience=TAKEOVER + 10)


def authors(cluster: Cluster, offset: int, *processes: Process) -> list[str]:
    """Return the names of those who changed something, one after the other, each once in a row."""
    writes = sorted(write for process in processes for write in process.account.writes(cluster, offset))
    return [author for author, _ in groupby(writes, key=lambda write: write.author)]


@asynccontextmanager
async def pair(site: Site, accounts: Sequence[Account]) -> AsyncIterator[tuple[Process, Process]]:
    """Run two controllers with leader election while the block lasts; the first one given is the leader."""
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(running(site, account, enable_leader_election="true"))
            for account in accounts
        ]
        yield await roles(site, one, two)


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
    except BaseException:
        for line in process.log[-LAST_LINES:]:
            print(f"{account.name}: {json.dumps(line)}")  # noqa: T201 -- pytest shows it beside the failure
        raise
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
