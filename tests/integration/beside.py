"""What must hold whatever one user gets wrong: nothing of theirs is touched, and the canary beside goes on."""

from __future__ import annotations

from flaggerpy.kube.wire import Request
from tests.integration.objects import blue_green, deployment
from tests.integration.site import Site

NAME = "beside"


async def another_goes_on(site: Site) -> None:
    """Bootstrap another canary beside the bad one and roll it out."""
    await site.apply(deployment(NAME), blue_green(NAME, iterations=1))
    await site.phase_is("Initialized", NAME)
    await site.set_image("6.0.1", NAME)
    await site.phase_is("Succeeded", NAME)
    assert await site.image(f"{NAME}-primary") == "6.0.1"


def touched(writes: list[Request], name: str) -> set[str]:
    """Return the kinds of those objects that were written whose names begin like this; none was created."""
    made = f'"name":"{name}'.encode()
    assert not any(made in (request.body or b"") for request in writes if request.method == "POST")
    parts = [request.path.split("/") for request in writes if f"/{name}" in request.path]
    return {path[path.index("namespaces") + 2] for path in parts}
