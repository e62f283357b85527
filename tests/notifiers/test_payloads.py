from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flaggerpy.api.analysis import CanaryAlert, Severity
from flaggerpy.notifiers.base import Alert, Field, JsonObject, Sender, alert_fields, wants
from flaggerpy.notifiers.registry import NOTIFIERS, notifier_for
from flaggerpy.notifiers.slack import complaint, discord_url, is_passing
from flaggerpy.rollout.errors import UserError
from tests.builders import ab_test, blue_green, canary

DATA = Path(__file__).parent / "data"
RECORDED: list[dict[str, Any]] = [
    call
    for name in ("alerts-all-types.json", "alerts-global-and-strategies.json")
    for call in json.loads((DATA / name).read_text())
]
CONNECTOR = "https://shop.webhook.office.com/webhookb2/1"
"""The addresses for which Teams still gets what Flagger sends; others make no difference to any receiver."""
KINDS = {"global-slack": "slack", "global-teams": "msteams"}


def kind_of(call: dict[str, Any]) -> str:
    """Tell the kind of receiver by the path it was recorded under, such as /…/alert/discord-info/slack."""
    path: str = call["path"]
    receiver = path.removesuffix("/slack" if "discord" in path else "").rsplit("/", 1)[-1]
    return KINDS.get(receiver, receiver.split("-")[0])


def strip(html: str) -> str:
    return html.removeprefix("<font color=#848484><strong>").removesuffix("</strong></font>")


def read_back(body: JsonObject) -> tuple[str, str, list[tuple[str, str]], bool]:
    """Read author, message, fields and "is an error" out of a recorded body."""
    match body:
        case {"attachments": [attachment]}:
            fields = [(field["title"], field["value"]) for field in attachment["fields"]]
            return attachment["author_name"], attachment["text"], fields, attachment["color"] in {"danger", "#FF0000"}
        case {"sections": [section], "themeColor": colour}:
            facts = [(fact["name"], fact["value"]) for fact in section["facts"]]
            return section["activitySubtitle"], section["activityTitle"], facts, colour == "FF0000"
        case {"cards": [{"header": header, "sections": [first, *rest]}]}:
            texts = [section["widgets"][0]["textParagraph"]["text"] for section in (first, *rest)]
            pairs = [text.split("<br>") for text in texts[1:]]
            return header["subtitle"], strip(texts[0]), [(name, strip(value)) for name, value in pairs], False
        case _:
            raise AssertionError(body)


def test_every_kind_of_receiver_that_flagger_has_was_recorded() -> None:
    assert {kind_of(call) for call in RECORDED} == set(NOTIFIERS) - {"webhook"}


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda call: f"{kind_of(call)}: {read_back(call['body'])[1][:40]}")
def test_receivers_get_the_bodies_that_flagger_sends(recorded: dict[str, Any]) -> None:
    body = recorded["body"]
    author, message, fields, is_error = read_back(body)
    name, namespace = author.split(".")
    alert = Alert(
        canary=name,
        namespace=namespace,
        severity=Severity.ERROR if is_error else Severity.WARN,
        message=message,
        fields=tuple(Field(*pair) for pair in fields),
    )
    sender = Sender(body.get("channel", "general"), body.get("username", "flagger"))

    assert notifier_for(kind_of(recorded)).written(alert, sender, CONNECTOR) == body


@pytest.mark.parametrize(("kind", "good", "bad"), [("slack", "good", "danger"), ("rocket", "#0076D7", "#FF0000")])
@pytest.mark.parametrize("severity", Severity)
def test_only_errors_are_shown_as_errors(kind: str, good: str, bad: str, severity: Severity) -> None:
    body = notifier_for(kind).message(Alert("web", "shop", severity, "hello"), Sender())

    assert body["attachments"][0]["color"] == (bad if severity is Severity.ERROR else good)


def test_what_is_said_cannot_change_the_markup_of_google_chat() -> None:
    body = notifier_for("gchat").message(
        Alert("web", "shop", Severity.INFO, "a <b> & c", (Field("<x>", "</font>"),)), Sender()
    )

    assert "a &lt;b&gt; &amp; c" in json.dumps(body)
    assert "&lt;x&gt;<br>" in json.dumps(body)
    assert "</font></strong>" not in json.dumps(body)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("https://discord.com/api/webhooks/1/a", "https://discord.com/api/webhooks/1/a/slack"),
        ("https://discord.com/api/webhooks/1/a/", "https://discord.com/api/webhooks/1/a/slack"),
        ("https://discord.com/api/webhooks/1/a/slack", "https://discord.com/api/webhooks/1/a/slack"),
        ("https://discord.com/api/webhooks/1/a?wait=true", "https://discord.com/api/webhooks/1/a/slack?wait=true"),
    ],
)
def test_discord_is_addressed_where_it_reads_slacks_format(address: str, url: str) -> None:
    assert discord_url(address) == url


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"ok": False, "error": "not_in_channel"}, "not_in_channel: invite the app to the channel"),
        ({"ok": False, "error": "invalid_auth"}, "invalid_auth: replace the token in the Secret"),
        ({"ok": False, "error": "as_user_not_supported"}, "as_user_not_supported"),
    ],
)
def test_w76_slacks_refusals_come_with_status_200_and_say_what_to_do(answer: JsonObject, says: str) -> None:
    assert complaint(answer) == f"Slack refused the message: {says}"
    assert complaint({"ok": True}) == ""
    assert complaint({}) == ""


