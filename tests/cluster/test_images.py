"""Image archives: the same bytes every time, and a layout whose digests hold."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.images import Entry, ImageConfig, write_image

CONFIG = ImageConfig(("/app",), ("--now",), {"B": "2", "A": "1"}, architecture="arm64")


def entries(folder: Path) -> list[Entry]:
    program = folder / "program"
    program.write_bytes(b"\x7fELF" * 1000)
    return [
        Entry("/opt/app/run", program, 0o755),
        Entry("/etc/motd", b"hello\n"),
        Entry("/app", link="/opt/app/run"),
    ]


def blob(archive: tarfile.TarFile, digest: str) -> bytes:
    member = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
    assert member is not None
    return member.read()


def parsed(archive: tarfile.TarFile, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(blob(archive, digest))
    return content


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    given = entries(tmp_path)
    first = write_image(tmp_path / "a.tar", ["x/y:1"], given, CONFIG)
    given[0].source.touch() if isinstance(given[0].source, Path) else None

    second = write_image(tmp_path / "b.tar", ["x/y:1"], list(reversed(given)), CONFIG)

    assert first == second
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_every_digest_of_the_layout_is_true(tmp_path: Path) -> None:
    digest = write_image(tmp_path / "a.tar", ["x/y:1", "x/y:2"], entries(tmp_path), CONFIG)

    with tarfile.open(tmp_path / "a.tar") as archive:
        index = json.loads(archive.extractfile("index.json").read())  # type: ignore[union-attr] # it is a file
        blobs = [name for name in archive.getnames() if name.startswith("blobs/")]
        true = {name: hashlib.sha256(blob(archive, name.removeprefix("blobs/"))).hexdigest() for name in blobs}
        manifest = parsed(archive, digest)
        settings = parsed(archive, manifest["config"]["digest"])
    assert {name: f"blobs/sha256/{value}" for name, value in true.items()} == {name: name for name in blobs}
    assert [one["digest"] for one in index["manifests"]] == [digest, digest]
    assert [one["annotations"]["io.containerd.image.name"] for one in index["manifests"]] == ["x/y:1", "x/y:2"]
    assert settings["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert settings["architecture"] == "arm64"
    assert settings["config"]["Env"] == ["A=1", "B=2"]


def test_the_layer_has_folders_modes_links_and_no_owner(tmp_path: Path) -> None:
    digest = write_image(tmp_path / "a.tar", ["x/y:1"], entries(tmp_path), CONFIG)

    with tarfile.open(tmp_path / "a.tar") as archive:
        layer = archive.extractfile(f"blobs/{parsed(archive, digest)['layers'][0]['digest'].replace(':', '/')}")
        with tarfile.open(fileobj=layer) as files:
            found = {member.name: member for member in files.getmembers()}
    assert sorted(found) == ["app", "etc", "etc/motd", "opt", "opt/app", "opt/app/run"]
    assert found["opt/app"].isdir()
    assert found["opt/app/run"].mode == 0o755
    assert found["app"].linkname == "/opt/app/run"
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, 0)}


@pytest.mark.parametrize("names", [["x/y:1"], ["x/y:1", "x/z:3"]])
def test_an_image_keeps_its_digest_under_other_names(tmp_path: Path, names: list[str]) -> None:
    digest = write_image(tmp_path / "a.tar", names, entries(tmp_path), CONFIG)

    assert digest == write_image(tmp_path / "b.tar", ["other:9"], entries(tmp_path), CONFIG)
