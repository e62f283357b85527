"""Assembles the layers: Debian with Python, the locked wheels, the load tester's tools, and flaggerpy on top."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.cluster.build import obtain
from tests.cluster.errors import ClusterError
from tests.cluster.progress import Progress
from tools.image import debian, wheels
from tools.image.errors import ImageError
from tools.image.recipes import COMMANDS, PYTHON_DROP, PYTHON_MODULES_DROP, UID
from tools.image.tree import Tree

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "runtime.txt"
KUBECTL_LOCK = Path(__file__).with_name("kubectl.txt")


def base(packages: list[debian.Package]) -> Tree:
    """Debian 12 with Python 3.11, for an unprivileged user."""
    tree = Tree()
    tree.merge_usr()
    for package in packages:
        debian.unpack(package, tree)
    _slim(tree)
    _certificates(tree)
    tree.link("usr/bin/python3", "python3.11")
    tree.file("etc/passwd", f"root:x:0:0:root:/root:/usr/sbin/nologin\n{_user('/tmp:/usr/sbin/nologin')}".encode())  # noqa: S108
    tree.file("etc/group", f"root:x:0:\nflaggerpy:x:{UID}:\n".encode())
    tree.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    for folder in ("dev", "proc", "sys", "run", "usr/local/bin", wheels.SITE):
        tree.folder(folder)
    tree.folder("tmp", 0o1777)
    _bill(tree, "debian", packages)
    return tree


def _user(rest: str) -> str:
    return f"flaggerpy:x:{UID}:{UID}:flaggerpy:{rest}\n"


def _slim(tree: Tree) -> None:
    gone: Callable[[str], bool] = lambda name: (  # noqa: E731
        name.startswith(tuple(f"{path}/" for path in PYTHON_DROP))
        or name in PYTHON_DROP
        or "/gconv/" in name
        or name.rpartition("/")[2].startswith(tuple(f"{module}.cpython-311" for module in PYTHON_MODULES_DROP))
    )
    for name in [name for name in tree.nodes if gone(name)]:
        del tree.nodes[name]


def _certificates(tree: Tree) -> None:
    """What update-ca-certificates does when the package is installed, and where OpenSSL looks by default."""
    folder = "usr/share/ca-certificates/"
    bundle = b"".join(data.rstrip() + b"\n" for name, data in tree.files() if name.startswith(folder))
    tree.file("etc/ssl/certs/ca-certificates.crt", bundle)
    tree.link("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")
    tree.link("usr/lib/ssl/certs", "/etc/ssl/certs")


def _bill(tree: Tree, part: str, packages: list[debian.Package]) -> None:
    """Say in the image what it was made of: with equal packages, equal images."""
    bill = [{"name": one.name, "version": one.version, "sha256": one.sha256} for one in packages]
    tree.file(f"usr/share/flaggerpy/{part}.json", (json.dumps(bill, indent=1) + "\n").encode())


def dependencies(architecture: str, cache: Path) -> Tree:
    """The locked wheels."""
    tree = Tree()
    wheels.install(wheels.locked(LOCK, architecture, cache), tree)
    return tree


def load_tools(packages: list[debian.Package], architecture: str, cache: Path) -> Tree:
    """Shell, load generators and kubectl."""
    tree = Tree()
    for package in packages:
        debian.unpack(package, tree)
    for name in [name for name in tree.nodes if name in {"usr/bin", "usr/lib", "usr/sbin", "usr"}]:
        del tree.nodes[name]
    tree.link("usr/bin/awk", "mawk")
    kubectl = Tree()
    wheels.install(wheels.locked(KUBECTL_LOCK, architecture, cache), kubectl)
    tree.nodes["usr/local/bin/kubectl"] = kubectl.nodes["usr/local/bin/kubectl"]
    _bill(tree, "tools", packages)
    return tree


def helm() -> Path:
    """Helm for the machine that builds, as the charts' tests have it: a folder named after what it was made of.

    No registry has it as a package. Another architecture's would be minutes of compiling in every first build.
    """
    try:
        return obtain(["helm"], Progress())["helm"]
    except ClusterError as error:
        raise ImageError(f"Helm could not be built: {error}") from error


def application(wheel: Path) -> Tree:
    """flaggerpy itself, with its two commands."""
    tree = Tree()
    wheels.install([wheel], tree)
    wheels.scripts(tree, COMMANDS)
    return tree
