"""The known differences: which lines of a comparison each of them explains.

Why each is one is said to users in docs/reference/differences.md, under the same id. Those that begin with
``recording-`` are none: there the recording, or the replay, is not what users see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "differences.md"
_KNOWN = {
    "ownership": (
        r"\+ \w+ \S+: annotations\.'flaggerpy\.dev/canary': \"\{namespace\}/[a-z-]+\"",
        r"\+ \w+ \S+: labels\.'app\.kubernetes\.io/managed-by': \"flaggerpy\"",
        r"- \w+ \S+: labels\.'app\.kubernetes\.io/managed-by': \"team-a\"",
        r"- \w+ \S+: owners\[0\]: \"Canary [a-z-]+\"",
    ),
    "finalizer": (r"\+ Canary \S+ then: finalizers\[0\]: \"finalizer\.flagger\.app\"",),
    "annotations-at-creation": (
        r"- Deployment \S+-primary: annotations\.other/annotation: \"kept-at-creation\"",
        r"- Deployment \S+-primary then: annotations.other/annotation: gone",
    ),
    "affinity-terms": (
        r"[-+] Deployment podinfo-primary: spec\.template\.spec\.affinity\.podAntiAffinity\..*",
        r"[-+] Deployment podinfo-primary: spec\.template\.spec\.topologySpreadConstraints\[.*",
    ),
    "metrics-available-event": (
        r"- events: Normal: all the metrics providers are available!",
        r"- queries: vector\(1\)",
        r"- payloads event: .*\"all the metrics providers are available!\".*",
        r"- hooks: event in Initializing",
    ),
    "condition-messages": (
        r"- promoted \S+: Unknown Waiting(Promotion)?: Waiting for approval\.",
        r"\+ promoted \S+: Unknown Waiting: Waiting for approval to start the rollout\.",
        r"\+ promoted \S+: Unknown WaitingPromotion: Waiting for approval to promote the canary\.",
        r"- promoted \S+: False Failed: Canary analysis failed, Deployment scaled to zero\.",
        r"\+ promoted \S+: False Failed: The rollout failed, all traffic is on the primary\.",
        r"\+ promoted \S+: False Failed: The rollout failed, \S+ \S+ serves all users because .*",
    ),
    "true-weight": (
        r"- phases \S+: (WaitingPromotion|Promoting) 0%",
        r"\+ phases \S+: (WaitingPromotion|Promoting) [1-9]\d*%",
        r"\+ phases \S+: Progressing 100%",
        r"\+ promoted \S+: Unknown Progressing: New revision detected, progressing canary analysis\.",
    ),
    "iterations": (r"- iterations \S+: -?\d+",),
    "rollback-reason": (
        r"- events: Warning: Rolling back \S+ failed checks threshold reached \d+",
        r"\+ events: Warning: Rolling back \S+ failed checks threshold reached \d+: .+",
        r"- events: Warning: Rolling back \S+ manual webhook invoked",
        r"\+ events: Warning: Rolling back \S+ manual webhook invoked: \w+",
        r"- events: Normal: Rollback hook \w+ not signaling a rollback",
    ),
    "alerts-of-every-severity": (r"\+ alerts no-severity: .*",),
    "deadline-event": (r"\+ events: Warning: Rolling back \S+ \S+ did not become ready: .*",),
    "deadline-texts": (
        r"- events: Warning: Promotion of \S+ failed, primary not ready: \S+ not ready: .* exceeded .*",
        r"\+ events: Warning: Promotion of \S+ failed, primary not ready: deployment \S+ exceeded .*",
        r"- events: Warning: \S+-primary\S* not ready: deployment \S+ exceeded its progress deadline",
    ),
    "kubernetes-texts": (
        r"- events: Warning: A/B testing is not supported when using the kubernetes provider",
        r"\+ events: Warning: A/B testing is not supported .*: spec\.analysis\.match has no effect",
        r"- events: Warning: Progressive traffic is not supported when using the kubernetes provider",
        r"- events: Warning: Setting canaryAnalysis\.iterations: 10",
        r"\+ events: Warning: Progressive traffic is not supported .*: ten iterations are done instead; .*",
    ),
    "cancelled-rollout": (
        r"- phases podinfo: (Progressing (0|20|40)|Promoting 40|Finalising 0)%",
        r"- promoted podinfo: Unknown (Promoting|Finalising|Progressing): (Canary|New) .*",
        r"- events: Normal: (Advance|Copying|Promotion completed!|Routing all) .*",
        r"\+ events: Normal: Rollout of \S+ cancelled: the promoted revision was put back",
        r"- Deployment podinfo then: spec\.replicas: 1",
    ),
    "skip-analysis-waits": (
        r"\+ phases podinfo: (Promoting (0|20)|Finalising 0)%",
        r"\+ promoted podinfo: Unknown (Promoting|Finalising): Canary analysis completed, .*",
        r"\+ events: Normal: Routing all traffic to primary",
    ),
    "autoscaler-labels": (r"- HorizontalPodAutoscaler \S+-primary: labels\.x: \"why\"",),
    "primary-grows-first": (
        r"\+ events: Normal: Scaling up \S+-primary\S+ to \d+ before all users return to it",
        r"\+ Deployment \S+-primary then: spec\.replicas: 4",
        r"\+ HorizontalPodAutoscaler \S+-primary then: spec\.minReplicas: 4",
    ),
    "binary-data": (r"\+ ConfigMap \S+-primary: binaryData\.b: .*",),
    "drift-keeps-weights": (
        r"- HTTPRoute podinfo then: spec\.hostnames.*backendRefs\[0\]\.weight: 100; .*timeouts.*",
        r"- HTTPRoute podinfo then: spec\.rules\[0\]\.backendRefs\[0\]\.weight: 80; .*weight: 20",
        r"\+ HTTPRoute podinfo then: spec\.hostnames.*; spec\.rules\[0\]\.timeouts\.request: \"15s\"",
    ),
    "suspended-is-quiet": (r"- events: Normal: skipping canary run as object is suspended",),
    "acceptance-texts": (r"- events: Warning: HTTPRoute \S+ parent gateway is not ready .*",),
    "refused-before": (
        r"- events: Warning: HTTPRoute \S+ create error: .*replacePrefixMatch.*",
        r"\+ events: Warning: spec\.service\.rewrite\.type ReplacePrefixMatch works with exactly one match, .*",
        r"- (ConfigMap|Secret|Service|Deployment) podinfo(-\S+)?",
        r"- Deployment podinfo then: spec\.replicas: 0",
    ),
    "audiences": (r"[-+] HTTPProxy podinfo( then)?: spec\.routes\[[012]\]\.(conditions|services)\[.*",),
    "deletion-serves": (
        r"\+ phases podinfo: Terminating 0%",
        r"\+ promoted podinfo: Unknown Terminating: Giving the traffic back to Deployment podinfo\.",
        r"\+ events: Normal: Terminat(ed|ing) canary \S+",
        r"\+ Deployment podinfo then: spec\.replicas: 1",
        r"- (HTTPRoute|Service) podinfo then: deleted",
        r"\+ (HTTPRoute|Service) podinfo then: annotations\.'flaggerpy\.dev/canary': gone; .*managed-by': gone",
        r"\+ HTTPRoute podinfo then: spec\.rules\[0\]\.backendRefs\[.*",
        r"\+ Service podinfo then: spec\.selector\.app: \"podinfo\"",
    ),
    "other-ports-stay": (r"[-+] Service podinfo-svc then: (annotations|labels|spec\.ports).*",),
    "event-phase": (
        r"[-+] payloads event: .*metadata\.eventMessage: \"(Confirm-|Copying|Advance|Promotion|Post-rollout).*",
        r"\+ hooks: event in Finalising",
    ),
    "broken-primary": (
        r"- phases podinfo: Failed 0%",
        r"- events: Warning: Canary failed! Scaling down \S+",
    ),
    "udp-ports": (
        r"[-+] Service \S+: spec\.ports\.(tcp|udp)-side-1\..*",
        r"[-+] Service \S+ then: spec\.ports\.tcp-side-0\.port: 7002; .*",
    ),
    # The recording stops before Flagger has said it.
    "recording-ends": (r"\+ events: Normal: Promotion completed! Scaling down \S+",),
}
KNOWN = {name: tuple(re.compile(line) for line in lines) for name, lines in _KNOWN.items()}


def explained(lines: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the differences that were seen, and the lines that none of them explains."""
    seen, unknown = set[str](), list[str]()
    for line in lines:
        names = {name for name, patterns in KNOWN.items() if any(pattern.fullmatch(line) for pattern in patterns)}
        seen |= names
        if not names:
            unknown.append(line)
    return seen, unknown


def documented() -> set[str]:
    """Return the ids in the table that users read."""
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition("## In recordings of Flagger\n")
    return set(re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE))
