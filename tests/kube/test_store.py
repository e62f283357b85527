"""Versions never go back, tombstones hold, and whose news it was decides who is woken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import CANARIES, DEPLOYMENTS, Ref
from flaggerpy.kube.store import Absent, KindStore, NotFollowed, Present

REF = Ref(DEPLOYMENTS, "test", "podinfo")
OTHER = Ref(DEPLOYMENTS, "test", "other")


def at(version: int, name: str = "podinfo", namespace: str = "test") -> JsonObject:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}}


@pytest.fixture
def store() -> KindStore:
    return KindStore(DEPLOYMENTS, lambda ref: ref in {REF, OTHER}, whole=False)


def test_nothing_known_is_not_the_same_as_missing(store: KindStore) -> None:
    assert store.lookup(REF) == NotFollowed()


def test_what_nobody_follows_is_dropped_on_arrival(store: KindStore) -> None:
    assert not store.see(at(5, name="stranger"))
    assert not store.see_gone(at(5, name="stranger"))
    assert not store.record(Ref(DEPLOYMENTS, "test", "stranger"), at(5, name="stranger"))
    assert len(store) == 0


def test_an_older_state_never_replaces_a_newer_one(store: KindStore) -> None:
    assert store.see(at(10))
    assert not store.see(at(9))
    assert not store.fetched(REF, at(9), store.entry(REF))
    assert not store.record(REF, at(9))
    assert store.lookup(REF) == Present(at(10))


def test_versions_are_numbers_not_texts(store: KindStore) -> None:
    store.see(at(9))
    assert store.see(at(10))


def test_a_deletion_is_remembered_against_late_news_of_the_dead(store: KindStore) -> None:
    store.see(at(10))
    assert store.see_gone(at(12))
    assert not store.see(at(11))
    assert store.lookup(REF) == Absent()
    assert store.see(at(13))
    assert store.lookup(REF) == Present(at(13))


def test_an_old_deletion_does_not_kill_the_successor(store: KindStore) -> None:
    store.see(at(13))
    assert not store.see_gone(at(12))
    assert store.lookup(REF) == Present(at(13))


def test_the_echo_of_our_own_write_wakes_nobody(store: KindStore) -> None:
    store.see(at(10))
    store.record(REF, at(12))
    assert not store.see(at(12))
    assert store.see(at(13))


def test_our_deletion_is_seen_at_once_and_its_echo_wakes_nobody(store: KindStore) -> None:
    store.see(at(10))
    store.record(REF, None)
    assert store.lookup(REF) == Absent()
    assert not store.see_gone(at(11))


def test_a_strangers_write_below_ours_wakes_although_ours_is_newer(store: KindStore) -> None:
    """Our unconditional patch landed on a state we had not seen: the tick decided without knowing it."""
    store.see(at(10))
    store.record(REF, at(12))
    store.record(REF, at(14))
    assert not store.see(at(12))
    assert store.see(at(13))
    assert not store.see(at(14))
    assert store.lookup(REF) == Present(at(14))


def test_a_list_after_our_write_wakes_because_it_hides_what_lay_below(store: KindStore) -> None:
    store.see(at(10))
    store.record(REF, at(12))
    assert store.see(at(12), relisted=True)
    assert not store.see(at(12), relisted=True)


def test_a_list_buries_what_it_does_not_show(store: KindStore) -> None:
    store.see(at(10))
    gone = store.vanish(frozenset({REF}), seen=set(), resource_version="20", namespace=None)
    assert gone == [REF]
    assert store.lookup(REF) == Absent()
    assert not store.see(at(19))


def test_a_list_does_not_bury_what_was_written_after_it_began(store: KindStore) -> None:
    store.record(REF, at(25))
    assert store.vanish(frozenset({REF}), seen=set(), resource_version="20", namespace=None) == []
    assert store.lookup(REF) == Present(at(25))


def test_a_list_says_nothing_about_what_was_followed_after_it_began(store: KindStore) -> None:
    """The list had dropped the object by then; a GET brought it, with a version older than the list's."""
    store.fetched(REF, at(10), None)
    assert store.vanish(frozenset(), seen=set(), resource_version="20", namespace=None) == []
    assert store.lookup(REF) == Present(at(10))


