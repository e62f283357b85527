"""The play itself, inside the cluster's network: install with Helm, then three releases under a steady client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.stage import ENVOY, NETWORKS, ROOT, StageError, install_controller, install_loadtester, load_images, run
from tests.traffic.client import SteadyClient
from tests.traffic.plan import Plan
from tests.traffic.summary import Record

NAMESPACE = "test"
NAME = "payment-service"
HOST = f"{NAME}.local"
RATE = 50.0
LONGEST = 900.0
INTERVAL = "10s"
WINDOW = 20.0
"""Seconds that a check looks back on; the next release waits for them, so that it is not judged by the last one."""
ENDINGS = (0, 3)
"""Exit codes of `flaggerpy watch --until-done`: succeeded and failed."""
NO_VERSION = "no version"
HERE = Path(__file__).parent
SEED = ROOT / "docs" / "examples" / "canary.yaml"


@dataclass(frozen=True, slots=True)
class Release:
    """One revision that is pushed, and how its rollout must end."""

    title: str
    version: str
    flags: tuple[str, ...]
    outcome: str
    bad: bool = False


RELEASES = (
    Release("a good release", "6.0.1", (), "Succeeded"),
    Release("a bad release: it answers with errors", "6.0.2", ("--random-error=true",), "Failed", bad=True),
    Release(
        "a slow release: it takes its time",
        "6.0.3",
        ("--random-delay=true", "--random-delay-unit=s", "--random-delay-min=1", "--random-delay-max=2"),
        "Failed",
    ),
)


@dataclass(frozen=True, slots=True)
class Weight:
    """The canary's share that was asked for, since when."""

    at: float
    percent: int


@dataclass(frozen=True, slots=True)
class Act:
    """One release as it went."""

    release: Release
    outcome: str
    began: float
    ended: float
    weights: tuple[Weight, ...]


