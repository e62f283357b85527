"""The pieces that images are made of, without building any."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from tools.image import debian, wheels
from tools.image.elf import needed
from tools.image.errors import ImageError
from tools.image.parts import Part, Shelf, missing, pack
from tools.image.tree import Layer, Tree, canonical, layer_of

EPOCH = 2009


def tree(**files: bytes) -> Tree:
    made = Tree()
    made.merge_usr()
    for name, data in files.items():
        made.file(f"opt/{name}", data)
    return made


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("./bin/sh", "usr/bin/sh"),
        ("/lib64/ld.so", "usr/lib64/ld.so"),
        ("usr/bin/sh", "usr/bin/sh"),
        ("./etc/passwd", "etc/passwd"),
        ("./binary/x", "binary/x"),
        ("./", ""),
    ],
)
def test_a_path_has_one_name_under_a_merged_usr(path: str, name: str) -> None:
    assert canonical(path) == name


def test_equal_trees_give_equal_layers_in_whatever_order_they_were_filled() -> None:
    one, other = tree(a=b"1", b=b"2"), tree(b=b"2", a=b"1")
    assert layer_of(one, EPOCH) == layer_of(other, EPOCH)
    assert layer_of(tree(a=b"1", b=b"3"), EPOCH).digest != layer_of(one, EPOCH).digest
    assert layer_of(one, EPOCH + 1).digest != layer_of(one, EPOCH).digest


def test_a_layer_reads_back_as_the_tree_it_was_made_of() -> None:
    whole = tree(a=b"1")
    whole.link("usr/bin/sh", "dash")
    whole.folder("tmp", 0o1777)
    assert pack(whole, EPOCH).tree() == whole


def test_what_users_may_not_gain_is_not_taken_over() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        member = tarfile.TarInfo("./bin/su")
        member.mode = 0o4755
        archive.addfile(member)
    raw.seek(0)
    with tarfile.open(fileobj=raw) as archive:
        made = Tree()
        made.read_tar(archive)
    assert made.nodes["usr/bin/su"].mode == 0o755


def test_what_is_dropped_goes_with_all_below_it() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in ("./usr/share/doc/x/y", "./usr/share/docs", "./usr/share/doc"):
            archive.addfile(tarfile.TarInfo(name))
    raw.seek(0)
    with tarfile.open(fileobj=raw) as archive:
        made = Tree()
        made.read_tar(archive, ("usr/share/doc",))
    assert [name for name, _ in made.files()] == ["usr/share/docs"]


def test_the_libraries_of_a_program_are_read_from_it() -> None:
    assert "libc.so.6" in needed(Path("/bin/sh").resolve().read_bytes())
    assert needed(b"#!/bin/sh\n") == ()


def test_a_library_that_no_part_brings_is_named() -> None:
    blob = Layer(b"", "", "")
    program = Part(blob, frozenset({"tool"}), (("usr/bin/tool", "libx.so.1"),))
    library = Part(blob, frozenset({"libx.so.1"}), ())
    assert list(missing([program, library])) == []
    assert list(missing([program])) == ["/usr/bin/tool needs libx.so.1, which no package of the image brings"]


def test_the_shelf_gives_a_part_back_until_its_inputs_change(tmp_path: Path) -> None:
    made: list[str] = []

    def make(inputs: str) -> Part:
        def now() -> Part:
            made.append(inputs)
            return pack(tree(a=inputs.encode()), EPOCH)

        return Shelf(tmp_path).part("base", inputs, now)

    first = make("one")
    assert make("one") == first
    make("two")
    assert made == ["one", "two"]
    assert gzip.decompress(make("two").layer.blob) != gzip.decompress(first.layer.blob)
    assert len(list((tmp_path / "base").iterdir())) == 1


def test_a_machine_without_apt_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match=r"needs Debian's apt-get and dpkg-deb on PATH .*run this on Debian 12"):
        debian.Apt("amd64", tmp_path)


def test_a_lock_that_pip_cannot_serve_is_an_error_in_words(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("click\n", encoding="utf-8")
    with pytest.raises(ImageError, match="pip could not fetch the locked wheels for aarch64"):
        wheels.locked(lock, "arm64", tmp_path)
