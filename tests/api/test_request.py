"""Requests of people on a Canary: written as one annotation, read back, and told from those that have an answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from flaggerpy.api.constants import REQUEST
from flaggerpy.api.request import Request, Verb, request_on, unanswered
from flaggerpy.api.status import AnsweredRequest
from tests.builders import canary, same_but, with_metadata, with_rollout

NOON = datetime(2026, 7, 21, 12, 0, 0, 123456, tzinfo=UTC)
ASKED = Request(id="7", verb=Verb.PROMOTE_FULL, by="Zoë", at=NOON)


def test_a_request_is_a_json_object_with_four_fields() -> None:
    assert json.loads(ASKED.to_annotation()) == {
        "id": "7",
        "verb": "promote-full",
        "by": "Zoë",
        "at": "2026-07-21T12:00:00.123456Z",
    }


def test_it_is_read_back_as_it_was_written_in_utc() -> None:
    elsewhere = same_but(ASKED, at=NOON.astimezone(timezone(timedelta(hours=5, minutes=30))))
    for written in (ASKED, elsewhere):
        assert request_on(with_metadata(canary(), annotations={REQUEST: written.to_annotation()})) == ASKED


@pytest.mark.parametrize(
    "text", ["", "pause", "{}", "[]", '{"id": "7", "verb": "dance", "by": "x", "at": "2026-07-21T12:00:00Z"}']
)
def test_what_nobody_can_read_is_no_request(text: str) -> None:
    assert request_on(with_metadata(canary(), annotations={REQUEST: text})) is None


def test_a_request_is_unanswered_until_the_answer_has_its_id() -> None:
    asked = with_metadata(canary(), annotations={REQUEST: ASKED.to_annotation()})
    assert unanswered(canary()) is None
    assert unanswered(asked) == ASKED
    assert unanswered(with_rollout(asked, request=AnsweredRequest(id="6", verb="pause"))) == ASKED
    assert unanswered(with_rollout(asked, request=AnsweredRequest(id="7", verb="promote-full"))) is None
