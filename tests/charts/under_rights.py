"""The controller and the release command under exactly the rights that the chart gives, on a real API server.

Every request is in the audit log with the API server's decision: nothing may be refused, and no right may be idle.
Some of these controllers work on the whole cluster, so tests/integration/test_apart.py gives them one of their own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from flaggerpy.app import App
from flaggerpy.clock import SystemClock
from flaggerpy.durations import parse_duration
from flaggerpy.kube.resources import (
    BUDGETS,
    CANARIES,
    DAEMONSETS,
    DEPLOYMENTS,
    HPAS,
    HTTP_PROXIES,
    HTTP_ROUTES,
    SCALED_OBJECTS,
    SECRETS,
    TRAEFIK_SERVICES,
    VIRTUAL_SERVICES,
)
from flaggerpy.kube.transport import connect
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.settings import Settings
from tests.charts.helm import Json, Rendered, render
from tests.cluster.api import Cluster
from tests.integration.conftest import control_plane, crds, full_node, pods, site
from tests.integration.flagger import SECOND_HASH, flagger
from tests.integration.objects import (
    autoscaler,
    blue_green,
    budget,
    canary,
    careful,
    config_map,
    daemon_set,
    deployment,
    of_daemon_set,
    progressive,
    proxied,
    scaled,
    scaled_object,
    under_keda,
)
from tests.integration.pods import Breaker
from tests.integration.site import Controller, Site

__all__ = ["control_plane", "crds", "full_node", "pods", "site"]
pytestmark = pytest.mark.integration


@dataclass(frozen=True, slots=True)
class Installed:
    """A chart's accounts and roles in the cluster, without its Pods."""

    rendered: Rendered
    site: Site
    cluster: Cluster
    folder: Path
    log_start: int

    def kubeconfig(self, account: str) -> str:
        """Log in as an account of the chart and as nobody else."""
        file = self.folder / f"{account}.yaml"
        config = yaml.safe_load(Path(self.cluster.kubeconfig).read_text(encoding="utf-8"))
        token = kubectl("create", "token", account, "--namespace", self.site.namespace).strip()
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return str(file)

    @asynccontextmanager
    async def controller(self, **changes: object) -> AsyncIterator[None]:
        """Run the controller as the Deployment of the chart would."""
        words = self.rendered.container()["args"]
        flags = dict(word.partition("=")[::2] for word in words[1:])
        settings = Settings(
            namespaces=tuple(flags["-namespace"].split(",")) if "-namespace" in flags else (),
            mesh_provider=flags["-mesh-provider"],
            config_tracking=flags["-enable-config-tracking"] == "true",
            leader_election=True,
            leader_election_namespace=flags["-leader-election-namespace"],
            min_interval=timedelta(seconds=0.5),
            accept_within=timedelta(seconds=0.5),
            fail_fast_after=parse_duration(flags["-fail-fast-after"]),
            port=0,
        ).model_copy(update=changes)
        async with (
            await connect(self.kubeconfig("flaggerpy")) as transport,
            Outbound() as outbound,
            Controller(App(settings, transport, outbound, SystemClock())),
        ):
            yield

    def requests(self, account: str) -> Iterator[tuple[bool, str, str, str]]:
        """Whether each request of an account was allowed, and its verb, group and resource."""
        user = f"system:serviceaccount:{self.site.namespace}:{account}"
        for event in self.cluster.audit_events(self.log_start):
            what = event.get("objectRef") or {}
            if event["user"].get("username") == user and event["stage"] == "ResponseComplete" and what:
                allowed = event["annotations"]["authorization.k8s.io/decision"] == "allow"
                resource = "/".join(filter(None, [what["resource"], what.get("subresource")]))
                yield allowed, event["verb"], what.get("apiGroup", ""), resource

    def refused(self, account: str = "flaggerpy") -> set[str]:
        """What the API server did not allow."""
        return {f"{verb} {where}" for allowed, verb, _, where in self.requests(account) if not allowed}

    def idle(self, account: str = "flaggerpy") -> set[str]:
        """Rights that were given and not used."""
        used = {(verb, group, where) for _, verb, group, where in self.requests(account)}
        roles = [*self.rendered.of("ClusterRole"), *self.rendered.of("Role")]
        given = {
            (verb, group, where)
            for role in roles
            for rule in role["rules"]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for where in rule["resources"]
        }
        return {f"{verb} {where}" for verb, _, where in given - used}


