"""Servers of the tests' own as pods: a program of this folder, run by the Python of our image, which has aiohttp."""

from __future__ import annotations

from pathlib import Path

from flaggerpy import __version__
from flaggerpy.kube.objects import JsonObject
from tests.e2e import workloads
from tools.image.recipes import CONTROLLER

IMAGE = CONTROLLER.reference(__version__)
PYTHON = CONTROLLER.entrypoint[0]


def command(program: str, *words: str) -> list[str]:
    """Write the command that runs a program of this folder."""
    text = Path(__file__).with_name(f"{program}.py").read_text(encoding="utf-8")
    return [PYTHON, "-c", text, *words]


def server(name: str, program: str) -> tuple[JsonObject, JsonObject]:
    """Write a Deployment of one pod that runs a program, and a Service in front of it."""
    labels = {"app": name}
    container = workloads.container("none", image=IMAGE, command=command(program))
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    port = {"name": "http", "port": 80, "targetPort": workloads.PORT}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [port]},
    }
    return deployment, service
