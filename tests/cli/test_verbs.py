"""``flaggerpy pause`` and its like: what is written on the Canary, who is told as the asker, and what is answered."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from flaggerpy.api.canary import parse_canary
from flaggerpy.api.constants import REQUEST
from flaggerpy.api.request import Request, Verb, request_on
from flaggerpy.api.status import AnsweredRequest, Phase
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, SELF_SUBJECT_REVIEWS
from flaggerpy.targets.identity import template_identity
from tests.cli.served import WEB, Served, canary, pod_template, set_status, status, workloads
from tests.kube.fake_apiserver import FakeApiServer, Fault
from tests.kube.fake_store import Change


@pytest.fixture(autouse=True)
def rolling(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING)))


def answering(cluster: Served, *, accepted: bool = True, answer: str = "Paused at 20 %.") -> None:
    """Let a controller answer every request as soon as it is written."""

    def heard(change: Change) -> None:
        if change.resource != CANARIES or change.type != "MODIFIED":
            return
        asked = request_on(parse_canary(change.obj))
        before = (change.obj["status"].get("rollout") or {}).get("request") or {}
        if asked is not None and before.get("id") != asked.id:
            done = AnsweredRequest(id=asked.id, verb=asked.verb, by=asked.by, accepted=accepted, answer=answer)
            cluster.server.change(WEB, set_status(status(Phase.PROGRESSING, rollout={"request": done})))

    cluster.do(lambda server: server.listeners.append(heard))


def written(cluster: Served) -> dict[str, Any]:
    obj: JsonObject = cluster.do(lambda server: server.get(WEB))
    request: dict[str, Any] = json.loads(obj["metadata"]["annotations"][REQUEST])
    return request


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["pause"], "pause"),
        (["resume"], "resume"),
        (["promote"], "promote"),
        (["promote", "--full"], "promote-full"),
        (["abort"], "abort"),
        (["retry"], "retry"),
    ],
)
def test_each_command_asks_for_its_verb_and_tells_the_answer(cluster: Served, words: list[str], verb: str) -> None:
    answering(cluster, answer="So be it.")
    before = datetime.now(UTC)
    result = cluster.run(*words, "web")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "So be it.\n", "")
    request = written(cluster)
    assert (request["verb"], request["by"]) == (verb, "someone")
    assert request.keys() - {"template"} == {"at", "by", "id", "verb"}
    assert before <= datetime.fromisoformat(request["at"]) <= datetime.now(UTC)
    assert len(request["at"]) == len("2031-05-17T08:30:15.250009Z")


@pytest.mark.parametrize(
    ("words", "holds"), [(["promote"], True), (["promote", "--full"], True), (["retry"], True), (["abort"], False)]
)
def test_what_goes_on_with_a_revision_says_which(cluster: Served, words: list[str], holds: bool) -> None:
    answering(cluster)
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.run(*words, "web")
    assert written(cluster).get("template") == (template_identity(pod_template("2")) if holds else None)


def test_a_refusal_is_a_failure(cluster: Served) -> None:
    answering(cluster, accepted=False, answer="Nothing is being rolled out.")
    result = cluster.run("pause", "web")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: Nothing is being rolled out.\n")


def test_a_controller_without_words_is_understood(cluster: Served) -> None:
    answering(cluster, answer="")
    assert cluster.run("pause", "web").stdout == "pause was accepted.\n"


def test_when_nobody_answers_it_says_that_the_request_stays(cluster: Served) -> None:
    result = cluster.run("pause", "web", "--timeout", "200ms")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: nobody answered within 200ms: is the controller running? The request stays in the Canary and is "
        "answered when it does.\n"
    )
    assert written(cluster)["verb"] == "pause"


def test_the_answer_need_not_be_waited_for(cluster: Served) -> None:
    result = cluster.run("promote", "web", "--no-wait", "--full")
    assert (result.exit_code, result.stdout) == (0, "asked shop/web to promote-full.\n")


@pytest.mark.parametrize("why", ["forbidden", "missing"])
def test_where_the_server_does_not_tell_who_we_are_the_local_user_is_named_as_such(
    cluster: Served, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    if why == "forbidden":
        cluster.do(lambda server: server.forbidden.add(SELF_SUBJECT_REVIEWS))
    else:
        cluster.do(lambda server: server.served.remove(SELF_SUBJECT_REVIEWS))
    cluster.run("pause", "web", "--no-wait")
    assert written(cluster)["by"] == "alice (unverified)"


def test_a_user_without_a_name_is_somebody(cluster: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("no username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nameless)
    cluster.do(lambda server: server.forbidden.add(SELF_SUBJECT_REVIEWS))
    cluster.run("pause", "web", "--no-wait")
    assert written(cluster)["by"] == "somebody (unverified)"


# Others who write


def conflicts(cluster: Served, times: int) -> None:
    cluster.do(lambda server: server.fail(Fault("status", "PATCH", status=409, reason="Conflict", times=times)))


def test_the_patch_is_conditional_and_a_conflict_means_to_read_again(cluster: Served) -> None:
    answering(cluster)
    conflicts(cluster, 2)
    assert cluster.run("pause", "web").exit_code == 0
    patches = cluster.do(lambda server: server.seen("PATCH"))
    assert len(patches) == 3
    assert all(json.loads(patch.body)["metadata"]["resourceVersion"] for patch in patches)


def test_a_canary_that_changes_all_the_time_is_given_up_in_the_end(cluster: Served) -> None:
    conflicts(cluster, 1000)
    result = cluster.run("pause", "web")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: Canary shop/web changes all the time: nothing was asked. Try again.\n",
    )


def asked_before(cluster: Served, by: str, *, answered: bool = False) -> None:
    request = Request(id="7", verb=Verb.ABORT, by=by, at=datetime(2031, 5, 17, 8, 30, 15, tzinfo=UTC))
    done = {"request": AnsweredRequest(id="7", verb="abort")} if answered else {}
    obj = canary(status(Phase.PROGRESSING, rollout=done))
    obj["metadata"]["annotations"] = {REQUEST: request.to_annotation(), "theirs": "kept"}
    cluster.put(CANARIES, obj)


def test_an_unanswered_request_of_somebody_else_that_is_replaced_is_named(cluster: Served) -> None:
    asked_before(cluster, "bob")
    result = cluster.run("pause", "web", "--no-wait")
    assert result.stderr == (
        "bob asked to abort at 08:30:15 UTC, which nobody had answered yet: this request takes its place.\n"
    )
    kept = cluster.do(lambda server: server.get(WEB))["metadata"]["annotations"]
    assert (written(cluster)["verb"], kept["theirs"]) == ("pause", "kept")


@pytest.mark.parametrize(("by", "answered"), [("someone", False), ("bob", True)])
def test_ones_own_and_answered_requests_are_replaced_without_a_word(cluster: Served, by: str, answered: bool) -> None:
    asked_before(cluster, by, answered=answered)
    assert cluster.run("pause", "web", "--no-wait").stderr == ""


def test_nonsense_in_the_annotation_is_replaced(cluster: Served) -> None:
    obj = canary(status(Phase.PROGRESSING))
    obj["metadata"]["annotations"] = {REQUEST: "pause please"}
    cluster.put(CANARIES, obj)
    assert cluster.run("pause", "web", "--no-wait").stderr == ""
    assert written(cluster)["verb"] == "pause"


@pytest.mark.parametrize(
    ("title", "annotation", "says"),
    [
        (
            "by somebody else",
            Request(id="8", verb=Verb.ABORT, by="bob", at=datetime(2031, 5, 17, tzinfo=UTC)).to_annotation(),
            "before anybody answered it, the request was replaced by bob, who asked to abort.",
        ),
        ("by hand", None, "before anybody answered it, the request was taken back."),
    ],
)
def test_a_request_that_is_replaced_while_it_waits(
    cluster: Served, title: str, annotation: str | None, says: str
) -> None:
    async def replace(server: FakeApiServer) -> None:
        def put(obj: JsonObject) -> None:
            obj["metadata"]["annotations"] = {REQUEST: annotation} if annotation else {}

        server.change(WEB, put)

    cluster.meanwhile(replace)
    result = cluster.run("pause", "web")
    assert (result.exit_code, result.stderr) == (1, f"Error: {says}\n"), title


def test_a_canary_that_is_deleted_while_its_answer_is_waited_for(cluster: Served) -> None:
    async def delete(server: FakeApiServer) -> None:
        server.remove(WEB)

    cluster.meanwhile(delete)
    result = cluster.run("abort", "web")
    assert (result.exit_code, result.stderr) == (1, "Error: canary shop/web was deleted.\n")


def test_a_refused_write_is_a_sentence(cluster: Served) -> None:
    cluster.do(lambda server: server.fail(Fault("status", "PATCH", status=403, reason="Forbidden")))
    result = cluster.run("abort", "web")
    assert (result.exit_code, result.stderr) == (1, "Error: not allowed: a fault was arranged\n")
