"""The images, built twice under different circumstances, and a way to run the amd64 one."""

import json
import os
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tools.image.recipes import RECIPES, UID

ROOT = Path(__file__).resolve().parents[2]
IN_CONTAINER = """
set -e
mount --bind {root} {root}
mount -t proc proc {root}/proc
mount -t tmpfs -o mode=1777 tmpfs {root}/tmp
mount --bind /dev/null {root}/dev/null
mount -o remount,bind,ro {root}
exec env -i {environment} /usr/sbin/chroot --userspec={uid}:{uid} {root} {command}
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """An OCI archive, read through its index."""

    path: Path
    reference: str

    def json(self, name: str) -> Any:
        with tarfile.open(self.path) as archive:
            file = archive.extractfile(name)
            assert file is not None
            return json.load(file)

    def blob(self, digest: str) -> bytes:
        with tarfile.open(self.path) as archive:
            file = archive.extractfile("blobs/" + digest.replace(":", "/"))
            assert file is not None
            return file.read()

    def manifests(self) -> dict[str, Any]:
        """Descriptor of the manifest, by architecture."""
        (index,) = self.json("index.json")["manifests"]
        descriptors = json.loads(self.blob(index["digest"]))["manifests"]
        return {one["platform"]["architecture"]: one for one in descriptors}

    def manifest(self, architecture: str) -> Any:
        return json.loads(self.blob(self.manifests()[architecture]["digest"]))

    def config(self, architecture: str) -> Any:
        return json.loads(self.blob(self.manifest(architecture)["config"]["digest"]))

    def layers(self, architecture: str) -> Iterator[tarfile.TarFile]:
        for layer in self.manifest(architecture)["layers"]:
            with tarfile.open(fileobj=BytesIO(self.blob(layer["digest"])), mode="r:gz") as archive:
                yield archive


@dataclass(frozen=True, slots=True)
class Image:
    """The amd64 image, laid out on disk; commands run in it as a cluster would run them, but for the network."""

    root: Path
    config: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment, words = shlex.join(self.config["Env"]), shlex.join(command)
        root = shlex.quote(str(self.root))
        script = IN_CONTAINER.format(root=root, uid=UID, environment=environment, command=words)
        arguments = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


def archives(folder: Path, environment: dict[str, str], mask: int, *more: str) -> dict[str, Archive]:
    command = [sys.executable, "-m", "tools.image", "build", "--output", str(folder), *more]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, umask=mask, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((folder / "images.json").read_text(encoding="utf-8"))
    found = {row["reference"]: Archive(folder / row["file"], row["reference"]) for row in rows}
    return {recipe.name: next(a for r, a in found.items() if f"/{recipe.name}:" in r) for recipe in RECIPES}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    return archives(tmp_path_factory.mktemp("first"), {"TZ": "UTC"}, 0o022)


@pytest.fixture(scope="session")
def built_again(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Archive]:
    changed = {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2009", "LC_ALL": "C"}
    return archives(tmp_path_factory.mktemp("second"), changed, 0o077, "--fresh")


def laid_out(archive: Archive, folder: Path) -> Image:
    assert os.geteuid() == 0, "running an image takes root (mount and chroot), as CI has"
    for layer in archive.manifest("amd64")["layers"]:
        blob = archive.blob(layer["digest"])
        subprocess.run(["tar", "-xzpf", "-", "-C", str(folder)], input=blob, check=True, timeout=60)
    (folder / "dev/null").touch()
    # pytest's folders are for their owner only, and the image's user is another.
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    return Image(folder, archive.config("amd64")["config"])


@pytest.fixture(scope="session")
def controller(built: dict[str, Archive], tmp_path_factory: pytest.TempPathFactory) -> Image:
    return laid_out(built["flaggerpy"], tmp_path_factory.mktemp("controller"))


@pytest.fixture(scope="session")
def load_tester(built: dict[str, Archive], tmp_path_factory: pytest.TempPathFactory) -> Image:
    return laid_out(built["flaggerpy-loadtester"], tmp_path_factory.mktemp("loadtester"))
