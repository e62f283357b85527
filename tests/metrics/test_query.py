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
        pytest.param("{{ if target }}a{{ end }}b", "ab", id="if"),
        pytest.param("{{ if false }}a{{ end }}b", "b", id="if not"),
        pytest.param('{{ if eq target "web" }}a{{ else }}b{{ end }}', "a", id="eq"),
        pytest.param('{{ if eq target "api" "web" }}a{{ else }}b{{ end }}', "a", id="eq with any of several"),
        pytest.param('{{if ne target "web"}}a{{else}}b{{end}}', "b", id="ne without blanks"),
        pytest.param(
            '{{ if eq target "a" }}1{{ else if eq target "web" }}2{{ else if true }}3{{ else }}4{{ end }}',
            "2",
            id="else if, of which the first counts",
        ),
        pytest.param('{{ if and (eq target "web") (not (eq name "x")) }}a{{ end }}b', "ab", id="and, not"),
        pytest.param('{{ if or (eq target "x") variables.items }}a{{ end }}b', "ab", id="or, and a text is true"),
        pytest.param('{{ if and (eq 1 1) (eq 0 1) }}a{{ end }}b', "b", id="numbers"),
        pytest.param('{{ if 0 }}a{{ end }}{{ if "" }}b{{ end }}c', "c", id="what is false"),
        pytest.param('{{ if index variables "nope" }}a{{ else }}b{{ end }}', "b", id="a variable that may be missing"),
        pytest.param('{{ if variables }}a{{ end }}', "a", id="a map with something in it"),
        pytest.param(
            '{{ if and (index variables "nope") (eq variables.nope "x") }}a{{ else }}b{{ end }}',
            "b",
            id="and stops at the first that is false",
        ),
        pytest.param('{{ if or target variables.nope }}a{{ end }}', "a", id="or stops at the first that is true"),
        pytest.param("{{ if target }}{{ else }}{{ variables.nope }}{{ end }}x", "x", id="what does not count may lack"),
        pytest.param("{{ if target }}{{ if false }}a{{ else }}b{{ end }}c{{ end }}", "bc", id="ifs in one another"),
        pytest.param("{{ if false }}{{ if target }}a{{ else }}b{{ end }}{{ end }}c", "c", id="in what is left out"),
        pytest.param("x {{- if target -}} a {{- end -}} y", "xay", id="trim markers at conditions"),
        pytest.param('{{ target | eq "web" }} {{ or "" target }}', "true web", id="outside of conditions"),
        pytest.param('{{ printf "%v" (not target) }}', "false", id="truth as text"),
        pytest.param("{% if x %}", "{% if x %}", id="other template languages are text"),
    ],
)  # fmt: skip
def test_a_template_renders_as_in_flagger(template: str, expected: str) -> None:
    assert render(template, CONTEXT) == expected


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ range variables }}x{{ end }}", 'uses "range": loops and parts of Go templates are not supported'),
        ("{{ with target }}x{{ end }}", 'uses "with"'),
        ('{{ define "x" }}x{{ end }}', 'uses "define"'),
        ("{{ end }}", "an {{ end }} without its {{ if }}"),
        ("x{{ else }}", "an {{ else }} without its {{ if }}"),
        ("{{ if target }}x", "an {{ if }} without its {{ end }}"),
        ("{{ if target }}x{{ else }}y{{ else }}z{{ end }}", "something after the {{ else }}"),
        ("{{ if target }}x{{ else }}y{{ else if target }}z{{ end }}", "something after the {{ else }}"),
        ("{{ if target }}x{{ else target }}y{{ end }}", "write else, or else if"),
        ("{{ if target }}x{{ end if }}", "write nothing behind end"),
        ("{{ if }}x{{ end }}", '"{{  }}", which is not supported'),
        ("{{ if nmespace }}x{{ end }}", '"{{ nmespace }}", which is not supported'),
        ("{{ if false }}{{ nmespace }}{{ end }}x", '"{{ nmespace }}", which is not supported'),
        ("{{ if target }}x{{ else if nmespace }}{{ end }}", '"{{ nmespace }}", which is not supported'),
        ("{{ if variables.nope }}x{{ end }}", 'has no "nope"'),
        ("{{ if eq target 1 }}x{{ end }}", "compares what cannot be compared"),
        ("{{ if eq variables variables }}x{{ end }}", "compares what cannot be compared"),
        ("{{ if eq target }}x{{ end }}", "which is not supported"),
        ("{{ if and }}x{{ end }}", "which is not supported"),
        ("{{ if gt 1 0 }}x{{ end }}", "which is not supported"),
        ("{{ if target }}" * 21 + "x" + "{{ end }}" * 21, "more than 20 conditions in one another"),
        ('{{ printf "%s" (not target) }}', "which is not supported"),
        ("", "The query is empty once its template is filled in"),
        (" \n{{/* todo */}}", "The query is empty"),
        ("{{ if false }}up{{ end }}", "The query is empty"),
        ('{{ print "" }}', "The query is empty"),
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
        "{{ if target }}" * 4_000,
        "{{ if " + " " * 60_000 + "}}",
        "{{ if target }}x{{ end }}" * 2_500,
    ],
    ids=["open", "parentheses", "never closed", "trims", "closed", "long", "ifs", "blanks", "conditions"],
)
def test_no_template_keeps_the_controller_busy(template: str) -> None:
    began = time.monotonic()
    with contextlib.suppress(UserError):
        render(template, CONTEXT)

    assert time.monotonic() - began < 2
