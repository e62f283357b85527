"""Ingresses that canaries name: whether they lead to them, as the provider wants it."""

from __future__ import annotations

from collections.abc import Iterator

from flaggerpy.api.canary import Canary
from flaggerpy.controller.served import choose_router
from flaggerpy.kube.resources import INGRESSES
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.inventory import Inventory
from flaggerpy.rollout.errors import UserError
from flaggerpy.rollout.traffic import ALL_TO_CANARY
from flaggerpy.routers.ingress import own_ref


def ingress_faults(document: Document, canary: Canary, inventory: Inventory) -> Iterator[Fault]:
    """Find what keeps an Ingress in the input from being the canary's; told at the Ingress."""
    ref = own_ref(canary)
    router, problems = choose_router(canary, inventory.options.mesh_provider)
    if ref is None or router is None or problems or ref not in router.refs(canary):
        return
    found = inventory.find(INGRESSES.kind, ref.name, document)
    if found is None:
        return
    try:
        router.render(canary, {ref: found.obj}, ALL_TO_CANARY)
    except UserError as error:
        yield found.fault(Rule.INGRESS, str(error), ("spec",))
