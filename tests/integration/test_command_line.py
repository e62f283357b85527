"""The command line against a real API server, while a controller works: what it shows, waits for and asks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import yaml

from flaggerpy.kube.objects import annotations_of
from flaggerpy.kube.resources import CANARIES, CONFIG_MAPS
from tests.cluster.api import Cluster
from tests.integration.commands import flaggerpy, run
from tests.integration.gateway import Gateway
from tests.integration.objects import blue_green, config_map, deployment, progressive
from tests.integration.process import kubectl
from tests.integration.servers import Hooks
from tests.integration.site import Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
REQUEST = "flaggerpy.dev/request"


async def status(site: Site, *words: str, timeout: str = "60s") -> tuple[int, str]:
    return await flaggerpy("status", "podinfo", "-n", site.namespace, "--timeout", timeout, *words, patience=90)


# Waiting


async def test_status_right_after_a_change_waits_for_its_rollout(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, interval="4s"))
        code, said = await status(site)
        assert code == 0, said
        for tag in ("6.0.1", "6.0.2", "6.0.3"):
            await site.set_image(tag)
            code, said = await status(site)
            assert (code, await site.image("podinfo-primary")) == (0, tag), said
            assert said.splitlines()[-1].startswith(f"{site.namespace}/podinfo succeeded: ")
        code, said = await status(site, timeout="1s")
        assert code == 0, "nothing is left to be rolled out"


async def test_a_failed_rollout_is_told_with_its_reason_and_the_next_one_is_not_taken_for_it(
    site: Site, hooks: Hooks
) -> None:
    hooks.close("rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(webhooks=[hooks.webhook("rollout")]))
        assert (await status(site))[0] == 0
        await site.set_image("6.0.1")
        code, said = await status(site)
        assert (code, "failed: failed checks threshold reached 2" in said) == (3, True), said
        assert (await status(site, timeout="1s"))[0] == 3, "it stays what it was"
        hooks.open("rollout")
        await site.set_image("6.0.2")
        code, said = await status(site)
        assert (code, await site.image("podinfo-primary")) == (0, "6.0.2"), said


async def test_the_promoted_revision_put_back_after_a_failure_is_served(site: Site, hooks: Hooks) -> None:
    hooks.close("rollout")
    async with site.controller():
        await site.apply(deployment(), blue_green(webhooks=[hooks.webhook("rollout")]))
        assert (await status(site))[0] == 0
        await site.set_image("6.0.1")
        assert (await status(site))[0] == 3
        await site.set_image("6.0.0")
        code, said = await status(site)
        assert (code, "podinfo-primary serves what Deployment podinfo asks for" in said) == (0, True), said


async def test_approval_is_a_persons_business_unless_it_is_waited_for(site: Site, hooks: Hooks) -> None:
    hooks.close("confirm-promotion")
    async with site.controller():
        await site.apply(deployment(), blue_green(webhooks=[hooks.webhook("confirm-promotion")]))
        assert (await status(site))[0] == 0
        await site.set_image("6.0.1")
        code, said = await status(site)
        assert (code, "waits for approval: waiting for promotion approval" in said) == (4, True), said
        waiting = asyncio.create_task(status(site, "--wait-when-paused"))
        await site.reason_has("waiting for promotion approval")
        hooks.open("confirm-promotion")
        code, said = await waiting
        assert code == 0, said


async def test_a_config_that_was_just_changed_is_waited_for(site: Site) -> None:
    reads = {"envFrom": [{"configMapRef": {"name": "settings"}}]}
    async with site.controller():
        await site.apply(config_map("settings", {"color": "red"}), deployment(container=reads), blue_green())
        assert (await status(site))[0] == 0
        await site.apply(config_map("settings", {"color": "blue"}))
        code, said = await status(site)
        copy = await site.get(CONFIG_MAPS, "settings-primary")
        assert (code, copy["data"]) == (0, {"color": "blue"}), said


async def test_a_mistake_that_stays_ends_the_wait(site: Site) -> None:
    async with site.controller():
        await site.apply(blue_green())
        code, said = await status(site)
    assert (code, "cannot go on: Deployment podinfo does not exist" in said) == (1, True), said


async def test_without_a_controller_nothing_ends(site: Site) -> None:
    await site.apply(deployment(), blue_green())
    code, said = await status(site, timeout="2s")
    assert (code, "it is new: is the controller running?" in said) == (5, True), said


# Looking


async def test_the_table_and_the_names_are_those_of_kubectl(site: Site) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green(), deployment("shop"), blue_green("shop"))
        for name in ("podinfo", "shop"):
            await site.phase_is("Initialized", name)
    code, said = await flaggerpy("get", "-n", site.namespace)
    assert code == 0, said
    assert [line.split()[:4] for line in said.splitlines()] == [
        ["NAME", "PHASE", "WEIGHT", "FAILED"],
        ["podinfo", "Initialized", "0", "-"],
        ["shop", "Initialized", "0", "-"],
    ]
    theirs = kubectl("get", "canaries", "-n", site.namespace, "-o", "name")
    assert (await flaggerpy("get", "-n", site.namespace, "-o", "name"))[1] == theirs
    code, said = await flaggerpy("get", "podinfo", "-n", site.namespace, "-o", "json")
    assert json.loads(said) == json.loads(kubectl("get", "canary", "podinfo", "-n", site.namespace, "-o", "json"))


async def test_watch_shows_a_rollout_with_pods_and_events(site: Site, gateway: Gateway, hooks: Hooks) -> None:
    hooks.close("confirm-traffic-increase")
    async with site.controller():
        webhooks = [hooks.webhook("confirm-traffic-increase")]
        await site.apply(deployment(), progressive(step=25, most=50, webhooks=webhooks))
        await site.phase_is("Initialized")
        watching = asyncio.create_task(flaggerpy("watch", "podinfo", "-n", site.namespace, "--until-done", patience=90))
        await site.set_image("6.0.1")
        await site.reason_has("waiting for traffic increase approval")
        code, picture = await flaggerpy("watch", "podinfo", "-n", site.namespace, "--once")
        assert code == 0, picture
        for words in ("Progressing", "step 0 of 2", "✓ 2 of 2", "why: waiting for traffic increase approval"):
            assert words in picture
        await site.event("waiting for traffic increase approval")
        hooks.open("confirm-traffic-increase")
        code, lines = await watching
    assert code == 0, lines
    for words in ("Progressing       25 %  step 1 of 2", "Progressing       50 %  step 2 of 2", "Normal   Advance"):
        assert words in lines


async def test_as_a_plugin_of_kubectl(site: Site, tmp_path: Path) -> None:
    await site.apply(deployment(), blue_green())
    script = tmp_path / "kubectl-flaggerpy"
    start = "from flaggerpy.__main__ import plugin; plugin()"
    run_it = f'exec {sys.executable} -c "{start}" "$@"'
    script.write_text(f"#!/bin/sh\nexport PYTHONPATH={ROOT}\n{run_it}\n", encoding="utf-8")
    script.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    code, said = await run("kubectl", "flaggerpy", "get", "-n", site.namespace, PATH=path)
    assert (code, "podinfo" in said) == (0, True), said
    code, said = await run("kubectl", "flaggerpy", "get", "--help", PATH=path)
    assert said.startswith("Usage: kubectl flaggerpy get")


# Asking


async def test_a_request_carries_the_name_that_the_server_knows_and_stays_until_it_is_answered(site: Site) -> None:
    await site.apply(deployment(), blue_green())
    code, said = await flaggerpy("pause", "podinfo", "-n", site.namespace, "--timeout", "1s")
    assert (code, "nobody answered within 1s: is the controller running?" in said) == (1, True), said
    request = json.loads(annotations_of(await site.canary())[REQUEST])
    me = json.loads(kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]["username"]
    assert (request["verb"], request["by"]) == ("pause", me)


async def test_a_paused_rollout_stays_where_it_is_and_goes_on_when_asked(site: Site, gateway: Gateway) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=25, most=50))
        await site.phase_is("Initialized")
        # However long the command takes to start, the second step is not due before it.
        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"interval": "10m"}}})
        await site.set_image("6.0.1")
        await site.until(lambda: _weight_is(site, 25), "the first step")
        code, said = await flaggerpy("pause", "podinfo", "-n", site.namespace)
        assert code == 0, said
        rollout = (await site.canary())["status"]["rollout"]
        assert (rollout["request"]["accepted"], rollout["request"]["answer"] in said) == (True, True)
        code, said = await status(site)
        assert (code, "is paused by" in said) == (4, True), said
        await site.edit(CANARIES, "podinfo", {"spec": {"analysis": {"interval": "2s"}}})
        code, said = await flaggerpy("resume", "podinfo", "-n", site.namespace)
        assert code == 0, said
        code, said = await status(site)
        assert code == 0, said


# Rights


async def test_status_works_under_the_rights_that_the_reference_lists(
    site: Site, control_plane: Cluster, tmp_path: Path
) -> None:
    async with site.controller():
        await site.apply(deployment(), blue_green())
        await site.phase_is("Initialized")
    config = guest(site, control_plane, tmp_path, "get,watch canaries.flagger.app", "get deployments.apps")
    words = ("-n", site.namespace, "--kubeconfig", config)
    code, said = await flaggerpy("status", "podinfo", *words)
    assert code == 0, said
    assert "not allowed: pods is forbidden" in said
    code, said = await flaggerpy("pause", "podinfo", *words)
    assert (code, said.startswith("Error: not allowed: canaries.flagger.app")) == (1, True), said
    assert REQUEST not in annotations_of(await site.canary())


async def test_whoever_may_see_nothing_is_told_so(site: Site, control_plane: Cluster, tmp_path: Path) -> None:
    await site.apply(deployment(), blue_green())
    words = ("-n", site.namespace, "--kubeconfig", guest(site, control_plane, tmp_path, "get services"))
    for command in (("get",), ("status", "podinfo"), ("watch", "podinfo"), ("abort", "podinfo")):
        code, said = await flaggerpy(*command, *words)
        assert (code, said.startswith("Error: not allowed: canaries.flagger.app")) == (1, True), said


def guest(site: Site, cluster: Cluster, folder: Path, *rights: str) -> str:
    """Make an account with these rights in the site's namespace; return a kubeconfig of it."""
    into = ("--namespace", site.namespace)
    kubectl("create", "serviceaccount", "guest", *into)
    for number, right in enumerate(rights):
        verbs, resource = right.split()
        role = f"guest-{number}"
        kubectl("create", "role", role, f"--verb={verbs}", f"--resource={resource}", *into)
        kubectl("create", "rolebinding", role, f"--role={role}", f"--serviceaccount={site.namespace}:guest", *into)
    config = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    token = kubectl("create", "token", "guest", *into, "--duration", "1h").strip()
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    file = folder / "guest.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(file)


async def _weight_is(site: Site, weight: int) -> bool:
    found = await site.find(CANARIES, "podinfo")
    return ((found or {}).get("status") or {}).get("canaryWeight") == weight
