"""Which rights the chart gives, mode by mode. Whether they suffice is asked of a real API server."""

import pytest

from flaggerpy.kube.resources import GATEWAY_ROUTES
from flaggerpy.metrics.externalmetrics import GROUP
from flaggerpy.routers.registry import ROUTERS
from tests.charts.helm import Json, Rendered, may, render

EVERY_MODE: list[tuple[str, Json]] = [
    ("the whole cluster", {}),
    ("listed namespaces", {"watchNamespaces": ["a", "b"]}),
    ("no config tracking", {"configTracking": {"enabled": False}}),
    ("both", {"watchNamespaces": ["a"], "configTracking": {"enabled": False}}),
    ("no fail fast", {"failFastAfter": "0s"}),
]


def rights(**values: object) -> Rendered:
    return render("flaggerpy", {"meshProvider": "kubernetes", **values})


def all_rules(rendered: Rendered) -> list[Json]:
    return [rule for one in rendered.objects if one["kind"] in {"Role", "ClusterRole"} for rule in one["rules"]]


def main_rules(rendered: Rendered) -> list[Json]:
    roles = [*rendered.of("ClusterRole"), *rendered.of("Role")]
    return next(list(one["rules"]) for one in roles if not one["metadata"]["name"].endswith("-lease"))


@pytest.mark.parametrize(("title", "values"), EVERY_MODE)
def test_nothing_is_given_by_wildcard(title: str, values: Json) -> None:
    for rule in all_rules(rights(**values)):
        words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not [word for word in words if "*" in word], title


@pytest.mark.parametrize(("title", "values"), EVERY_MODE)
def test_the_controller_can_give_nobody_rights_and_run_nothing_in_pods(title: str, values: Json) -> None:
    dangerous = {"roles", "rolebindings", "clusterroles", "clusterrolebindings", "pods/exec", "serviceaccounts"}
    rules = all_rules(rights(**values))
    given = {resource for rule in rules for resource in rule["resources"]}
    assert not given & dangerous, title
    on_pods = {verb for rule in rules if "pods" in rule["resources"] for verb in rule["verbs"]}
    assert on_pods <= {"list", "watch"}, title


def test_listed_namespaces_need_no_right_in_the_cluster() -> None:
    rendered = rights(watchNamespaces=["shop", "bank"])
    assert not [one for one in rendered.objects if one["kind"] in {"ClusterRole", "ClusterRoleBinding"}]
    where = {one["metadata"]["namespace"] for one in rendered.of("Role") if one["metadata"]["name"] == "flaggerpy"}
    assert where == {"shop", "bank"}
    bound = {one["metadata"]["namespace"] for one in rendered.of("RoleBinding")}
    assert bound == {"shop", "bank", "flagger-system"}


def test_the_release_namespace_gets_the_lease_and_nothing_else() -> None:
    rendered = rights(watchNamespaces=["shop"])
    (role,) = [one for one in rendered.of("Role") if one["metadata"]["namespace"] == "flagger-system"]
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"leases"}


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
def test_one_lease_may_be_taken_and_no_other(namespaces: list[str]) -> None:
    rendered = rights(watchNamespaces=namespaces)
    (role,) = [one for one in rendered.of("Role") if one["metadata"]["name"] == "flaggerpy-lease"]
    rules, group = role["rules"], "coordination.k8s.io"
    assert may(rules, "create", group, "leases")
    assert may(rules, "update", group, "leases", "flagger-leader-election")
    assert not may(rules, "update", group, "leases", "kube-scheduler")
    assert not may(rules, "delete", group, "leases", "flagger-leader-election")


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
def test_no_right_to_any_secret_without_config_tracking(namespaces: list[str]) -> None:
    rules = all_rules(rights(watchNamespaces=namespaces, configTracking={"enabled": False}))
    assert not {"secrets", "configmaps"} & {resource for rule in rules for resource in rule["resources"]}
    tracked = all_rules(rights(watchNamespaces=namespaces))
    assert may(tracked, "get", "", "secrets")


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
@pytest.mark.parametrize(("after", "allowed"), [("30s", True), ("1m0s", True), ("0s", False), ("0m0.0s", False)])
def test_pods_and_replica_sets_may_be_read_to_fail_fast_and_not_otherwise(
    namespaces: list[str], after: str, allowed: bool
) -> None:
    rules = main_rules(rights(watchNamespaces=namespaces, failFastAfter=after))
    assert may(rules, "list", "", "pods") is may(rules, "watch", "", "pods") is allowed
    assert may(rules, "get", "apps", "replicasets") is allowed
    assert not may(rules, "get", "", "pods")
    # Taking a rollout over from Flagger asks for their times, whatever becomes of pods.
    assert may(rules, "list", "apps", "replicasets")
    assert not may(rules, "watch", "apps", "replicasets")