# Rights that this life of a canary does not show in the audit log, and why they are given.
NOT_SEEN = {
    "create httproutes": "the API server asks for it beside patch when an apply makes the object; the log has one verb",
    "update httproutes": "a route that is put back whole, as it was before us",
    **{
        f"{verb} {routes}": "only where a canary brings such a route along, which is tested by itself"
        for routes in ("grpcroutes", "tlsroutes", "tcproutes")
        for verb in ("get", "list", "watch", "patch")
    },
    "create httpproxies": "as for httproutes",
    "update httpproxies": "as for httproutes",
    "create virtualservices": "as for httproutes",
    "update virtualservices": "as for httproutes",
    "create destinationrules": "as for httproutes",
    "update destinationrules": "as for httproutes",
    "create traefikservices": "as for httproutes",
    "update traefikservices": "as for httproutes",
    "get poddisruptionbudgets": "only when somebody else wrote one at the same moment",
    "get metrictemplates": "a canary that names one before the first list is in",
    "get alertproviders": "a canary that names one before the first list is in",
    "list replicasets": "only when a rollout of Flagger's in flight is taken over, which is tested by itself",
    "get replicasets": "only when a container cannot start, which is tested by itself",
}
Install = Callable[..., Installed]


def kubectl(*words: str, given: str | None = None) -> str:
    done = subprocess.run(["kubectl", *words], input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def install(site: Site, control_plane: Cluster, tmp_path: Path) -> Iterator[Install]:
    made: list[str] = []

    def install(**values: object) -> Installed:
        chosen = {"meshProvider": "kubernetes", **values}
        if values.get("watchNamespaces") == "the site's":
            chosen["watchNamespaces"] = [site.namespace]
        rendered = render("flaggerpy", chosen, into=site.namespace)
        kept = [one for one in rendered.objects if one["kind"] not in {"Deployment", "PodDisruptionBudget", "Job"}]
        made.append(yaml.safe_dump_all(kept))
        kubectl("apply", "--filename", "-", given=made[-1])
        return Installed(rendered, site, control_plane, tmp_path, control_plane.audit_size())

    yield install
    for manifests in made:
        kubectl("delete", "--wait=false", "--ignore-not-found", "--filename", "-", given=manifests)


def secret(name: str, value: str) -> Json:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": value}}


async def a_whole_life(site: Site, *, tracked: bool) -> None:
    """Bootstrap, a good rollout for a new image and for changed configs, and deletion."""
    reads = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "token"}}] if tracked else []
    workload = deployment(container={"envFrom": reads})
    if tracked:
        await site.client.create(
            SECRETS, {**secret("token", "one"), "metadata": {"name": "token", "namespace": site.namespace}}
        )
        await site.apply(config_map("settings", {"color": "red"}))
    await site.apply(workload, autoscaler(), budget(), scaled(blue_green()))
    await site.phase_is("Initialized")
    await site.exists(HPAS, "podinfo-primary")
    await site.exists(BUDGETS, "podinfo-primary")
    await site.edit(BUDGETS, "podinfo", {"spec": {"minAvailable": 2}})
    await site.edit(HPAS, "podinfo", {"spec": {"maxReplicas": 5}})
    await site.set_image("6.0.1")
    await site.phase_is("Progressing")
    await site.phase_is("Succeeded")
    if tracked:
        await site.client.merge_patch(site.ref(SECRETS, "token"), {"stringData": {"key": "two"}})
        await site.apply(config_map("settings", {"color": "blue"}))
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
    await site.client.delete(site.ref(CANARIES, "podinfo"))
    await site.until(lambda: gone(site), "end of the Canary")
    assert await site.ours() == []


async def a_daemon_sets_life(site: Site) -> None:
    """Bootstrap, a good rollout, and a deletion that takes everything along."""
    await site.apply(daemon_set("agent"), of_daemon_set(blue_green("agent")))
    await site.phase_is("Initialized", "agent")
    pod = daemon_set("agent", "6.0.1")["spec"]["template"]["spec"]
    await site.edit(DAEMONSETS, "agent", {"spec": {"template": {"spec": {"containers": pod["containers"]}}}})
    await site.phase_is("Progressing", "agent")
    await site.phase_is("Succeeded", "agent")
    await site.client.delete(site.ref(DAEMONSETS, "agent"))
    await site.client.delete(site.ref(CANARIES, "agent"))
    await site.gone(name="agent")


async def a_life_under_keda(site: Site) -> None:
    """Bootstrap, an edit of the ScaledObject, and deletion."""
    await site.apply(deployment(), scaled_object(), under_keda(blue_green()))
    await site.phase_is("Initialized")
    await site.exists(SCALED_OBJECTS, "podinfo-primary")
    await site.edit(SCALED_OBJECTS, "podinfo", {"spec": {"maxReplicaCount": 5}})

    async def followed() -> bool:
        return bool((await site.get(SCALED_OBJECTS, "podinfo-primary"))["spec"]["maxReplicaCount"] == 5)

    await site.until(followed, "the edit at the primary's")
    await site.client.delete(site.ref(CANARIES, "podinfo"))
    await site.until(lambda: gone(site), "end of the Canary")


