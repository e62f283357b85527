"""A root file system in memory: what goes into a layer, whatever the builder's user, umask and clock are."""

import gzip
import hashlib
import io
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Debian's packages still say /bin and /lib; its systems have had them merged into /usr for years.
MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True, slots=True)
class Node:
    """A file (`data`), a symbolic link (`target`) or, with neither, a folder."""

    mode: int
    data: bytes | None = None
    target: str | None = None


def canonical(path: str) -> str:
    """The one name of a path: relative to the root, /usr merged."""
    parts = [part for part in posixpath.normpath(path).split("/") if part not in {"", "."}]
    if parts and parts[0] in MERGED:
        parts.insert(0, "usr")
    return "/".join(parts)


@dataclass(slots=True)
class Tree:
    """Nodes by canonical path."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def folder(self, path: str, mode: int = 0o755) -> None:
        """Add a folder and what is above it."""
        name = canonical(path)
        if name and (name not in self.nodes or mode != 0o755):
            self.nodes[name] = Node(mode)
            self._parents(name)

    def file(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file and the folders above it."""
        name = canonical(path)
        self.nodes[name] = Node(mode, data=data)
        self._parents(name)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        name = canonical(path)
        self.nodes[name] = Node(0o777, target=target)
        self._parents(name)

    def _parents(self, name: str) -> None:
        parent = posixpath.dirname(name)
        while parent and parent not in self.nodes:
            self.nodes[parent] = Node(0o755)
            parent = posixpath.dirname(parent)

    def merge_usr(self) -> None:
        """The links of a merged /usr; every other path goes through `canonical`."""
        for name in MERGED:
            self.nodes[name] = Node(0o777, target=f"usr/{name}")
            self.nodes.setdefault(f"usr/{name}", Node(0o755))
        self.nodes.setdefault("usr", Node(0o755))

    def update(self, other: "Tree") -> None:
        """Lay another tree on top."""
        self.nodes.update(other.nodes)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file with its content, by path."""
        for name, node in sorted(self.nodes.items()):
            if node.data is not None:
                yield name, node.data

    def read_tar(self, archive: tarfile.TarFile, drop: tuple[str, ...] = ()) -> None:
        """Take over what an archive holds, but what lies below one of `drop`."""
        for member in archive:
            name = canonical(member.name)
            if member.issym() and posixpath.normpath(member.name) in MERGED:
                continue
            if not name or any(name == path or name.startswith(path + "/") for path in drop):
                continue
            if member.isdir():
                self.folder(name, member.mode & 0o7777)
            elif member.issym():
                self.link(name, member.linkname)
            elif member.islnk():
                self.nodes[name] = self.nodes[canonical(member.linkname)]
            elif member.isfile():
                content = archive.extractfile(member)
                # Set-uid has no use for a process that may gain no privileges.
                self.file(name, content.read() if content else b"", member.mode & 0o777)

    def write_to(self, folder: Path) -> None:
        """Lay the tree out on disk, to look at it or run it."""
        for name, node in sorted(self.nodes.items()):
            path = folder / name
            if node.target is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.symlink_to(node.target)
            elif node.data is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(node.data)
                path.chmod(node.mode)


def union(trees: Iterable[Tree]) -> Tree:
    """All trees, laid one on another."""
    whole = Tree()
    for tree in trees:
        whole.update(tree)
    return whole


@dataclass(frozen=True, slots=True)
class Layer:
    """A tree as a registry keeps it: a gzipped tar, its digest, and the digest of the tar inside."""

    blob: bytes
    digest: str
    diff_id: str


def digest_of(data: bytes) -> str:
    """The name by which OCI knows these bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer_of(tree: Tree, epoch: int) -> Layer:
    """Pack a tree: sorted, owned by root, dated by `epoch`, so that equal trees give equal bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, node in sorted(tree.nodes.items()):
            member = tarfile.TarInfo(name)
            member.mode, member.mtime = node.mode, epoch
            if node.target is not None:
                member.type, member.linkname = tarfile.SYMTYPE, node.target
            elif node.data is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(node.data)
            archive.addfile(member, io.BytesIO(node.data or b""))
    tar = raw.getvalue()
    blob = gzip.compress(tar, compresslevel=6, mtime=0)
    return Layer(blob, digest_of(blob), digest_of(tar))
