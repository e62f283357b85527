"""What integration tests start from: a cluster with the CRDs, and a namespace of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from tests.cluster.api import Cluster
from tests.cluster.fixtures import control_plane, full_node
from tests.integration.contour import Contour
from tests.integration.gateway import Gateway, serving_routes, watching
from tests.integration.pods import Breaker, breaking
from tests.integration.servers import Hooks, PrometheusServer, measuring, receiving
from tests.integration.site import Site, new_site

__all__ = ["control_plane", "full_node"]


LONGEST = (
    "test_crashes.py",
    "test_crashes_focused.py",
    "test_idle.py",
    "test_apart.py",
    "test_leaders.py",
    "test_gitops.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that the rest runs beside it (with --no-loadscope-reorder)."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def plain_log() -> None:
    """Log without colours and without pictures of every variable, which take seconds to draw."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S"),
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ]
    )


@pytest.fixture
def calm(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Demand that nothing a user does shows a traceback in the controller's log."""
    yield
    said = capsys.readouterr()
    assert "Traceback" not in said.out + said.err
    # What asyncio says of tasks that nobody waited for goes another way.
    assert not [record.getMessage() for record in caplog.get_records("call") if record.exc_info]


@pytest.fixture(scope="session")
def crds(control_plane: Cluster) -> None:
    """Install our CRDs with our own command, and those of the providers."""
    kinds = ("gateway-api", "contour-crds", "istio-crds", "traefik-crds", "smi-crds", "knative-crds", "keda-crds")
    addons = ["tests.cluster", "addons", *kinds]
    for command in (["flaggerpy", "crds", "apply"], addons):
        subprocess.run([sys.executable, "-m", *command], check=True, timeout=120)


@pytest.fixture
async def site(crds: None) -> AsyncIterator[Site]:
    """Make a namespace of one's own."""
    async with new_site() as site:
        yield site


@pytest.fixture
async def gateway(site: Site) -> AsyncIterator[Gateway]:
    """Have the site's routes accepted."""
    async with serving_routes(site) as gateway:
        yield gateway


@pytest.fixture
async def contour(site: Site) -> AsyncIterator[Contour]:
    """Have the site's HTTPProxies found valid."""
    async with watching(Contour(site)) as contour:
        yield contour


@pytest.fixture
async def pods(site: Site) -> AsyncIterator[Breaker]:
    """Have a hand on the site's pods."""
    async with breaking(site) as breaker:
        yield breaker


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    """Receive webhooks."""
    async with receiving() as hooks:
        yield hooks


@pytest.fixture
async def prometheus() -> AsyncIterator[PrometheusServer]:
    """Answer queries."""
    async with measuring() as server:
        yield server
