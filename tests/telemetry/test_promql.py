"""What is found in an expression, and that nothing is passed over."""

from __future__ import annotations

import pytest

from tests.telemetry.promql import NotUnderstoodError, Use, labels_of_text, uses


def found(expression: str) -> list[tuple[str, set[str]]]:
    return [(use.metric, use.wanted) for use in uses(expression)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("up", [("up", set())]),
        ('up{job="a", pod!~"b{by}.*"}', [("up", {"job", "pod"})]),
        ("up{}", [("up", set())]),
        ('up{job="a",}', [("up", {"job"})]),
        ('rate(http_requests_total{code=~"5.."}[$__rate_interval])', [("http_requests_total", {"code"})]),
        ("sum(up)", [("up", set())]),
        ("sum by (job) (up)", [("up", {"job"})]),
        ("sum(up) by (job, pod)", [("up", {"job", "pod"})]),
        ("count without (pod) (up)", [("up", {"pod"})]),
        ("max(max by (a, b) (up)) ", [("up", {"a", "b"})]),
        ("histogram_quantile(0.95, sum by (le, a) (rate(x_bucket[5m])))", [("x_bucket", {"le", "a"})]),
        ("a + on (x) group_left (y) b", [("a", {"x"}), ("b", {"x", "y"})]),
        ("a * on(x) group_left b", [("a", {"x"}), ("b", {"x"})]),
        ("a and on (x) b or c", [("a", {"x"}), ("b", {"x"}), ("c", set())]),
        ("(a or b) and ignoring (x) c", [("a", {"x"}), ("b", {"x"}), ("c", {"x"})]),
        ("time() - a > bool 3600", [("a", set())]),
        ("2 * -a == 1e3", [("a", set())]),
        ("sum(a) or vector(0)", [("a", set())]),
        ("absent(a)", [("a", set())]),
        ("topk(3, a)", [("a", set())]),
        (
            'label_replace(a{z="1"}, "made", "$1", "src", "(.*)") and on (made) b',
            [("a", {"z", "src"}), ("b", {"made"})],
        ),
    ],
)
def test_metrics_and_the_labels_that_are_asked_of_them(expression: str, expected: list[tuple[str, set[str]]]) -> None:
    assert found(expression) == expected


@pytest.mark.parametrize(
    ("expression", "lost"),
    [
        ("sum by (a) (x)", set()),
        ("max by (b) (sum by (a) (x))", {"b"}),
        ("sum(x) and on (a) y", {"a"}),
        ("max by (a) (x) and on (a) y", set()),
        ('sum by (a) (label_replace(x, "made", "$1", "a", "(.*)")) and on (made) y', {"made"}),
    ],
)
def test_labels_that_an_aggregation_took_away_are_missed(expression: str, lost: set[str]) -> None:
    assert uses(expression)[0].lost == lost


def test_what_is_left_of_a_metric_is_known() -> None:
    assert [use.left for use in uses("x + sum by (a) (y) + sum without (b) (z) + count(w)")] == [
        None,
        {"a"},
        None,
        set(),
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "sum by (job",
        "up up",
        "up{job}",
        'up{job=="a"}',
        '{__name__="up"}',
        "a ?? b",
        "sum by job (up)",
        "(up",
        "up)",
    ],
)
def test_what_is_not_understood_is_an_error(expression: str) -> None:
    with pytest.raises(NotUnderstoodError):
        uses(expression)


def test_labels_in_legends_and_texts() -> None:
    assert labels_of_text("{{namespace}}/{{ name }} is at {{ $labels.code }}, {{ $value | humanize }}") == {
        "namespace",
        "name",
        "code",
    }


def test_a_use_asks_for_what_was_not_made() -> None:
    use = Use("x", made={"a"})
    use.ask({"a", "b"})
    assert use.wanted == {"b"}
