"""The provider influxdb against InfluxDB 1 itself, as Debian packages it; version 2 has only recorded answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from flaggerpy.metrics.base import BadQuery, NoData, Outcome, ProviderError, ProviderSettings, Value
from flaggerpy.metrics.influxdb import InfluxDb
from flaggerpy.metrics.outbound import Outbound
from tests.servers.programs import free_port, program, running

MINUTE = timedelta(minutes=1)
ADMIN = ("admin", "planted-passw0rd")
CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = true
"""


@dataclass(frozen=True)
class Influx:
    """A running server with a database, and two measurements in it."""

    url: str

    async def measured(self, query: str, database: str = "?db=shop", password: str = ADMIN[1]) -> Outcome:
        secret = {"username": ADMIN[0], "password": password}
        async with Outbound(trust_env=False) as outbound:
            settings = ProviderSettings("influxdb", f"{self.url}{database}", secret=secret)
            return await InfluxDb(settings, outbound).measure(query, MINUTE)


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    folder, port = tmp_path_factory.mktemp("influxdb"), free_port()
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, backup=free_port()))
    command: list[str | Path] = [program("influxdb", "usr/bin/influxd"), "-config", config]
    url = f"http://127.0.0.1:{port}"
    with running(command, folder / "log", f"{url}/ping"):
        with httpx.Client(base_url=url, trust_env=False, auth=ADMIN) as client:
            fill(client)
        yield Influx(url)


def fill(client: httpx.Client) -> None:
    """Make an administrator, a database and points in three minutes."""
    user, password = ADMIN
    for query in (f"CREATE USER {user} WITH PASSWORD '{password}' WITH ALL PRIVILEGES", "CREATE DATABASE shop"):
        client.post("/query", params={"q": query}).raise_for_status()
    now = int(time.time())
    points = [
        f"requests,app=web,code={code} value={value} {now - 60 * (3 - value)}"
        for code in (200, 500)
        for value in (1, 2, 3)
    ]
    points.append(f'state,app=web text="up" {now}')
    client.post("/write", params={"db": "shop", "precision": "s"}, content="\n".join(points)).raise_for_status()


@pytest.mark.parametrize(
    ("query", "outcome"),
    [
        pytest.param("SELECT sum(value) FROM requests WHERE app = 'web'", Value(12.0), id="a sum"),
        pytest.param("SELECT value FROM requests WHERE code = '500'", Value(3.0), id="the newest row"),
        pytest.param(
            "SELECT value FROM requests WHERE code = '500' ORDER BY time DESC", Value(3.0), id="which is first"
        ),
        pytest.param(
            "SELECT mean(value) FROM requests WHERE time > now() - 9m AND time < now() + 5m GROUP BY time(1m)",
            Value(3.0),
            id="minutes without points are null",
        ),
        pytest.param("SELECT sum(value) FROM nothing", NoData(), id="nothing there"),
        pytest.param("SELECT sum(value) FROM requests GROUP BY code", "gives 2 series", id="none is chosen"),
        pytest.param("SELECT sum(value), mean(value) FROM requests", "gives sum, mean where one column", id="columns"),
        pytest.param("SELECT last(text) FROM state", "holds no number", id="words are no number"),
        pytest.param("SELECT sum(value FROM requests", "found FROM, expected", id="a mistake"),
    ],
)
async def test_what_is_asked_is_answered(influx: Influx, query: str, outcome: Outcome | str) -> None:
    found = await influx.measured(query)

    if isinstance(outcome, str):
        assert isinstance(found, BadQuery | ProviderError)
        assert outcome in found.reason
    else:
        assert found == outcome


async def test_the_query_may_name_the_database(influx: Influx) -> None:
    assert await influx.measured("SELECT sum(value) FROM shop.autogen.requests", database="") == Value(12.0)


@pytest.mark.parametrize(
    ("database", "says"), [("", "database name required"), ("?db=none", "database not found: none")]
)
async def test_a_database_that_is_not_there_is_told(influx: Influx, database: str, says: str) -> None:
    found = await influx.measured("SELECT sum(value) FROM requests", database)

    assert isinstance(found, BadQuery | ProviderError)
    assert says in found.reason


async def test_a_wrong_password_is_an_error(influx: Influx) -> None:
    found = await influx.measured("SELECT sum(value) FROM requests", password="wrong")

    assert isinstance(found, ProviderError)
    assert "it answered 401: authorization failed; check" in found.reason
