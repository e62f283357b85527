"""Whether a cluster lives is judged by its process, and a part is in the cache whole or not at all."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cluster.cache import keep
from tests.cluster.state import Home, Isolation, Kind, Phase, Ports, Spec, Status, birth


def spec(owner_pid: int, owner_born: int) -> Spec:
    return Spec(
        kind=Kind.CONTROL_PLANE,
        isolation=Isolation.NONE,
        owner="somebody",
        owner_pid=owner_pid,
        owner_born=owner_born,
        kwok_nodes=2009,
        ports=Ports(api=1, etcd=2, etcd_peer=3),
        parts={"etcd": "/somewhere"},
    )


def ended_process() -> tuple[int, int]:
    process = subprocess.Popen(["sleep", "60"])
    born = birth(process.pid)
    process.kill()
    process.wait()
    assert born is not None
    return process.pid, born


def me() -> tuple[int, int]:
    born = birth(os.getpid())
    assert born is not None
    return os.getpid(), born


def test_what_was_asked_for_is_read_back_as_it_was(tmp_path: Path) -> None:
    wanted = spec(*me())

    Home(tmp_path).write_spec(wanted)

    assert Home(tmp_path).spec() == wanted


@pytest.mark.parametrize(
    ("title", "supervisor", "owner", "abandoned"),
    [
        ("both live", me(), me(), False),
        ("up: whoever started it is gone, the supervisor stays", me(), ended_process(), False),
        ("still starting: only the owner lives", ended_process(), me(), False),
        ("crashed", ended_process(), ended_process(), True),
        ("the pid was given to another process since", (me()[0], me()[1] - 1), ended_process(), True),
    ],
)
def test_a_folder_is_a_leftover_when_nobody_lives(
    tmp_path: Path, title: str, supervisor: tuple[int, int], owner: tuple[int, int], abandoned: bool
) -> None:
    home = Home(tmp_path)
    home.write_spec(spec(*owner))
    home.write_status(Status(Phase.READY, *supervisor))

    assert home.abandoned() is abandoned, title


def test_a_folder_without_a_spec_is_a_leftover(tmp_path: Path) -> None:
    assert Home(tmp_path).abandoned()


def test_a_part_is_made_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAGGERPY_CACHE", str(tmp_path))
    made: list[Path] = []

    def make(scratch: Path) -> None:
        made.append(scratch)
        (scratch / "program").write_text("x")

    askers = [threading.Thread(target=keep, args=("part", "k1", make)) for _ in range(5)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert len(made) == 1
    assert (keep("part", "k1", make) / "program").read_text() == "x"


def test_a_part_that_failed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAGGERPY_CACHE", str(tmp_path))

    def fail(scratch: Path) -> None:
        (scratch / "half").write_text("x")
        raise RuntimeError("no compiler")

    with pytest.raises(RuntimeError, match="no compiler"):
        keep("part", "k1", fail)

    assert [path for path in (tmp_path / "parts").iterdir() if path.name != ".locks"] == []
