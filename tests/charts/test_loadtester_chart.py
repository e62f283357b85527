"""The chart of the load tester."""

import re
import subprocess
import sys

import pytest

from tests.charts.helm import Json, Rendered, refusal, render


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
    assert loadtester().container()["args"] == ["-port=8080", "-log-level=info", "-timeout=1h"]
    given = loadtester(logLevel="debug", cmd={"timeout": "5m", "namespaceRegexp": "^shop-"}).container()["args"]
    assert given == ["-port=8080", "-log-level=debug", "-timeout=5m", "-namespace-regexp=^shop-"]


def test_the_load_tester_knows_every_flag_that_the_chart_may_pass() -> None:
    words = loadtester(cmd={"namespaceRegexp": "^shop-"}).container()["args"]
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


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"service": {"port": 0}}, r"service.*port"),
        ({"cmd": {"timeout": "soon"}}, r"timeout"),
        ({"meshName": "east"}, r"meshName"),
    ],
)
def test_what_cannot_work_is_refused(values: Json, says: str) -> None:
    assert re.search(says, refusal("loadtester", values), re.DOTALL)
