from typing import Any

import pytest

from flaggerpy.kube.resources import CONFIG_MAPS, SECRETS
from flaggerpy.rollout.errors import UserError
from flaggerpy.targets.configs import (
    ConfigRef,
    checksum,
    config_refs,
    configs_seen,
    digest,
    flagger_checksum,
    is_tracked,
    make_copy,
    refuse_collisions,
    without_owner,
)
from tests.builders import canary
from tests.targets.objects import RULES, config_map, stored, template, vectors


@pytest.mark.parity
@pytest.mark.parametrize("config", vectors()["configs"], ids=lambda config: config["name"])
def test_checksums_are_flaggers(config: dict[str, Any]) -> None:
    expected = vectors()["checksums"][f"{config['kind'].lower()}/{config['name']}"]
    assert flagger_checksum(config) == expected


def test_the_documented_checksum() -> None:
    assert checksum({"data": {"color": "red"}}) == "241889ca0604e333"


def test_binary_data_counts_only_for_us() -> None:
    plain, binary = config_map(), config_map(binaryData={"logo": "AAEC"})
    assert flagger_checksum(binary) == flagger_checksum(plain)
    assert checksum(binary) != checksum(plain) == flagger_checksum(plain)
    assert checksum(binary) != checksum(config_map(binaryData={"logo": "AAED"}))


def test_references_are_found_wherever_pods_read_configs_and_the_last_mention_decides() -> None:
    pod = template(
        volumes=[
            {"name": "a", "configMap": {"name": "volume"}},
            {"name": "b", "secret": {"secretName": "volume"}},
            {
                "name": "c",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "projected"}},
                        {"secret": {"name": "projected"}},
                        {"downwardAPI": {}},
                    ]
                },
            },
            {"name": "d", "emptyDir": {}},
        ],
        initContainers=[
            {
                "name": "init",
                "env": [
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a", "optional": True}}}
                ],
                "envFrom": [{"secretRef": {"name": "init"}}],
            }
        ],
        imagePullSecrets=[{"name": "not-read-by-pods"}],
    )
    assert [(ref.key, ref.optional) for ref in config_refs(pod)] == [
        ("configmap/volume", False),
        ("secret/volume", False),
        ("configmap/projected", False),
        ("secret/projected", False),
        ("secret/key", False),
        ("configmap/settings", True),
        ("secret/init", False),
    ]


@pytest.mark.parametrize(
    ("title", "config", "tracked"),
    [
        ("a ConfigMap takes part", {"kind": "ConfigMap"}, True),
        ("an opaque Secret too", {"kind": "Secret", "type": "Opaque"}, True),
        ("and those for passwords, keys and certificates", {"kind": "Secret", "type": "kubernetes.io/tls"}, True),
        (
            "a token of a service account does not",
            {"kind": "Secret", "type": "kubernetes.io/service-account-token"},
            False,
        ),
        ("nor a type that nobody knows", {"kind": "Secret", "type": "example.com/custom"}, False),
        (
            "an annotation opts out",
            {"kind": "ConfigMap", "metadata": {"annotations": {"flagger.app/config-tracking": "disabled"}}},
            False,
        ),
        (
            "whatever follows disable",
            {"kind": "ConfigMap", "metadata": {"annotations": {"flagger.app/config-tracking": "disable"}}},
            False,
        ),
        (
            "another value does not",
            {"kind": "ConfigMap", "metadata": {"annotations": {"flagger.app/config-tracking": "enabled"}}},
            True,
        ),
    ],
)
def test_which_configs_take_part(title: str, config: dict[str, Any], tracked: bool) -> None:
    assert is_tracked(config) is tracked, title


def test_a_config_that_pods_need_and_nobody_made_is_a_problem_and_an_optional_one_is_none() -> None:
    needed, optional, there = (
        ConfigRef(CONFIG_MAPS, "needed"),
        ConfigRef(SECRETS, "o", optional=True),
        ConfigRef(CONFIG_MAPS, "settings"),
    )

    seen, problems = configs_seen(
        (needed, optional, there), {needed: None, optional: None, there: digest(config_map())}, "shop"
    )

    assert seen.ours == seen.flagger == {"configmap/settings": "241889ca0604e333"}
    [problem] = problems
    assert "ConfigMap needed, which does not exist in namespace shop" in problem


def test_every_write_of_a_tracked_config_is_told_apart_whatever_its_content() -> None:
    followed, aside = ConfigRef(CONFIG_MAPS, "settings"), ConfigRef(SECRETS, "token")

    def writes(version: str, other: str) -> str:
        config = config_map()
        config["metadata"]["resourceVersion"] = version
        secret = {"kind": "Secret", "type": "helm.sh/release.v1", "metadata": {"resourceVersion": other}}
        digests = {followed: digest(config), aside: digest(secret)}
        return configs_seen((followed, aside), digests, "shop")[0].writes

    assert writes("7", "1") == writes("7", "2"), "a config that takes no part does not matter"
    assert writes("7", "1") != writes("8", "1")
    assert configs_seen((), {}, "shop")[0].writes == ""


def test_a_copy_has_all_content_and_says_whose_it_is() -> None:
    source = config_map(binaryData={"logo": "AAEC"}, immutable=True)

    copy = make_copy(canary(), source, None, RULES)

    assert copy["metadata"] == {
        "name": "settings-primary",
        "namespace": "shop",
        "labels": {"app.kubernetes.io/part-of": "shop", "app.kubernetes.io/managed-by": "flaggerpy"},
        "annotations": {"flaggerpy.dev/canary": "shop/web"},
    }
    assert (copy["data"], copy["binaryData"]) == (source["data"], source["binaryData"])
    assert "immutable" not in copy, "the next promotion must be able to change it"
    assert checksum(copy) == checksum(source)


def test_a_copy_replaces_the_live_one_whole_and_drops_only_flaggers_owner() -> None:
    other = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}
    flagger = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "web", "uid": "2", "controller": True}
    live = stored(config_map("settings-primary", data={"old": "1"}), ownerReferences=[flagger, other])

    copy = make_copy(canary(), config_map(), live, RULES)

    assert copy["data"] == {"color": "red"}
    assert copy["metadata"]["resourceVersion"] == "3141"
    assert copy["metadata"]["ownerReferences"] == [other]


def test_a_copy_that_two_canaries_read_goes_with_the_last_of_them() -> None:
    first, second = canary("web"), canary("api")
    copy = make_copy(second, config_map(), stored(make_copy(first, config_map(), None, RULES)), RULES)

    left = without_owner(first, copy)

    assert left is not None
    assert left["metadata"]["annotations"] == {"flaggerpy.dev/canary": "shop/api"}
    assert without_owner(second, left) is None


def test_an_object_that_is_no_copy_is_never_overwritten() -> None:
    with pytest.raises(UserError, match="ConfigMap settings-primary was not made for a canary"):
        make_copy(canary(), config_map(), stored(config_map("settings-primary")), RULES)


def test_a_template_that_reads_a_config_and_its_copy_is_refused() -> None:
    refs = (ConfigRef(CONFIG_MAPS, "a"), ConfigRef(CONFIG_MAPS, "a-primary"))
    with pytest.raises(UserError, match="both ConfigMap a and a-primary"):
        refuse_collisions(refs, ("configmap/a",))
    refuse_collisions(refs, ())
    refuse_collisions((ConfigRef(CONFIG_MAPS, "a"), ConfigRef(SECRETS, "a-primary")), ("configmap/a",))
