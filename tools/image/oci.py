"""Writes OCI image layouts as tar archives.

An archive holds one image for several architectures under one name. containerd (`ctr images import`), skopeo
(`oci-archive:`) and crane or Docker (by manifest.json, which names the amd64 image) take it as it is.
"""

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.image.tree import Layer, digest_of

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlatformImage:
    """The image for one architecture: its configuration, its layers, and what is known about it."""

    architecture: str
    config: Json
    layers: tuple[Layer, ...]
    annotations: dict[str, str]


def _bytes(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class _Blobs:
    """Content by digest; describing a blob keeps it."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}

    def keep(self, media_type: str, data: bytes, **more: object) -> Json:
        digest = digest_of(data)
        self.content[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}


def write(path: Path, reference: str, images: tuple[PlatformImage, ...]) -> str:
    """Write the archive and return the digest of what `reference` names."""
    blobs = _Blobs()
    manifests, docker = [], []
    for image in images:
        config = blobs.keep(CONFIG, _bytes(image.config))
        layers = [blobs.keep(LAYER, layer.blob) for layer in image.layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": layers,
            "annotations": image.annotations,
        }
        platform = {"architecture": image.architecture, "os": "linux"}
        manifests.append(blobs.keep(MANIFEST, _bytes(manifest), platform=platform, annotations=image.annotations))
        docker.append(
            {
                "Config": _place(config["digest"]),
                "RepoTags": [reference],
                "Layers": [_place(layer["digest"]) for layer in layers],
            }
        )
    index = blobs.keep(INDEX, _bytes({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}))
    index["annotations"] = {
        "io.containerd.image.name": reference,
        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
    }
    top = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]}
    files = {_place(digest): data for digest, data in blobs.content.items()}
    files["index.json"] = _bytes(top)
    files["manifest.json"] = _bytes(docker[:1])
    files["oci-layout"] = _bytes({"imageLayoutVersion": "1.0.0"})
    _archive(path, files)
    return str(index["digest"])


def _place(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _archive(path: Path, files: dict[str, bytes]) -> None:
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, mode="w", format=tarfile.GNU_FORMAT) as archive:
        # The layout's own files first: a reader of a stream then knows at once what it has.
        for name in sorted(files, key=lambda name: (name.startswith("blobs/"), name)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    partial.replace(path)