async def gone(site: Site) -> bool:
    return await site.find(CANARIES, "podinfo") is None


@pytest.mark.parametrize(
    ("title", "values", "tracked", "refused"),
    [
        ("the whole cluster", {}, True, set()),
        (
            "listed namespaces: only the look at the schema is refused",
            {"watchNamespaces": "the site's"},
            True,
            {"get customresourcedefinitions"},
        ),
        ("no config tracking", {"configTracking": {"enabled": False}}, False, set()),
        (
            "listed namespaces without config tracking",
            {"watchNamespaces": "the site's", "configTracking": {"enabled": False}},
            False,
            {"get customresourcedefinitions"},
        ),
    ],
)
async def test_a_canary_lives_and_dies_under_the_rights_of_each_mode(
    install: Install, site: Site, title: str, values: Json, tracked: bool, refused: set[str]
) -> None:
    installed = install(**values)
    async with installed.controller():
        await a_whole_life(site, tracked=tracked)
    assert installed.refused() == refused, title


async def test_no_right_of_the_controller_is_idle(install: Install, site: Site) -> None:
    installed = install(meshProvider="gatewayapi:v1", rbac={"providers": ["contour", "istio", "traefik"]})
    routes = {"podinfo": HTTP_ROUTES, "front": HTTP_PROXIES, "mesh": VIRTUAL_SERVICES, "edge": TRAEFIK_SERVICES}
    steps = {"stepWeight": 25, "maxWeight": 50}
    async with installed.controller():
        await a_whole_life(site, tracked=True)
        await a_daemon_sets_life(site)
        await a_life_under_keda(site)
        await site.apply(progressive(), deployment("front"), proxied(name="front"))
        await site.apply(deployment("mesh"), canary("mesh", steps, provider="istio"))
        await site.apply(deployment("edge"), canary("edge", steps, provider="traefik"))
        for name, resource in routes.items():
            await site.phase_is("Initialized", name)
            # Without its target a Canary takes everything along, the route as well.
            await site.client.delete(site.ref(DEPLOYMENTS, name))
            await site.client.delete(site.ref(CANARIES, name))
            await site.gone(name=name)
            assert await site.find(resource, name) is None
    assert installed.refused() == set()
    assert installed.idle() == set(NOT_SEEN)


@pytest.mark.parametrize(
    ("values", "refused"),
    [({}, set()), ({"watchNamespaces": "the site's"}, {"get customresourcedefinitions"})],
)
async def test_pods_that_cannot_start_are_seen_under_the_rights_of_each_mode(
    install: Install, site: Site, pods: Breaker, values: Json, refused: set[str]
) -> None:
    installed = install(failFastAfter="1s", **values)
    pods.hold("podinfo", "6.0.1", "ImagePullBackOff")
    async with installed.controller():
        await site.apply(careful(progressDeadlineSeconds=60), blue_green())
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        failed = await site.phase_is("Failed")
    assert "ImagePullBackOff" in failed["status"]["rollout"]["failing"]
    assert installed.refused() == refused
    asked = {(verb, where) for _, verb, _, where in installed.requests("flaggerpy")}
    assert {("list", "pods"), ("watch", "pods"), ("get", "replicasets")} <= asked


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": "the site's"}])
async def test_a_rollout_of_flaggers_is_taken_over_under_the_rights_of_each_mode(
    install: Install, site: Site, values: Json
) -> None:
    installed = install(**values)
    async with flagger(site, provider="kubernetes") as left:
        await left.begin(blue_green(iterations=3))
        await left.initialize()
        await left.push("6.0.1")
        await left.wake()
        await left.status("Progressing", iterations=1, applied=SECOND_HASH)
    async with installed.controller():
        await site.phase_is("Succeeded")
    assert await site.image("podinfo-primary") == "6.0.1"
    assert installed.refused() <= {"get customresourcedefinitions"}
    assert ("list", "replicasets") in {(verb, where) for _, verb, _, where in installed.requests("flaggerpy")}


async def test_without_fail_fast_pods_are_not_asked_for(install: Install, site: Site) -> None:
    installed = install(failFastAfter="0s")
    async with installed.controller():
        await a_whole_life(site, tracked=False)
    assert installed.refused() == set()
    assert "pods" not in {where for _, _, _, where in installed.requests("flaggerpy")}


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": "the site's"}])
async def test_uninstalling_releases_under_its_own_rights(install: Install, site: Site, values: Json) -> None:
    installed = install(**values)
    (job,) = installed.rendered.hooks("Job")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    async with installed.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
        words = [*container["args"], f"--kubeconfig={installed.kubeconfig('flaggerpy-release')}"]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "flaggerpy", *words)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    assert installed.refused("flaggerpy-release") == set()
    assert await site.selector("podinfo") == {"app": "podinfo"}
    assert (await site.canary())["metadata"].get("finalizers", []) == []
