"""What the core knows of the pods of a workload, and when they make waiting for it pointless.

Why it is these reasons, and how the pods of a template are told apart: docs/design/0003-fail-fast.md.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from flaggerpy.rollout.readiness import enough
from flaggerpy.rollout.workload import Workload

PULLS = frozenset({"ErrImagePull", "ImagePullBackOff"})
"""The kubelet shows them in turn while it tries to pull one image again and again."""
_POINTLESS = PULLS | {"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}
_RPC = re.compile(r"rpc error: code = \w+ desc = ")
_CRASHES = "CrashLoopBackOff"
_RESTARTS = 2
"""A container that was restarted less often may have met something that was late, a database say."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A container that is not running, and why.

    Attributes:
        container: its name, with the word ``init`` before that of an init container.
        reason: the kubelet's word.
        message: the kubelet's sentence.
        restarts: how often it was started again.
        not_before: it cannot have waited for this reason before: then the pod came to its node, or something in it
            that this comes after ended.

    """

    container: str
    reason: str
    message: str
    restarts: int
    not_before: datetime

    @property
    def is_pointless(self) -> bool:
        """Whether nothing says that waiting for it helps."""
        return self.reason in _POINTLESS or (self.reason == _CRASHES and self.restarts >= _RESTARTS)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that is meant to run, and its containers that wait."""

    name: str
    waiting: tuple[Waiting, ...] = ()

    @property
    def blocked(self) -> Waiting | None:
        """The first container that makes waiting for this pod pointless."""
        return next((container for container in self.waiting if container.is_pointless), None)


@dataclass(frozen=True, slots=True)
class PodsSeen:
    """The pods that run the newest template of a workload.

    Attributes:
        of: uid of the workload; empty when the pods of none are looked at.
        pods: None while they are not known.
        trouble: why they cannot be looked at.

    """

    of: str = ""
    pods: tuple[Pod, ...] | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """Why a workload cannot become ready, and the moment before which that cannot have been so."""

    why: str
    not_before: datetime


def hopeless(workload: Workload, pods: tuple[Pod, ...], percent: int) -> Hopeless | None:
    """Tell whether so many pods are blocked that the others cannot make the workload ready.

    Pods that are yet to be made count as good.

    Args:
        workload: the workload that they belong to.
        pods: those that run its newest template.
        percent: how many of its pods must be available.

    """
    blocked = [container for pod in pods if (container := pod.blocked) is not None]
    size = max(workload.replicas, len(pods))
    spare = max(size - enough(workload.replicas, percent), 0)
    if len(blocked) <= spare:
        return None
    began = sorted(container.not_before for container in blocked)
    return Hopeless(_words(blocked, size), began[spare])


def brief(reason: str, message: str) -> str:
    """Shorten what the kubelet says of an image that does not come: which image it is, and what came of it at last.

    Between the two it tells of each layer that failed because of the next one. Other reasons have no such story.
    """
    if reason not in PULLS:
        return message
    clauses = _RPC.sub("", message).split(": ")
    return ": ".join(dict.fromkeys((clauses[0], clauses[-1])))


def _words(blocked: list[Waiting], size: int) -> str:
    """Name what most of the pods wait for."""
    counts = Counter(_kind(container) for container in blocked)
    [(kind, count)] = counts.most_common(1)
    first = next(container for container in blocked if _kind(container) == kind)
    message = f" ({brief(first.reason, first.message)})" if first.message else ""
    return f"container {first.container} of {count} of {size} pods: {first.reason}{message}"


def _kind(container: Waiting) -> tuple[str, str]:
    return container.container, "" if container.reason in PULLS else container.reason
