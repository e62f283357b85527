"""ConfigMaps and Secrets are released like code: the primary's pods read copies of what was analysed."""

from __future__ import annotations

import base64

import httpx
import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CONFIG_MAPS, SECRETS
from tests.e2e import workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import Place, assert_served, load_tester, new_place, tally
from tests.e2e.workloads import PORT, gate, progressive

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

OLD, NEW = b"\x00\xffold\n", b"\x00\xfenew\n"
"""No text in any encoding: as a ConfigMap's data it could not be written at all."""


def configs(message: str, token: str, blob: bytes) -> list[JsonObject]:
    encoded = base64.b64encode(blob).decode()
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"message": message},
            "binaryData": {"blob": encoded},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "token"},
            "data": {"token": base64.b64encode(token.encode()).decode(), "blob": encoded},
        },
    ]


def reader() -> JsonObject:
    """Write a Deployment that reads all of it: two values as environment, and one folder with a file of each."""
    message = {"configMapKeyRef": {"name": "settings", "key": "message"}}
    token = {"secretKeyRef": {"name": "token", "key": "token"}}
    return workloads.deployment(
        env=[{"name": "PODINFO_UI_MESSAGE", "valueFrom": message}, {"name": "TOKEN", "valueFrom": token}],
        volumeMounts=[{"name": "files", "mountPath": "/data"}],
        volumes=(
            {
                "name": "files",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "settings", "items": [{"key": "blob", "path": "settings-blob"}]}},
                        {"secret": {"name": "token", "items": [{"key": "blob", "path": "token-blob"}]}},
                    ]
                },
            },
        ),
    )


async def read_by(place: Place, app: str) -> set[tuple[str, str, bytes, bytes]]:
    """Ask every pod what it read: message, token, and both files, which podinfo serves as they are."""
    found = set()
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        for pod in await place.pods(app):
            base = f"http://{pod['status']['podIP']}:{PORT}"
            message = (await http.get(f"{base}/")).json()["message"]
            environment = (await http.get(f"{base}/env")).json()
            token = next(row.partition("=")[2] for row in environment if row.startswith("TOKEN="))
            settings = (await http.get(f"{base}/store/settings-blob")).content
            secret = (await http.get(f"{base}/store/token-blob")).content
            found.add((message, token, settings, secret))
    return found


async def test_primary_reads_copies_of_what_was_analysed(figures: Figures) -> None:
    async with new_place("configs") as place, load_tester(place) as tester:
        await place.apply(*configs("hello", "t-1", OLD))
        await place.set_up(reader())
        await place.bootstrap(progressive(place.host, interval="1s", webhooks=[gate("confirm-promotion")]))
        before, after = ("hello", "t-1", OLD, OLD), ("welcome", "t-2", NEW, NEW)
        assert await read_by(place, "podinfo-primary") == {before}
        async with place.users() as users:
            await place.apply(*configs("welcome", "t-2", NEW))
            await place.phase_is("WaitingPromotion", patience=90)
            assert await read_by(place, "podinfo") == {after}
            assert await read_by(place, "podinfo-primary") == {before}
            await tester.open()
            await place.ends("Succeeded")
        figures(tally(users.summary()))
        assert_served(users.summary())
        assert await read_by(place, "podinfo-primary") == {after}
        copy = await place.get(CONFIG_MAPS, "settings-primary")
        assert copy["binaryData"] == {"blob": base64.b64encode(NEW).decode()}
        assert (await place.get(SECRETS, "token-primary"))["data"]["token"] == base64.b64encode(b"t-2").decode()
