"""Which revision is it?

The reasons are told in docs/design/0001-which-revision.md.

A rollout starts when, and only when, a user changed the pod template or a tracked config. A new API server that adds a
default, a scale, a label or a restart of anything must never look like that.
"""

from __future__ import annotations

from flaggerpy.api.status import Revision
from flaggerpy.rollout.observation import Observation
from flaggerpy.rollout.workload import Workload


def current(seen: Observation, target: Workload) -> Revision:
    """The identity of what the target asks for now."""
    return Revision(
        template=target.template,
        configs=dict(seen.configs.ours),
        uid=target.uid,
        generation=target.generation,
        controller_revision=target.controller_revision,
    )


def same(recorded: Revision | None, seen: Observation, target: Workload) -> bool:
    """Whether the target still asks for the recorded revision."""
    if recorded is None:
        return False
    return dict(recorded.configs) == dict(seen.configs.ours) and same_template(recorded, target)


def same_template(recorded: Revision, target: Workload) -> bool:
    """Whether the pod template is the recorded one, whatever defaults the API server shows today.

    The generation moves only when someone writes the spec, so an unmoved generation settles it. Where it moved, the
    workload controller's own revision tells a change of the template from a change of anything else; it counts only
    once that controller has seen the generation, and not while the workload is paused, when it stops counting.
    """
    if recorded.template == target.template:
        return True
    if not recorded.uid or recorded.uid != target.uid:
        return False
    if recorded.generation == target.generation:
        return True
    counted = target.observed_generation >= target.generation and not target.paused
    return (
        counted
        and recorded.controller_revision is not None
        and recorded.controller_revision == target.controller_revision
    )


def promoted(seen: Observation, target: Workload) -> bool:
    """Whether the target asks for what the primary is meant to run: then there is nothing to roll out.

    Besides the record, the primary itself answers: both are served by the same API server with the same defaults.
    """
    record = seen.canary.status.rollout.promoted
    if record is None:
        return False
    if dict(record.configs) != dict(seen.configs.ours):
        return False
    if same_template(record, target):
        return True
    return seen.primary is not None and seen.primary.template == target.template
