"""The provider graphite against graphite-web itself, as Debian packages it, with points in its own files."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.graphite import Graphite
from flaggerpy.metrics.outbound import Outbound
from tests.servers.programs import free_port, program, running

MINUTE = timedelta(minutes=1)
PYTHON = "/usr/bin/python3"
"""Debian's own: its packages are made for no other."""
SETTINGS = """
SECRET_KEY = "of-a-test-that-nobody-logs-in-to"
STORAGE_DIR = {folder!r}
WHISPER_DIR = {folder!r}
LOG_DIR = {folder!r}
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
"""
# Every ten seconds a point, as carbon writes them, in a file of an hour.
WRITE = """
import sys, whisper
file, now, *values = sys.argv[1:]
whisper.create(file, [(10, 360)])
whisper.update_many(file, [(int(now) - 10 * back, float(value)) for back, value in enumerate(reversed(values))])
"""
OLD = 3000
"""Seconds: within the hour that a file holds, long before the ten minutes that are asked for."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, address = tmp_path_factory.mktemp("graphite"), f"127.0.0.1:{free_port()}"
    (folder / "own_settings.py").write_text(SETTINGS.format(folder=str(folder)), encoding="utf-8")
    packages = program("graphite", "usr/lib/python3/dist-packages")
    (libraries,) = packages.parents[1].glob("*-linux-gnu")
    environment = {
        "PYTHONPATH": f"{folder}:{packages}",
        "LD_LIBRARY_PATH": str(libraries),
        "DJANGO_SETTINGS_MODULE": "graphite.settings",
        "GRAPHITE_SETTINGS_MODULE": "own_settings",
    }
    write(folder, environment)
    command = [PYTHON, "-m", "django", "runserver", "--noreload", address]
    with running(command, folder / "log", f"http://{address}/render?target=none&format=json", environment):
        yield f"http://{address}"


def write(folder: Path, environment: dict[str, str]) -> None:
    """Write a minute of two series, and one that ended long ago."""
    now = int(time.time())
    for name, end, values in (
        ("errors", now, (0, 1, 2, 3)),
        ("requests", now, (10, 20, 30, 40)),
        ("gone", now - OLD, (7, 7)),
    ):
        file = folder / "shop" / "web" / f"{name}.wsp"
        file.parent.mkdir(parents=True, exist_ok=True)
        command = [PYTHON, "-c", WRITE, str(file), str(end), *map(str, values)]
        subprocess.run(command, env=environment, check=True)


async def measured(url: str, query: str) -> Outcome:
    async with Outbound(trust_env=False) as outbound:
        return await Graphite(ProviderSettings("graphite", url), outbound).measure(query, MINUTE)


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        pytest.param("target=shop.web.errors", Value(3.0), id="the newest point"),
        pytest.param("target=sumSeries(shop.web.{errors,requests})&from=-5min", Value(43.0), id="a sum"),
        pytest.param("target=asPercent(shop.web.errors,\n  shop.web.requests)", Value(7.5), id="over two lines"),
        pytest.param("target=scale(shop.web.errors%2C10)&format=csv", Value(30.0), id="encoded, and always as JSON"),
        pytest.param("target=shop.web.nothing", NoData(), id="nothing there"),
        pytest.param("target=shop.web.gone", NoData(), id="what ended long ago"),
        pytest.param("target=shop.web.gone&from=-1h", Value(7.0), id="unless it is asked for"),
        pytest.param("target=sumSeries(shop.web.*", "opens 1 parentheses and closes 0", id="a lost parenthesis"),
        pytest.param("target=shop.web.{errors,requests}", "gives 2 series where one is needed", id="none is chosen"),
        pytest.param("target=nosuch(shop.web.errors)", "unknown function: nosuch", id="a mistake"),
        pytest.param("target=shop.web.errors&from=someday", "Unknown day reference: someday", id="no time"),
        pytest.param("target=movingAverage(shop.web.errors,'x')", "it answered 500", id="what it cannot bear"),
    ],
)
async def test_what_is_asked_is_answered(url: str, query: str, outcome: Outcome | str) -> None:
    found = await measured(url, query)

    if isinstance(outcome, str):
        assert isinstance(found, BadQuery | ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


def test_of_a_lost_parenthesis_graphite_itself_says_nothing(url: str) -> None:
    answer = httpx.get(f"{url}/render?target=sumSeries(shop.web.*&format=json", trust_env=False)

    assert (answer.status_code, answer.json()) == (200, [])


async def test_a_path_where_nothing_is_says_so(url: str) -> None:
    found = await measured(f"{url}/graphite", "target=shop.web.errors")

    assert isinstance(found, ProviderError)
    assert "it answered 404" in found.reason
