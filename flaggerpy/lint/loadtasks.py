"""Tasks that the load tester would refuse, in the load tester's own words.

Asked are webhooks that call a Service named like a load tester at its root: other paths are gates, other servers have
tasks of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.api.canary import Canary
from flaggerpy.api.reading import Place, field_path
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.loadtester.errors import Refused
from flaggerpy.loadtester.payload import Payload
from flaggerpy.loadtester.tasks import parse_task

_NAMES: Final = frozenset({"flagger-loadtester", "loadtester"})
_SOMEWHERE: Final = "default"
"""Any namespace will do: tasks are read alike in all of them."""


def load_task_faults(document: Document, canary: Canary) -> Iterator[Fault]:
    """Find webhooks whose task makes no sense to the load tester."""
    for index, hook in enumerate(canary.analysis.webhooks):
        if not hook.metadata or not _asks_load_tester(hook):
            continue
        try:
            parse_task(Payload(name=canary.name, namespace=_SOMEWHERE, metadata=hook.metadata))
        except Refused as refused:
            here: Place = ("spec", "analysis", "webhooks", index)
            field, _, _ = str(refused).removeprefix("metadata.").partition(" ")
            named = str(refused).startswith("metadata.")
            where = (*here, "metadata", field.rstrip(":")) if named else (*here, "metadata")
            sentence = f"{field_path(here)}{'.' if named else '.metadata: '}{refused}."
            yield document.fault(Rule.LOAD_TASK, sentence, where)


def _asks_load_tester(hook: CanaryWebhook) -> bool:
    try:
        parts = urlsplit(hook.url)
        name = (parts.hostname or "").split(".")[0]
    except ValueError:
        return False
    return name in _NAMES and parts.path in {"", "/"}