def test_a_list_of_one_namespace_says_nothing_about_others(store: KindStore) -> None:
    store.see(at(10))
    assert store.vanish(frozenset({REF}), set(), "20", namespace="elsewhere") == []
    assert store.lookup(REF) == Present(at(10))


def test_a_whole_list_makes_what_it_does_not_show_absent(store: KindStore) -> None:
    store.vanish(frozenset({REF}), seen=set(), resource_version="20", namespace=None)
    assert store.lookup(REF) == Absent()


def test_not_found_does_not_overrule_what_was_learnt_meanwhile(store: KindStore) -> None:
    before = store.entry(REF)
    store.see(at(10))
    assert not store.fetched(REF, None, before)
    assert store.lookup(REF) == Present(at(10))


def test_not_found_is_absent(store: KindStore) -> None:
    store.fetched(REF, None, store.entry(REF))
    assert store.lookup(REF) == Absent()
    assert store.see(at(10))


def test_derived_content_gives_way_to_the_real_one_of_the_same_version(store: KindStore) -> None:
    store.see(at(10))
    store.record(REF, at(12), exact=False)
    assert store.see({**at(12), "spec": {"real": True}})
    assert store.lookup(REF) == Present({**at(12), "spec": {"real": True}})


def test_derived_content_that_was_right_wakes_nobody(store: KindStore) -> None:
    store.see(at(10))
    store.record(REF, at(12), exact=False)
    assert not store.see(at(12))


def test_where_only_content_counts_a_version_that_brings_none_wakes_nobody() -> None:
    store = KindStore(DEPLOYMENTS, lambda _: True, whole=False, by_content=True)
    assert store.see(at(5))
    assert not store.see(at(6))
    found = store.lookup(REF)
    assert isinstance(found, Present)
    assert found.obj == at(6), "the next write depends on the newest version"
    assert store.see(at(7) | {"spec": {}})
    assert store.see_gone(at(8))
    assert store.see(at(9) | {"spec": {}}), "it is there again"


def test_a_caller_may_change_its_copy(store: KindStore) -> None:
    store.see(at(10))
    found = store.lookup(REF)
    assert isinstance(found, Present)
    found.obj["metadata"]["name"] = "changed"
    assert store.lookup(REF) == Present(at(10))


def test_a_kind_kept_whole_forgets_the_buried() -> None:
    store = KindStore(CANARIES, lambda _: True, whole=True)
    store.see(at(10))
    store.see(at(11, name="other"))
    gone = store.vanish(frozenset(), {Ref(CANARIES, "test", "other")}, "20", namespace=None)
    assert gone == [Ref(CANARIES, "test", "podinfo")]
    assert len(store) == 1
    assert store.objects() == [at(11, name="other")]


def test_a_kind_kept_whole_remembers_only_the_last_of_the_dead() -> None:
    store = KindStore(CANARIES, lambda _: True, whole=True)
    for number in range(1000):
        store.see(at(2 * number, name=f"c{number}"))
        store.see_gone(at(2 * number + 1, name=f"c{number}"))
    assert len(store) == 256
    assert not store.see(at(1990, name="c999"))


steps = st.lists(
    st.tuples(st.sampled_from(["see", "gone", "record", "unrecord", "fetch", "lost", "list"]), st.integers(1, 9)),
    max_size=12,
)


@pytest.mark.laws
@given(steps)
def test_whatever_arrives_in_whatever_order_the_version_never_goes_back(taken: list[tuple[str, int]]) -> None:
    store = KindStore(DEPLOYMENTS, lambda _: True, whole=False)
    newest = 0
    for step, version in taken:
        match step:
            case "see":
                store.see(at(version))
            case "gone":
                store.see_gone(at(version))
            case "record":
                store.record(REF, at(version))
            case "unrecord":
                store.record(REF, None)
            case "fetch":
                store.fetched(REF, at(version), None)
            case "lost":
                store.fetched(REF, None, store.entry(REF))
            case _:
                store.vanish(frozenset({REF}), set(), str(version), None)
        entry = store.entry(REF)
        assert entry is not None
        assert entry.version >= newest
        newest = entry.version
        found = store.lookup(REF)
        if isinstance(found, Present):
            assert found.obj == at(newest)
