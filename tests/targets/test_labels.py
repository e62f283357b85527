import pytest

from flaggerpy.targets.labels import LabelRules


@pytest.mark.parametrize(
    ("title", "flag", "match_labels", "chosen"),
    [
        ("the first label of the list that the target selects by", "app,name", {"name": "a", "app": "b"}, "app"),
        ("the list's order counts, not the target's", "name,app", {"app": "b", "name": "a"}, "name"),
        ("spaces in the flag do not count", "app, name ", {"name": "a"}, "name"),
        ("a trailing comma names no label", "app,", {"": "a"}, None),
        ("a target that selects by none of them has none", "app,name", {"tier": "a"}, None),
    ],
)
def test_the_selector_label(title: str, flag: str, match_labels: dict[str, str], chosen: str | None) -> None:
    assert LabelRules.from_flags(flag, "").selector_label(match_labels) == chosen, title


@pytest.mark.parametrize(
    ("title", "prefixes", "key", "copied"),
    [
        ("nothing is copied by default", "", "app.kubernetes.io/part-of", False),
        ("a prefix copies what begins with it", "app.kubernetes.io", "app.kubernetes.io/part-of", True),
        ("and nothing else", "app.kubernetes.io", "own", False),
        ("one of several is enough", "x, app", "app.kubernetes.io/part-of", True),
        ("a star copies all", "*", "own", True),
        ("but not what belongs to Flux", "*", "kustomize.toolkit.fluxcd.io/name", False),
        ("nor kubectl's copy of another object", "*", "kubectl.kubernetes.io/last-applied-configuration", False),
        ("nor the revision of another Deployment", "*", "deployment.kubernetes.io/revision", False),
        ("nor what makes an object Argo CD's", "*", "argocd.argoproj.io/instance", False),
        ("nor our own marks", "*", "flaggerpy.dev/canary", False),
    ],
)
def test_what_follows_a_target_to_its_primary(title: str, prefixes: str, key: str, copied: bool) -> None:
    rules = LabelRules.from_flags("app", prefixes)
    assert rules.copied({key: "v"}) == ({key: "v"} if copied else {}), title
