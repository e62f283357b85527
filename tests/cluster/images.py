"""Writes container images as OCI layout archives, without a builder, and brings them into the running node.

An image is one layer. The same content gives the same bytes: entries are sorted, times and owners are fixed.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.cluster.errors import ClusterError

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or symbolic link of an image."""

    path: str
    source: Path | bytes = b""
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """How a container of the image starts."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "65532:65532"
    folder: str = "/"
    architecture: str = ""


def write_image(place: Path, names: Sequence[str], entries: Iterable[Entry], config: ImageConfig) -> str:
    """Write an image archive known by `names`; gives the digest of its manifest."""
    with tempfile.TemporaryFile(dir=place.parent) as layer:
        with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            _fill_layer(archive, entries)
        layer_size, layer_digest = layer.tell(), _digest(layer)
        settings = _json(_settings(config, layer_digest))
        manifest = _json(_manifest(settings, layer_digest, layer_size))
        with tarfile.open(place, mode="w", format=tarfile.GNU_FORMAT) as archive:
            _add(archive, Entry("oci-layout", _json({"imageLayoutVersion": "1.0.0"})))
            _add(archive, Entry("index.json", _json(_index(names, manifest))))
            for blob in (settings, manifest):
                _add(archive, Entry(f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob))
            layer.seek(0)
            archive.addfile(_header(f"blobs/sha256/{layer_digest}", layer_size, 0o644), layer)
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def folder_entries(folder: Path, below: str) -> list[Entry]:
    """Every file below a folder, to be put under `below`; links are followed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Entry(f"{below}/{path.relative_to(folder)}", path, path.stat().st_mode & 0o755) for path in files]


def load(ctr: str, address: str, archives: Iterable[Path]) -> None:
    """Import archives into containerd, where the kubelet finds them."""
    for archive in archives:
        if not archive.is_file():
            raise ClusterError(f"There is no image archive {archive}.")
        words = [ctr, "--address", address, "--namespace", "k8s.io", "images", "import", str(archive)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0:
            raise ClusterError(f"The image {archive} could not be imported: {done.stderr.strip()}")


def _fill_layer(archive: tarfile.TarFile, entries: Iterable[Entry]) -> None:
    folders: set[str] = set()
    for entry in sorted(entries, key=lambda entry: entry.path):
        for parent in reversed(Path(entry.path.lstrip("/")).parents):
            name = str(parent)
            if name != "." and name not in folders:
                folders.add(name)
                header = _header(name, 0, 0o755)
                header.type = tarfile.DIRTYPE
                archive.addfile(header)
        _add(archive, entry)


def _add(archive: tarfile.TarFile, entry: Entry) -> None:
    path = entry.path.lstrip("/")
    if entry.link:
        header = _header(path, 0, 0o777)
        header.type, header.linkname = tarfile.SYMTYPE, entry.link
        archive.addfile(header)
    elif isinstance(entry.source, bytes):
        archive.addfile(_header(path, len(entry.source), entry.mode), io.BytesIO(entry.source))
    else:
        with entry.source.open("rb") as content:
            archive.addfile(_header(path, entry.source.stat().st_size, entry.mode), content)


def _header(path: str, size: int, mode: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(path)  # its time is 0 and its owner is root unless told otherwise
    header.size, header.mode = size, mode
    return header


def _settings(config: ImageConfig, layer_digest: str) -> dict[str, object]:
    return {
        "architecture": config.architecture or ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": {
            "Entrypoint": list(config.entrypoint),
            "Cmd": list(config.command),
            "Env": [f"{key}={value}" for key, value in sorted(config.environment.items())],
            "User": config.user,
            "WorkingDir": config.folder,
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
    }


def _manifest(settings: bytes, layer_digest: str, layer_size: int) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _descriptor("application/vnd.oci.image.config.v1+json", settings),
        "layers": [
            {
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": f"sha256:{layer_digest}",
                "size": layer_size,
            }
        ],
    }


def _index(names: Sequence[str], manifest: bytes) -> dict[str, object]:
    described = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                **described,
                "annotations": {
                    "io.containerd.image.name": name,
                    "org.opencontainers.image.ref.name": name.rpartition(":")[2],
                },
            }
            for name in names
        ],
    }


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    digest = hashlib.sha256(content).hexdigest()
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _digest(stream: IO[bytes]) -> str:
    stream.seek(0)
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
