"""A namespace on the full node, the hands of its user, and the users of its service."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from flaggerpy.api.constants import FINALIZER
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NotFound
from flaggerpy.kube.objects import JsonObject, finalizers_of
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, NAMESPACES, PODS, SERVICES, Ref, ref_of
from flaggerpy.kube.transport import connect
from flaggerpy.settings import Settings
from tests.e2e import stage, workloads
from tests.integration.site import Site
from tests.traffic.client import SteadyClient
from tests.traffic.plan import Plan
from tests.traffic.summary import Record, Summary

KEPT = stage.IMAGES / "e2e"
LONGEST = 900.0
LOOK_EVERY = 0.4
PATIENCE = 60.0
ROUTES = ("httproute", "httpproxy", "virtualservice", "traefikservice")
PROXIES = (
    ("projectcontour", "logs", "daemonset/envoy", "-c", "envoy"),
    ("istio-system", "logs", "deployment/gateway"),
    ("traefik", "logs", "deployment/traefik"),
)
"""Where requests are logged; what a cluster does not have says so in a line."""
LATEST = 100
"""Answers that tell who serves now."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a canary and everything around it stands, in comparable words."""

    phase: str
    weight: int
    failed_checks: int
    images: dict[str, str]
    replicas: dict[str, int]
    route: dict[str, int]
    selectors: dict[str, dict[str, str]]


