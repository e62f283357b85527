"""Gates on boards: what a text on the board means, and replicas that share a ConfigMap and agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from flaggerpy.kube.client import Client
from flaggerpy.kube.resources import CONFIG_MAPS, Ref
from flaggerpy.kube.sessions import HttpTransport, Server
from flaggerpy.loadtester.board import Board, BoardUnavailable, MemoryBoard
from flaggerpy.loadtester.configmap import ConfigMapBoard
from flaggerpy.loadtester.gates import MOST, Gates, InvalidGate, Opening, read_opening
from flaggerpy.loadtester.program import Settings
from tests.kube.fake_apiserver import FakeApiServer, Fault
from tests.loadtester.harness import Answer, Caller, load_tester, program, until

START = datetime(2031, 5, 17, 8, 30, tzinfo=UTC)
GATE = "gate.podinfo.test"
STATE = Ref(CONFIG_MAPS, "test", "gates")


class Clock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time


@pytest.fixture
async def server() -> AsyncIterator[FakeApiServer]:
    async with FakeApiServer() as running:
        yield running


@pytest.fixture
async def boards(server: FakeApiServer) -> AsyncIterator[tuple[ConfigMapBoard, ConfigMapBoard]]:
    """Two replicas' boards in the same ConfigMap."""
    async with AsyncExitStack() as stack:
        transports = [await stack.enter_async_context(HttpTransport(Server(server.url))) for _ in range(2)]
        one, two = (ConfigMapBoard(Client(transport), STATE.namespace, STATE.name) for transport in transports)
        yield one, two


@pytest.fixture(params=["memory", "configmap"])
def board(request: pytest.FixtureRequest, boards: tuple[ConfigMapBoard, ConfigMapBoard]) -> Board:
    return MemoryBoard() if request.param == "memory" else boards[0]


async def test_opening_again_replaces_the_period(board: Board) -> None:
    clock = Clock()
    gates = Gates(board, clock.now)
    await gates.open(GATE, 10)
    await gates.open("gate.backend.test", 10)
    await gates.open(GATE)
    clock.time += timedelta(seconds=10)
    assert await gates.is_open(GATE)
    assert not await gates.is_open("gate.backend.test")
    assert gates.open_when_last_seen == 1


async def test_w84_a_gate_can_be_opened_for_one_revision(board: Board) -> None:
    gates = Gates(board, Clock().now)
    await gates.open("rollback.podinfo.test", once=True)
    assert await gates.is_open("rollback.podinfo.test"), "who asks without a revision uses nothing up"
    assert [await gates.is_open("rollback.podinfo.test", "85d5") for _ in range(3)] == [True] * 3
    assert not await gates.is_open("rollback.podinfo.test", "99f0")
    assert not await gates.is_open("rollback.podinfo.test", "85d5"), "it closed for good"
    assert gates.open_when_last_seen == 0


async def test_a_gate_that_nobody_limited_is_open_for_every_revision(board: Board) -> None:
    gates = Gates(board, Clock().now)
    await gates.open(GATE)
    assert [await gates.is_open(GATE, revision) for revision in ("85d5", "99f0")] == [True, True]


@pytest.mark.parametrize(
    "gate", ["gate..", "gate.podinfo.", "gate.a b.test", "gate.-a.test", f"gate.{'a' * 250}.test", "other.podinfo.test"]
)
async def test_a_gate_of_no_canary_is_refused(gate: str) -> None:
    gates = Gates(MemoryBoard(), Clock().now)
    with pytest.raises(InvalidGate, match="name and namespace"):
        await gates.open(gate)
    with pytest.raises(InvalidGate):
        await gates.is_open(gate)


async def test_more_open_gates_than_a_configmap_holds_are_refused() -> None:
    board = MemoryBoard()
    await board.change(lambda _: {f"gate.podinfo-{number}.test": "open" for number in range(MOST)})
    gates = Gates(board, Clock().now)
    with pytest.raises(InvalidGate, match=f"{MOST} gates are open"):
        await gates.open(GATE)
    await gates.open("gate.podinfo-3.test")
    await gates.close("gate.podinfo-4.test")
    await gates.open(GATE)


