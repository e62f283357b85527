"""The chart of the controller: what it runs, and what it refuses."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from flaggerpy.routers.registry import ROUTERS
from tests.charts.helm import CHARTS, Json, Rendered, may, refusal, render, run
from tests.telemetry.queries import RULES, dashboard

ROUTED = "gatewayapi:v1"


def chart(release: str = "", /, **values: object) -> Rendered:
    return render("flaggerpy", {"meshProvider": ROUTED, **values}, release=release)


def arguments(**values: object) -> dict[str, str]:
    words = chart(**values).container()["args"]
    assert words[0] == "controller"
    return dict(word.partition("=")[::2] for word in words[1:])


def test_both_charts_pass_lint() -> None:
    for name in ("flaggerpy", "loadtester"):
        done = run(
            "lint", "--strict", str(CHARTS / name), values={"meshProvider": ROUTED} if name == "flaggerpy" else {}
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["flaggerpy", "loadtester"])
def test_chart_and_package_have_one_version(name: str) -> None:
    facts = yaml.safe_load((CHARTS / name / "Chart.yaml").read_text(encoding="utf-8"))
    version = tomllib.loads((CHARTS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (facts["version"], facts["appVersion"]) == (version, version)


def test_what_the_controller_is_told_by_default() -> None:
    assert arguments() == {
        "-enable-config-tracking": "true",
        "-enable-leader-election": "true",
        "-fail-fast-after": "30s",
        "-leader-election-namespace": "flagger-system",
        "-log-level": "info",
        "-mesh-provider": ROUTED,
        "-metrics-server": "http://prometheus:9090",
        "-min-interval": "10s",
        "-port": "8080",
        "-slack-user": "flagger",
    }


@pytest.mark.parametrize(
    ("values", "flag", "value"),
    [
        ({"logLevel": "debug"}, "-log-level", "debug"),
        ({"metricsServer": "http://prom.monitoring:9090"}, "-metrics-server", "http://prom.monitoring:9090"),
        ({"minInterval": "1s"}, "-min-interval", "1s"),
        ({"acceptWithin": "2m"}, "-accept-within", "2m"),
        ({"failFastAfter": "1m30s"}, "-fail-fast-after", "1m30s"),
        ({"failFastAfter": "0s"}, "-fail-fast-after", "0s"),
        ({"configTracking": {"enabled": False}}, "-enable-config-tracking", "false"),
        ({"namespace": "shop"}, "-namespace", "shop"),
        ({"watchNamespaces": ["b", "a"]}, "-namespace", "a,b"),
        ({"watchNamespaces": ["b", "a"], "namespace": "a"}, "-namespace", "a,b"),
        ({"selectorLabels": "app,team"}, "-selector-labels", "app,team"),
        ({"includeLabelPrefix": "*"}, "-include-label-prefix", "*"),
        ({"ingressClass": "outside"}, "-ingress-class", "outside"),
        ({"gatewayMirrorPercent": True}, "-gateway-mirror-percent", "true"),
        ({"ingressAnnotationsPrefix": "in.example.com"}, "-ingress-annotations-prefix", "in.example.com"),
        ({"eventWebhook": "http://sink/"}, "-event-webhook", "http://sink/"),
        ({"clusterName": "east"}, "-cluster-name", "east"),
        ({"alertLink": "https://grafana/{{ name }}"}, "-alert-link", "https://grafana/{{ name }}"),
        ({"noCrossNamespaceRefs": True}, "-no-cross-namespace-refs", "true"),
        ({"threadiness": 7}, "-threadiness", "7"),
        ({"kubeconfigQPS": 50}, "-kubeconfig-qps", "50"),
        ({"kubeconfigBurst": 2009}, "-kubeconfig-burst", "2009"),
        ({"slack": {"user": "bot"}}, "-slack-user", "bot"),
        ({"slack": {"channel": "releases"}}, "-slack-channel", "releases"),
        ({"slack": {"url": "https://hooks/x"}}, "-slack-url", "https://hooks/x"),
        ({"slack": {"proxyUrl": "http://proxy:3128"}}, "-slack-proxy-url", "http://proxy:3128"),
        ({"msteams": {"url": "https://teams/x"}}, "-msteams-url", "https://teams/x"),
        ({"msteams": {"proxyUrl": "http://proxy:3128"}}, "-msteams-proxy-url", "http://proxy:3128"),
    ],
)
def test_a_value_becomes_its_flag(values: Json, flag: str, value: str) -> None:
    assert arguments(**values)[flag] == value


@pytest.mark.parametrize("provider", [*ROUTERS, "smi:v1alpha1:istio"])
def test_the_chart_takes_every_provider_that_is_built_in(provider: str) -> None:
    assert arguments(meshProvider=provider)["-mesh-provider"] == provider


@pytest.mark.parametrize("values", [{}, {"meshProvider": ""}])
def test_without_a_provider_it_is_istio_as_with_flaggers_chart(values: Json) -> None:
    rendered = render("flaggerpy", values)
    assert "-mesh-provider=istio" in rendered.container()["args"]
    (role,) = [one for one in rendered.of("ClusterRole") if one["metadata"]["name"] == "flaggerpy"]
    assert may(role["rules"], "patch", "networking.istio.io", "virtualservices")


def test_the_controller_knows_every_flag_that_the_chart_may_pass() -> None:
    everything = arguments(
        acceptWithin="2m",
        clusterName="east",
        alertLink="https://grafana/{{ name }}",
        eventWebhook="http://sink/",
        gatewayMirrorPercent=True,
        includeLabelPrefix="*",
        ingressAnnotationsPrefix="in.example.com",
        ingressClass="outside",
        kubeconfigBurst=3,
        kubeconfigQPS=2,
        msteams={"url": "https://teams/x", "proxyUrl": "http://proxy"},
        namespace="shop",
        noCrossNamespaceRefs=True,
        selectorLabels="app",
        slack={"channel": "c", "url": "https://hooks/x", "proxyUrl": "http://proxy"},
        threadiness=1,
    )
    words = [f"{flag}={value}" for flag, value in everything.items()]
    # -help after everything else: the words are parsed, and nothing is started.
    done = subprocess.run(
        [sys.executable, "-m", "flaggerpy", "controller", *words, "-help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("title", "values", "says"),
    [
        (
            "a provider that is not served",
            {"meshProvider": "appmesh"},
            'provider "appmesh" is not served by this version',
        ),
        (
            "a further provider that is not served",
            {"meshProvider": "kubernetes", "rbac": {"providers": ["osm"]}},
            'provider "osm" is not served',
        ),
        (
            "two that act at once",
            {"meshProvider": ROUTED, "leaderElection": {"enabled": False}},
            "replicaCount above 1 needs leaderElection.enabled",
        ),
        ("a value that does not exist", {"meshProvider": ROUTED, "replicas": 3}, "replicas"),
        ("one of Flagger's that is not here", {"meshProvider": ROUTED, "prometheus": {"install": True}}, "prometheus"),
        ("a misspelt field", {"meshProvider": ROUTED, "configTracking": {"enable": False}}, "enable"),
        ("a number as text", {"meshProvider": ROUTED, "replicaCount": "two"}, "replicaCount"),
        ("a duration without a unit", {"meshProvider": ROUTED, "minInterval": "10"}, "minInterval"),
        ("an empty duration", {"meshProvider": ROUTED, "failFastAfter": ""}, "failFastAfter"),
        ("an unknown level", {"meshProvider": ROUTED, "logLevel": "loud"}, "logLevel"),
        ("a namespace that cannot exist", {"meshProvider": ROUTED, "watchNamespaces": ["Shop_1"]}, "watchNamespaces"),
    ],
)
def test_what_cannot_work_is_refused(title: str, values: Json, says: str) -> None:
    assert says in refusal("flaggerpy", values), title


def test_probes_ask_over_http_what_each_is_for() -> None:
    container = chart().container()
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]


def test_the_controller_needs_no_privilege_on_its_node() -> None:
    rendered = chart()
    (job,) = rendered.hooks("Job")
    for container in (rendered.container(), *job["spec"]["template"]["spec"]["containers"]):
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 10001
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_two_replicas_by_default_that_no_drain_takes_away_together() -> None:
    rendered = chart()
    deployment, budget = rendered.one("Deployment"), rendered.one("PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2
    assert "strategy" not in deployment["spec"]
    assert budget["spec"]["minAvailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_a_single_controller_without_lease_is_never_two_at_once() -> None:
    rendered = chart(replicaCount=1, leaderElection={"enabled": False})
    assert rendered.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert not rendered.of("PodDisruptionBudget")
    assert not [one for one in rendered.of("Role") if one["metadata"]["name"].endswith("-lease")]
    assert "-enable-leader-election" not in arguments(replicaCount=1, leaderElection={"enabled": False})


@pytest.mark.parametrize(
    ("title", "release", "values", "name"),
    [
        ("a release called as the chart gives its name", "flaggerpy", {}, "flaggerpy"),
        ("so does one whose name has the chart's in it", "my-flaggerpy", {}, "my-flaggerpy"),
        ("any other gets the chart's appended", "flagger", {}, "flagger-flaggerpy"),
        ("fullnameOverride wins", "flagger", {"fullnameOverride": "flagger"}, "flagger"),
    ],
)
def test_names(title: str, release: str, values: Json, name: str) -> None:
    rendered = chart(release, **values)
    names = {one["metadata"]["name"] for kind in ("Deployment", "ServiceAccount") for one in rendered.of(kind)}
    assert names == {name}, title


def test_the_image_is_the_charts_version_unless_told() -> None:
    def image(**values: object) -> object:
        return chart(**values).container()["image"]

    assert image() == "ghcr.io/flaggerpy/flaggerpy:0.1.0"
    assert image(image={"repository": "mirror/flaggerpy", "tag": "1.2.3"}) == "mirror/flaggerpy:1.2.3"


def test_what_users_add_arrives() -> None:
    rendered = chart(
        env=[{"name": "SLACK_URL", "valueFrom": {"secretKeyRef": {"name": "slack", "key": "url"}}}],
        additionalVolumes=[{"name": "ca", "configMap": {"name": "ca"}}],
        additionalVolumeMounts=[{"name": "ca", "mountPath": "/etc/ca"}],
        podLabels={"team": "release"},
        deploymentLabels={"tier": "ops"},
        nodeSelector={"kubernetes.io/os": "linux"},
        tolerations=[{"operator": "Exists"}],
        podPriorityClassName="system-cluster-critical",
        image={"pullSecret": "mirror"},
    )
    deployment = rendered.one("Deployment")
    pod = deployment["spec"]["template"]
    assert rendered.container()["env"][0]["name"] == "SLACK_URL"
    assert rendered.container()["volumeMounts"] == [{"name": "ca", "mountPath": "/etc/ca"}]
    assert pod["spec"]["volumes"] == [{"name": "ca", "configMap": {"name": "ca"}}]
    assert pod["metadata"]["labels"]["team"] == "release"
    assert deployment["metadata"]["labels"]["tier"] == "ops"
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert pod["spec"]["priorityClassName"] == "system-cluster-critical"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "mirror"}]


def test_prometheus_finds_the_controller_by_annotation_or_operator() -> None:
    pod = chart().one("Deployment")["spec"]["template"]
    assert pod["metadata"]["annotations"] == {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    rendered = chart(
        serviceMonitor={"enabled": True},
        podMonitor={"enabled": True, "namespace": "m"},
    )
    service, deployment = rendered.one("Service"), rendered.one("Deployment")
    assert service["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert (
        rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
        <= service["metadata"]["labels"].items()
    )
    assert rendered.one("PodMonitor")["metadata"]["namespace"] == "m"


def test_the_kinds_are_rendered_only_when_asked_for() -> None:
    def kinds(**values: object) -> set[str]:
        found = chart(**values).of("CustomResourceDefinition")
        return {one["spec"]["names"]["kind"] for one in found}

    assert kinds() == set()
    assert kinds(crd={"create": True}) == {"Canary", "MetricTemplate", "AlertProvider"}


def test_uninstalling_first_releases_all_canaries_while_the_controller_still_runs() -> None:
    (job,) = chart(releaseTimeout="3m").hooks("Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["release", "--all", "--wait", "--timeout=3m"]
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] != "flaggerpy"


def test_the_release_goes_through_every_listed_namespace() -> None:
    (job,) = chart(watchNamespaces=["a", "b"]).hooks("Job")
    containers = job["spec"]["template"]["spec"]["containers"]
    assert [container["args"][-1] for container in containers] == ["--namespace=a", "--namespace=b"]
    assert len({container["name"] for container in containers}) == 2


def test_no_release_when_switched_off() -> None:
    rendered = chart(releaseOnUninstall=False)
    assert not [one for one in rendered.objects if one["metadata"]["name"].endswith("-release")]


def namespace_label(**values: object) -> str:
    """Return the label of a canary's namespace in the alerts, after checking that the dashboard agrees."""
    rendered = chart(prometheusRule={"enabled": True}, dashboards={"enabled": True}, **values)
    (text,) = rendered.one("ConfigMap")["data"].values()
    found = [rule["expr"] for group in rendered.one("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    (label,) = set(re.findall(r"\w*namespace", " ".join(found)))
    assert f'label_values(flagger_canary_status, {label})"' in text
    assert set(re.findall(r"\w*namespace", text)) == {label}
    return str(label)


@pytest.mark.parametrize(
    ("title", "values", "label"),
    [
        ("scraped by annotation", {}, "namespace"),
        ("a PodMonitor renames it", {"podMonitor": {"enabled": True}}, "exported_namespace"),
        ("a ServiceMonitor too", {"serviceMonitor": {"enabled": True}}, "exported_namespace"),
        ("unless told not to", {"podMonitor": {"enabled": True, "honorLabels": True}}, "namespace"),
        ("somebody else scrapes", {"namespaceLabel": "exported_namespace"}, "exported_namespace"),
    ],
)
def test_alerts_and_dashboard_ask_for_the_label_that_prometheus_stores(title: str, values: Json, label: str) -> None:
    assert namespace_label(**values) == label, title


def test_the_dashboard_comes_as_it_is_in_a_config_map_that_grafanas_sidecar_finds() -> None:
    assert not chart().of("ConfigMap")
    found = chart(
        dashboards={
            "enabled": True,
            "namespace": "monitoring",
            "labels": {"team": "release"},
            "annotations": {"grafana_folder": "Delivery"},
        }
    ).one("ConfigMap")
    metadata = found["metadata"]
    assert metadata["namespace"] == "monitoring"
    assert metadata["labels"].items() >= {"grafana_dashboard": "1", "team": "release"}.items()
    assert metadata["annotations"] == {"grafana_folder": "Delivery"}
    assert {name: json.loads(text) for name, text in found["data"].items()} == {"flaggerpy.json": dashboard()}


def test_the_alerts_come_as_they_are_in_a_prometheus_rule_that_its_operator_selects() -> None:
    assert not chart().of("PrometheusRule")
    rendered = chart(prometheusRule={"enabled": True, "namespace": "m", "additionalLabels": {"release": "prometheus"}})
    rule = rendered.one("PrometheusRule")
    assert rule["metadata"]["namespace"] == "m"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dashboards": {"enable": True}}, "enable"),
        ({"prometheusRule": {"labels": {}}}, "labels"),
        ({"namespaceLabel": "not a label"}, "namespaceLabel"),
    ],
)
def test_misspelt_values_of_monitoring_are_refused(values: Json, says: str) -> None:
    assert says in refusal("flaggerpy", {"meshProvider": ROUTED, **values})
