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
        config_writes=seen.configs.writes,
        uid=target.uid,
        generation=target.generation,
        controller_revision=target.controller_revision if _counted(target) else None,
    )


def of_primary(seen: Observation, target: Workload) -> Revision | None:
    """The identity of what the primary runs, as far as the primary itself and Flagger's status can tell.

    The configs it read are known only where Flagger recorded the same ones as there are now.
    """
    primary = seen.primary
    if primary is None:
        return None
    recorded = seen.canary.status.tracked_configs
    known = recorded is None or recorded == dict(seen.configs.flagger)
    # Somebody may have restarted the primary by hand, which is no revision.
    if known and target.template in {primary.template, primary.unrestarted}:
        return current(seen, target)
    return Revision(template=primary.template, configs=dict(seen.configs.ours) if known else {})


def same(recorded: Revision | None, seen: Observation, target: Workload) -> bool:
    """Whether the target still asks for the recorded revision."""
    return recorded is not None and same_configs(recorded, seen) and same_template(recorded, target)


def same_template(recorded: Revision, target: Workload) -> bool:
    """Whether the pod template is the recorded one, whatever defaults the API server shows today.

    The generation moves only when someone writes the spec, so an unmoved generation settles it. Where it moved, the
    workload controller's own revision tells a change of the template from a change of anything else.
    """
    if recorded.template == target.template:
        return True
    if not recorded.uid or recorded.uid != target.uid:
        return False
    if recorded.generation == target.generation:
        return True
    return (
        _counted(target)
        and recorded.controller_revision is not None
        and recorded.controller_revision == target.controller_revision
    )


def unclear(recorded: Revision | None, seen: Observation, target: Workload) -> bool:
    """Whether only the workload's controller can tell if the template changed, and it has not yet done so."""
    return (
        recorded is not None
        and same_configs(recorded, seen)
        and not same_template(recorded, target)
        and recorded.uid == target.uid
        and recorded.controller_revision is not None
        and not _counted(target)
        and not _other_images(recorded, seen, target)
    )


def promoted(seen: Observation, target: Workload) -> bool:
    """Whether the target asks for what the primary is meant to run: then there is nothing to roll out.

    Besides the record, the primary itself answers: both are served by the same API server with the same defaults.
    """
    record = seen.canary.status.rollout.promoted
    if record is None or not same_configs(record, seen):
        return False
    if same_template(record, target):
        return True
    return seen.primary is not None and seen.primary.template == target.template


def alike(one: Revision | None, other: Revision | None) -> bool:
    """Whether two records are of the same template and configs, wherever and whenever they were read."""
    return one is not None and other is not None and (one.template, one.configs) == (other.template, other.configs)


def _other_images(recorded: Revision, seen: Observation, target: Workload) -> bool:
    """Whether the containers have other images than the recorded template had, which the primary shows.

    Then there is no need to wait for the workload's controller: no server has a default for an image, so somebody wrote
    it, whichever server showed the primary and the target, and whenever. While paused, nothing is to start.
    """
    primary = seen.primary
    if primary is None or primary.template != recorded.template:
        return False
    return primary.images != target.images and not target.paused


def same_configs(recorded: Revision, seen: Observation) -> bool:
    """Whether the configs that the target names are the recorded ones, with the recorded content."""
    return dict(recorded.configs) == dict(seen.configs.ours)


def rewritten(recorded: Revision, seen: Observation) -> bool:
    """Whether a config was written since, with other content or not: in between it may have had any."""
    known = recorded.config_writes and seen.configs.writes
    return bool(known) and recorded.config_writes != seen.configs.writes


def _counted(target: Workload) -> bool:
    """Whether the workload's controller has given this generation a revision; while paused it stops counting."""
    return target.observed_generation >= target.generation and not target.paused
