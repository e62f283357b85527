"""``flaggerpy watch``: one picture, a picture that is redrawn on a terminal, and lines everywhere else."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from rich.console import Console

from flaggerpy.api.status import Pause, Phase
from flaggerpy.cli import watch as command
from flaggerpy.cli.live import Screen
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, EVENTS
from tests.cli.seen import event as happening
from tests.cli.seen import rolling as rolling_at
from tests.cli.seen import snapshot
from tests.cli.served import WEB, Served, canary, set_status, status, workloads
from tests.kube.fake_apiserver import FakeApiServer


@pytest.fixture(autouse=True)
def rolling(cluster: Served) -> None:
    cluster.put(DEPLOYMENTS, workloads("2")[0])
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2", canary_weight=20)))


def event(cluster: Served, message: str) -> JsonObject:
    uid = cluster.do(lambda server: server.get(WEB))["metadata"]["uid"]
    return {
        "metadata": {"name": message.lower().replace(" ", "-"), "namespace": "shop"},
        "involvedObject": {"uid": uid},
        "type": "Normal",
        "message": message,
        "lastTimestamp": "2031-05-17T08:30:15Z",
    }


async def succeed(server: FakeApiServer) -> None:
    server.change(WEB, set_status(status(Phase.SUCCEEDED, "2")))


async def fail(server: FakeApiServer) -> None:
    server.change(WEB, set_status(status(Phase.FAILED, "2", rollout={"failing": "too slow"})))


def test_one_picture(cluster: Served) -> None:
    cluster.put(EVENTS, event(cluster, "Advance web.shop canary weight 20"))
    cluster.put(EVENTS, event(cluster, "of another") | {"involvedObject": {"uid": "another"}})
    result = cluster.run("watch", "web", "--once")
    assert result.exit_code == 0
    for words in ("shop/web", "» Progressing", "step 2 of 5", "✓ 2 of 2", "Advance web.shop canary weight 20"):
        assert words in result.stdout
    assert "of another" not in result.stdout
    assert "\x1b" not in result.stdout, "no terminal, no colours"


def test_without_rich_there_are_lines_and_a_sentence(cluster: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    result = cluster.run("watch", "web", "--once")
    assert (result.exit_code, "flaggerpy's extra `cli`" in result.stderr) == (0, True)
    assert "Progressing       20 %  step 2 of 5" in result.stdout


def test_where_there_is_no_terminal_every_change_is_a_line(cluster: Served) -> None:
    old, new = event(cluster, "Old news"), event(cluster, "New revision detected")
    cluster.put(EVENTS, old)

    async def roll(server: FakeApiServer) -> None:
        server.put(EVENTS, new)
        server.change(WEB, set_status(status(Phase.PROGRESSING, "2", canary_weight=30)))
        await succeed(server)

    cluster.meanwhile(roll)
    result = cluster.run("watch", "web", "--until-done")
    assert result.exit_code == 0
    lines = [line.partition("  ")[2] for line in result.stdout.splitlines()]
    assert lines[0] == "Progressing       20 %  step 2 of 5"
    assert [line for line in lines[1:] if "pods available" not in line] == [
        "Normal   New revision detected",
        "Progressing       30 %  step 3 of 5",
        "Succeeded          0 %",
        "",
    ]
    assert result.stdout.splitlines()[-1] == "shop/web succeeded: web-primary serves what Deployment web asks for."


def test_until_done_ends_with_the_exit_code_of_status(cluster: Served) -> None:
    cluster.meanwhile(fail)
    result = cluster.run("watch", "web", "--until-done")
    assert (result.exit_code, result.stdout.splitlines()[-1], result.stderr) == (3, "shop/web failed: too slow.", "")


def test_a_paused_rollout_is_looked_at_further(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.PROGRESSING, "2", rollout={"paused": Pause(by="alice")})))
    cluster.meanwhile(succeed)
    assert cluster.run("watch", "web", "--until-done").exit_code == 0


def test_once_and_until_done_exclude_each_other(cluster: Served) -> None:
    result = cluster.run("watch", "web", "--once", "--until-done")
    assert (result.exit_code, "say either it or --until-done" in result.stderr) == (2, True)


# On a terminal


def plain(text: str) -> str:
    """Take colours and the like away."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def console(width: int, height: int) -> tuple[Console, io.StringIO]:
    """Return a terminal of this size, and what is written to it."""
    file = io.StringIO()
    return Console(file=file, width=width, height=height, force_terminal=True, color_system=None, highlight=False), file


