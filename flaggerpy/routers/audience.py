"""Shares of an audience, which ``spec.analysis.match`` describes, and of everybody else."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.rollout.traffic import ALL_TO_PRIMARY, Routes, to_canary


def shares_of(canary: Canary, routes: Routes) -> tuple[Routes | None, Routes]:
    """Return the shares of the audience, None where there is none, and those of everybody else.

    Nobody but the audience meets the canary, unless it comes first: then all of it does from the first share on, and of
    everybody else this share.
    """
    if not canary.analysis.match:
        return None, routes
    if not canary.analysis.audience_first:
        return routes, ALL_TO_PRIMARY
    return to_canary(100 if routes.canary else 0, mirrored=routes.mirrored), routes
