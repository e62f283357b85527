"""What Flagger gets wrong about the answers of metrics servers, one test a wart that no other test is named after."""

from __future__ import annotations

import json

import pytest

from flaggerpy.metrics import datadog, flux, stackdriver
from flaggerpy.metrics.base import NoData, Outcome, Value
from tests.metrics.faults.datadog import answer
from tests.metrics.faults.influxdb import table
from tests.metrics.faults.stackdriver import points, series


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        pytest.param(flux.parse(b"\r\n"), NoData(), id="InfluxDB: no rows are no data"),
        pytest.param(flux.parse(table("7", kind="long").encode()), Value(7.0), id="InfluxDB: integers are numbers"),
        pytest.param(datadog.parse(json.dumps(answer(None)).encode()), NoData(), id="Datadog: null is no point"),
        pytest.param(
            stackdriver.parse(json.dumps(series(points("7", kind="int64Value"))).encode()),
            Value(7.0),
            id="Stackdriver: integers are numbers",
        ),
    ],
)
def test_w57_nothing_is_not_zero_and_integers_are_numbers(found: Outcome, outcome: Outcome) -> None:
    assert found == outcome