@pytest.mark.parametrize(
    ("title", "verb", "group", "resource", "allowed"),
    [
        ("canaries are watched", "watch", "flagger.app", "canaries", True),
        ("their finalizers are patched", "patch", "flagger.app", "canaries", True),
        ("their status is put", "update", "flagger.app", "canaries/status", True),
        ("nobody's Canary is made", "create", "flagger.app", "canaries", False),
        ("or deleted", "delete", "flagger.app", "canaries", False),
        ("templates are only read", "update", "flagger.app", "metrictemplates", False),
        ("primaries are made", "create", "apps", "deployments", True),
        ("and deleted", "delete", "apps", "deployments", True),
        ("replicas go through scale", "patch", "apps", "deployments/scale", True),
        ("a Deployment is never patched", "patch", "apps", "deployments", False),
        ("what was promoted is kept", "create", "apps", "controllerrevisions", True),
        ("and goes with its canary", "delete", "apps", "controllerrevisions", True),
        ("it is never changed", "update", "apps", "controllerrevisions", False),
        ("DaemonSets are made as primaries", "create", "apps", "daemonsets", True),
        ("and sent to sleep by a patch", "patch", "apps", "daemonsets", True),
        ("primaries' disruption budgets are made", "create", "policy", "poddisruptionbudgets", True),
        ("but none is patched", "patch", "policy", "poddisruptionbudgets", False),
        ("primaries' autoscalers are made", "create", "autoscaling", "horizontalpodautoscalers", True),
        ("replaced whole", "update", "autoscaling", "horizontalpodautoscalers", True),
        ("and deleted", "delete", "autoscaling", "horizontalpodautoscalers", True),
        ("none is patched", "patch", "autoscaling", "horizontalpodautoscalers", False),
        ("nor its status", "update", "autoscaling", "horizontalpodautoscalers/status", False),
        ("ScaledObjects are made for primaries", "create", "keda.sh", "scaledobjects", True),
        ("and the target's paused by a patch", "patch", "keda.sh", "scaledobjects", True),
        ("whose status is KEDA's", "patch", "keda.sh", "scaledobjects/status", False),
        ("Services are replaced", "update", "", "services", True),
        ("events are counted up", "patch", "", "events", True),
        ("but never read", "list", "", "events", False),
        ("routes are nobody's here", "get", "gateway.networking.k8s.io", "httproutes", False),
        ("nor are proxies", "get", "projectcontour.io", "httpproxies", False),
        ("nor are Ingresses", "get", "networking.k8s.io", "ingresses", False),
    ],
)
def test_what_the_controller_may_do(title: str, verb: str, group: str, resource: str, allowed: bool) -> None:
    assert may(main_rules(rights()), verb, group, resource) is allowed, title


ROUTING_KINDS = {
    "gatewayapi:v1": ("gateway.networking.k8s.io", "httproutes"),
    "contour": ("projectcontour.io", "httpproxies"),
    "istio": ("networking.istio.io", "virtualservices"),
    "traefik": ("traefik.io", "traefikservices"),
    "gatewayapi:v1beta1": ("gateway.networking.k8s.io", "httproutes"),
    "apisix": ("apisix.apache.org", "apisixroutes"),
    "gloo": ("gateway.solo.io", "routetables"),
    "kuma": ("kuma.io", "trafficroutes"),
    "linkerd": ("split.smi-spec.io", "trafficsplits"),
    "smi:v1alpha1": ("split.smi-spec.io", "trafficsplits"),
    "smi:v1alpha2": ("split.smi-spec.io", "trafficsplits"),
    "smi:v1alpha3": ("split.smi-spec.io", "trafficsplits"),
    "smi:v1alpha3:istio": ("split.smi-spec.io", "trafficsplits"),
    "nginx": ("networking.k8s.io", "ingresses"),
    "skipper": ("networking.k8s.io", "ingresses"),
    "alb": ("networking.k8s.io", "ingresses"),
    "knative": ("serving.knative.dev", "services"),
}
READ = {"get", "list", "watch"}
CHANGED_ONLY = {"alb": READ | {"update"}, "knative": READ | {"update"}}
"""What providers may do that make no routing object."""


@pytest.mark.parametrize(("title", "values"), EVERY_MODE)
@pytest.mark.parametrize("provider", ROUTING_KINDS)
@pytest.mark.parametrize("further", [False, True], ids=["by default", "further"])
def test_routes_belong_to_the_provider_that_uses_them(title: str, values: Json, provider: str, further: bool) -> None:
    chosen: Json = {"rbac": {"providers": [provider]}} if further else {"meshProvider": provider}
    rules = all_rules(rights(**values, **chosen))
    verbs = READ | {"create", "update", "patch", "delete"}
    kinds = set(ROUTING_KINDS.values())
    given = {kind: {verb for verb in verbs if may(rules, verb, *kind)} for kind in kinds}
    needed = CHANGED_ONLY.get(provider, verbs)
    assert given == {kind: needed if kind == ROUTING_KINDS[provider] else set() for kind in kinds}, title


