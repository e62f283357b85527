"""``flaggerpy controller``: what its flags and its environment come to."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from flaggerpy.cli import controller
from flaggerpy.cli.main import main
from flaggerpy.settings import Settings

OVERRIDDEN = {
    "SLACK_URL": "slack-url",
    "SLACK_TOKEN": "slack-token",
    "SLACK_PROXY_URL": "slack-proxy-url",
    "MSTEAMS_URL": "msteams-url",
    "MSTEAMS_PROXY_URL": "msteams-proxy-url",
    "EVENT_WEBHOOK_URL": "event-webhook",
}


def settled(monkeypatch: pytest.MonkeyPatch, *words: str, **environment: str) -> Settings:
    """Return the settings that the controller would run with."""
    found: list[Settings] = []

    async def run(settings: Settings) -> None:
        found.append(settings)

    monkeypatch.setattr(controller, "run", run)
    monkeypatch.setattr(controller, "configure", lambda *_: None)
    result = CliRunner().invoke(main, ["controller", *words], env=environment, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.mark.parametrize(
    ("title", "words", "value", "expected"),
    [
        ("both", ["=https://flag.test"], "https://env.test", "https://env.test"),
        ("the flag alone", ["=https://flag.test"], None, "https://flag.test"),
        ("the flag and nothing in the variable", ["=https://flag.test"], "", "https://flag.test"),
        ("the variable alone", [], "https://env.test", "https://env.test"),
        ("neither", [], None, ""),
    ],
)
@pytest.mark.parametrize("variable", OVERRIDDEN)
def test_the_environment_wins_over_the_flag(
    monkeypatch: pytest.MonkeyPatch, variable: str, title: str, words: list[str], value: str | None, expected: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    name = OVERRIDDEN[variable]
    environment = {} if value is None else {variable: value}
    settings = settled(monkeypatch, *(f"-{name}{word}" for word in words), **environment)
    assert getattr(settings, name.replace("-", "_")) == expected, title


def test_no_other_flag_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"SLACK_CHANNEL": "other", "NAMESPACE": "other", "MESH_PROVIDER": "other", "PORT": "1"}
    assert settled(monkeypatch, **environment) == Settings()
