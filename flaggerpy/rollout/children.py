"""The objects around a canary that must be right in every phase: Services and the route."""

from __future__ import annotations

from flaggerpy.api.status import Phase
from flaggerpy.rollout.decision import CopyConfigs, CreatePrimary, ServiceRole, SetRoutes, WriteService
from flaggerpy.rollout.turn import Turn


def mend_services(turn: Turn) -> None:
    """Mend the canary's and the primary's Service, and the apex once the primary has taken over."""
    services = turn.seen.services
    if not services.canary:
        turn.do(WriteService(ServiceRole.CANARY))
    if not services.primary:
        turn.do(WriteService(ServiceRole.PRIMARY))
    if not services.apex and turn.status.phase not in (Phase.NEW, Phase.INITIALIZING):
        turn.do(WriteService(ServiceRole.APEX))


def mend_route(turn: Turn) -> bool:
    """Put the intended weights back when the live ones differ; True when the route is as intended.

    A route that drifted otherwise is rewritten with the weights it has, so drift never moves traffic.
    """
    if not turn.seen.routed:
        return True
    live = turn.seen.route.routes
    if live is not None and (live.primary, live.canary) == (turn.intended.primary, turn.intended.canary):
        if turn.seen.route.drifted:
            turn.do(SetRoutes(live))
        return True
    turn.do(SetRoutes(turn.intended))
    if live is None:
        turn.warn(f"The route of {turn.name} is missing or unreadable: written again at {turn.intended.canary}%")
    else:
        turn.warn(
            f"The weights of {turn.name} were changed from outside to {live.canary}%: "
            f"put back to {turn.intended.canary}%"
        )
    return False


def clone_target(turn: Turn) -> None:
    """Create the primary from the target, with its configs first."""
    turn.do(CopyConfigs(dict(turn.seen.configs.ours)), CreatePrimary())
