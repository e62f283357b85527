"""A primary is protected from evictions as its target is, and by no more than one budget."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flaggerpy.kube.resources import BUDGETS, Ref
from flaggerpy.targets.budgets import BudgetChanges, budget_changes
from flaggerpy.targets.deployment import DeploymentTarget
from tests.builders import canary
from tests.targets.objects import RULES, deployment, stored

CANARY, TARGET = canary(), deployment()
FACTS = DeploymentTarget().facts(CANARY, TARGET, RULES, None)


def budget(name: str = "web", selector: Any = None, **spec: Any) -> dict[str, Any]:
    """Build a budget of its user; without a selector it selects by ``app: web``."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "shop", "resourceVersion": "1", "labels": {"own": "x"}},
        "spec": {"minAvailable": 1, "selector": selector or {"matchLabels": {"app": "web"}}, **spec},
    }


def changes(*budgets: dict[str, Any]) -> BudgetChanges:
    return budget_changes(CANARY, TARGET, FACTS, budgets, RULES)


def made(source: dict[str, Any] | None = None) -> dict[str, Any]:
    """Build the primary's budget as the API server serves it."""
    [body] = changes(source or budget()).writes
    return stored(copy.deepcopy(body))


def test_the_primarys_budget_is_the_targets_for_the_primarys_pods() -> None:
    source = budget(maxUnavailable="30%", minAvailable=None, unhealthyPodEvictionPolicy="AlwaysAllow")
    source["metadata"]["labels"]["app.kubernetes.io/part-of"] = "shop"

    [body] = changes(source).writes

    assert body["metadata"] == {
        "name": "web-primary",
        "namespace": "shop",
        "labels": {"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/managed-by": "flaggerpy"},
        "annotations": {"flaggerpy.dev/canary": "shop/web"},
    }
    assert body["spec"] == {**source["spec"], "selector": {"matchLabels": {"app": "web-primary"}}}


def test_what_is_right_is_not_written_and_an_edit_is_followed() -> None:
    live = made()
    assert not changes(budget(), live)

    [body] = changes(budget(minAvailable=2), live).writes

    assert body["spec"]["minAvailable"] == 2
    assert body["metadata"]["resourceVersion"] == "3141", "the write is conditional on what was read"


def test_strangers_labels_on_the_primarys_budget_stay() -> None:
    live = made()
    live["metadata"]["labels"]["stranger"] = "s"
    assert not changes(budget(), live)


def test_a_budget_without_its_target_goes() -> None:
    assert changes(made()) == BudgetChanges(deletions=(Ref(BUDGETS, "shop", "web-primary"),))


@pytest.mark.parametrize(
    ("title", "selector", "copied"),
    [
        ("another app", {"matchLabels": {"app": "other"}}, False),
        ("another label as well", {"matchLabels": {"app": "web", "tier": "back"}}, False),
        ("its own labels", {"matchLabels": {"app": "web", "tier": "front"}}, True),
        ("an expression", {"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "web"]}]}, True),
        ("a label that both have", {"matchLabels": {"tier": "front"}}, False),
        ("everything", {"matchLabels": {}}, False),
        (
            "not the primary",
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web-primary"]}]},
            True,
        ),
        ("a label that exists", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, False),
        ("one that does not", {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ("a newer operator", {"matchExpressions": [{"key": "app", "operator": "Newer", "values": ["web"]}]}, False),
    ],
)
def test_which_budgets_are_copied(title: str, selector: dict[str, Any], copied: bool) -> None:
    assert bool(changes(budget(selector=selector))) is copied, title


def test_a_budget_without_a_selector_protects_nobody() -> None:
    nobodys = budget()
    del nobodys["spec"]["selector"]
    assert not changes(nobodys)


@pytest.mark.parametrize("name", ["web-primary", "mine"])
def test_a_users_own_budget_for_the_primary_is_left_alone(name: str) -> None:
    own = budget(name, {"matchLabels": {"app": "web-primary"}})
    assert not changes(budget(), own), "in two budgets its pods could not be evicted"


def test_when_the_user_protects_the_primary_our_budget_goes() -> None:
    own = budget("mine", {"matchLabels": {"app": "web-primary"}})
    assert changes(budget(), made(), own).deletions == (Ref(BUDGETS, "shop", "web-primary"),)


def test_an_object_of_the_copys_name_that_is_not_ours_is_not_overwritten() -> None:
    assert not changes(budget(), budget("web-primary", {"matchLabels": {"app": "other"}}))


def test_another_canarys_budget_is_nobodys_to_copy_or_delete() -> None:
    theirs = made()
    theirs["metadata"] = {**theirs["metadata"], "annotations": {"flaggerpy.dev/canary": "shop/other"}, "name": "x"}
    theirs["spec"]["selector"] = {"matchLabels": {"app": "other-primary"}}
    assert not changes(theirs)
