"""Knative: two entries of a service's traffic are ours; what has a tag keeps it, and gets nothing."""

from __future__ import annotations

from typing import Any

import pytest

from flaggerpy.api.status import CanaryStatus, Revision, RolloutStatus
from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import KNATIVE_SERVICES, Ref
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY, ALL_TO_PRIMARY, Acceptance, Routes, to_canary
from flaggerpy.routers.registry import router_for
from tests.builders import canary, same_but
from tests.routers.cases import PRIMARY, of_knative

ROUTER = router_for("knative")
OWNER = of_knative("shop")
REF = Ref(KNATIVE_SERVICES, "shop", "web")
FRESH = canary(spec={"provider": "knative", "targetRef": {**OWNER.spec.target_ref.model_dump(by_alias=True)}})
NEWEST = {"latestRevision": True, "percent": 100}
ROUTES_READY = {"type": "RoutesReady", "status": "True"}


def service(*traffic: JsonObject, annotations: JsonObject | None = None, **status: Any) -> JsonObject:
    """Build a service with this traffic; ``status`` is its status."""
    metadata = {"name": "web", "namespace": "shop", "generation": 3, "resourceVersion": "5"}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": metadata | ({"annotations": annotations} if annotations else {}),
        "spec": {"template": {"spec": {}}, "traffic": list(traffic)},
        "status": status,
    }


def shared(live: JsonObject, routes: Routes) -> JsonObject:
    [body] = ROUTER.render(OWNER, {REF: live}, routes)
    return body


def pinned(percent: int, **more: Any) -> JsonObject:
    return {"revisionName": PRIMARY, "percent": percent, **more}


def test_two_entries_share_and_tags_stay() -> None:
    live = service(
        {"latestRevision": True, "percent": 70, "tag": "next"},
        {"revisionName": "web-00000", "percent": 30, "tag": "old"},
        {"revisionName": "web-00000", "percent": 0},
        {"latestRevision": True, "percent": 0, "tag": "preview"},
    )

    body = shared(live, to_canary(20))

    assert body["spec"]["traffic"] == [
        {"latestRevision": True, "percent": 20, "tag": "next"},
        pinned(80),
        {"revisionName": "web-00000", "percent": 0, "tag": "old"},
        {"latestRevision": True, "percent": 0, "tag": "preview"},
    ]
    assert body["metadata"]["resourceVersion"] == "5", "only if nobody wrote meanwhile"
    assert not ROUTER.state(OWNER, {REF: body}).drifted


def test_a_tag_of_the_primarys_own_entry_stays() -> None:
    body = shared(service(NEWEST, pinned(0, tag="stable")), to_canary(20))
    assert body["spec"]["traffic"][1] == pinned(80, tag="stable")


def test_before_the_bootstrap_nothing_is_known_and_everybody_may_stay_where_they_are() -> None:
    live = {REF: service(NEWEST)}
    assert ROUTER.state(FRESH, live).routes is None
    [body] = ROUTER.render(FRESH, live, ALL_TO_CANARY)
    assert body["spec"]["traffic"] == [NEWEST]
    assert ROUTER.render(FRESH, live, ALL_TO_PRIMARY) == (), "there is no primary that anybody knows"


@pytest.mark.parametrize(
    ("traffic", "share"),
    [
        ([NEWEST], 100),
        ([{"percent": 100}], 100),
        ([{"latestRevision": True, "percent": 60}, {"revisionName": "web-00009", "percent": 40}], 60),
        ([{"latestRevision": True, "percent": 60}, {"latestRevision": True, "percent": 40, "tag": "x"}], 100),
    ],
)
def test_whatever_is_not_the_newest_counts_as_the_primary(traffic: list[JsonObject], share: int) -> None:
    state = ROUTER.state(OWNER, {REF: service(*traffic)})
    assert state.routes == to_canary(share)
    assert state.drifted


@pytest.mark.parametrize(
    "traffic", [[], [{"latestRevision": True, "percent": 40}], ["nonsense"], [{"percent": "many"}]]
)
def test_traffic_that_means_nothing_is_no_share(traffic: list[Any]) -> None:
    assert ROUTER.state(OWNER, {REF: service(*traffic)}).routes is None


def test_defaults_that_knative_writes_are_no_drift() -> None:
    body = shared(service(NEWEST), to_canary(20))
    body["spec"]["traffic"][1]["latestRevision"] = False
    assert not ROUTER.state(OWNER, {REF: body}).drifted


@pytest.mark.parametrize("lost", ["flagger.app/primary-revision", "flaggerpy.dev/canary"])
def test_w98_a_lost_annotation_is_drift_and_written_again(lost: str) -> None:
    """Flagger crashes without the first."""
    live = shared(service(NEWEST), to_canary(20))
    del live["metadata"]["annotations"][lost]
    assert ROUTER.state(OWNER, {REF: live}).routes == to_canary(20)
    assert ROUTER.state(OWNER, {REF: live}).drifted
    assert lost in shared(live, to_canary(20))["metadata"]["annotations"]


