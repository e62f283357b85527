"""How the objects around a target are called; every name of a child is built here, once, or by the Canary itself."""

from __future__ import annotations

from flaggerpy.api.canary import Canary
from flaggerpy.api.constants import PRIMARY_SUFFIX
from flaggerpy.rollout.decision import ServiceRole


def service_name(canary: Canary, role: ServiceRole) -> str:
    """Return the name of one of the three Services."""
    match role:
        case ServiceRole.APEX:
            return canary.apex_name
        case ServiceRole.PRIMARY:
            return canary.primary_service_name
        case ServiceRole.CANARY:
            return canary.canary_service_name


def kept_name(canary: Canary, number: int) -> str:
    """Return the name under which the promoted revision of this number is kept; two of them take turns."""
    return f"{canary.target_name}-promoted-{1 + number % 2}"


def copy_name(original: str) -> str:
    """Return the name of the primary's copy of a ConfigMap, a Secret or an autoscaler."""
    return f"{original}{PRIMARY_SUFFIX}"


def primary_value(value: str) -> str:
    """Return the value of the selector label on the primary's pods."""
    return f"{value}{PRIMARY_SUFFIX}"


def target_value(value: str) -> str:
    """Return the value of the selector label on the target's pods, given the one on the primary's."""
    return value.removesuffix(PRIMARY_SUFFIX)