@dataclass(slots=True)
class Place(Site):
    """One namespace of the full node, seen by its user."""

    @property
    def host(self) -> str:
        """The host name under which Envoy serves this namespace."""
        return f"{self.namespace}.local"

    async def until(
        self, look: Callable[[], Awaitable[Any]], what: str, *, patience: float = PATIENCE, pause: float = LOOK_EVERY
    ) -> Any:
        """Look until something is found; not too often, since everybody here shares the machine with the cluster."""
        return await Site.until(self, look, what, patience=patience, pause=pause)

    async def roll_out(self, tag: str, *flags: str) -> None:
        """Push a new revision."""
        body = workloads.container(tag, *flags)
        path = "/spec/template/spec/containers/0"
        changes = [{"op": "add", "path": f"{path}/{key}", "value": body[key]} for key in ("image", "command")]
        await self.client.json_patch(self.ref(DEPLOYMENTS, "podinfo"), changes)

    async def available(self, name: str = "podinfo", *, patience: float = 90.0) -> JsonObject:
        """Wait until a Deployment is what it asks for, and return it."""

        async def there() -> JsonObject | None:
            found = await self.find(DEPLOYMENTS, name)
            return found if found is not None and is_complete(found) else None

        found: JsonObject = await self.until(there, f"complete {name}", patience=patience)
        return found

    async def set_up(
        self, deployment: JsonObject | None = None, *, routed: bool = True, proxies: tuple[JsonObject, ...] = ()
    ) -> None:
        """Bring podinfo up as its user has it before any canary, and wait until it is served.

        Routed is by an HTTPRoute, or by the proxies that are given.
        """
        routes = proxies or (workloads.route(self.host),)
        await self.apply(deployment or workloads.deployment(), workloads.service(), *(routes if routed else ()))
        await self.available()
        await self.answers(stage.ENVOY if routed else f"http://{await self.cluster_ip()}/")

    async def bootstrap(self, canary: JsonObject, *, patience: float = 90.0) -> None:
        """Put podinfo under a canary's control."""
        await self.apply(canary)
        await self.phase_is("Initialized", patience=patience)

    async def answers(self, url: str) -> None:
        """Wait until an address serves this namespace."""
        async with httpx.AsyncClient(timeout=5, trust_env=False) as http:

            async def served() -> bool:
                try:
                    return (await http.get(url, headers={"Host": self.host})).status_code == 200
                except httpx.TransportError:
                    return False

            await self.until(served, f"answer from {url}", patience=60)

    async def cluster_ip(self, service: str = "podinfo") -> str:
        """Return the address of a Service."""
        return str((await self.get(SERVICES, service))["spec"]["clusterIP"])

    async def pods(self, app: str) -> list[JsonObject]:
        """Return the running pods with this app label that are not ending."""
        items, _ = await self.client.list(PODS, self.namespace)
        return [
            item
            for item in items
            if item["metadata"]["labels"].get("app") == app
            and item["status"].get("phase") == "Running"
            and not item["metadata"].get("deletionTimestamp")
        ]

    async def weight_is(self, weight: int, *, patience: float = 60.0) -> None:
        """Wait until the canary has this share."""

        async def there() -> bool:
            status = (await self.canary()).get("status") or {}
            return int(status.get("canaryWeight") or 0) == weight

        await self.until(there, f"weight {weight}", patience=patience)

    async def ends(self, phase: str, *, patience: float = 120.0) -> JsonObject:
        """Wait until a rollout that was pushed has ended in this phase, and the target sleeps."""

        async def there() -> JsonObject | None:
            found = await self.canary()
            now = (found.get("status") or {}).get("phase")
            if now in {"Succeeded", "Failed"} and now != phase:
                raise AssertionError(f"the rollout ended as {now}: {await self.events()}")
            return found if now == phase and await self.replicas("podinfo") == 0 else None

        found: JsonObject = await self.until(there, f"end as {phase}", patience=patience)
        return found

    async def started(self, *, patience: float = 30.0) -> None:
        """Wait until the controller has taken a new revision on."""

        async def there() -> bool:
            return await self.phase() not in {"Initialized", "Succeeded", "Failed"}

        await self.until(there, "start of a rollout", patience=patience)

    async def end(self) -> End:
        """Return where everything stands now."""
        status = (await self.canary()).get("status") or {}
        names = ("podinfo", "podinfo-primary")
        return End(
            phase=str(status.get("phase")),
            weight=int(status.get("canaryWeight") or 0),
            failed_checks=int(status.get("failedChecks") or 0),
            images={name: await self.image(name) for name in names},
            replicas={name: await self.replicas(name) for name in names},
            route=await self.weights(),
            selectors={name: await self.selector(name) for name in (*names, "podinfo-canary")},
        )

    @asynccontextmanager
    async def users(
        self, *, rate: float = 50.0, url: str = stage.ENVOY, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[SteadyClient]:
        """Have users ask steadily while the block lasts."""
        sent = tuple((headers or {}).items())
        client = SteadyClient(Plan(url, self.host, rate=rate, duration=LONGEST, allow=stage.NETWORKS, headers=sent))
        client.start()
        try:
            yield client
        finally:
            await asyncio.to_thread(client.stop)

    async def answers_to(self, users: SteadyClient, count: int) -> None:
        """Wait until users have got so many answers more."""
        enough = users.summary().total + count

        async def there() -> bool:
            return users.summary().total >= enough

        await self.until(there, f"{count} more answers", patience=120, pause=1.0)

    async def all_served_by(self, users: SteadyClient, version: str) -> None:
        """Wait until users meet one version only; pods that were told to end go on for a few seconds."""

        async def there() -> bool:
            return {record.version for record in users.summary().records[-LATEST:]} == {version}

        await self.until(there, f"answers of {version} alone", patience=30)

    def report(self) -> str:
        """Tell everything that helps to see why a test failed."""
        state = kubectl("-n", self.namespace, "get", "canary,deploy,hpa,rs,pods,service", "-o", "wide")
        routes = [kubectl("-n", self.namespace, "get", kind, "-o", "yaml") for kind in ROUTES]
        status = kubectl("-n", self.namespace, "get", "canary", "-o", "jsonpath={.items[*].status}")
        events = kubectl("-n", self.namespace, "get", "events", "--sort-by=.metadata.creationTimestamp")
        selector = ("-l", "app.kubernetes.io/name=flaggerpy", "--tail=400", "--prefix")
        logs = [kubectl("-n", namespace, "logs", *selector) for namespace in (stage.SYSTEM, self.namespace)]
        mine = [line for text in logs for line in text.splitlines() if self.namespace in line]
        proxies = [kubectl("-n", *words, "--since=5m") for words in PROXIES]
        # Answers that the proxy made up itself; DC is a client that waited no longer.
        own = [line for text in proxies for line in text.splitlines() if self.namespace in line]
        refused = [line for line in own if re.search(r'" (4|5)\d\d ', line)]
        nobody = unanswered()
        return "\n".join([state, *routes, status, events, *mine[-150:], *refused[:20], *refused[-20:], *nobody, ""])


def unanswered() -> list[str]:
    """Read from this node's network which connections nobody answered, where to they were led, and who is not found."""
    connections = [line for line in _lines("nf_conntrack") if "SYN_SENT" in line]
    # The third column has flags; 0x0 is an address that no machine on the link says is its own.
    neighbours = [line for line in _lines("arp") if line.split()[2] == "0x0"]
    return [*connections, *neighbours]


def _lines(name: str) -> list[str]:
    file = Path("/proc/self/net") / name
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def kubectl(*words: str, check: bool = False) -> str:
    """Run kubectl and return what it said."""
    done = subprocess.run(["kubectl", *words], capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode:
        raise AssertionError(f"'kubectl {' '.join(words)}' failed: {done.stderr}")
    return done.stdout + done.stderr


def is_complete(deployment: JsonObject) -> bool:
    """Whether every pod of a Deployment runs its template and is available."""
    spec, status = deployment["spec"], deployment.get("status") or {}
    wanted = int(spec["replicas"])
    counts = {int(status.get(field) or 0) for field in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {wanted}


def tally(summary: Summary) -> str:
    """Say in one line what users saw."""
    counts = summary.by_version_and_result().items()
    rows = ", ".join(f"{version or 'unknown'} {result}: {count}" for (version, result), count in counts)
    return f"{summary.total} requests ({summary.missed} not sent in time): {rows}"


def assert_served(summary: Summary, lost: Iterable[Record] | None = None) -> None:
    """Every request had a good answer; ``lost`` are the ones that count when a release is bad on purpose."""
    bad = list(summary.failed() if lost is None else lost)
    assert summary.total > 0
    kinds = Counter((record.version, record.result) for record in bad)
    assert not bad, f"{len(bad)} of {summary.total} lost: {dict(kinds)}; first {bad[:3]}, last {bad[-1]}"


@asynccontextmanager
async def new_place(name: str, *, own_controller: bool = False) -> AsyncIterator[Place]:
    """Make a namespace and remove it afterwards; tell what is in it when the block fails."""
    if own_controller == (name in stage.SHARED):
        raise ValueError(f"{name}: a namespace is either in stage.SHARED or has a controller of its own")
    async with await connect() as transport:
        client = Client(transport, field_manager="kubectl")
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        place = Place(client, name, Settings())
        try:
            yield place
        except BaseException as error:
            await asyncio.to_thread(_keep, place, error)
            raise
        finally:
            await _clear(client, name)


def _keep(place: Place, error: BaseException) -> None:
    """Tell what there is when a test fails; also in a file, for who does not want to wait for the end of the run."""
    report = place.report()
    sys.stdout.write(report)
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{place.namespace}.txt").write_text(f"{error!r}\n{report}", encoding="utf-8")


async def _clear(client: Client, namespace: str) -> None:
    """Remove the namespace without waiting; a controller of its own may be gone, so finalizers go by hand."""
    try:
        await client.delete(Ref(NAMESPACES, "", namespace))
    except NotFound:
        return
    items, _ = await client.list(CANARIES, namespace)
    for item in items:
        if FINALIZER in finalizers_of(item):
            left = [other for other in finalizers_of(item) if other != FINALIZER]
            try:
                await client.merge_patch(ref_of(CANARIES, item), {"metadata": {"finalizers": left}})
            except NotFound:
                continue


class LoadTester:
    """The load tester's API, asked from the node."""

    def __init__(self, http: httpx.AsyncClient, place: Place) -> None:
        self._http = http
        self._payload = {"name": "podinfo", "namespace": place.namespace}

    async def open(self, gate: str = "gate") -> None:
        """Open the canary's gate, or its rollback gate."""
        (await self._http.post(f"/{gate}/open", content=json.dumps(self._payload))).raise_for_status()

    async def close(self, gate: str = "gate") -> None:
        """Close it."""
        (await self._http.post(f"/{gate}/close", content=json.dumps(self._payload))).raise_for_status()


@asynccontextmanager
async def load_tester(place: Place) -> AsyncIterator[LoadTester]:
    """Talk to the load tester about the canary of a place."""
    service = await place.client.get(Ref(SERVICES, stage.TESTER, "flagger-loadtester"))
    async with httpx.AsyncClient(base_url=f"http://{service['spec']['clusterIP']}", timeout=5, trust_env=False) as http:
        yield LoadTester(http, place)