def test_what_stays_behind_leads_to_the_newest_revision() -> None:
    """Flagger crashes when it takes its annotation off (W-98)."""
    mine = {"team": "a", "flaggerpy.dev/primary-template": "web-00001 v1"}
    live = shared(
        service(NEWEST, {"revisionName": "web-00000", "percent": 0, "tag": "old"}, annotations=mine), Routes(80, 20)
    )

    [body] = ROUTER.restore(OWNER, {REF: live})

    assert body["metadata"]["annotations"] == {"team": "a"}
    assert body["spec"]["traffic"] == [NEWEST, {"revisionName": "web-00000", "percent": 0, "tag": "old"}]
    assert ROUTER.restore(OWNER, {REF: body}) == ()


def test_a_service_that_another_canary_has_taken_stays_as_it_is() -> None:
    """One canary may have led to it before, and the other leads to it now."""
    theirs = {"flaggerpy.dev/canary": "shop/other", "flagger.app/primary-revision": PRIMARY}
    assert ROUTER.restore(OWNER, {REF: service(*SPLIT, annotations=theirs)}) == ()


def test_a_service_that_was_made_anew_has_none_of_the_revisions_of_before() -> None:
    """Knative counts from the start, and traffic for a revision that is not there serves nobody."""
    promoted = Revision(template="v1", controller_revision="web-00007", uid="before")
    owner = same_but(OWNER, status=CanaryStatus(rollout=RolloutStatus(promoted=promoted)))
    anew = service(NEWEST)
    anew["metadata"]["uid"] = "after"
    assert ROUTER.state(owner, {REF: anew}).routes is None
    assert ROUTER.render(owner, {REF: anew}, ALL_TO_PRIMARY) == ()
    anew["metadata"]["uid"] = "before"
    assert ROUTER.state(owner, {REF: anew}).routes == ALL_TO_CANARY


def test_other_workloads_are_refused_also_where_the_controller_chose_the_provider() -> None:
    [problem] = ROUTER.problems(canary(spec={"provider": None}))
    assert problem.startswith("spec.provider is missing, and knative, with which the controller was started, moves no")
    assert ROUTER.problems(OWNER) == ()


SPLIT = [{"latestRevision": True, "percent": 20}, pinned(80)]
SERVED = [{"latestRevision": True, "revisionName": "web-00002", "percent": 20}, pinned(80, latestRevision=False)]
BEFORE = [{"latestRevision": True, "revisionName": "web-00002", "percent": 0}, pinned(100, latestRevision=False)]
MISSING = {"type": "RoutesReady", "status": "False", "reason": "RevisionMissing", "message": "web-00001 not found"}


@pytest.mark.parametrize(
    ("status", "accepted", "note"),
    [
        ({"observedGeneration": 3, "traffic": SERVED, "conditions": [ROUTES_READY]}, Acceptance.YES, ""),
        ({"traffic": SERVED, "conditions": [ROUTES_READY]}, Acceptance.UNKNOWN, ""),
        ({"observedGeneration": 2, "traffic": SERVED, "conditions": [ROUTES_READY]}, Acceptance.BEHIND, ""),
        ({"observedGeneration": 3, "traffic": BEFORE, "conditions": [ROUTES_READY]}, Acceptance.BEHIND, ""),
        (
            {"observedGeneration": 3, "traffic": SERVED, "conditions": [{**ROUTES_READY, "status": "Unknown"}]},
            Acceptance.BEHIND,
            "",
        ),
        ({"observedGeneration": 3, "traffic": SERVED}, Acceptance.BEHIND, ""),
        (
            {"observedGeneration": 3, "traffic": BEFORE, "conditions": [MISSING]},
            Acceptance.NO,
            "Knative does not serve the route: web-00001 not found",
        ),
    ],
)
def test_the_route_is_live_when_knative_says_that_it_serves_these_shares(
    status: JsonObject, accepted: Acceptance, note: str
) -> None:
    state = ROUTER.state(OWNER, {REF: service(*SPLIT, **status)})
    assert (state.accepted, state.note) == (accepted, note)


def test_a_service_that_is_not_there_or_not_ours_is_refused() -> None:
    with pytest.raises(UserError, match="Knative service web does not exist: create it"):
        ROUTER.render(OWNER, {}, ALL_TO_CANARY)
    taken = service(NEWEST, annotations={"flaggerpy.dev/canary": "shop/other"})
    with pytest.raises(UserError, match="Service web belongs to canary shop/other"):
        ROUTER.render(OWNER, {REF: taken}, ALL_TO_CANARY)
