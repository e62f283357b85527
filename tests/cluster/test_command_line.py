"""The command line says in a sentence what is wrong, and takes a cluster that is there already."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import api, walls
from tests.cluster.certs import issue, make_authority, write_kubeconfig
from tests.cluster.errors import ClusterError
from tests.cluster.kube import Kube
from tests.cluster.launch import CHECKOUT
from tests.cluster.state import Isolation, Kind


def harness(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": str(Path(sys.executable).parent), "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster", *words],
        cwd=CHECKOUT,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_with_kubeconfig_it_starts_nothing_and_passes_the_exit_code_on() -> None:
    script = "import os; print(os.environ['FLAGGERPY_CLUSTER_KIND']); raise SystemExit(7)"

    done = harness("run", "--", sys.executable, "-c", script, KUBECONFIG="/there/already")

    assert (done.returncode, done.stdout) == (7, "external\n")
    assert "using that cluster (/there/already), starting nothing" in done.stderr


@pytest.mark.parametrize(
    ("title", "words", "sentence"),
    [
        ("no command", ["run"], "Say which command to run, behind '--'."),
        ("no such part", ["build", "nosuch"], "No such part: nosuch. There are: kubernetes,"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(title: str, words: list[str], sentence: str) -> None:
    done = harness(*words)

    assert done.returncode == 1, title
    assert done.stderr.startswith(sentence)


def test_a_state_folder_without_a_living_cluster_is_told(tmp_path: Path) -> None:
    done = harness("exec", "--", "true", FLAGGERPY_CLUSTER_STATE=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == "No cluster is running; 'python -m tests.cluster up' starts one.\n"


def test_the_full_node_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(ClusterError, match="The full node needs root"):
        walls.choose(Kind.FULL)


def test_root_gets_namespaces_made_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert walls.choose(Kind.FULL) is Isolation.ROOT


def test_without_unshare_the_control_plane_takes_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "/nonexistent")

    assert walls.choose(Kind.CONTROL_PLANE) is Isolation.NONE


def test_a_test_without_a_cluster_says_how_to_get_one() -> None:
    with pytest.raises(ClusterError, match=r"python -m tests.cluster run --control-plane -- python -m pytest"):
        api.current({})


def test_the_environment_names_the_cluster(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_text('{"verb": "get"}\n{"verb": "list"}\n{"verb": "wat')

    cluster = api.current({"KUBECONFIG": "/k", "FLAGGERPY_AUDIT_LOG": str(log), "FLAGGERPY_CLUSTER_KIND": "full"})

    assert (str(cluster.kubeconfig), cluster.kind, cluster.exec_prefix) == ("/k", "full", [])
    assert [event["verb"] for event in cluster.audit_events()] == ["get", "list"]
    assert [event["verb"] for event in cluster.audit_events(16)] == ["list"]
    assert [event["verb"] for event in cluster.audit_events(5)] == ["list"], "an offset taken while a line was written"
    assert [event["verb"] for event in cluster.audit_events(20)] == []


def test_nobody_answers_means_not_ready(tmp_path: Path) -> None:
    authority = make_authority(tmp_path / "pki")
    admin = issue(authority, "admin", "admin", ("system:masters",), hosts=("127.0.0.1", "localhost"))
    write_kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", authority, admin)

    assert not Kube(tmp_path / "kubeconfig").ready()
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0
