"""Whether an object is one of ours, whether the API server admits it, and what reading it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Generic, Protocol, TypeVar

from flaggerpy.api.constants import API_VERSION, GROUP
from flaggerpy.api.crds import KINDS, object_schema
from flaggerpy.api.errors import InvalidObject
from flaggerpy.api.reading import Place
from flaggerpy.lint.document import Document
from flaggerpy.lint.faults import Fault, Rule
from flaggerpy.lint.schema import violations

SCHEMAS: Final = {kind.kind: object_schema(kind) for kind in KINDS}


class _Readable(Protocol):
    @property
    def faults(self) -> tuple[str, ...]:
        """What reading left out."""


Model = TypeVar("Model", bound=_Readable)


@dataclass(frozen=True, slots=True)
class Admission(Generic[Model]):
    """What became of an object.

    Attributes:
        model: None when it cannot be read at all.
        told: places that somebody has complained about already.

    """

    document: Document
    model: Model | None
    faults: tuple[Fault, ...]
    told: frozenset[Place]

    def news(self, rule: Rule, *sentences: str) -> tuple[Fault, ...]:
        """Report sentences, but for those about a place, or something inside of it, that was complained about."""
        found = [self.document.fault(rule, sentence) for sentence in sentences]
        return tuple(fault for fault in found if not self.told.intersection(_upwards(fault.place)))


def kind_faults(document: Document) -> tuple[Fault, ...]:
    """Find objects that are meant for us and are of no kind or version that is served."""
    kind, version = document.kind, document.api_version
    if version == API_VERSION and kind not in SCHEMAS:
        near = get_close_matches(kind, SCHEMAS, 1)
        known = f"did you mean {near[0]}?" if near else f"write one of {', '.join(SCHEMAS)}."
        sentence = f"kind: {GROUP} has no {kind or 'such kind'}: {known}"
        return (document.fault(Rule.KIND, sentence, ("kind",)),)
    if version != API_VERSION and (version.startswith(f"{GROUP}/") or (kind in SCHEMAS and "flagger" in version)):
        sentence = f"apiVersion: {version} is not served: write {API_VERSION}."
        return (document.fault(Rule.KIND, sentence, ("apiVersion",)),)
    if kind in SCHEMAS and not version:
        return (document.fault(Rule.KIND, f"apiVersion is missing: write {API_VERSION}.", ("apiVersion",)),)
    return ()


def admit(document: Document, parse: Callable[[Mapping[str, Any]], Model]) -> Admission[Model]:
    """Do what the API server and then the controller do first; what the one refuses, the other need not mention."""
    faults = []
    told: set[Place] = set()
    for violation in violations(SCHEMAS[document.kind], document.obj):
        rule = Rule.UNKNOWN_FIELD if violation.unknown else Rule.SCHEMA
        faults.append(document.fault(rule, violation.sentence, violation.place))
        if not violation.unknown:
            told |= {*violation.covers} or {violation.place}
    model: Model | None = None
    try:
        model = parse(document.obj)
        said = model.faults
    except InvalidObject as error:
        said = error.sentences
    left_out = Admission(document, model, (), frozenset(told)).news(Rule.MISTAKE, *said)
    told |= {fault.place for fault in left_out}
    return Admission(document, model, (*faults, *left_out), frozenset(told))


def _upwards(place: Place) -> frozenset[Place]:
    return frozenset(place[:length] for length in range(1, len(place) + 1))