@pytest.mark.parametrize("error", ["bad token xoxb-2009-hush", {"token": "hush"}, None, "h" * 41])
def test_a_refusal_in_strange_words_is_not_repeated_as_it_could_quote_the_token(error: object) -> None:
    assert complaint({"ok": False, "error": error}) == "Slack refused the message without a reason"


@pytest.mark.parametrize(
    ("error", "passes"), [("ratelimited", True), ("internal_error", True), ("invalid_auth", False)]
)
def test_some_of_slacks_refusals_pass_by_themselves(error: str, passes: bool) -> None:
    assert is_passing({"ok": False, "error": error}) is passes


def test_what_is_said_in_slack_mentions_nobody_and_hides_no_address() -> None:
    alert = Alert("web", "shop", Severity.INFO, "<!channel> & co", (Field("Reason", "50% < 99%"),))

    attachment = notifier_for("slack").message(alert, Sender())["attachments"][0]

    assert attachment["text"] == "&lt;!channel&gt; &amp; co"
    assert attachment["fields"][0]["value"] == "50% &lt; 99%"


@pytest.mark.parametrize(
    ("address", "format_of"),
    [
        ("https://shop.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4", "MessageCard"),
        ("https://outlook.office.com/webhook/1@2/IncomingWebhook/3/4", "MessageCard"),
        ("https://prod-07.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=2", "message"),
        ("https://1.2.environment.api.powerplatform.com:443/powerautomate/automations/direct/workflows/3", "message"),
        ("https://teams.example.com/hook", "message"),
        ("https://evil.example/webhook.office.com", "message"),
        ("https://[broken", "message"),
    ],
)
def test_w77_teams_gets_an_adaptive_card_unless_its_address_is_a_connectors(address: str, format_of: str) -> None:
    body = notifier_for("msteams").written(Alert("web", "shop", Severity.ERROR, "bad"), Sender(), address)

    assert body.get("@type", body.get("type")) == format_of


def test_an_adaptive_card_says_all_of_an_alert_and_takes_nothing_for_markup() -> None:
    alert = Alert(
        "web", "shop", Severity.ERROR, "my_metric_is *bad*", (Field("Reason", "a_b_c"),), link="https://grafana"
    )

    body = notifier_for("msteams").message(alert, Sender())

    (attachment,) = body["attachments"]
    card = attachment["content"]
    assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}, "a TextBlock reads Markdown"
    texts = ["".join(run["text"] for run in block["inlines"]) for block in card["body"]]
    assert texts == ["web.shop", "my_metric_is *bad*", "Reason: a_b_c"]
    assert card["body"][1]["inlines"][0]["color"] == "Attention"
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Open", "url": "https://grafana"}]


@pytest.mark.parametrize("kind", sorted(NOTIFIERS))
@pytest.mark.parametrize("address", ["https://chat.example", CONNECTOR])
def test_every_receiver_shows_the_link_and_without_one_says_nothing_of_it(kind: str, address: str) -> None:
    alert = Alert("web", "shop", Severity.INFO, "hello")

    with_link = notifier_for(kind).written(replace(alert, link="https://grafana/d/1"), Sender(), address)
    without = notifier_for(kind).written(alert, Sender(), address)

    assert "https://grafana/d/1" in json.dumps(with_link)
    assert not re.search("author_link|potentialAction|openLink|OpenUrl", json.dumps(without))


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("info", {"info", "warn", "error"}),
        ("warn", {"warn", "error"}),
        ("error", {"error"}),
        ("", {"info", "warn", "error"}),
        (None, {"info", "warn", "error"}),
    ],
)
def test_w72_an_entry_gets_its_severity_and_worse_and_without_one_everything(asked: str | None, sent: set[str]) -> None:
    written = {"name": "a", "providerRef": {"name": "p"}} | ({} if asked is None else {"severity": asked})
    entry = CanaryAlert.model_validate(written)

    assert {severity.value for severity in Severity if wants(entry, severity)} == sent


PROGRESSIVE = canary(analysis={"stepWeight": 10, "maxWeight": 50})


@pytest.mark.parametrize(
    ("of", "traffic"),
    [
        (PROGRESSIVE, "Weight step: 10 max: 50"),
        (canary(analysis={"stepWeight": 10, "maxWeight": None}), "Weight step: 10 max: 100"),
        (canary(analysis={"stepWeight": None, "stepWeights": [1, 2, 50]}), "Weight steps: 1,2,50 max: 50"),
        (blue_green(), "Blue/Green"),
        (ab_test(), "A/B Testing"),
        (canary(analysis={"stepWeight": None}), None),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_details_tell_target_threshold_deadline_and_traffic(of: Any, traffic: str | None) -> None:
    fields = [(field.name, field.value) for field in alert_fields(of, cluster="", details=True)]

    assert fields[:3] == [
        ("Target", "Deployment/web.shop"),
        ("Failed checks threshold", "5"),
        ("Progress deadline", "600s"),
    ]
    assert fields[3:] == ([] if traffic is None else [("Traffic routing", traffic)])


def test_the_clusters_name_comes_first_and_alone_without_details() -> None:
    with_details = alert_fields(PROGRESSIVE, cluster="prod-1", details=True)

    assert with_details[0] == Field("Cluster", "prod-1")
    assert alert_fields(PROGRESSIVE, cluster="prod-1", details=False) == (Field("Cluster", "prod-1"),)
    assert alert_fields(PROGRESSIVE, cluster="", details=False) == ()


def test_an_unknown_receiver_is_a_mistake_that_names_the_known_ones() -> None:
    with pytest.raises(
        UserError, match='"slak" does not exist; known are: discord, gchat, msteams, rocket, slack, webhook'
    ):
        notifier_for("slak")
