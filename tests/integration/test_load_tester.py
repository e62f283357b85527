"""The load tester on a real API server, under exactly the rights that its chart gives, and in real rollouts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS
from tests.charts.helm import Rendered, render
from tests.cluster.api import Cluster
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.process import kubectl
from tests.integration.site import Site
from tests.loadtester.harness import Caller, Program, program

pytestmark = pytest.mark.integration

RELEASE = "flagger-loadtester"
STATE = f"{RELEASE}-state"
MEASURED = Path(__file__).parents[1] / "loadtester" / "data"


def installed(site: Site, folder: Path, *kinds: str) -> Rendered:
    """Make these objects of the chart."""
    rendered = render("loadtester", {"state": {"durable": True}}, release=RELEASE, into=site.namespace)
    file = folder / "chart.yaml"
    file.write_text(yaml.safe_dump_all(one for one in rendered.objects if one["kind"] in kinds), encoding="utf-8")
    kubectl("apply", "-f", str(file))
    return rendered


def login(site: Site, cluster: Cluster, folder: Path) -> str:
    """Write the kubeconfig of the chart's service account and return its path."""
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    token = kubectl("create", "token", RELEASE, "--namespace", site.namespace, "--duration", "1h").strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = folder / "loadtester.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(file)


async def allowed(site: Site) -> bool:
    """Whether the API server knows the chart's rights already: it hears of them a little after they were written."""
    words = ("can-i", "update", f"configmaps/{STATE}", "--namespace", site.namespace)
    who = f"--as=system:serviceaccount:{site.namespace}:{RELEASE}"
    asked = await asyncio.create_subprocess_exec("kubectl", "auth", *words, who, stdout=asyncio.subprocess.PIPE)
    said, _ = await asked.communicate()
    return said.strip() == b"yes"


@asynccontextmanager
async def replica(site: Site, kubeconfig: str) -> AsyncIterator[Program]:
    """Run a load tester with the chart's word for where gates are kept."""
    async with program(
        "-log-level=info", f"-state-configmap={site.namespace}/{STATE}", KUBECONFIG=kubeconfig
    ) as running:
        yield running


async def state(site: Site) -> JsonObject:
    found = await site.get(CONFIG_MAPS, STATE)
    return dict(found.get("data") or {})


async def test_two_replicas_agree_on_gates_and_results_under_the_charts_rights(
    site: Site, control_plane: Cluster, tmp_path: Path
) -> None:
    installed(site, tmp_path, "ServiceAccount", "Role", "RoleBinding", "ConfigMap")
    await site.until(lambda: allowed(site), "the rights of the chart")
    kubeconfig = login(site, control_plane, tmp_path)
    offset = control_plane.audit_size()
    async with replica(site, kubeconfig) as one, replica(site, kubeconfig) as two:
        for running in (one, two):
            assert running.first_lines[0]["msg"] == "gates and results are kept in the cluster"
        assert (await two.caller.ask("/gate/check")).status == 403
        await one.caller.ask("/gate/open")
        assert (await two.caller.ask("/gate/check")).status == 200

        names = [f"podinfo-{number}.{site.namespace}" for number in range(12)]
        callers = (one.caller, two.caller)
        answers = await asyncio.gather(
            *(callers[index % 2].ask("/rollback/open", canary=name) for index, name in enumerate(names))
        )
        assert {answer.status for answer in answers} == {202}
        checks = await asyncio.gather(*(two.caller.ask("/rollback/check", canary=name) for name in names))
        assert {answer.status for answer in checks} == {200}

        await two.caller.ask("/gate/close")
        assert (await one.caller.ask("/gate/check")).status == 403

        await one.caller.ask("/", type="bash", cmd="exit 3", id="smoke")
        asked = await two.caller.ask("/", type="result", task="smoke")
        assert (asked.status, asked.body) == (424, "command exit 3 failed: exit status 3")

    kept = await state(site)
    assert {name for name in kept if name.startswith("rollback.")} == {f"rollback.{name}" for name in names}
    async with replica(site, kubeconfig) as later:
        assert (await later.caller.ask("/rollback/check", canary=names[0])).status == 200

    user = f"system:serviceaccount:{site.namespace}:{RELEASE}"
    requests = [event for event in control_plane.audit_events(offset) if event["user"].get("username") == user]
    assert {event["verb"] for event in requests} == {"get", "update"}
    refused = [event for event in requests if (event.get("responseStatus") or {}).get("code") == 403]
    assert refused == []


