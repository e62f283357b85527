"""Python wheels for any architecture: the locked ones by pip with their hashes, and ours built from this checkout."""

import configparser
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from tools.image.errors import ImageError
from tools.image.tree import Tree

SITE = "usr/local/lib/python3.11/dist-packages"
# The glibc of Debian 12 is 2.36: wheels for any older one run there.
MANYLINUX = ("1", "2010", "2014", "_2_5", "_2_12", "_2_17", "_2_24", "_2_26", "_2_28", "_2_31", "_2_34")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
SCRIPT = "#!/usr/bin/python3\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"


def locked(lock: Path, architecture: str, cache: Path) -> list[Path]:
    """The wheels of a lock file for one architecture; pip refuses every file whose hash is not in the lock."""
    machine = MACHINES[architecture]
    key = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache / "wheels" / f"{lock.stem}-{key}-{machine}"
    if not (folder / "complete").exists():
        platforms = [f"--platform=manylinux{version}_{machine}" for version in MANYLINUX]
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--only-binary=:all:", "--requirement", str(lock)),
            *("--python-version=3.11", "--implementation=cp", "--abi=cp311", "--abi=abi3", "--abi=none"),
            *platforms,
            *("--dest", str(folder)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ImageError(f"pip could not fetch the locked wheels for {machine}: {done.stderr.strip()}")
        (folder / "complete").touch()
    return sorted(folder.glob("*.whl"))


def own(root: Path, folder: Path) -> Path:
    """Build flaggerpy's wheel from the checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"hatchling could not build the wheel: {done.stderr.strip() or done.stdout.strip()}")
    (wheel,) = folder.glob("flaggerpy-*.whl")
    return wheel


def install(wheels: Iterable[Path], tree: Tree) -> None:
    """Unpack wheels where Debian's Python looks for what the administrator installs."""
    for wheel in wheels:
        with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as archive:
            for entry in archive.infolist():
                if not entry.is_dir():
                    _place(tree, entry.filename, archive.read(entry), wheel)


def _place(tree: Tree, name: str, data: bytes, wheel: Path) -> None:
    head, _, rest = name.partition("/")
    if head.endswith(".data"):
        kind, _, inner = rest.partition("/")
        if kind == "scripts":
            tree.file(f"usr/local/bin/{inner}", data, 0o755)
        elif kind in {"purelib", "platlib"}:
            tree.file(f"{SITE}/{inner}", data)
        else:
            raise ImageError(f"{wheel.name} has files for {kind!r}, which the images have no place for")
        return
    # Linked libraries need no x bit, and pip's own record of files would be untrue here.
    if not name.endswith(".dist-info/RECORD"):
        tree.file(f"{SITE}/{name}", data)


def scripts(tree: Tree, names: frozenset[str]) -> None:
    """Commands that installed packages declare, as far as they are named."""
    for path, data in list(tree.files()):
        if not path.endswith(".dist-info/entry_points.txt"):
            continue
        declared = configparser.ConfigParser(delimiters=("=",))
        declared.optionxform = str  # type: ignore[assignment,method-assign]  # names of commands keep their case
        declared.read_string(data.decode())
        section = declared["console_scripts"] if declared.has_section("console_scripts") else {}
        for command, target in section.items():
            if command in names:
                module, _, function = target.partition(":")
                text = SCRIPT.format(module=module, function=function)
                tree.file(f"usr/local/bin/{command}", text.encode(), 0o755)
