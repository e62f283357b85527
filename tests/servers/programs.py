"""Programs of the cache as servers of a test, on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import yaml

from flaggerpy.kube.objects import JsonObject
from tests.cluster.build import obtain
from tests.cluster.progress import Progress

PATIENCE = 60.0
LOOK_EVERY = 0.1


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(part: str, path: str) -> Path:
    """Return a program of a part; it is made now where the cache does not have it."""
    return obtain([part], Progress())[part] / path


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a server while the block lasts, which begins when this address is answered with 2xx.

    ``environment`` is added to that of the tests.
    """
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **(environment or {})})
    try:
        _wait_for(process, log, ready)
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def prometheus(folder: Path, settings: JsonObject) -> Iterator[str]:
    """Run a Prometheus that takes OTLP while the block lasts; give its address."""
    address = f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command: list[str | Path] = [
        program("prometheus", "bin/prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--web.enable-otlp-receiver",
    ]
    with running(command, folder / "log", f"http://{address}/-/ready"):
        yield f"http://{address}"


def export(url: str, *resources: JsonObject) -> None:
    """Send metrics as OTLP has them in JSON."""
    answer = httpx.post(f"{url}/api/v1/otlp/v1/metrics", json={"resourceMetrics": resources}, trust_env=False)
    assert answer.is_success, answer.text


def attributes(found: Mapping[str, str]) -> list[JsonObject]:
    """Write labels as OTLP has them in JSON."""
    return [{"key": key, "value": {"stringValue": value}} for key, value in found.items()]


def _wait_for(process: subprocess.Popen[bytes], log: Path, ready: str) -> None:
    """Ask until it is ready; a server that has ended says why."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if httpx.get(ready, trust_env=False).is_success:
                return
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_EVERY)
            break
    raise AssertionError(log.read_text(encoding="utf-8", errors="replace"))
