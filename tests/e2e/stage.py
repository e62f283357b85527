"""Put flaggerpy and its load tester on the full node, from their images and charts, as a user would.

Runs inside the network of the cluster (``python -m tests.cluster run`` or ``exec``). The images were written before,
outside: in here there is no way out.

For tests there is one controller with the chart's rights in the whole cluster that looks at the namespaces of
``SHARED`` only; so a test whose controller is to be killed or uninstalled brings its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from flaggerpy import __version__

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "dist"
SYSTEM = "flagger-system"
TESTER = "test"
METRICS_SERVER = "http://prometheus.monitoring:9090"
ENVOY = "http://10.200.0.1/"
ENVOY_INSIDE = "http://envoy.projectcontour"
"""The same for pods; a path may follow."""
NETWORKS = ("10.200.0.0/16", "10.201.0.0/16")


SHARED = (
    "good",
    "bad",
    "slow",
    "shares",
    "by-replicas",
    "sized",
    "blue-green",
    "daemonset",
    "daemonset-weights",
    "acceptance",
    "rollback-gate",
    "promotion-gate",
    "configs",
    "image-missing",
    "image-nowhere",
    "crashes",
    "secret-late",
    "telemetry",
    "template-metrics",
    "metrics-outage",
    "users-gone",
    "users-gone-fails",
    "slow-start",
    "warm-up",
    "low-traffic",
    "compared",
    "alerted",
    "gitops",
    "namespace-gone",
    "contour",
    "contour-ab",
    "cookies",
    "cookies-rollback",
    "gateway-ab",
    "gateway-blue-green",
    "audience-gatewayapi",
    "audience-contour",
    "brought",
    "brought-section",
    "mirror-gatewayapi",
    "mirror-contour",
    "mirror-weights",
    *(f"contour-{way}" for way in ("included", "host", "made")),
    "autoscaled",
    "under-keda",
    "shop",
    *(f"adopted-{front}" for front in ("service", "ingress", "route")),
    *(f"{kind}-{way}" for kind in ("plain", "revert") for way in ("background", "foreground", "orphan")),
)
"""Namespaces of the tests that share a controller."""


class StageError(Exception):
    """Something a person has to do first; the message says what."""


def archives(folder: Path = IMAGES) -> list[Path]:
    """Return the image archives."""
    found = sorted(folder.glob("*.tar"))
    if not found:
        raise StageError(f"There are no images in {folder}: run `python -m tools.image build --arch amd64` first.")
    return found


def run(*command: str, quiet: bool = True) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=quiet, text=True, check=False, timeout=300)
    if done.returncode:
        raise StageError(f"'{' '.join(command)}' failed: {(done.stderr or done.stdout or '').strip()}")
    return done.stdout or ""


def load_images() -> None:
    """Bring the images into the node."""
    run(sys.executable, "-m", "tests.cluster", "load-image", *(str(path) for path in archives()))


def helm_install(release: str, chart: str, namespace: str, values: Mapping[str, object]) -> None:
    """Install or upgrade a chart and wait until its Pods are ready."""
    settings = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
    run(
        "helm", "upgrade", "--install", release, str(ROOT / "charts" / chart), "--namespace", namespace,
        "--create-namespace", "--wait", "--timeout", "180s", *settings,
    )  # fmt: skip


def install_controller(namespace: str = SYSTEM, release: str = "flaggerpy", **values: object) -> None:
    """Install the controller with short intervals."""
    settings = {
        "meshProvider": "gatewayapi:v1",
        "rbac.providers": ["contour"],
        "metricsServer": METRICS_SERVER,
        "minInterval": "1s",
        "image.tag": __version__,
        **values,
    }
    helm_install(release, "flaggerpy", namespace, settings)


def install_shared_controller() -> None:
    """Install a controller with rights in the whole cluster that watches the tests' shared namespaces."""
    install_controller(replicaCount=0)
    patch = [
        {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": f"-namespace={','.join(SHARED)}"},
        {"op": "replace", "path": "/spec/replicas", "value": 2},
    ]
    deployment = ("deployment", "flaggerpy", "--namespace", SYSTEM)
    run("kubectl", "patch", *deployment, "--type=json", f"--patch={json.dumps(patch)}")
    run("kubectl", "rollout", "status", "deployment/flaggerpy", "--namespace", SYSTEM, "--timeout=120s")


def set_stage() -> None:
    """Put on the cluster what all tests share."""
    load_images()
    install_shared_controller()
    install_loadtester()


def install_loadtester(namespace: str = TESTER) -> None:
    """Install the load tester where most manifests expect it."""
    helm_install("flagger-loadtester", "loadtester", namespace, {"image.tag": __version__})


def main() -> int:
    """Put everything on the cluster of this environment."""
    try:
        load_images()
        install_controller()
        install_loadtester()
    except StageError as error:
        sys.stderr.write(f"stage: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
