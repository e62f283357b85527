"""The known differences: which lines of a comparison each of them explains.

Why each is one is said to users in docs/reference/differences.md, under the same id. Those that begin with
``recording-`` are none: there the recording, or the replay, is not what users see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "differences.md"
_BUILT_IN = r"\+ queries: .*http_request_duration_seconds_(bucket|count)\{kubernetes_namespace=.*"
_NEW_WEIGHTS = r"\+ HTTPRoute podinfo then: spec\.rules\[0\]\.backendRefs\[0\]\.weight: \d+; .*\[1\]\.weight: \d+"
_NEW_IMAGE = r"\+ Deployment podinfo-primary then: spec\.template\.spec\.containers\[0\]\.image: .*:6\.0\.1\""
_COMPLETED = r"\+ promoted podinfo: (Unknown (Promoting|Finalising)|True Succeeded): Canary analysis completed.*"
_KNOWN = {
    "ownership": (
        r"\+ \w+ \S+: annotations\.'flaggerpy\.dev/canary': \"\{namespace\}/[a-z-]+\"",
        r"\+ \w+ \S+: labels\.'app\.kubernetes\.io/managed-by': \"flaggerpy\"",
        r"- \w+ \S+: labels\.'app\.kubernetes\.io/managed-by': \"team-a\"",
        r"- \w+ \S+: owners\[0\]: \"Canary [a-z-]+\"",
    ),
    "finalizer": (r"\+ Canary \S+ then: finalizers\[0\]: \"finalizer\.flagger\.app\"",),
    "annotations-at-creation": (
        r"- (Deployment|DaemonSet) \S+-primary: annotations\.other/annotation: \"kept-at-creation\"",
        r"- (Deployment|DaemonSet) \S+-primary then: annotations.other/annotation: gone",
    ),
    "metrics-available-event": (
        r"- events: Normal: all the metrics providers are available!",
        r"- queries: vector\(1\)",
        r"- payloads event: .*\"all the metrics providers are available!\".*",
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
    "alerts-without-receiver": (r"\+ events: Warning: The alert \S+ cannot be sent: there is no AlertProvider .*",),
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
    "autoscaler-labels": (
        r"- (HorizontalPodAutoscaler|ScaledObject) \S+-primary: labels\.x: \"why\"",
        r"- ScaledObject \S+-primary: annotations\.an: \"no\"",
    ),
    "primary-grows-first": (
        r"\+ events: Normal: Scaling up \S+-primary\S+ to \d+ before all users return to it",
        r"\+ Deployment \S+-primary then: spec\.replicas: [2-4]",
        r"\+ HorizontalPodAutoscaler \S+-primary then: spec\.minReplicas: 4",
        r"\+ ScaledObject \S+-primary( then)?: spec\.minReplicaCount: ([1-3]|gone)",
    ),
    "pods-stay-after-keda": (
        r"- ScaledObject \S+-primary: spec\.advanced\.restoreToOriginalReplicaCount: true",
        r"\+ ScaledObject \S+-primary: spec\.advanced\.restoreToOriginalReplicaCount: false",
    ),
    "names-in-queries": (r"[-+] ScaledObject \S+-primary: spec\.triggers\[0\]\.metadata\.query: .*_requests.*",),
    "pause-of-the-target": (r"- ScaledObject \S+-primary then: annotations\.'autoscaling\.keda\.sh/paused-.*",),
    "idle-scalers": (r"\+ events: Warning: ScaledObject \S+ may scale to zero: .*",),
    "binary-data": (r"\+ ConfigMap \S+-primary: binaryData\.b: .*",),
    "drift-keeps-weights": (
        r"- HTTPRoute podinfo then: spec\.hostnames.*backendRefs\[0\]\.weight: 100; .*timeouts.*",
        r"- HTTPRoute podinfo then: spec\.rules\[0\]\.backendRefs\[0\]\.weight: 80; .*weight: 20",
        r"\+ HTTPRoute podinfo then: spec\.hostnames.*; spec\.rules\[0\]\.timeouts\.request: \"15s\"",
    ),
    "suspended-is-quiet": (r"- events: Normal: skipping canary run as object is suspended",),
    "acceptance-texts": (
        r"- events: Warning: HTTPRoute \S+ parent gateway is not ready .*",
        r"\+ events: Warning: (letting users .*; )?the data plane (refuses|has not taken) the route for \S+ .*",
    ),
    "refused-before": (
        r"- events: Warning: HTTPRoute \S+ create error: .*replacePrefixMatch.*",
        r"\+ events: Warning: spec\.service\.rewrite\.type ReplacePrefixMatch works with exactly one match, .*",
        r"- (ConfigMap|Secret|Service|Deployment) podinfo(-\S+)?",
        r"- Deployment podinfo then: spec\.replicas: 0",
    ),
    "audiences": (r"[-+] HTTPProxy podinfo( then)?: spec\.routes\[[012]\]\.(conditions|services)\[.*",),
    "deletion-serves": (
        r"\+ phases podinfo: Terminating 0%",
        r"- promoted podinfo: Unknown Terminating: New \w+ detected, starting initialization\.",
        r"\+ promoted podinfo: Unknown Terminating: Giving the traffic back to \w+ podinfo\.",
        r"\+ events: Normal: Terminat(ed|ing) canary \S+",
        r"\+ Deployment podinfo then: spec\.replicas: [12]",
        r"\+ ScaledObject podinfo-so then: annotations.'autoscaling\.keda\.sh/paused-replicas': gone",
        r"- (HTTPRoute|Service) podinfo then: deleted",
        r"\+ (HTTPRoute|Service) podinfo then: annotations\.'flaggerpy\.dev/canary': gone; .*managed-by': gone",
        r"\+ HTTPRoute podinfo then: spec\.rules\[0\]\.backendRefs\[.*",
        r"\+ Service podinfo then: spec\.selector\.app: \"podinfo\"",
    ),
    "port-name-stays": (
        r"- Service podinfo then: spec\.ports\.http\.name: \"http\"; .*spec\.selector\.app: \"podinfo-primary\"",
        r"\+ Service podinfo then: spec\.selector\.app: \"podinfo-primary\"",
    ),
    "other-ports-stay": (r"[-+] Service podinfo-svc then: (annotations|labels|spec\.ports).*",),
    "post-rollout-last": (r"[-+] payloads event: .*\"(Promotion completed!|Post-rollout check) .*",),
    "broken-primary": (
        r"- phases podinfo: Failed 0%",
        r"- events: Warning: Canary failed! Scaling down \S+",
        r"- Deployment podinfo then: spec\.replicas: 0",
    ),
    "udp-ports": (
        r"[-+] Service \S+: spec\.ports\.(tcp|udp)-side-1\..*",
        r"[-+] Service \S+ then: spec\.ports\.tcp-side-0\.port: 7002; .*",
    ),
    "affinity": (
        r"[-+] (Deployment|DaemonSet) \S+-primary: spec\.template\.spec\.affinity\.podAntiAffinity.*labelSelector\..*",
        r"[-+] Deployment \S+-primary: spec\.template\.spec\.topologySpreadConstraints\[0\]\.labelSelector\..*",
    ),
    "pods-of-daemon-sets": (r"[-+] queries: .*kubernetes_pod_name=~\"podinfo-\[0-9a-zA-Z\]\+.*",),
    "every-2xx": (
        r"- phases podinfo: Failed 0%",
        r"\+ phases podinfo: (Progressing [246]0|Finalising 0|Succeeded 0)%",
        r"- failed_checks podinfo: [34]",
        _COMPLETED,
        r"\+ payloads never: .*; phase: \"Progressing\"",
        r"- payloads post: .*; phase: \"Failed\"",
        r"\+ payloads post: .*; phase: \"Succeeded\"",
        r"- hooks: post in Failed",
        r"\+ hooks: (never in Progressing|post in Succeeded)",
        r"\+ events: Normal: Advance \S+ canary weight [246]0",
        r"\+ events: Normal: Pre-rollout check (acceptance|never) passed",
        r"\+ events: Normal: (Copying|Promotion completed!|Routing all) .*",
        r"- events: Warning: Canary failed! Scaling down \S+",
        r"[-+] events: Warning: Halt \S+ advancement pre-rollout check acceptance failed .*",
        _BUILT_IN,
        _NEW_WEIGHTS,
        _NEW_IMAGE,
    ),
    "failed-checks-end": (r"\+ failed_checks podinfo: 0",),
    "mistakes-stall": (
        r"- phases (podinfo|good): (Initialized 0|Progressing (0|50)|Failed 0)%",
        r"- failed_checks (podinfo|good): [0-3]",
        r"- promoted (podinfo|good): True Initialized: Deployment initialization completed\.",
        r"- promoted (podinfo|good): Unknown Progressing: New revision detected, progressing canary analysis\.",
        r"- alerts global-slack of good: .*",
        r"- events: Normal: (Advance|Initialization done!|New revision detected!|Starting canary analysis) .*",
        r"- events: Warning: GatewayRefs must be specified .*",
        r"- events: Warning: (createPrimary\w+|getSelectorLabel|reconcileService) failed: .*",
        r"- events: Warning: (HorizontalPodAutoscaler|Keda ScaledObject|deployment) absent\S* get query error: .*",
        r"- events: Warning: (Metric template|Error checking metric providers: metric template) .*",
        r"- events: Warning: Canary failed! Scaling down \S+",
        r"- (Deployment|Service) good(-primary|-canary)?",
        r"- (ConfigMap|Secret|Deployment|Service) (podinfo|on-delete|no-(config|gateway|hpa|scaledobject))(-[a-z]+)*",
        r"- Deployment (podinfo|good|no-gateway) then: spec\.replicas: [01]",
        r"\+ events: Warning: (MetricTemplate|The pod|spec\.|Deployment|HorizontalPod|ScaledObject|DaemonSet).*",
        r"\+ (phases|iterations|failed_checks) (bad|same-cookie): (Initializing 0%|0)",
        r"\+ promoted (bad|same-cookie): Unknown Initializing: New Deployment detected, starting initialization\.",
    ),
    "withdrawn": (
        r"- phases podinfo: (Progressing (0|50)|Promoting 50|Finalising 0)%",
        r"- promoted podinfo: Unknown (Progressing|Promoting|Finalising): .*",
        r"- payloads gate: .*; phase: \"Waiting\"",
        r"- hooks: gate in Waiting",
        r"- events: Normal: Confirm-rollout check gate passed",
        r"- events: Normal: (Advance|Copying|New revision|Promotion|Routing all|Starting canary analysis) .*",
        r"- Deployment podinfo then: spec\.replicas: [01]",
        r"\+ events: Normal: The new revision of \S+ was withdrawn before it started",
    ),
    "steps-are-read-anew": (
        r"[-+] phases podinfo: (Progressing|Promoting) (40|60|80)%",
        r"[-+] events: Normal: Advance \S+ canary weight (40|60|80)",
    ),
    "mirror-and-weights": (
        r"\+ phases podinfo: Progressing [246]0%",
        r"\+ events: Normal: Advance \S+ canary weight [246]0",
        _BUILT_IN,
        _NEW_WEIGHTS,
        r"\+ HTTPRoute podinfo then: spec\.rules\[0\]\.(backendRefs|filters)\[0\]\..*requestMirror\.backendRef.*",
        # The recording stops in mid-rollout: how far ours is by then is chance.
        r"\+ phases podinfo: (Promoting 60|Finalising 0|Succeeded 0)%",
        _COMPLETED,
        r"\+ events: Normal: (Copying|Routing all|Promotion completed!) .*",
        _NEW_IMAGE,
        r"\+ Deployment podinfo then: spec\.replicas: 0",
    ),
    "addresses-of-copies": (
        r"\+ phases podinfo: Initialized 0%",
        r"\+ promoted podinfo: True Initialized: Service initialization completed\.",
        r"- events: Warning: reconcileCanaryService failed: .*clusterIPs.*",
        r"\+ events: Normal: Initialization done! \S+",
        r"\+ Service podinfo-(canary|primary)",
    ),
    "metadata-of-copies": (
        r"[-+] Service podinfo-(canary|primary): (annotations|labels)\..*",
        r"- Service podinfo-primary then: annotations\.note: gone; labels\.b: gone; owners\[0\]: gone",
    ),
    "cookies-taken-back": (
        r"- HTTPRoute podinfo then: .*flagger-cookie=<random>; Max-Age=-1\".*",
        r"\+ HTTPRoute podinfo then: .*flagger-cookie=<random>; Max-Age=-1; Domain=example\.com; .*",
    ),
    "outages-count-nothing": (
        r"- events: Warning: Prometheus query failed: .* Status 500 .*",
        r"\+ events: Warning: The metric request-success-rate could not be measured, the rollout holds: .* 500: .*",
    ),
    "greatest-weight-in-alerts": (r"[-+] alerts \S+ of (steps|nomax): .*\"Weight steps?: [0-9,]+ max: (0|100)\".*",),
    "change-while-promoting": (
        r"\+ phases podinfo: (Promoting|Finalising) 0%",
        r"\+ promoted podinfo: Unknown (Promoting|Finalising): Canary analysis completed, .*",
        r"- events: Normal: Advance \S+ primary weight 100",
        r"\+ events: Warning: \S+ changed during its promotion: routing all traffic to primary",
        r"- Deployment podinfo then: spec\.replicas: [01]",
        r"\+ Deployment podinfo-primary then: spec\.template\.spec\.containers\[0\]\.image: .*:6\.0\.2\"",
    ),
    "failure-is-over": (
        r"\+ phases podinfo: Succeeded 0%",
        r"\+ promoted podinfo: True Succeeded: Canary analysis completed successfully, promotion finished\.",
        r"\+ events: Normal: The revision of \S+ that failed was withdrawn: the promoted one was put back",
    ),
    "order-of-headers": (
        # Flagger never gets on, and the recording stops somewhere: how far ours is by then is chance.
        r"\+ phases podinfo: (Progressing 60|Promoting [246]0|Finalising 0|Succeeded 0)%",
        _COMPLETED,
        r"\+ events: Normal: Advance \S+ (canary weight 60|primary weight (60|80|100))",
        r"\+ events: Normal: (Copying|Promotion completed!) .*",
        _BUILT_IN,
        _NEW_WEIGHTS,
        _NEW_IMAGE,
        r"\+ Deployment podinfo then: spec\.replicas: 0",
        r"- HTTPRoute podinfo then: spec\.rules\[0\]\.backendRefs\[0\]\.weight: (70|100); .*\[1\]\.weight: .*",
        r"[-+] HTTPRoute podinfo: spec\.rules\[0\]\.matches\[0\]\.headers\[[0-2]\]\..*",
    ),
    "service-as-it-was": (
        r"[-+] phases podinfo: Terminating (0|50)%",
        r"[-+] Service podinfo then: annotations\.'(flaggerpy\.dev/canary|helm\.toolkit\.fluxcd\.io/\w+)': .*",
        r"[-+] Service podinfo then: spec\.(ports\.http\.name: gone; .*|selector\.app: \"podinfo\".*)",
    ),
    "deletion-ends": (
        r"- events: Warning: deployment podinfo\S* get query error: .* not found",
        r"\+ events: Warning: Deployment podinfo does not exist in namespace .*",
        r"\+ (Canary|ConfigMap|Deployment|Secret|Service) podinfo\S* then: deleted",
    ),
    "made-again": (
        r"\+ events: Warning: \S+-primary\S* is gone: created again from ControllerRevision \S+",
        r"\+ events: Warning: The route of \S+ is missing or unreadable: written again at 0%",
        # Where the target has pods when the primary goes, users are on them until it is back.
        r"\+ phases podinfo: Initialized (100|0)%",
        r"\+ events: Normal: Routing all traffic to (primary|canary)",
    ),
    "target-sleeps": (
        r"\+ events: Warning: something else scales \S+ up between rollouts: put back to zero .*",
        r"\+ Deployment podinfo then: spec\.replicas: 0",
    ),
    "weights-put-back": (
        r"[-+] phases podinfo: Progressing [24680]+5?%",
        r"[-+] events: Normal: Advance \S+ canary weight (40|60|65|80)",
        r"\+ events: Warning: The weights of \S+ were changed from outside to \d+%: put back to \d+%",
    ),
    "bootstrap-goes-on": (
        r"- phases podinfo: Failed 0%",
        r"- events: Warning: Canary failed! Scaling down \S+",
        r"- events: Warning: VirtualService \S+ get query error .* not found",
        # How many of the pods were there at which moment is chance.
        r"- events: Warning: podinfo-primary\S+ not ready: .*",
        r"- Deployment podinfo then: spec\.replicas: 0",
        r"- Service podinfo",
    ),
    "metadata-of-others": (
        r"\+ Service \S+: annotations\.'flaggerpy\.dev/metadata': .*",
        r"- Service podinfo-canary then: annotations\.stray: gone; labels\.stray: gone",
    ),
    # Another provider stands in for the recording's own.
    "recording-provider": (
        r"[-+] events: Warning: Halt advancement no values found for (istio|gatewayapi:v1) metric .*",
        r"\+ events: Warning: spec\.analysis\.mirrorWeight has no effect when using the gatewayapi:v1 provider: .*",
    ),
    # Nothing serves the routes of a replay, so no answer comes within half a second.
    "recording-silent": (
        r"\+ events: Warning: The data plane says nothing of the route.*: going on without its answer",
        r"\+ payloads event: .*\"The data plane says nothing of the route.*: going on without its answer\".*",
    ),
    # The one node of the recording has no pod of the primary for a moment; whether anybody looks just then is chance.
    "users-leave-empty-primaries": (
        r"\+ events: Warning: no pod of \S+-primary\S+ can serve: routing all traffic to \S+, which was analysed",
        r"\+ phases podinfo: Promoting 100%",
    ),
    # The recording stops in mid-rollout: how far ours is by then is chance.
    "recording-ends": (
        r"\+ events: Normal: (Promotion completed! Scaling down|Advance) \S+.*",
        r"[-+] phases podinfo: Progressing [1-9]0%",
    ),
}
_ONLY_IN = {
    "cancelled-rollout": {"revert-during-analysis"},
    "skip-analysis-waits": {"skip-analysis", "skip-analysis-mid-rollout"},
    "drift-keeps-weights": {"service-spec-changes-gatewayapi"},
    "refused-before": {"gatewayapi-route-refused"},
    "broken-primary": {"failed-promotion-then-new-revision"},
    "deletion-serves": {
        "daemonset-istio",
        "delete-no-revert",
        "keda-primary-recreated",
        "revert-on-deletion",
        "revert-on-deletion-created",
        "revert-on-deletion-generated",
        "revert-on-deletion-target-gone",
    },
    "affinity": {"daemonset", "daemonset-istio", "flags-selector-label", "selector-value-differs"},
    "pods-of-daemon-sets": {"daemonset", "daemonset-istio"},
    "every-2xx": {"pre-rollout-fails"},
    "failed-checks-end": {"rollout-hook-retries"},
    "mistakes-stall": {
        "errors-at-bootstrap",
        "flags-cross-namespace",
        "metric-template-problems",
        "step-weight-zero",
        "step-weights-not-ascending",
    },
    "withdrawn": {"gate-withdrawn"},
    "steps-are-read-anew": {"analysis-changes"},
    "mirror-and-weights": {"mirror-progressive-gatewayapi"},
    "addresses-of-copies": {"service-target", "service-target-headless"},
    "metadata-of-copies": {"service-target-external-name"},
    "change-while-promoting": {"new-revision-while-promoting"},
    "failure-is-over": {"failed-metric-rollback"},
    "order-of-headers": {"gatewayapi-header-order-fault"},
    "service-as-it-was": {"revert-on-deletion", "revert-on-deletion-created", "revert-on-deletion-generated"},
    "deletion-ends": {"revert-on-deletion-target-gone"},
    "target-sleeps": {"owned-objects-deleted"},
    "weights-put-back": {"weights-edited-by-hand"},
    "bootstrap-goes-on": {"bootstrap-deadline-istio", "bootstrap-deadline-kubernetes"},
    "users-leave-empty-primaries": {"daemonset", "daemonset-istio"},
    "recording-ends": {
        "config-tracking-opt-out",
        "suspend",
        "analysis-changes",
        "failed-checks-survive-success",
        "failed-metric-rollback",
        "rollout-hook-retries",
    },
}
"""Where a difference changes what happens, its lines could be anything: only these recordings show it."""
BY_CHANCE = frozenset({"recording-ends", "recording-silent", "users-leave-empty-primaries"})
"""What a replay may show or not: where it ends, and who looks just then, is a matter of moments."""
OF_A_COURSE = frozenset(_ONLY_IN) - BY_CHANCE
"""What changes the course of a rollout: of the lines that come of it, some may look like another difference."""
KNOWN = {name: tuple(re.compile(line) for line in lines) for name, lines in _KNOWN.items()}


def explained(recording: str, lines: Iterable[str]) -> tuple[set[str], list[str]]:
    """Return the differences that were seen, and the lines that none of them explains."""
    here = {name: patterns for name, patterns in KNOWN.items() if recording in _ONLY_IN.get(name, {recording})}
    seen, unknown = set[str](), list[str]()
    for line in lines:
        names = {name for name, patterns in here.items() if any(pattern.fullmatch(line) for pattern in patterns)}
        seen |= names
        if not names:
            unknown.append(line)
    return seen, unknown


def listed(differs: Iterable[str], seen: set[str]) -> bool:
    """Tell whether the differences that were seen are those that a recording lists."""
    wanted = set(differs)
    lacking, beyond = wanted - seen - BY_CHANCE, seen - wanted - BY_CHANCE
    return not lacking and (not beyond or bool(wanted & OF_A_COURSE))


def documented() -> set[str]:
    """Return the ids in the table that users read."""
    _, _, section = DOCUMENT.read_text(encoding="utf-8").partition("## In recordings of Flagger\n")
    return set(re.findall(r"^\| `([a-z0-9-]+)` \|", section, re.MULTILINE))
