"""Files are read as kubectl reads them, and every field keeps its line and column."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flaggerpy.lint.document import Document
from flaggerpy.lint.source import Source, read_objects

KINDS = ("Canary", "Deployment")
CANARY = "apiVersion: flagger.app/v1beta1\nkind: Canary\n"


def read(text: str | bytes, **fields: Any) -> tuple[Document, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    found, faults = read_objects(Source("a.yaml", data, **fields), KINDS)
    assert faults == ()
    return found


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("10", 10),
        ("-1", -1),
        ("0x1F", 31),
        ("010", 8),
        ("0o17", 15),
        ("08", 8.0),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("yes", True),
        ("Off", False),
        ("1:30", "1:30"),
        ("2001-12-15", "2001-12-15"),
        ('"10"', "10"),
        ("!!str 10", "10"),
        ("!!int ten", "ten"),
        ("!mine 10", "10"),
        (".nan", ".nan"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("0b__", "0b__"),
    ],
)
def test_a_scalar_is_what_kubectl_makes_of_it(written: str, value: object) -> None:
    [document] = read(f"{CANARY}x: {written}\n")
    assert document.obj["x"] == value
    assert type(document.obj["x"]) is type(value)


@pytest.mark.parametrize("written", ["", "~", "null"])
def test_null_is_as_good_as_absent(written: str) -> None:
    [document] = read(f"{CANARY}x: {written}\n")
    assert "x" not in document.obj


def test_every_field_and_item_has_its_place() -> None:
    [document] = read(f"# a comment\n---\n{CANARY}spec:\n  list:\n  - a: 1\n  -   b: [2, {{c: 3}}]\n")
    assert document.position(()) == (3, 1)
    assert document.position(("spec", "list")) == (6, 3)
    assert document.position(("spec", "list", 0)) == (7, 5)
    assert document.position(("spec", "list", 1, "b", 1, "c")) == (8, 15)


def test_a_field_that_is_missing_is_where_it_would_belong() -> None:
    [document] = read(f"{CANARY}spec:\n  service: {{}}\n")
    assert document.position(("spec", "service", "port")) == (4, 3)
    assert document.position(("metadata", "name")) == (1, 1)


@pytest.mark.parametrize(
    ("sentence", "place"),
    [
        ("spec.a.b: wrong.", ("spec", "a", "b")),
        ("spec.a.list[1] is wrong.", ("spec", "a", "list", 1)),
        ("spec.headers.x-user.id is neither.", ("spec", "headers", "x-user.id")),
        ("Provider x is unknown: choose one in spec.provider or with --mesh-provider.", ("spec", "provider")),
        ("spec.a.list[7].name is missing: add it.", ("spec", "a", "list", 7, "name")),
        ("metadata.name is missing: add it.", ("metadata", "name")),
        ("The aspect.ratio of nothing.", ()),
        ("Add spec.a.", ("spec", "a")),
    ],
)
def test_a_sentence_leads_to_the_field_that_it_names(sentence: str, place: tuple[int | str, ...]) -> None:
    [document] = read(f"{CANARY}spec: {{a: {{b: 1, list: [1, 2]}}, headers: {{x-user: 1, x-user.id: 2}}}}\n")
    assert document.place_in(sentence) == place


def test_what_a_merge_key_brings_has_the_place_where_it_was_written() -> None:
    [document] = read(f"base: &base\n  a: 1\n  b: 1\n{CANARY}spec:\n  b: 2\n  <<: *base\n")
    assert document.obj["spec"] == {"a": 1, "b": 2}
    assert document.position(("spec", "a")) == (2, 3)
    assert document.position(("spec", "b")) == (7, 3)


def test_documents_and_lists_are_taken_apart_and_other_kinds_left_out() -> None:
    items = "\n".join(f"- apiVersion: apps/v1\n  kind: Deployment\n  metadata: {{name: {name}}}" for name in "ab")
    found = read(f"{CANARY}---\nkind: Pod\n---\n---\n- no object\n---\napiVersion: v1\nkind: List\nitems:\n{items}\n")
    assert [(document.kind, document.name) for document in found] == [
        ("Canary", ""),
        ("Deployment", "a"),
        ("Deployment", "b"),
    ]
    assert [document.position(("metadata", "name"))[0] for document in found] == [1, 14, 17]


def test_json_is_read_with_tabs_and_escapes() -> None:
    obj = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "x": 'a"\\b/\U0001f600\\ud83d\\ude00'}
    [document] = read(json.dumps(obj, indent="\t"))
    assert document.obj == obj
    assert document.position(("x",)) == (4, 2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_with_their_mark_are_read(encoding: str) -> None:
    [document] = read(f"{CANARY}x: é\n".encode(encoding))
    assert document.obj["x"] == "é"


def test_what_was_read_before_a_fault_in_the_file_counts() -> None:
    found, faults = read_objects(Source("a.yaml", f"{CANARY}---\na: [\n".encode()), KINDS)
    assert [document.kind for document in found] == ["Canary"]
    assert [fault.line for fault in faults] == [5]


@pytest.mark.parametrize(("text", "heard"), [("a: b: c\n", 0), ("apiVersion: flagger.app/v1beta1\na: b: c\n", 1)])
def test_a_broken_file_that_nobody_named_matters_only_if_it_speaks_of_flagger(text: str, heard: int) -> None:
    found, faults = read_objects(Source("a.yaml", text.encode(), named=False), KINDS)
    assert (found, len(faults)) == ((), heard)


@pytest.mark.parametrize(
    ("data", "place"),
    [(b"a: 1\nb: \xff", (2, 4)), (b"\xff\xfe\x00", (1, 1)), (b"a: 1\n\nb: c\x00d", (3, 5)), (b"a: \x7f", (1, 4))],
)
def test_bytes_that_are_no_text_are_placed(data: bytes, place: tuple[int, int]) -> None:
    [fault] = read_objects(Source("a.yaml", data), KINDS)[1]
    assert fault.sentence == "This is no text in UTF-8, or holds characters that YAML does not admit."
    assert (fault.line, fault.column) == place