def test_every_provider_with_routing_objects_is_known_here() -> None:
    without_objects = {"kubernetes"}
    assert ROUTERS.keys() - without_objects <= ROUTING_KINDS.keys()


@pytest.mark.parametrize("resource", [plural for plural in GATEWAY_ROUTES.values() if plural != "httproutes"])
def test_routes_that_users_bring_along_are_patched_and_never_made_or_deleted(resource: str) -> None:
    verbs = {"get", "list", "watch", "create", "update", "patch", "delete"}
    for provider, given in (
        ("gatewayapi:v1", READ | {"patch"}),
        ("gatewayapi:v1beta1", READ | {"patch"}),
        ("contour", set()),
    ):
        rules = main_rules(rights(meshProvider=provider))
        assert {verb for verb in verbs if may(rules, verb, "gateway.networking.k8s.io", resource)} == given


def test_upstreams_of_gloo_come_with_its_route_tables() -> None:
    verbs = {"get", "list", "watch", "create", "update", "patch", "delete"}
    for provider, given in (("gloo", verbs), ("kubernetes", set[str]())):
        rules = main_rules(rights(meshProvider=provider))
        assert {verb for verb in verbs if may(rules, verb, "gloo.solo.io", "upstreams")} == given


def test_listed_namespaces_need_a_right_in_the_cluster_for_objects_that_have_no_namespace_and_no_other() -> None:
    rendered = rights(watchNamespaces=["shop", "bank"], meshProvider="kuma")
    (role,) = rendered.of("ClusterRole")
    assert [(rule["apiGroups"], rule["resources"]) for rule in role["rules"]] == [(["kuma.io"], ["trafficroutes"])]
    (binding,) = rendered.of("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_the_schema_of_canaries_may_be_looked_at_and_no_other() -> None:
    rules = main_rules(rights())
    group, resource = "apiextensions.k8s.io", "customresourcedefinitions"
    assert may(rules, "get", group, resource, "canaries.flagger.app")
    assert not may(rules, "get", group, resource, "httproutes.gateway.networking.k8s.io")
    assert not may(rules, "patch", group, resource, "canaries.flagger.app")


@pytest.mark.parametrize("namespaces", [[], ["shop", "bank"]])
def test_the_job_of_uninstalling_may_ask_for_the_release_and_nothing_else(namespaces: list[str]) -> None:
    rendered = rights(watchNamespaces=namespaces)
    roles = [*rendered.hooks("ClusterRole"), *rendered.hooks("Role")]
    assert [one["metadata"].get("namespace", "") for one in roles] == (sorted(namespaces) or [""])
    for role in roles:
        assert role["rules"] == [
            {"apiGroups": ["flagger.app"], "resources": ["canaries"], "verbs": ["get", "list", "patch"]}
        ]
    (job,), (account,) = rendered.hooks("Job"), rendered.hooks("ServiceAccount")
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]


@pytest.mark.parametrize("namespaces", [[], ["shop"]])
def test_every_binding_names_a_role_that_exists_and_the_account_that_runs(namespaces: list[str]) -> None:
    rendered = rights(watchNamespaces=namespaces)
    account = rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    for kind in ("Role", "ClusterRole"):
        there = {(one["metadata"].get("namespace"), one["metadata"]["name"]) for one in rendered.of(kind)}
        for binding in rendered.of(f"{kind}Binding"):
            assert binding["roleRef"]["kind"] == kind
            assert (binding["metadata"].get("namespace"), binding["roleRef"]["name"]) in there
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "flagger-system"}]


def test_rights_can_be_left_to_somebody_else() -> None:
    rendered = rights(rbac={"create": False}, serviceAccount={"create": False, "name": "given"})
    kinds = {one["kind"] for one in rendered.objects if "-release" not in one["metadata"]["name"]}
    assert kinds == {"Deployment", "PodDisruptionBudget"}
    assert rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "given"


def test_external_metrics_are_read_where_they_are_named() -> None:
    (given,) = (
        rule for rule in all_rules(rights(rbac={"externalMetrics": ["queue", "lag"]})) if GROUP in rule["apiGroups"]
    )
    assert given == {"apiGroups": [GROUP], "resources": ["queue", "lag"], "verbs": ["list"]}
    assert not [rule for rule in all_rules(rights()) if GROUP in rule["apiGroups"]]
