import pytest

from flaggerpy.rollout.errors import UserError
from flaggerpy.routers.re2 import check_re2

PLACE = "spec.analysis.match[0].headers.cookie.regex"


@pytest.mark.parametrize(
    "pattern",
    [
        "^(.*?;)?(canary=always)(;.*)?$",
        r"[^;]+\.example\.com",
        "(?i)insider",
        "(?P<who>in|out)sider",
        "(?:a|b){2,1000}",
        r"[\]*+][[:alpha:]]+x+",
        r"\\1",
        r"\d+\s\w*",
    ],
)
def test_what_proxies_take(pattern: str) -> None:
    check_re2(PLACE, pattern)


@pytest.mark.parametrize(
    ("title", "pattern", "why"),
    [
        ("brackets that do not end", "(a", r"missing \)"),
        ("a range that goes down", "[b-a]", "bad character range"),
        ("a look ahead", "a(?=b)", "what RE2 does not have"),
        ("a look behind", "(?<!a)b", "what RE2 does not have"),
        ("a reference to a group", r"(a)\1", "what RE2 does not have"),
        ("a group that is not tried again", "(?>a)", "what RE2 does not have"),
        ("a repetition that is not tried again", "a*+", "what RE2 does not have"),
        ("a flag of Python's", "(?x)a", "what RE2 does not have"),
        ("Python's end", r"a\Z", "what RE2 does not have"),
        ("too many repetitions", "a{1,1001}", "more than 1000 times"),
        ("what cannot be checked", r"\pL+", r"bad escape \\p"),
    ],
)
def test_what_they_do_not_take_is_said(title: str, pattern: str, why: str) -> None:
    with pytest.raises(UserError, match=rf"^spec\.analysis.*regular expression for the proxy \(.*{why}") as raised:
        check_re2(PLACE, pattern)
    assert str(raised.value).startswith(f"{PLACE} is {pattern}, "), title