async def test_without_the_rights_gates_are_in_memory_and_a_warning_says_which_are_missing(
    site: Site, control_plane: Cluster, tmp_path: Path
) -> None:
    installed(site, tmp_path, "ServiceAccount", "ConfigMap")
    async with replica(site, login(site, control_plane, tmp_path)) as running:
        said = running.first_lines[0]
        assert said["level"] == "warn"
        assert "kept in memory" in said["msg"]
        assert 'cannot get resource "configmaps"' in said["reason"]
        assert (await running.caller.ask("/gate/open")).status == 202
        assert (await running.caller.ask("/gate/check")).status == 200
    assert await state(site) == {}


async def test_an_upgrade_of_the_release_leaves_gates_alone(site: Site, tmp_path: Path) -> None:
    installed(site, tmp_path, "ConfigMap")
    await site.edit(CONFIG_MAPS, STATE, {"data": {"gate.podinfo.test": "open"}})
    installed(site, tmp_path, "ConfigMap")
    assert await state(site) == {"gate.podinfo.test": "open"}


def webhook(caller: Caller, name: str, kind: str, path: str = "/", **metadata: str) -> JsonObject:
    """Write a webhook that calls a load tester."""
    hook: JsonObject = {"name": name, "type": kind, "url": f"{caller.url}{path}", "timeout": "20s"}
    return hook | ({"metadata": metadata} if metadata else {})


async def test_a_load_test_that_misses_its_bounds_rolls_back_and_says_why(site: Site, gateway: Gateway) -> None:
    del gateway
    async with program("-log-level=info") as running, site.controller():
        load = f"cat {MEASURED / 'hey-bad.txt'}"
        hook = webhook(running.caller, "load", "rollout", type="bash", cmd=load, maxErrorRate="1%")
        await site.apply(deployment(), progressive(webhooks=[hook]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.event("31 of 100 requests failed: 31 %, which is more than 1 %")
        await site.phase_is("Failed", patience=60)
        assert await site.image("podinfo-primary") == "6.0.0"


async def test_a_result_that_is_asked_for_by_its_id_lets_a_rollout_through(site: Site, gateway: Gateway) -> None:
    del gateway
    async with program("-log-level=info") as running, site.controller():
        load = f"cat {MEASURED / 'hey-good.txt'}"
        hooks = [
            webhook(running.caller, "load", "rollout", cmd=load, id="load", maxErrorRate="1%", maxP99="1s"),
            webhook(running.caller, "was-it-good", "rollout", type="result", task="load", wait="10s"),
        ]
        await site.apply(deployment(), progressive(webhooks=hooks))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Succeeded", patience=60)
        assert await running.caller.series('flaggerpy_loadtester_result_questions_total{answer="passed"}') >= 2
        assert await running.caller.series('flaggerpy_loadtester_result_questions_total{answer="failed"}') == 0


async def test_a_rollback_gate_that_is_opened_once_rolls_back_one_revision(site: Site, gateway: Gateway) -> None:
    del gateway
    async with program("-log-level=info") as running, site.controller():
        hook = webhook(running.caller, "stop", "rollback", "/rollback/check")
        await site.apply(deployment(), progressive(step=10, most=50, webhooks=[hook]))
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await running.caller.ask("/rollback/open", canary=f"podinfo.{site.namespace}", once="true")
        await site.phase_is("Failed", patience=60)
        await site.set_image("6.0.2")
        await site.phase_is("Succeeded", patience=60)
        assert await site.image("podinfo-primary") == "6.0.2"
