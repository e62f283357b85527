"""Routes of the Gateway API that canaries bring along: whether they lead to them, and to nobody too early."""

from __future__ import annotations

from collections.abc import Iterator

from flaggerpy.api.canary import Canary
from flaggerpy.controller.served import choose_router
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY
from flaggerpy.routers.brought import BroughtRouter
from flaggerpy.routers.brought_rules import our_weights, rules_of


def route_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find what keeps a route in the input from being shared, and what it does by itself; told at the route."""
    router, problems = choose_router(canary, inventory.options.mesh_provider)
    if problems or not isinstance(router, BroughtRouter):
        return
    for ref in router.refs(canary):
        found = inventory.find(ref.resource.kind, ref.name, document)
        if found is None:
            continue
        try:
            router.render(canary, {ref: found.obj}, ALL_TO_CANARY)
        except UserError as error:
            yield found.fault(Rule.ROUTE, str(error), ("spec",))
            continue
        yield from _weights(canary, found)


def _weights(canary: Canary, found: Document) -> Iterator[Fault]:
    """Find rules that send users to the canary whenever the route is applied, between rollouts as well."""
    name = canary.canary_service_name
    for index, rule in enumerate(rules_of(found.obj)):
        if weight := our_weights(canary, rule).get(name, 0):
            yield found.fault(
                Rule.ROUTE_WEIGHT,
                f"Service {name} has the weight {weight}, so that users are sent to it whenever this is applied, also "
                f"between rollouts, when nothing answers there: name Service {canary.apex_name} alone, or write "
                "weight: 0.",
                ("spec", "rules", index, "backendRefs"),
            )
