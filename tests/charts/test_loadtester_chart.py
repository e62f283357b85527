"""The chart of the load tester."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.charts.helm import Json, Rendered, may, refusal, render


def loadtester(release: str = "flagger-loadtester", /, **values: object) -> Rendered:
    return render("loadtester", values, release=release, into="test")


def test_the_address_that_most_manifests_use_is_this_release() -> None:
    service = loadtester().one("Service")
    assert (service["metadata"]["name"], service["metadata"]["namespace"]) == ("flagger-loadtester", "test")
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "http")


def test_the_service_finds_the_pods() -> None:
    rendered = loadtester()
    pod = rendered.one("Deployment")["spec"]["template"]
    assert rendered.one("Service")["spec"]["selector"] == {"app": "loadtester"}
    assert rendered.one("Deployment")["spec"]["selector"] == {"matchLabels": {"app": "loadtester"}}
    assert pod["metadata"]["labels"]["app"] == "loadtester"
    assert rendered.container()["ports"] == [{"name": "http", "containerPort": 8080}]


@pytest.mark.parametrize(
    ("title", "release", "values", "name"),
    [
        ("any other release gets the chart's name appended", "load", {}, "load-loadtester"),
        ("fullnameOverride wins", "load", {"fullnameOverride": "flagger-loadtester"}, "flagger-loadtester"),
    ],
)
def test_names(title: str, release: str, values: Json, name: str) -> None:
    rendered = loadtester(release, **values)
    assert {one["metadata"]["name"] for one in rendered.objects} == {name}, title


def test_what_the_load_tester_is_told() -> None:
    limits = ["-max-tasks=100", "-output-limit=65536"]
    assert loadtester().container()["args"] == ["-port=8080", "-log-level=info", "-timeout=1h", *limits]
    given = loadtester(logLevel="debug", cmd={"timeout": "5m", "namespaceRegexp": "^shop-"}).container()["args"]
    assert given == ["-port=8080", "-log-level=debug", "-timeout=5m", "-namespace-regexp=^shop-", *limits]
    allowing = {"allow": ["hey .*", 'wrk "x"'], "allowShell": True, "maxTasks": 2000000, "outputLimit": 10000000}
    given = loadtester(cmd=allowing, state={"durable": True}, auth={"tokenSecret": "tokens"}).container()["args"]
    assert given[3:] == [
        "-allow-command=hey .*",
        '-allow-command=wrk "x"',
        "-allow-shell=true",
        "-max-tasks=2000000",
        "-output-limit=10000000",
        "-state-configmap=test/flagger-loadtester-state",
        "-token-file=/etc/loadtester/token",
    ]


def test_the_load_tester_knows_every_flag_that_the_chart_may_pass(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret", encoding="utf-8")
    cmd = {"namespaceRegexp": "^shop-", "allow": ["hey .*"], "allowShell": True}
    given = loadtester(cmd=cmd, state={"durable": True}, auth={"tokenSecret": "tokens"}).container()["args"]
    words = [word.replace("/etc/loadtester", str(tmp_path)) for word in given]
    command = [sys.executable, "-m", "flaggerpy.loadtester", *words, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_needs_no_privilege_and_no_token() -> None:
    rendered = loadtester()
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    context = rendered.container()["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert rendered.container()["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]


@pytest.mark.parametrize(
    ("scope", "kind", "namespace"),
    [("cluster", "ClusterRole", None), ("namespace", "Role", "test"), ("", "Role", "test")],
)
def test_rights_for_kubectl_tasks_are_given_when_asked_for(scope: str, kind: str, namespace: str | None) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rendered = loadtester(rbac={"create": True, "scope": scope, "rules": rules})
    role, binding = rendered.one(kind), rendered.one(f"{kind}Binding")
    assert (role["rules"], role["metadata"].get("namespace")) == (rules, namespace)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    account = rendered.one("ServiceAccount")["metadata"]["name"]
    assert binding["subjects"][0]["name"] == account
    assert rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account


STATE = "flagger-loadtester-state"


def test_durable_gates_get_one_configmap_and_rights_to_it_and_no_other() -> None:
    rendered = loadtester(state={"durable": True})
    assert "data" not in rendered.one("ConfigMap"), "an upgrade would put the gates back"
    assert rendered.one("ConfigMap")["metadata"]["name"] == STATE
    rules = rendered.one("Role")["rules"]
    assert may(rules, "get", "", "configmaps", STATE)
    assert may(rules, "update", "", "configmaps", STATE)
    assert not may(rules, "get", "", "configmaps", "other")
    assert not may(rules, "create", "", "configmaps")
    account = rendered.one("ServiceAccount")["metadata"]["name"]
    assert rendered.one("RoleBinding")["subjects"][0]["name"] == account
    assert rendered.one("RoleBinding")["roleRef"]["name"] == rendered.one("Role")["metadata"]["name"]
    assert rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == account


def test_durable_gates_use_an_account_that_is_there() -> None:
    rendered = loadtester(state={"durable": True}, serviceAccountName="mine")
    assert not rendered.of("ServiceAccount")
    assert rendered.one("RoleBinding")["subjects"][0]["name"] == "mine"
    both = loadtester(state={"durable": True}, rbac={"create": True, "rules": []})
    assert len(both.of("ServiceAccount")) == 1
    bound = {one["subjects"][0]["name"] for one in both.of("RoleBinding")}
    assert bound == {both.one("ServiceAccount")["metadata"]["name"]}


def test_the_token_comes_from_a_secret_that_is_there() -> None:
    rendered = loadtester(auth={"tokenSecret": "tokens", "tokenKey": "loadtester"})
    mounted = {"name": "token", "mountPath": "/etc/loadtester", "readOnly": True}
    assert mounted in rendered.container()["volumeMounts"]
    secret = {"secretName": "tokens", "items": [{"key": "loadtester", "path": "token"}]}
    volumes = rendered.one("Deployment")["spec"]["template"]["spec"]["volumes"]
    assert {"name": "token", "secret": secret} in volumes


@pytest.mark.parametrize(("replicas", "affinity"), [(1, None), (2, "ClientIP")])
def test_a_caller_keeps_to_one_of_several_replicas(replicas: int, affinity: str | None) -> None:
    rendered = loadtester(replicaCount=replicas)
    assert rendered.one("Service")["spec"].get("sessionAffinity") == affinity


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"service": {"port": 0}}, r"service.*port"),
        ({"cmd": {"timeout": "soon"}}, r"timeout"),
        ({"cmd": {"allow": [""]}}, r"allow"),
        ({"cmd": {"maxTasks": 0}}, r"maxTasks"),
        ({"state": {"durable": "yes"}}, r"durable"),
        ({"meshName": "east"}, r"meshName"),
    ],
)
def test_what_cannot_work_is_refused(values: Json, says: str) -> None:
    assert re.search(says, refusal("loadtester", values), re.DOTALL)
