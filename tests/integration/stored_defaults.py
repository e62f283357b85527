"""Run by test_apart.py in a cluster of its own: what a newer API server adds by itself is no revision.

Defaulted fields are taken out of the stored Deployments, as if an older server had written them, and the API server is
restarted, as an upgrade does.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from tests.cluster.api import Cluster
from tests.cluster.state import Home
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.site import Site

pytestmark = [pytest.mark.takeover, pytest.mark.timeout(240)]

OF_PODS = ("dnsPolicy", "schedulerName", "restartPolicy")
OF_CONTAINERS = ("terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy")


class Store:
    """The store of a cluster, around the API server."""

    def __init__(self, cluster: Cluster) -> None:
        spec = Home(cluster.home).spec() if cluster.home else None
        assert spec is not None, "the store of an external cluster is not at hand"
        self._url = f"http://127.0.0.1:{spec.ports.etcd}/v3/kv"

    async def put(self, namespace: str, obj: JsonObject) -> None:
        """Store a Deployment as JSON, which every API server still reads."""
        stored = copy.deepcopy(obj)
        del stored["metadata"]["resourceVersion"]
        key = f"/registry/deployments/{namespace}/{obj['metadata']['name']}"
        found = await self._call("range", {"key": _coded(key)})
        assert found.get("count") == "1", f"{key} is not stored"
        await self._call("put", {"key": _coded(key), "value": _coded(json.dumps(stored))})

    async def _call(self, what: str, body: JsonObject) -> JsonObject:
        request = Request(f"{self._url}/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"})  # noqa: S310 -- a loopback address

        def send() -> JsonObject:
            with urlopen(request, timeout=10) as answer:  # noqa: S310 -- as above
                found: JsonObject = json.load(answer)
                return found

        return await asyncio.to_thread(send)


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def stripped(obj: JsonObject) -> JsonObject:
    """Return a Deployment without fields of its pod template that the API server fills in."""
    made = copy.deepcopy(obj)
    for part, fields in _parts(made):
        for field in fields:
            del part[field]
    return made


def _parts(obj: JsonObject) -> Iterator[tuple[JsonObject, tuple[str, ...]]]:
    pod = obj["spec"]["template"]["spec"]
    yield pod, OF_PODS
    for container in pod["containers"]:
        yield container, OF_CONTAINERS


@pytest.mark.parametrize("older_record", [False, True], ids=["the same defaults", "others when recorded"])
async def test_no_default_and_no_upgrade_starts_a_rollout(
    site: Site, gateway: Gateway, control_plane: Cluster, older_record: bool
) -> None:
    store = Store(control_plane)
    async with site.controller():
        await site.apply(deployment(), progressive())
        await site.phase_is("Initialized")
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
        before = await site.settled()

    for name in ("podinfo", "podinfo-primary"):
        await store.put(site.namespace, stripped(await site.get(DEPLOYMENTS, name)))
    if older_record:
        other = {"template": "v1-0123456789abcdef"}
        patch = {"status": {"rollout": {"applied": other, "promoted": other}}}
        await site.client.merge_patch(site.ref(CANARIES, "podinfo"), patch, subresource="status")
    await asyncio.to_thread(control_plane.restart_apiserver)

    async with site.controller():
        await site.settled()
        await site.scale(2)
        await site.until(lambda: _sleeps_again(site), "the target asleep again")
        after = await site.settled()
        shares = gateway.shares()
        assert (after["status"]["phase"], shares) == ("Succeeded", [0, 25, 50, 0])
        assert after["status"]["lastTransitionTime"] == before["status"]["lastTransitionTime"]
        # What a user changes still is a revision.
        await site.set_image("6.0.2")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded")
    assert await site.image("podinfo-primary") == "6.0.2"


async def _sleeps_again(site: Site) -> bool:
    return await site.replicas("podinfo") == 0
