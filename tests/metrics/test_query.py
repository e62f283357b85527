from __future__ import annotations

import contextlib
import time
from dataclasses import replace

import pytest

from flaggerpy.metrics.query import QueryContext, render
from flaggerpy.rollout.errors import UserError

CONTEXT = QueryContext(
    name="podinfo",
    namespace="prod",
    target="web",
    service="web-svc",
    ingress="web-ing",
    route="web-route",
    interval="2m",
    variables={"direction": "inbound", "items": "3", "pattern": "{{ namespace }}"},
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param("up", "up", id="text stays as it is"),
        pytest.param('a{b="{c}"}', 'a{b="{c}"}', id="braces of PromQL stay"),
        pytest.param("{{ name }}/{{namespace}}/{{  target}}", "podinfo/prod/web", id="blanks do not matter"),
        pytest.param("{{service}} {{ingress}} {{route}}", "web-svc web-ing web-route", id="names of the routing"),
        pytest.param("rate(x[{{ interval }}])", "rate(x[2m])", id="interval is the user's text"),
        pytest.param("{{ variables.direction }}", "inbound", id="a variable"),
        pytest.param("{{ variables.items }}", "3", id="a variable may be called like a method of dicts"),
        pytest.param("{{ variables.pattern }}", "{{ namespace }}", id="values are not rendered again"),
        pytest.param('{{ index variables "direction" }}', "inbound", id="index"),
        pytest.param('{{ printf "%s-canary" target }}', "web-canary", id="printf"),
        pytest.param('{{ printf "%s-%v 5%%" target variables.direction }}', "web-inbound 5%", id="printf of two"),
        pytest.param('{{ printf "%q" target }}', '"web"', id="printf quotes"),
        pytest.param('{{ printf "%5s|%-5s|%d" target target 7 }}', "  web|web  |7", id="printf widths"),
        pytest.param('{{ target | printf "%s.%s" namespace }}', "prod.web", id="a pipeline fills the last place"),
        pytest.param('{{ print target "-" (printf "%s" namespace) }}', "web-prod", id="parentheses"),
        pytest.param("{{ `a\\b` }}", "a\\b", id="raw strings"),
        pytest.param('{{ "a\\"b" }}', 'a"b', id="escapes in strings"),
        pytest.param("a {{/* why */}}b", "a b", id="comments vanish"),
        pytest.param("a \n {{- target -}} \n b", "awebb", id="trim markers eat blanks"),
        pytest.param("sum(\n  up{x=\"{{ target }}\"} # note\n)", 'sum(\n  up{x="web"} # note\n)', id="lines stay"),
        pytest.param("{% if x %}", "{% if x %}", id="other template languages are text"),
    ],
)  # fmt: skip
def test_a_template_renders_as_in_flagger(template: str, expected: str) -> None:
    assert render(template, CONTEXT) == expected


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ if target }}x{{ end }}", 'uses "if": loops and conditions'),
        ("{{ range variables }}x{{ end }}", 'uses "range": loops and conditions'),
        ("{{ end }}", 'uses "end"'),
        ("{{ .Namespace }}", '"{{ .Namespace }}", which is not supported: use name, namespace, target'),
        ("{{ nmespace }}", '"{{ nmespace }}", which is not supported'),
        ("{{ target namespace }}", "which is not supported"),
        ("{{ target | namespace }}", "which is not supported"),
        ("{{ $x := target }}", "which is not supported"),
        ("{{ variables.nope }}", 'uses variables.nope, but templateVariables has no "nope" (it has: direction'),
        ('{{ index variables "nope" }}', 'has no "nope"'),
        ("{{ variables.a.b }}", "which is not supported"),
        ("{{ variables }}", "is a whole map"),
        ('{{ printf "%s" variables }}', "is a whole map"),
        ('{{ printf "%s" }}', "which is not supported"),
        ('{{ printf "x" target }}', "which is not supported"),
        ('{{ printf "%d" target }}', "which is not supported"),
        ('{{ printf "%', "without its }}"),
        ("rate(x[{{ interval ])", "without its }}"),
        ("{{ 9**9**9 }}", "which is not supported"),
        ("{{ '' }}", "which is not supported"),
        ("{{ }}", "which is not supported"),
        ("{{ (((((((target))))))) }}", "which is not supported"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_the_users_mistake_in_one_sentence(template: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        render(template, CONTEXT)

    sentence = str(raised.value)
    assert says in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_names_that_a_canary_lacks_fall_back_to_the_target_and_one_minute() -> None:
    bare = QueryContext(name="c", namespace="n", target="web")

    assert render("{{service}} {{ingress}} {{route}} {{interval}}", bare) == "web web web 1m"


def test_a_query_may_not_grow_without_limit() -> None:
    long = replace(CONTEXT, variables={"x": "y" * 40_000})

    with pytest.raises(UserError, match="longer than 65536"):
        render("{{ variables.x }}{{ variables.x }}", long)


@pytest.mark.parametrize(
    "template",
    [
        "{{" * 30_000,
        "{{ " + "(" * 60_000,
        "{{ target " * 6_000,
        "{{-" * 20_000,
        "{{ " + "( " * 30_000 + "}}",
        "x" * 10**6,
    ],
    ids=["open", "parentheses", "never closed", "trims", "closed", "long"],
)
def test_no_template_keeps_the_controller_busy(template: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(UserError):
        render(template, CONTEXT)

    assert time.monotonic() - began < 2
