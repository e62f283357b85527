from __future__ import annotations

from hypothesis import strategies as st

from flaggerpy.metrics.base import ProviderSettings
from flaggerpy.metrics.cloudwatch import parse
from tests.metrics.faults.case import LEAF, Case, says

SECRET = {
    "aws_access_key_id": "PLANTEDKEYID",
    "aws_secret_access_key": "planted-s3cret-key",
    "aws_session_token": "planted-session-t0ken",
}


def result(*values: object, code: str = "Complete") -> dict[str, object]:
    moments = [2009.0 - at for at in range(len(values))]
    return {"Id": "e1", "Label": "e1", "StatusCode": code, "Timestamps": moments, "Values": values}


def results(*found: object) -> dict[str, object]:
    return {"MetricDataResults": found, "Messages": []}


def mistake(code: str, message: str, status: int = 400) -> object:
    return {"__type": f"com.amazonaws.cloudwatch.v2010_08_01#{code}", "message": message}


_RESULT = st.fixed_dictionaries({"Values": st.lists(LEAF, max_size=3) | LEAF}, optional={"StatusCode": LEAF})

CASE = Case(
    settings=lambda url: ProviderSettings("cloudwatch", url, region="eu-west-1", secret=SECRET),
    query='[{"Id": "e1", "Expression": "m1 / m2"}]',
    success=says(results(result(0.25, 3))),
    value=0.25,
    no_data=(says(results()), says(results(result()))),
    bad_query=(
        says(mistake("ValidationError", "The value m1 / for parameter MetricDataQueries.member.1 is invalid."), 400),
        says(mistake("InvalidParameterCombination", "no"), 400),
    ),
    malformed=(
        b'{"MetricDataResults": 7}',
        b'{"MetricDataResults": [7]}',
        b'{"MetricDataResults": [{}]}',
        b'{"MetricDataResults": [{"Values": ["x"]}]}',
        b'{"MetricDataResults": [{"StatusCode": "InternalError", "Values": [1]}]}',
    ),
    secret=SECRET,
    sent={"X-Amz-Security-Token": "planted-session-t0ken", "Content-Type": "application/x-amz-json-1.0"},
    parse=parse,
    documents=st.fixed_dictionaries({"MetricDataResults": st.lists(_RESULT | LEAF, max_size=3) | LEAF}),
)
