"""``flaggerpy release``: whom it asks, and whom it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.constants import FINALIZER, RELEASE
from flaggerpy.api.status import Phase
from flaggerpy.cli import release
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, Ref
from tests.cli.served import Served, canary, status
from tests.kube.fake_apiserver import FakeApiServer, Fault

LEAVING = Ref(CANARIES, "shop", "leaving")
DELETED = "2031-05-17T08:30:15Z"


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "SECONDS_BETWEEN_LOOKS", 0.01)


def held(name: str, *finalizers: str, **metadata: Any) -> JsonObject:
    """Build a Canary with finalizers."""
    obj = canary(status(Phase.INITIALIZED), name)
    obj["metadata"] |= {"finalizers": list(finalizers), **metadata}
    return obj


def let_go(obj: JsonObject) -> None:
    obj["metadata"]["finalizers"] = [name for name in obj["metadata"]["finalizers"] if name != FINALIZER]


def asked(cluster: Served) -> list[str]:
    """Return the paths that were patched."""
    return [seen.path.rpartition("/")[2] for seen in cluster.do(lambda server: server.seen("PATCH"))]


def waits_for(cluster: Served, name: str, what: str) -> None:
    """Once the command has looked at a canary twice, let its controller take the finalizer off, or it goes."""

    async def script(server: FakeApiServer) -> None:
        if what == "gone":
            server.remove(Ref(CANARIES, "shop", name))
        else:
            server.change(Ref(CANARIES, "shop", name), let_go)

    cluster.once(lambda server: len(server.seen("GET", f"canaries/{name}")) >= 2, script)


@pytest.mark.parametrize("how", ["gone", "let go"])
def test_a_canary_that_is_being_deleted_is_not_asked_but_waited_for(cluster: Served, how: str) -> None:
    cluster.put(CANARIES, held("leaving", FINALIZER, "foregroundDeletion", deletionTimestamp=DELETED))
    cluster.put(CANARIES, held("web"))
    waits_for(cluster, "leaving", how)
    result = cluster.run("release", "--all", "--timeout", "10s")
    assert (result.exit_code, result.stderr) == (0, "")
    assert asked(cluster) == ["web"]
    assert result.stdout.splitlines() == [
        "shop/leaving is being deleted and gives its traffic back by itself",
        "shop/web asked to be released",
        "shop/leaving released",
        "shop/web released",
    ]


@pytest.mark.parametrize(("how", "code"), [("--timeout=0s", 1), ("--no-wait", 0)])
def test_who_has_no_time_to_wait_is_not_told_that_it_is_done(cluster: Served, how: str, code: int) -> None:
    cluster.put(CANARIES, held("web", FINALIZER))
    result = cluster.run("release", "--all", how)
    assert result.exit_code == code
    assert ("not released within 0s: shop/web" in result.stderr) == bool(code)


def test_a_canary_that_is_being_deleted_and_never_goes_is_a_failure(cluster: Served) -> None:
    cluster.put(CANARIES, held("leaving", FINALIZER, deletionTimestamp=DELETED))
    result = cluster.run("release", "--all", "--timeout", "200ms")
    assert result.exit_code == 1
    assert "not released within 0.2s: shop/leaving. Is the controller running?" in result.stderr


def test_what_others_keep_from_going_is_not_waited_for(cluster: Served) -> None:
    cluster.put(CANARIES, held("leaving", "foregroundDeletion", deletionTimestamp=DELETED))
    result = cluster.run("release", "--all", "--timeout", "10s")
    assert (result.exit_code, result.stdout, asked(cluster)) == (0, "", [])


def test_one_canary_that_is_being_deleted_is_waited_for_as_well(cluster: Served) -> None:
    cluster.put(CANARIES, held("leaving", FINALIZER, deletionTimestamp=DELETED))
    waits_for(cluster, "leaving", "gone")
    result = cluster.run("release", "leaving", "--timeout", "10s")
    assert (result.exit_code, asked(cluster)) == (0, [])
    assert "shop/leaving released" in result.stdout


def test_a_canary_that_goes_before_it_is_asked_is_done(cluster: Served) -> None:
    cluster.put(CANARIES, held("web"))
    cluster.do(lambda server: server.fail(Fault("status", "PATCH", status=404, reason="NotFound")))
    result = cluster.run("release", "--all", "--timeout", "10s")
    assert (result.exit_code, result.stdout) == (0, "shop/web is gone\n")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["leaving"], 1, "Error: shop/leaving is being deleted, which nobody can take back: create it anew.\n"),
        (["--all"], 0, "shop/web taken back\n"),
    ],
)
def test_what_is_being_deleted_cannot_be_taken_back(cluster: Served, words: list[str], code: int, says: str) -> None:
    cluster.put(CANARIES, held("leaving", FINALIZER, deletionTimestamp=DELETED))
    cluster.put(CANARIES, held("web", annotations={RELEASE: "true"}))
    result = cluster.run("release", "--undo", *words)
    assert (result.exit_code, result.output) == (code, says)
    assert asked(cluster) == (["web"] if words == ["--all"] else [])