def kubectl(*words: str, given: str = "") -> str:
    done = subprocess.run(
        ["kubectl", "-n", NAMESPACE, *words], input=given, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise StageError(f"'kubectl {' '.join(words)}' failed: {done.stderr.strip()}")
    return done.stdout


def seed_canary() -> dict[str, Any]:
    """The seed's Canary with the provider named, the port of its load test corrected, and a demo's pace."""
    canary: dict[str, Any] = yaml.safe_load(SEED.read_text(encoding="utf-8"))
    spec = canary["spec"]
    spec["provider"] = "gatewayapi:v1"
    spec["service"] |= {"gatewayRefs": [{"name": "contour", "namespace": "projectcontour"}], "hosts": [HOST]}
    analysis = spec["analysis"]
    analysis["interval"] = INTERVAL
    analysis["threshold"] = 2
    for metric in analysis["metrics"]:
        metric["interval"] = f"{WINDOW:g}s"
    hook = analysis["webhooks"][0]
    hook["metadata"]["cmd"] = hook["metadata"]["cmd"].replace(
        "http://payment-service-canary/", "http://payment-service-canary:8080/"
    )
    return canary


def status() -> dict[str, object]:
    found = json.loads(kubectl("get", "canary", NAME, "-o", "json"))
    answer: dict[str, object] = found.get("status") or {}
    return answer


def flaggerpy(*words: str) -> list[str]:
    """The command line, as a person would type it."""
    return [sys.executable, "-m", "flaggerpy", *words, "--namespace", NAMESPACE]


@contextmanager
def shown() -> Iterator[None]:
    """Show the rollout beside what the block does: the live view on a terminal, lines elsewhere."""
    watch = subprocess.Popen(flaggerpy("watch", NAME, "--until-done"), cwd=ROOT)
    try:
        yield
        code = ended(watch)
    finally:
        watch.kill()
        watch.wait()
    if code not in ENDINGS:
        raise StageError(f"'flaggerpy watch' ended with exit code {code}")


def ended(watch: subprocess.Popen[bytes]) -> int:
    """Let the view show the end; it is there when we have seen it."""
    try:
        return watch.wait(timeout=30)
    except subprocess.TimeoutExpired:
        raise StageError("'flaggerpy watch' did not notice the end of the rollout within 30 s") from None


def bootstrap() -> None:
    """Wait until the primary serves users."""
    code = subprocess.run(flaggerpy("status", NAME, "--timeout", "50s"), cwd=ROOT, check=False).returncode
    if code:
        raise StageError(f"the bootstrap did not succeed: 'flaggerpy status' ended with exit code {code}")


def play(release: Release) -> Act:
    """Push a release and follow it until its rollout has ended."""
    print(f"\n── {release.title} ({release.version})", flush=True)
    command = ["./podinfo", "--port=8080", "--level=error", *release.flags]
    container = {"name": NAME, "image": f"ghcr.io/stefanprodan/podinfo:{release.version}", "command": command}
    kubectl(
        "patch", "deployment", NAME, "-p", json.dumps({"spec": {"template": {"spec": {"containers": [container]}}}})
    )
    with shown():
        return follow(release)


def follow(release: Release) -> Act:
    """Write down when which weight was asked for, until the rollout has ended."""
    began = time.time()
    weights = [Weight(began, 0)]
    rolling = False
    while time.time() < began + 300:
        now = status()
        weight, phase = int(str(now.get("canaryWeight") or 0)), str(now.get("phase"))
        rolling = rolling or phase not in ("Initialized", "Succeeded", "Failed")
        if weight != weights[-1].percent:
            weights.append(Weight(time.time(), weight))
        if rolling and phase in ("Succeeded", "Failed"):
            return Act(release, phase, began, time.time(), tuple(weights))
        time.sleep(0.25)
    raise StageError(f"{release.title}: no end within 300 s; the status is {status()}")


def rest() -> None:
    """Let the last release leave the metrics' window."""
    print(f"   {WINDOW + 5:g} s until the metrics have forgotten this release", flush=True)
    time.sleep(WINDOW + 5)


def shares(act: Act, records: tuple[Record, ...]) -> list[tuple[int, int, int]]:
    """Return for each weight how many answers came while it stood, and how many of them from the canary.

    The second after a change is left out: the proxy takes a moment.
    """
    rows = []
    for weight, following in zip(act.weights, (*act.weights[1:], Weight(act.ended, 0)), strict=True):
        during = [r for r in records if weight.at + 1.0 <= r.at < following.at - 0.2]
        versions = Counter(r.version for r in during if r.version)
        if weight.percent and sum(versions.values()) >= 50:
            rows.append((weight.percent, sum(versions.values()), versions[act.release.version]))
    return rows


def faults(acts: list[Act], records: tuple[Record, ...]) -> list[Record]:
    """Return failed requests that no pod of a deliberately bad revision answered."""
    bad = [(act.began, act.ended + 5) for act in acts if act.release.bad]
    return [
        r for r in records if not r.succeeded and not (r.from_pod and any(begin <= r.at <= end for begin, end in bad))
    ]


def answers(records: tuple[Record, ...]) -> str:
    """Count the answers of each version; those that carry none come last."""
    counts = Counter((r.version or "", r.result) for r in records)
    rows = sorted(counts.items(), key=lambda row: (not row[0][0], row[0]))
    return ", ".join(f"{version or NO_VERSION} {result}: {count}" for (version, result), count in rows)


def report(acts: list[Act], records: tuple[Record, ...]) -> int:
    """Print the table; 0 when everything went as described."""
    print("\n── What the client saw at the proxy\n")
    print(f"   {'release':<40} {'ended':<10} {'seconds':>7}  asked → share of the canary (answers)")
    for act in acts:
        row = ", ".join(
            f"{percent}% → {100 * canary / total:.1f}% ({total})" for percent, total, canary in shares(act, records)
        )
        print(f"   {act.release.title:<40} {act.outcome:<10} {act.ended - act.began:7.0f}  {row}")
    lost = faults(acts, records)
    wrong = [act for act in acts if act.outcome != act.release.outcome]
    print(f"\n   requests: {len(records)}; by version and answer: {answers(records)}")
    if any(r.version is None for r in records):
        print(
            f"   ({NO_VERSION} is in answers that do not say who gave them: the bad release's errors, the proxy's own)"
        )
    print(f"   failed requests that were not the bad release's own: {len(lost)}")
    for record in lost[:10]:
        print(f"     {record}")
    for act in wrong:
        print(f"   {act.release.title} ended as {act.outcome} instead of {act.release.outcome}")
    return 1 if lost or wrong else 0


def main() -> int:
    try:
        print("── flaggerpy and its load tester, with Helm", flush=True)
        load_images()
        install_controller()
        install_loadtester(NAMESPACE)
        kubectl("apply", "-f", str(HERE / "payment-service.yaml"))
        kubectl("apply", "-f", "-", given=yaml.safe_dump(seed_canary()))
        bootstrap()
        plan = Plan(ENVOY, HOST, rate=RATE, duration=LONGEST, allow=NETWORKS)
        with SteadyClient(plan) as client:
            acts = []
            for release in RELEASES:
                acts.append(play(release))
                rest()
            records = client.stop().records
        return report(acts, records)
    except StageError as error:
        print(f"demo: {error}", file=sys.stderr)
        print(run("kubectl", "get", "pods,canaries", "-A"), file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
