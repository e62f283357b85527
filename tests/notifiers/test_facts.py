from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.canary import Canary
from flaggerpy.api.status import Change, CheckResult, Pending, Phase
from flaggerpy.notifiers.base import Field
from flaggerpy.notifiers.facts import LONGEST_REASON, LONGEST_VALUE, MOST_METRICS, facts_of, lines, revision_text
from flaggerpy.notifiers.link import link_of, link_problem
from flaggerpy.rollout.errors import UserError
from tests.builders import canary

CHANGE = Change(before=["app=shop/web:1.0", "side=envoy:1"], after=["app=shop/web:1.1", "side=envoy:1"])
SUCCESS = CheckResult(name="request-success-rate", verdict="Failed", value="92.10%", bound=">= 99%")
DURATION = CheckResult(name="request-duration", verdict="Passed", value="120", bound="<= 500")
SILENT = CheckResult(name="errors", verdict="Error", reason="the server did not answer")


def rolled(phase: Phase = Phase.PROGRESSING, checks: Any = (), **rollout: Any) -> Canary:
    """A canary whose status says this."""
    bare = canary()
    status = bare.status.model_copy(
        update={
            "phase": phase,
            "canary_weight": 20,
            "failed_checks": 3,
            "rollout": bare.status.rollout.model_copy(update={"checks": list(checks), **rollout}),
        }
    )
    return bare.model_copy(update={"status": status})


def told(of: Canary, message: str = "Failed checks threshold reached 5", **pending: Any) -> dict[str, str]:
    """The lines of an alert, by their names."""
    item = Pending(id="1", kind="alert", severity="error", message=message, **pending)
    return {line.name: line.value for line in lines(of, item, facts_of(of, cluster="", checksum="5f7c"))}


def test_an_alert_of_a_rollback_has_the_reason_the_revision_and_every_metric() -> None:
    of = rolled(checks=[DURATION, SUCCESS, SILENT], change=CHANGE, failing="failed checks threshold reached 5: bad")

    assert list(told(of).items()) == [
        ("Revision", "app: shop/web:1.0 → shop/web:1.1"),
        ("Reason", "failed checks threshold reached 5: bad"),
        ("Metric request-success-rate", "92.10%, accepted is >= 99%: Failed"),
        ("Metric errors", "Error: the server did not answer"),
        ("Metric request-duration", "120, accepted is <= 500: Passed"),
    ]


def test_flaggers_lines_come_first_and_ours_change_none_of_them() -> None:
    of = rolled(change=CHANGE)
    item = Pending(id="1", kind="alert", message="New revision detected", fields=True)

    shown = lines(of, item, facts_of(of, cluster="prod-1", checksum=""))

    assert [line.name for line in shown] == [
        "Cluster",
        "Target",
        "Failed checks threshold",
        "Progress deadline",
        "Traffic routing",
        "Revision",
    ]


def test_a_reason_that_the_message_gives_already_is_not_given_twice() -> None:
    of = rolled(failing="aborted by alice")

    assert "Reason" not in told(of, "Rolling back web.shop aborted by alice")
    assert told(of, "Rolling back web.shop")["Reason"] == "aborted by alice"


def test_a_revision_that_waits_is_not_told_with_what_became_of_the_one_before() -> None:
    of = rolled(Phase.WAITING, [SUCCESS], failing="the last one failed", reason="waiting for the gate ok")

    facts = facts_of(of, cluster="", checksum="")

    assert facts.reason == "waiting for the gate ok"
    assert facts.metrics == ()


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (["app=web:1"], ["app=web:2"], "app: web:1 → web:2"),
        (["app=web:1"], ["app=web:1", "side=envoy:1"], "side: none → envoy:1"),
        (["app=web:1", "side=envoy:1"], ["app=web:2"], "app: web:1 → web:2; side: envoy:1 → none"),
        (["app=web:1"], ["app=web:1"], "same images, checksum 5f7c"),
        ([], [], "checksum 5f7c"),
        (["app=registry:5000/web@sha256:a=b"], ["app=web"], "app: registry:5000/web@sha256:a=b → web"),
    ],
)
def test_what_a_revision_changes_is_told_by_its_images_or_else_by_its_checksum(
    before: list[str], after: list[str], says: str
) -> None:
    of = rolled(change=Change(before=before, after=after))

    assert told(of)["Revision"] == says


def test_before_any_rollout_there_is_no_revision_to_tell() -> None:
    assert "Revision" not in told(rolled(Phase.INITIALIZED))
    assert revision_text(facts_of(rolled(), cluster="", checksum="").revision) == ""


def test_many_metrics_and_long_texts_are_cut_to_what_every_receiver_takes() -> None:
    checks = [CheckResult(name=f"m{number}", verdict="Passed", value="1" * 999) for number in range(30)]
    worst = CheckResult(name="worst", verdict="Failed", value="2")
    images = [f"c{number}={'x' * 200}" for number in range(9)]
    of = rolled(checks=[*checks, worst], change=Change(before=[], after=images), failing="y" * 9999)

    shown = told(of)

    assert shown["Metric worst"] == "2: Failed", "what did not pass comes first"
    assert sum(name.startswith("Metric ") for name in shown) == MOST_METRICS
    assert shown["Metrics"] == f"and {31 - MOST_METRICS} more"
    assert len(shown["Reason"]) == LONGEST_REASON
    assert max(len(value) for name, value in shown.items() if name != "Reason") == LONGEST_VALUE
    assert sum(len(name) + len(value) for name, value in shown.items()) < 5000


def test_a_metric_on_trial_is_told_as_such_and_not_before_those_that_count() -> None:
    trial = CheckResult(name="trial", verdict="Failed", value="7", bound="<= 5", dry_run=True)

    shown = told(rolled(checks=[trial, DURATION, SUCCESS]))

    assert [name for name in shown if name.startswith("Metric ")] == [
        "Metric request-success-rate",
        "Metric trial",
        "Metric request-duration",
    ]
    assert shown["Metric trial"] == "7, accepted is <= 5: Failed, dry run"


def test_a_link_has_the_names_of_the_canary_in_it() -> None:
    of = canary("web", "shop")

    assert link_of("https://grafana/d/1?ns={{ namespace }}&name={{name}}", of) == "https://grafana/d/1?ns=shop&name=web"
    assert link_of("", of) == ""


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("https://grafana/{{ cluster }}", "has {{ cluster }}, which is not known: write {{ namespace }}, {{ name }}"),
        ("grafana/{{ name }}", '"grafana/x" is no address that can be called'),
        ("javascript:alert(1)//{{ name }}", "no address that can be called"),
    ],
)
def test_a_link_that_leads_nowhere_is_explained(template: str, says: str) -> None:
    assert says in (link_problem(template) or "")
    with pytest.raises(UserError):
        link_of(template, canary())
    assert link_problem("https://grafana/{{ target }}") is None


def test_a_line_is_a_name_and_a_value() -> None:
    assert Field("Reason", "x") in lines(
        rolled(failing="x"),
        Pending(id="1", kind="alert", message="y"),
        facts_of(rolled(failing="x"), cluster="", checksum=""),
    )