@pytest.mark.parametrize(
    "opening",
    [
        Opening(),
        Opening(until=START),
        Opening(once=True),
        Opening(once=True, revision="85d5"),
        Opening(until=START, once=True, revision="85d5"),
    ],
    ids=Opening.text,
)
def test_what_is_written_on_the_board_is_read_again(opening: Opening) -> None:
    assert read_opening(opening.text()) == opening


@pytest.mark.parametrize(
    "text", ["", "closed", "opened", "open until soon", "open until 2031-05-17T08:30:00", "open for"]
)
def test_what_nobody_can_read_is_closed(text: str) -> None:
    assert read_opening(text) is None


async def test_a_person_may_write_on_the_board_too(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard]
) -> None:
    server.create(
        CONFIG_MAPS, {"metadata": {"name": "gates", "namespace": "test"}, "data": {GATE: "open\n", "note": "x"}}
    )
    gates = Gates(boards[0], Clock().now)
    assert await gates.is_open(GATE)
    await gates.close(GATE)
    assert server.get(STATE)["data"] == {"note": "x"}


async def test_replicas_agree_at_once(boards: tuple[ConfigMapBoard, ConfigMapBoard]) -> None:
    one, two = (Gates(board, Clock().now) for board in boards)
    await one.open(GATE)
    assert await two.is_open(GATE)
    await two.close(GATE)
    assert not await one.is_open(GATE)


async def test_changes_at_the_same_moment_are_all_kept(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard]
) -> None:
    one, two = (Gates(board, Clock().now) for board in boards)
    opened = [f"gate.podinfo-{number}.test" for number in range(6)]
    await asyncio.gather(*((one if index % 2 else two).open(gate) for index, gate in enumerate(opened)))
    assert server.get(STATE)["data"] == dict.fromkeys(opened, "open")
    assert len(server.seen("PUT")) + len(server.seen("POST")) > len(opened), (
        "nobody was ever faster: nothing was tested"
    )


async def test_however_much_is_asked_of_a_replica_at_once_it_is_not_in_its_own_way(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard]
) -> None:
    gates = Gates(boards[0], Clock().now)
    opened = [f"gate.podinfo-{number}.test" for number in range(30)]
    await asyncio.gather(*(gates.open(gate) for gate in opened))
    assert server.get(STATE)["data"] == dict.fromkeys(opened, "open")
    assert len(server.seen("PUT")) + len(server.seen("POST")) == len(opened)


async def test_one_revision_uses_a_gate_up_for_all_replicas(boards: tuple[ConfigMapBoard, ConfigMapBoard]) -> None:
    one, two = (Gates(board, Clock().now) for board in boards)
    await one.open(GATE, once=True)
    answers = await asyncio.gather(one.is_open(GATE, "85d5"), two.is_open(GATE, "99f0"))
    assert sorted(answers) == [False, True]


async def test_a_configmap_that_somebody_deleted_is_made_again(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard]
) -> None:
    gates = Gates(boards[0], Clock().now)
    await gates.open(GATE)
    server.delete(STATE, {})
    assert not await gates.is_open(GATE)
    await gates.open(GATE)
    assert server.get(STATE)["data"] == {GATE: "open"}


async def test_a_check_that_changes_nothing_writes_nothing(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard]
) -> None:
    gates = Gates(boards[0], Clock().now)
    await gates.open(GATE)
    server.requests.clear()
    await gates.is_open(GATE, "85d5")
    await gates.open(GATE)
    await gates.close("gate.backend.test")
    assert {seen.method for seen in server.requests} == {"GET"}


