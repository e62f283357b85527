"""The checksum that webhooks are sent: receivers compare it, so it is Flagger's to the letter."""

from __future__ import annotations

from flaggerpy.api.checksum import short_hash, webhook_checksum

CONFIGS = {"configmap/a": "484637c76acaa7c6"}
APPLIED = "5f56684589"


def test_the_hash_is_flaggers() -> None:
    assert short_hash("(string)podinfo-00001") == "5498f4fcd6"


def test_a_revision_with_and_without_configs_has_the_checksum_that_flagger_gives_it() -> None:
    assert webhook_checksum(CONFIGS, APPLIED) == "64b95b85c8"
    assert webhook_checksum(None, APPLIED) == "5c4d6696cf"


def test_it_differs_by_template_by_config_and_by_content_and_not_by_order() -> None:
    two = {"secret/b": "1", "configmap/a": "2"}
    revisions = [(None, APPLIED), (None, "other"), ({}, APPLIED), (CONFIGS, APPLIED), ({"configmap/a": "2"}, APPLIED)]
    assert len({webhook_checksum(*revision) for revision in [*revisions, (two, APPLIED)]}) == len(revisions) + 1
    assert webhook_checksum(dict(reversed(two.items())), APPLIED) == webhook_checksum(two, APPLIED)
