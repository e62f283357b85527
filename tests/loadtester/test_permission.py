"""Who may ask and for what: tokens and the allow-list of commands, as callers meet them."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import pytest

from flaggerpy.loadtester.permission import AllowList, Tokens
from flaggerpy.loadtester.program import Settings
from tests.loadtester.harness import Answer, Caller, eventually, load_tester

ASKING = ["/", "/gate/check", "/gate/open", "/gate/close", "/rollback/check", "/rollback/open", "/rollback/close"]
TOKEN = "s3cret-token"


@pytest.fixture
def guarded(settings: Settings, tmp_path: Path) -> Settings:
    """A load tester that knows two tokens."""
    file = tmp_path / "token"
    file.write_text(f"\n  {TOKEN}\nthe-old-one\n", encoding="utf-8")
    return replace(settings, tokens=Tokens(file))


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


@pytest.mark.parametrize("path", ASKING)
async def test_without_a_token_nobody_gets_anything(guarded: Settings, path: str, tmp_path: Path) -> None:
    async with load_tester(guarded) as caller:
        answer = await caller.ask(path, cmd=f"touch {tmp_path / 'ran'}", type="bash")
        assert answer == Answer(401, "a token is needed here: send it as Authorization: Bearer TOKEN")
        assert await caller.series('flaggerpy_loadtester_requests_turned_away_total{reason="token"}') == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/gate/approve"])
async def test_what_asks_for_nothing_needs_no_token(guarded: Settings, path: str) -> None:
    async with load_tester(guarded) as caller:
        assert (await caller.send(path, method="GET")).status == 200


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(f"Bearer {TOKEN}", id="a bearer token"),
        pytest.param(f"bearer  {TOKEN} ", id="written in another way"),
        pytest.param("Bearer the-old-one", id="any of several"),
        pytest.param(basic("anybody", TOKEN), id="a password, as http://anybody:TOKEN@host/ sends it"),
    ],
)
async def test_a_caller_with_a_token_is_let_in(guarded: Settings, header: str) -> None:
    async with load_tester(guarded) as caller:
        assert (await caller.with_headers(Authorization=header).ask("/", type="bash", cmd="true")).status == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        TOKEN,
        f"Digest {TOKEN}",
        basic(TOKEN, ""),
        "Basic %%%",
        "Bearer \u00e9",
    ],
)
async def test_anything_else_is_no_token(guarded: Settings, header: str) -> None:
    async with load_tester(guarded) as caller:
        assert (await caller.with_headers(Authorization=header).ask("/gate/open")).status == 401


async def test_a_token_that_is_changed_counts_from_then_on_and_none_lets_nobody_in(guarded: Settings) -> None:
    assert guarded.tokens.path is not None
    async with load_tester(guarded) as caller:
        known, new = (caller.with_headers(Authorization=f"Bearer {token}") for token in (TOKEN, "new"))
        guarded.tokens.path.write_text("new", encoding="utf-8")
        assert [(await one.ask("/gate/check")).status for one in (known, new)] == [401, 403]
        guarded.tokens.path.write_text("\n", encoding="utf-8")
        assert [(await one.ask("/gate/check")).status for one in (known, new)] == [401, 401]
        guarded.tokens.path.unlink()
        assert [(await one.ask("/gate/check")).status for one in (known, new)] == [401, 401]


def allowing(settings: Settings, *patterns: str, with_shell: bool = False) -> Settings:
    return replace(settings, commands=AllowList(tuple(map(re.compile, patterns)), with_shell=with_shell))


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        pytest.param("bash", "echo good morning", id="one pattern"),
        pytest.param("bash", "printf x", id="or the other"),
        pytest.param("bash", "echo 'a  b' \"c|d\"", id="quotes"),
    ],
)
async def test_commands_that_a_pattern_matches_are_run(settings: Settings, kind: str, command: str) -> None:
    async with load_tester(allowing(settings, "echo .*", "printf x")) as caller:
        answer = await caller.ask("/", type=kind, cmd=command, returnCmdOutput="true")
        assert answer.status == 200
    async with load_tester(settings) as caller:
        assert await caller.ask("/", type=kind, cmd=command, returnCmdOutput="true") == answer


@pytest.mark.parametrize(
    ("kind", "command", "shown"),
    [
        pytest.param("bash", "rm -rf /tmp/x", "rm -rf /tmp/x", id="another command"),
        pytest.param("bash", "sudo echo hi", "sudo echo hi", id="a match that does not begin at the beginning"),
        pytest.param("bash", "echo hi\nrm x", "echo hi\nrm x", id="a second line"),
        pytest.param("kubectl", "delete ns prod", "kubectl delete ns prod", id="a program's arguments"),
    ],
)
async def test_commands_that_no_pattern_matches_are_refused_with_one_sentence(
    settings: Settings, kind: str, command: str, shown: str
) -> None:
    async with load_tester(allowing(settings, "echo .*")) as caller:
        sentence = f"the command {shown} is not allowed here: it matches no pattern of -allow-command"
        assert await caller.ask("/", type=kind, cmd=command) == Answer(403, sentence)
        assert await caller.series(f'flaggerpy_loadtester_tasks_total{{result="refused",type="{kind}"}}') == 1


@pytest.mark.parametrize(
    "trick", ["; touch {}", "&& touch {}", "| tee {}", "> {}", "$(touch {})", "`touch {}`", "& touch {}", "<(touch {})"]
)
@pytest.mark.parametrize("kind", ["cmd", "bash"])
async def test_an_allowed_command_cannot_go_on_as_another(
    settings: Settings, tmp_path: Path, kind: str, trick: str
) -> None:
    ran = tmp_path / "ran"
    async with load_tester(allowing(settings, "echo .*")) as caller:
        await caller.ask("/", type=kind, cmd=f"echo hi {trick.format(ran)}")
        await caller.series_reaches('flaggerpy_loadtester_tasks_running{type="cmd"}', 0)
        assert (await caller.ask("/", type="bash", cmd="echo after")).status == 200
    assert not ran.exists()


async def test_what_needs_a_shell_is_told_so(settings: Settings) -> None:
    async with load_tester(allowing(settings, "echo .*")) as caller:
        answer = await caller.ask("/", type="bash", cmd="echo hi | grep hi")
        assert answer.status == 403
        assert "needs a shell for its |" in answer.body
        assert "-allow-shell" in answer.body


async def test_a_shell_can_be_allowed(settings: Settings) -> None:
    async with load_tester(allowing(settings, r"echo hi \| grep hi", with_shell=True)) as caller:
        answer = await caller.ask("/", type="bash", cmd="echo hi | grep hi", returnCmdOutput="true")
        assert answer == Answer(200, "hi\n")


async def test_jobs_on_other_servers_are_held_against_the_allow_list_too(settings: Settings) -> None:
    job = {"server": "http://127.0.0.1:9", "clone": "42", "username": "u", "passwd": "cHc="}
    async with load_tester(allowing(settings, "hey .*")) as caller:
        answer = await caller.ask("/", type="ngrinder", **job)
        assert answer.status == 403
        assert "ngrinder http://127.0.0.1:9 42 is not allowed here" in answer.body
    async with load_tester(allowing(settings, "ngrinder http://127.0.0.1:9 .*")) as caller:
        assert (await caller.ask("/", type="ngrinder", **job)).status == 202


async def test_without_an_allow_list_every_command_is_run(caller: Caller, tmp_path: Path) -> None:
    await caller.ask("/", cmd=f"true; touch {tmp_path / 'ran'}")
    await eventually((tmp_path / "ran").exists, "the command ran")
