"""Is the installed CRD new enough? An older one drops fields of the status without a word."""

from __future__ import annotations

from collections.abc import Callable

from flaggerpy.api.crds import schema_problem
from flaggerpy.clock import Clock
from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import Forbidden, KubeError, NotFound
from flaggerpy.kube.resources import CANARIES, CRDS, Ref

CRD_OF_CANARIES = Ref(CRDS, "", f"{CANARIES.plural}.{CANARIES.group}")
SECONDS_BETWEEN_LOOKS = 10.0


async def find_problem(client: Client) -> str | None:
    """Return the sentence that says why nothing can be done with the installed CRD, None when it will do.

    Without the right to read CRDs (a controller for single namespaces) nothing is found here; then the first status
    write tells.
    """
    try:
        crd = await client.get(CRD_OF_CANARIES)
    except Forbidden:
        return None
    except NotFound:
        return schema_problem(None)
    except KubeError as error:
        return f"The CustomResourceDefinition canaries.flagger.app cannot be read: {error}"
    return schema_problem(crd)


async def wait_until_current(client: Client, clock: Clock, tell: Callable[[str], None]) -> None:
    """Return once the installed CRD will do; until then tell what is wrong with it."""
    while (problem := await find_problem(client)) is not None:
        tell(problem)
        await clock.sleep(SECONDS_BETWEEN_LOOKS)
    tell("")
