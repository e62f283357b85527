"""A fake API server for every command that wants one, and no credentials of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flaggerpy.kube.resources import DEPLOYMENTS
from tests.cli.served import Served, serving, workloads


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Serve an API with a target and a primary in namespace shop, which is the context's."""
    with serving(tmp_path) as served:
        monkeypatch.setenv("KUBECONFIG", str(served.kubeconfig))
        for obj in workloads():
            served.put(DEPLOYMENTS, obj)
        yield served
