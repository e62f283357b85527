"""All objects of one input, and how one of them finds another; what the input lacks is unknown, not missing.

Foreign objects are kept if they have the shape that is read here. Whether they are right otherwise is the API server's
business.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import PurePath
from typing import Any, Final

from flaggerpy.api.constants import API_VERSION
from flaggerpy.api.schema import Schema
from flaggerpy.kube.resources import (
    CONFIG_MAPS,
    DAEMONSETS,
    DEPLOYMENTS,
    GATEWAY_ROUTES,
    HPAS,
    INGRESSES,
    SCALED_OBJECTS,
    SECRETS,
    SERVICES,
    Resource,
    gateway_route,
)
from flaggerpy.lint.document import Document
from flaggerpy.lint.schema import violations
from flaggerpy.targets.labels import LabelRules


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer"}
_FLAG: Final[Schema] = {"type": "boolean"}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": _TEXT}
_NAMED: Final = _object(name=_TEXT, optional=_FLAG)
_METADATA: Final = {
    "metadata": _object(name=_TEXT, namespace=_TEXT, labels=_TEXTS, annotations=_TEXTS) | {"required": ["name"]}
}
_PORT: Final = _object(name=_TEXT, containerPort=_WHOLE, hostPort=_WHOLE, protocol=_TEXT) | {
    "required": ["containerPort"]
}
_CONTAINERS: Final = _list(
    _object(
        name=_TEXT,
        ports=_list(_PORT),
        env=_list(_object(valueFrom=_object(configMapKeyRef=_NAMED, secretKeyRef=_NAMED))),
        envFrom=_list(_object(configMapRef=_NAMED, secretRef=_NAMED)),
    )
)
_VOLUME: Final = _object(
    configMap=_NAMED,
    secret=_object(secretName=_TEXT, optional=_FLAG),
    projected=_object(sources=_list(_object(configMap=_NAMED, secret=_NAMED))),
)
_POD: Final = _object(
    containers=_CONTAINERS,
    initContainers=_CONTAINERS,
    volumes=_list(_VOLUME),
    hostNetwork=_FLAG,
    nodeSelector=_TEXTS,
)
_WORKLOAD: Final = _object(
    **_METADATA,
    spec=_object(
        selector=_object(matchLabels=_TEXTS),
        template=_object(metadata=_object(labels=_TEXTS), spec=_POD),
        updateStrategy=_object(type=_TEXT),
    )
    | {"required": ["template"]},
) | {"required": ["metadata", "spec"]}
_BEHAVIOR: Final = _object(scaleDown=_object(stabilizationWindowSeconds=_WHOLE))
_DATA: Final = _object(**_METADATA, data=_TEXTS, stringData=_TEXTS) | {"required": ["metadata"]}
_SERVICE_PORT: Final = _object(port=_WHOLE) | {"required": ["port"]}
_BACKEND: Final = _object(service=_object(name=_TEXT, port=_object(name=_TEXT, number=_WHOLE)))
_RULE: Final = _object(http=_object(paths=_list(_object(backend=_BACKEND))))
_BACKEND_REF: Final = _object(group=_TEXT, kind=_TEXT, name=_TEXT, namespace=_TEXT, weight=_WHOLE)
_CONDITIONS: Final = _list(_object(name=_TEXT))
_MATCHES: Final = _list(_object(headers=_CONDITIONS, queryParams=_CONDITIONS))
_ROUTES_RULE: Final = _object(name=_TEXT, matches=_MATCHES, backendRefs=_list(_BACKEND_REF))
_ROUTE: Final = _object(**_METADATA, spec=_object(rules=_list(_ROUTES_RULE))) | {"required": ["metadata"]}
SHAPES: Final[Mapping[Resource, Schema]] = {
    DEPLOYMENTS: _WORKLOAD,
    DAEMONSETS: _WORKLOAD,
    SERVICES: _object(**_METADATA, spec=_object(ports=_list(_SERVICE_PORT))) | {"required": ["metadata"]},
    HPAS: _object(
        **_METADATA,
        spec=_object(
            scaleTargetRef=_object(kind=_TEXT, name=_TEXT) | {"required": ["kind", "name"]},
            minReplicas=_WHOLE,
            maxReplicas=_WHOLE,
            behavior=_BEHAVIOR,
        )
        | {"required": ["scaleTargetRef"]},
    )
    | {"required": ["metadata", "spec"]},
    SCALED_OBJECTS: _object(
        **_METADATA,
        spec=_object(
            scaleTargetRef=_object(kind=_TEXT, name=_TEXT) | {"required": ["name"]},
            minReplicaCount=_WHOLE,
            maxReplicaCount=_WHOLE,
            idleReplicaCount=_WHOLE,
            pollingInterval=_WHOLE,
            advanced=_object(horizontalPodAutoscalerConfig=_object(behavior=_BEHAVIOR)),
            triggers=_list(_object(name=_TEXT)),
        )
        | {"required": ["scaleTargetRef"]},
    )
    | {"required": ["metadata", "spec"]},
    INGRESSES: _object(**_METADATA, spec=_object(defaultBackend=_BACKEND, rules=_list(_RULE)))
    | {"required": ["metadata"]},
    **{gateway_route(kind, "gateway.networking.k8s.io/v1"): _ROUTE for kind in GATEWAY_ROUTES},
    SECRETS: _DATA,
    CONFIG_MAPS: _DATA,
}
"""As much of foreign objects as lint reads."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the controller that will see the objects was started, and where they will be.

    Attributes:
        namespace: of objects that name none; empty when that is not known.
        min_interval: shorter intervals are raised to this.

    """

    mesh_provider: str = ""
    namespace: str = ""
    min_interval: timedelta = timedelta(seconds=10)
    labels: LabelRules = field(default_factory=LabelRules)
    no_cross_namespace_refs: bool = False


class Inventory:
    """The objects of an input."""

    def __init__(self, documents: Iterable[Document], options: Options) -> None:
        self.options = options
        self._by_kind: dict[str, list[Document]] = defaultdict(list)
        for document in documents:
            if document.api_version == API_VERSION or _has_shape(document):
                self._by_kind[document.kind].append(document)

    def all(self, kind: str) -> tuple[Document, ...]:
        """Return the objects of a kind, in the order of the input."""
        return tuple(self._by_kind[kind])

    def namespace_of(self, document: Document) -> str:
        """Return the namespace that an object will be in, empty when that is not known."""
        return document.namespace or self.options.namespace

    def named(self, kind: str, namespace: str, name: str) -> Iterator[Document]:
        """Find all objects of this name that may be in a namespace."""
        for document in self._by_kind[kind]:
            if document.name == name and may_be_same(self.namespace_of(document), namespace):
                yield document

    def find(self, kind: str, name: str, near: Document, namespace: str = "") -> Document | None:
        """Find the object that another one means: one in its file, else its folder, else the only one there is.

        Folders of one repository often hold the same objects for several clusters.
        """
        found = list(self.named(kind, namespace or self.namespace_of(near), name))
        for same in (_file, _folder):
            if closer := [document for document in found if same(document) == same(near)]:
                return closer[0]
        return found[0] if len(found) == 1 else None


def may_be_same(one: str, other: str) -> bool:
    """Tell whether two namespaces may be the same; one that is not known may be any."""
    return one == other or not one or not other


def _has_shape(document: Document) -> bool:
    group = document.api_version.rpartition("/")[0]
    shapes = [shape for resource, shape in SHAPES.items() if (resource.kind, resource.group) == (document.kind, group)]
    return any(all(fault.unknown for fault in violations(shape, document.obj)) for shape in shapes)


def _file(document: Document) -> Any:
    return document.file


def _folder(document: Document) -> Any:
    return PurePath(document.file).parent
