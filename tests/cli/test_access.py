"""What can go wrong before anything is done: one sentence each, and exit code 1."""

from __future__ import annotations

import pytest

from flaggerpy.api.status import Phase
from flaggerpy.cli.main import main
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS
from tests.cli.served import Served, canary, status
from tests.kube.fake_apiserver import Fault

ON_ONE_CANARY = ("get", "status", "watch", "pause", "resume", "promote", "abort", "retry", "release")
EVERYWHERE = ["get", "-A"]


@pytest.mark.parametrize("command", ON_ONE_CANARY)
def test_a_canary_of_another_namespace_is_found_there(cluster: Served, command: str) -> None:
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED), "web", "bank"))
    result = cluster.run(command, "web")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: there is no canary web in namespace shop; there is one in bank: say which with -n\n"
    )


@pytest.mark.parametrize(
    ("others", "hint"),
    [
        ([], ", nor any other"),
        (["api", "web2"], "; there are: api, web2"),
        ([f"c{n:02}" for n in range(12)], f"; there are: {', '.join(f'c{n:02}' for n in range(10))} and others"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_ones(cluster: Served, others: list[str], hint: str) -> None:
    for name in others:
        cluster.put(CANARIES, canary(name=name))
    result = cluster.run("status", "web")
    assert (result.exit_code, result.stderr) == (1, f"Error: there is no canary web in namespace shop{hint}\n")


def test_a_cluster_without_the_kind_is_told_how_to_get_it(cluster: Served) -> None:
    cluster.do(lambda server: server.served.remove(CANARIES))
    for words in (["get"], ["watch", "web", "--once"], ["pause", "web"]):
        result = cluster.run(*words)
        assert (result.exit_code, "`flaggerpy crds apply`" in result.stderr) == (1, True), words


def test_what_is_forbidden_is_said_in_the_servers_words(cluster: Served) -> None:
    cluster.do(lambda server: server.forbidden.add(CANARIES))
    for words in (["get"], ["status", "web"], ["pause", "web"]):
        result = cluster.run(*words)
        assert (result.exit_code, result.stderr) == (
            1,
            'Error: not allowed: User "someone" cannot access canaries.flagger.app\n',
        ), words


def test_a_target_that_may_not_be_read_cannot_be_judged(cluster: Served) -> None:
    cluster.put(CANARIES, canary(status(Phase.SUCCEEDED)))
    cluster.do(lambda server: server.forbidden.add(DEPLOYMENTS))
    result = cluster.run("status", "web")
    assert (result.exit_code, "cannot access deployments.apps" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("then", "status", "says"),
    [
        ("status", 401, "the API server does not accept these credentials: log in again"),
        ("status", 500, "500 InternalError: a fault was arranged"),
        ("reset", 0, "the API server does not answer: GET /apis/flagger.app/v1beta1/canaries"),
    ],
)
def test_a_server_that_says_no_or_nothing(cluster: Served, then: str, status: int, says: str) -> None:
    cluster.do(lambda server: server.fail(Fault(then, status=status)))  # type: ignore[arg-type] # from a table
    result = cluster.run(*EVERYWHERE)
    assert (result.exit_code, result.stderr.startswith(f"Error: {says}")) == (1, True), result.stderr


def test_no_kubeconfig_is_a_sentence(monkeypatch: pytest.MonkeyPatch, cluster: Served) -> None:
    monkeypatch.delenv("KUBECONFIG")
    for words in (["get"], EVERYWHERE, ["watch", "web"], ["crds", "apply"], ["release", "--all"]):
        result = cluster.run(*words)
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: no usable credentials in ~/.kube/config: there is no such file\n",
        ), words


def test_a_context_that_does_not_exist_is_a_sentence(cluster: Served) -> None:
    result = cluster.run("get", "--context", "mars")
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: no usable credentials in {cluster.kubeconfig}: there is no context 'mars'; there are: bank, shop\n",
    )


def test_a_canary_that_cannot_be_read_is_a_sentence(cluster: Served) -> None:
    broken = canary()
    del broken["spec"]["targetRef"]
    cluster.put(CANARIES, broken)
    result = cluster.run("watch", "web", "--once")
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: the Canary cannot be read: spec.targetRef is missing: add it.\n",
    )


def test_every_command_that_talks_to_a_cluster_has_the_same_flags() -> None:
    with main.make_context("flaggerpy", ["--help"], resilient_parsing=True) as context:
        commands = {name: main.get_command(context, name) for name in ON_ONE_CANARY}
    for name, command in commands.items():
        assert command is not None
        flags = {flag for option in command.params for flag in option.opts}
        assert {"--context", "--kubeconfig", "--namespace", "-n"} <= flags, name
