"""Debian packages for any architecture, fetched by the machine's own apt, without changing anything on the machine.

apt gets a state and a cache of its own below our cache folder; where packages come from and how they are verified
stays the machine's configuration.
"""

import hashlib
import io
import shutil
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from tools.image.errors import ImageError
from tools.image.tree import Tree

DAY_SECONDS = 86_400
ONLY_DEBIAN = """\
Package: *
Pin: release o=Debian
Pin-Priority: 500

Package: *
Pin: release *
Pin-Priority: -1
"""
# Not for machines: manuals, translations, and the character sets of glibc that UTF-8 does without.
DROP = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bash-completion",
    "usr/share/applications",
    "usr/share/pixmaps",
    "usr/share/menu",
    "usr/share/doc-base",
    "usr/share/bug",
    "usr/share/zoneinfo/right",
    "usr/share/zoneinfo/posix",
    "usr/include",
    "usr/games",
    "boot",
    "etc/update-motd.d",
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package file and what it is."""

    name: str
    version: str
    sha256: str
    path: Path


class Apt:
    """apt for one architecture."""

    def __init__(self, architecture: str, cache: Path) -> None:
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            raise ImageError(
                "building images needs Debian's apt-get and dpkg-deb on PATH (the base of the images is Debian 12): "
                "run this on Debian 12, or in a Debian 12 container"
            )
        self._home = cache / "apt" / architecture
        self._archives = cache / "debs"
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (self._home / folder).mkdir(parents=True, exist_ok=True)
        self._archives.mkdir(parents=True, exist_ok=True)
        (self._home / "status").touch()
        (self._home / "preferences").write_text(ONLY_DEBIAN, encoding="utf-8")
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "APT::Sandbox::User": "root",
            "Dir::State": self._home / "state",
            "Dir::State::status": self._home / "status",
            "Dir::Cache": self._home / "cache",
            "Dir::Etc::preferences": self._home / "preferences",
            "Acquire::Languages": "none",
            "Acquire::Retries": 3,
        }
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def _run(self, *arguments: str, where: Path | None = None) -> str:
        command = ["apt-get", *self._options, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=where or self._archives)
        if done.returncode:
            raise ImageError(f"apt-get {arguments[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def update(self) -> None:
        """Refresh the package lists, at most once a day."""
        stamp = self._home / "updated"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < DAY_SECONDS:
            return
        self._run("-q", "update")
        stamp.touch()

    def fetch(self, names: tuple[str, ...]) -> list[Package]:
        """The newest packages of these names, from the cache where it has them; apt checks what it downloads."""
        self.update()
        wanted = self._wanted(names)
        absent = [package.name for package in wanted if not _is(package.path, package.sha256)]
        if absent:
            self._run("-q", "download", *absent)
        for package in wanted:
            if not _is(package.path, package.sha256):
                raise ImageError(f"apt-get left no good {package.path.name} behind; remove it and try again")
        return wanted

    def _wanted(self, names: tuple[str, ...]) -> list[Package]:
        try:
            # In a folder that never holds a package: apt says nothing about files that are there already.
            lines = self._run("download", "--print-uris", *sorted(names), where=self._home / "state").splitlines()
        except ImageError as error:
            raise ImageError(
                f"this machine's apt does not serve what the images are made of, Debian 12 (bookworm): {error}"
            ) from None
        packages = []
        for line in lines:
            _, file, _, checksum = line.split()
            name, version, _ = file.removesuffix(".deb").split("_")
            algorithm, _, value = checksum.partition(":")
            if algorithm != "SHA256":
                raise ImageError(f"apt knows no SHA256 of {file}, only {algorithm}")
            packages.append(Package(name, version.replace("%3a", ":"), value, self._archives / file))
        absent = set(names) - {package.name for package in packages}
        if absent:
            raise ImageError(f"apt says nothing about {', '.join(sorted(absent))}")
        return sorted(packages, key=lambda package: package.name)


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def unpack(package: Package, tree: Tree) -> None:
    """Lay a package's files into the tree, and its control file where scanners look for it."""
    command = ["dpkg-deb", "--fsys-tarfile", str(package.path)]
    files = subprocess.run(command, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        tree.read_tar(archive, DROP)
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(f"usr/share/doc/{package.name}/copyright"):
                content = archive.extractfile(member)
                tree.file(member.name, content.read() if content else b"")
    control = subprocess.run(["dpkg-deb", "--field", str(package.path)], capture_output=True, check=True).stdout
    tree.file(f"var/lib/dpkg/status.d/{package.name}", control)