async def test_an_api_server_that_fails_makes_gates_unknown_and_neither_open_nor_closed(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard], settings: Settings
) -> None:
    async with load_tester(settings, boards[0]) as caller:
        assert (await caller.ask("/gate/open")).status == 202
        server.fail(Fault("status", method="GET", status=500, times=2))
        for path in ("/gate/check", "/gate/open"):
            answer = await caller.ask(path)
            assert answer.status == 503
            assert answer.body.startswith("ConfigMap test/gates cannot be read or written now: ")
        assert await caller.ask("/gate/check") == Answer(200, "Approved")
        assert await caller.series('flaggerpy_loadtester_gate_checks_total{answer="unavailable",kind="gate"}') == 1
        assert await caller.series("flaggerpy_loadtester_gates_shared") == 1


async def test_a_change_that_others_always_precede_is_given_up(
    server: FakeApiServer, boards: tuple[ConfigMapBoard, ConfigMapBoard]
) -> None:
    gates = Gates(boards[0], Clock().now)
    await gates.open("gate.backend.test")
    server.fail(Fault("status", method="PUT", status=409, reason="Conflict", times=100))
    with pytest.raises(BoardUnavailable, match="changes too fast"):
        await gates.open(GATE)


# Two programs, as two Pods run them ------------------------------------------------------------------------------


@pytest.fixture
def kubeconfig(server: FakeApiServer, tmp_path: Path) -> str:
    """How to reach the fake API server; its context means the namespace test."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": server.url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "fake", "user": "nobody", "namespace": "test"}}],
        "current-context": "here",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


async def test_programs_that_share_a_configmap_agree_and_remember(server: FakeApiServer, kubeconfig: str) -> None:
    flags = ("-log-level=info", "-state-configmap=gates")
    async with program(*flags, KUBECONFIG=kubeconfig) as one, program(*flags, KUBECONFIG=kubeconfig) as two:
        assert (await one.caller.ask("/rollback/open")).status == 202
        assert (await two.caller.ask("/rollback/check")).status == 200
        await one.caller.ask("/", type="bash", cmd="exit 3", id="smoke")
        assert (await two.caller.ask("/", type="result", task="smoke")).status == 424
        assert one.first_lines[0]["msg"] == "gates and results are kept in the cluster"
    async with program(*flags, KUBECONFIG=kubeconfig) as later:
        assert (await later.caller.ask("/rollback/check")).status == 200
    assert server.get(STATE)["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "flaggerpy-loadtester"}


async def test_a_program_that_may_not_keep_gates_in_the_cluster_says_so_and_keeps_them_in_memory(
    server: FakeApiServer, kubeconfig: str
) -> None:
    server.forbidden.add(CONFIG_MAPS)
    async with program("-log-level=info", "-state-configmap=gates", KUBECONFIG=kubeconfig) as running:
        (said, _) = running.first_lines
        assert said["level"] == "warn"
        assert said["msg"].startswith("gates and results are kept in memory: they are lost with this process")
        assert said["reason"] == 'ConfigMap test/gates: User "someone" cannot access configmaps'
        assert (await running.caller.ask("/gate/open")).status == 202
        assert (await running.caller.ask("/gate/check")).status == 200
        assert await running.caller.series("flaggerpy_loadtester_gates_shared") == 0


async def test_a_program_that_does_not_reach_the_api_server_at_first_shares_its_gates_later(
    server: FakeApiServer, kubeconfig: str
) -> None:
    await server.stop()
    async with program("-log-level=info", "-state-configmap=gates", KUBECONFIG=kubeconfig) as running:
        assert (await running.caller.ask("/gate/check")).status == 503
        await server.start()

        async def opened() -> bool:
            return (await running.caller.ask("/gate/open")).status == 202

        await until(opened, "the gate is open")
    assert server.get(STATE)["data"] == {GATE: "open"}


async def test_a_gate_is_opened_once_over_http(caller: Caller) -> None:
    await caller.ask("/gate/open", once="true")
    assert (await caller.of("85d5").ask("/gate/check")).status == 200
    assert (await caller.of("99f0").ask("/gate/check")).status == 403


async def test_a_body_without_a_canary_opens_nothing(settings: Settings) -> None:
    async with load_tester(replace(settings, max_tasks=1)) as caller:
        answer = await caller.send("/gate/open", b"{}")
        assert answer.status == 400
        assert "name and namespace must be those of one" in answer.body