def test_a_picture_takes_the_place_of_the_one_before() -> None:
    terminal, file = console(80, 40)
    screen = Screen(terminal)
    screen.draw(snapshot(rolling_at(20, reason="a long reason")))
    first = file.getvalue()
    screen.draw(snapshot(rolling_at(20)))
    second = file.getvalue().removeprefix(first)
    assert second.startswith(f"\r\x1b[{first.count(chr(10))}A"), "back to where the first began"
    assert all(line.endswith("\x1b[K") for line in second.split("\n")[:-1]), "what is left of old lines goes"
    assert second.endswith("\x1b[J"), "and what is left below"


def test_a_short_terminal_shows_fewer_events_and_then_cuts_the_end() -> None:
    seen = snapshot(events=tuple(happening(f"number {n}", age=100 - n) for n in range(20)))
    rows = {}
    for height in (40, 24, 10):
        terminal, file = console(80, height)
        screen = Screen(terminal)
        screen.draw(seen)
        rows[height] = plain(file.getvalue()).splitlines()
        assert len(rows[height]) <= height - 1
        screen.close()
        assert "number 19" in plain(file.getvalue()), "what stays behind is whole"
    shown = {height: sum("number" in row for row in lines) for height, lines in rows.items()}
    assert (shown[40], shown[10]) == (12, 0)
    assert 0 < shown[24] < 12
    assert "shop/web" in rows[10][0]


def test_after_a_change_of_size_everything_is_drawn_anew() -> None:
    terminal, file = console(80, 40)
    screen = Screen(terminal)
    screen.draw(snapshot())
    before = file.getvalue()
    terminal.width = 60
    screen.draw(snapshot())
    after = file.getvalue().removeprefix(before)
    assert after.startswith("\x1b[H\x1b[2J")
    assert all(len(line) <= 60 for line in plain(after).splitlines())


@dataclass(slots=True)
class Terminal:
    """A command that believes itself at a terminal of 80 columns and 40 lines."""

    process: subprocess.Popen[bytes]
    screen: int
    shown: str = field(default="")

    def until(self, words: str) -> None:
        """Read until these words have been shown."""
        while words not in self.shown:
            try:
                self.shown += os.read(self.screen, 65536).decode()
            except OSError:  # the other side has closed
                raise AssertionError(f"{words!r} was never shown: {self.shown}") from None

    def rest(self) -> int:
        """Read until the command has ended; return its exit code."""
        try:
            while chunk := os.read(self.screen, 65536):
                self.shown += chunk.decode()
        except OSError:
            pass
        return self.process.wait(10)


@contextmanager
def at_terminal(cluster: Served, *words: str, term: str = "xterm-256color") -> Iterator[Terminal]:
    screen, own = pty.openpty()
    environment = os.environ | {"TERM": term, "COLUMNS": "80", "LINES": "40", "KUBECONFIG": str(cluster.kubeconfig)}
    process = subprocess.Popen(
        [sys.executable, "-m", "flaggerpy", *words], stdin=own, stdout=own, stderr=own, env=environment
    )
    os.close(own)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait(10)
        os.close(screen)


def test_on_a_terminal_the_picture_is_redrawn_until_the_end_and_stays(cluster: Served) -> None:
    with at_terminal(cluster, "watch", "web", "--until-done") as seen:
        seen.until("step 2 of 5")
        cluster.do(lambda server: server.change(WEB, set_status(status(Phase.PROGRESSING, "2", canary_weight=30))))
        seen.until("step 3 of 5")
        cluster.do(lambda server: server.change(WEB, set_status(status(Phase.SUCCEEDED, "2"))))
        assert seen.rest() == 0
    frames = re.split(r"\r\x1b\[\d+A", seen.shown)
    assert len(frames) > 3, "drawn over itself"
    assert not re.search(r"\x1b\[2[JK]", seen.shown), "nothing is blank before it is drawn, so nothing flickers"
    last = plain(frames[-1]).splitlines()
    assert any("users are served by web-primary" in line for line in last)
    assert last[-1] == "shop/web succeeded: web-primary serves what Deployment web asks for."


def test_control_c_ends_it_without_a_word(cluster: Served) -> None:
    with at_terminal(cluster, "watch", "web") as seen:
        seen.until("step 2 of 5")
        seen.process.send_signal(signal.SIGINT)
        assert seen.rest() == 130
    assert "Traceback" not in seen.shown
    assert "Aborted" not in seen.shown


def test_a_dumb_terminal_gets_lines(cluster: Served) -> None:
    with at_terminal(cluster, "watch", "web", term="dumb") as seen:
        seen.until("Progressing       20 %  step 2 of 5")
    assert "\x1b" not in seen.shown
