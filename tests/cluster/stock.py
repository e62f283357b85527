"""The images made from parts of the cache: what goes into each, and its name. Writing them is images.py's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.cache import keep
from tests.cluster.images import Entry, ImageConfig, write_image
from tests.cluster.parts import PODINFO_VERSIONS

RECIPE = "1"
"""Raise it when an image's content changes while its parts do not."""

Places = Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Stock:
    """One image: the part it is made of and others that it takes files from, its name, its files, its start."""

    part: str
    name: str
    entries: Callable[[Places], list[Entry]]
    config: ImageConfig
    also: tuple[str, ...] = ()


def stock_images(names: Iterable[str], places: Places) -> list[Path]:
    """The archives of the named images, written into the cache where they are missing."""
    return [_archive(STOCK[name], places) for name in names]


def _archive(stock: Stock, places: Places) -> Path:
    def make(scratch: Path) -> None:
        write_image(scratch / "image.oci.tar", [stock.name], stock.entries(places), stock.config)

    # A part's folder ends with its key, so a new part gives a new image.
    keys = [places[part].name.rpartition("-")[2] for part in (stock.part, *stock.also)]
    return keep(f"image-{stock.part}", "-".join([RECIPE, *keys]), make) / "image.oci.tar"


def _static(part: str, path: str) -> Callable[[Places], list[Entry]]:
    """A program that needs nothing but the kernel."""
    return lambda places: [Entry(path, places[part] / "bin" / Path(path).name, 0o755)]


def _podinfo(part: str) -> Callable[[Places], list[Entry]]:
    # The place that the published image has: manifests start it as ./podinfo.
    return lambda places: [*_static(part, "/home/app/podinfo")(places), Entry("/data/.keep")]


def _keda(places: Places) -> list[Entry]:
    return [*_static("keda", "/bin/operator")(places), *_static("keda", "/bin/adapter")(places)]


def _envoy(places: Places) -> list[Entry]:
    program = next(places["envoy"].rglob("_bin/envoy"))
    return [Entry("/bin/envoy", program, 0o755), Entry("/tmp/.keep"), *_c_library(places)]


def _c_library(places: Places) -> list[Entry]:
    """The shared C library with its loader, where programs that link it look for them."""
    root = places["c-library"]
    loader = next(path for path in root.rglob("ld-linux*.so.*") if path.parent.name.startswith("lib"))
    libraries = next(path.parent for path in root.rglob("libc.so.6"))
    linked = [Entry(f"/lib/{libraries.name}/{path.name}", path, 0o755) for path in libraries.glob("*.so*")]
    return [*linked, Entry(f"/{loader.parent.name}/{loader.name}", libraries / loader.name, 0o755)]


def _table() -> Iterable[Stock]:
    path = {"PATH": "/bin"}
    yield Stock("pause", "localhost/pause:local", _static("pause", "/pause"), ImageConfig(("/pause",)))
    yield Stock("coredns", "localhost/coredns:local", _static("coredns", "/coredns"), ImageConfig(("/coredns",)))
    contour = ImageConfig(("/bin/contour",), environment=path)
    yield Stock("contour", "localhost/contour:local", _static("contour", "/bin/contour"), contour)
    envoy = ImageConfig(("/bin/envoy",), environment=path)
    yield Stock("envoy", "localhost/envoy:local", _envoy, envoy, ("c-library",))
    prometheus = ImageConfig(("/bin/prometheus",), environment=path)
    yield Stock("prometheus", "localhost/prometheus:local", _static("prometheus", "/bin/prometheus"), prometheus)
    metrics = ImageConfig(("/bin/metrics-server",), environment=path)
    program = _static("metrics-server", "/bin/metrics-server")
    yield Stock("metrics-server", "localhost/metrics-server:local", program, metrics)
    yield Stock("keda", "localhost/keda:local", _keda, ImageConfig(("/bin/operator",), environment=path))
    istiod = ImageConfig(("/bin/pilot-discovery",), environment=path)
    yield Stock("istiod", "localhost/istiod:local", _static("istiod", "/bin/pilot-discovery"), istiod)
    traefik = ImageConfig(("/bin/traefik",), environment=path)
    yield Stock("traefik", "localhost/traefik:local", _static("traefik", "/bin/traefik"), traefik)
    for version in PODINFO_VERSIONS:
        part = f"podinfo-{version}"
        config = ImageConfig((), ("./podinfo",), folder="/home/app")
        yield Stock(part, f"ghcr.io/stefanprodan/podinfo:{version}", _podinfo(part), config)


STOCK: dict[str, Stock] = {stock.part: stock for stock in _table()}
