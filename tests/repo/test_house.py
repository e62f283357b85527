from pathlib import Path

import pytest

from tools import house


def function(lines: int = 1, parameters: int = 0, first: str = "") -> str:
    names = [*([first] if first else []), *(f"p{i}" for i in range(parameters))]
    return f"def f({', '.join(names)}):\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("title", "source", "fault"),
    [
        ("a module may have 350 lines", "\n" * 350, ""),
        ("one more is too many", "\n" * 351, "351 lines (at most 350)"),
        ("a function may have 60 lines", function(lines=60), ""),
        ("one more line is too many", function(lines=61), "f has 61 lines (at most 60)"),
        ("seven parameters are admitted", function(2, 7), ""),
        ("self does not count", function(2, 7, first="self"), ""),
        ("eight are too many", function(2, 8), "f has 8 parameters (at most 7)"),
        ("keyword-only ones count", "def f(a, *, b, c, d, e, f, g, h): ...\n", "f has 8 parameters"),
    ],
)
def test_sizes(title: str, source: str, fault: str) -> None:
    found = list(house.oversized("here.py", source))
    assert ([fault in one for one in found] == [True]) if fault else not found, (title, found)


@pytest.mark.parametrize("host", house.REGISTRY_HOSTS)
def test_a_registry_host_is_found_with_its_line(host: str) -> None:
    assert [fault.split(": ")[0] for fault in house.registries("x.md", f"one\nget it from {host}/simple\n")] == [
        "x.md:2"
    ]


def test_binary_files_are_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "logo.png"
    file.write_bytes(b"\x89PNG\xff\xfe")
    assert list(house.faults([file])) == []


def test_this_repository_keeps_the_rules_of_the_house() -> None:
    assert list(house.faults(house.tracked())) == []
