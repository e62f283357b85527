"""`make demo`: a Kubernetes of its own, a canary under live traffic, and three releases: good, bad and slow.

This half runs on the machine itself: it builds what is missing, starts the cluster and puts images on it; then
`tools.demo.play` runs inside the cluster's network. With KEEP=1 the cluster stays.
"""

import os
import subprocess
import sys
import time

from tests.e2e.stage import ROOT

LOOK = (
    "  python -m tests.cluster exec -- python -m flaggerpy get -n test\n"
    "  python -m tests.cluster exec -- python -m flaggerpy watch payment-service -n test\n"
)
KEEP = os.environ.get("KEEP", "") not in ("", "0")


def cluster(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.cluster", *words]


def step(title: str, command: list[str]) -> None:
    """Run a command and let it show its progress; a failure ends the demo."""
    began = time.monotonic()
    print(f"\n── {title}", flush=True)
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"demo: {title.lower()} failed with exit code {done.returncode}")
    print(f"   done in {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    began = time.monotonic()
    play = [sys.executable, "-m", "tools.demo.play"]
    addons = ["--addons", "contour", "prometheus", "podinfo"]
    try:
        step("Images of controller and load tester", [sys.executable, "-m", "tools.image", "build", "--arch", "amd64"])
        step("A Kubernetes with Contour, Envoy and Prometheus", cluster("up", *addons))
        print(f"\nLook on from a second terminal, in this folder and as the same user:\n{LOOK}", flush=True)
        status = subprocess.run(cluster("exec", "--", *play), cwd=ROOT, check=False).returncode
    finally:
        if not KEEP:
            subprocess.run(cluster("down"), cwd=ROOT, check=False)
    print(f"\nThe demo took {time.monotonic() - began:.0f} s in all.")
    if KEEP:
        print(
            "The cluster is still there. Look around with\n"
            f"{LOOK}"
            "  python -m tests.cluster exec -- kubectl -n test get canary,deploy,httproute\n"
            "  python -m tests.cluster exec -- kubectl -n test describe canary payment-service\n"
            "  python -m tests.cluster exec -- curl -s -H 'Host: payment-service.local' http://10.200.0.1/\n"
            "go on with a canary of your own (docs/getting-started.md), and end it with\n"
            "  python -m tests.cluster down"
        )
    return status


if __name__ == "__main__":
    raise SystemExit(main())
