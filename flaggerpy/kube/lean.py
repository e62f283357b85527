"""Import kubernetes_asyncio without its models: 31 of the 37 MB that it takes, and nothing here uses them.

The package imports a class for every kind and every API group of Kubernetes, whatever is asked of it. While the block
lasts, each of those modules is an empty one in which every name is found; what finds the API server and its credentials
is imported as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_UNUSED = ("kubernetes_asyncio.client.models", "kubernetes_asyncio.client.api.")


class Unused:
    """Stands for every class of the modules that are left out."""


@contextmanager
def without_models() -> Iterator[None]:
    """Leave models and API groups out of what is imported in the block; for the whole process, and for good."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder(MetaPathFinder, Loader):
    """Finds the unused modules before Python looks for their files."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_UNUSED):
            return None
        return ModuleSpec(fullname, self, is_package=fullname == _UNUSED[0])

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _any_class  # type: ignore[method-assign] # how a module says what it has (PEP 562)


def _any_class(name: str) -> type[Unused]:
    if name.startswith("__"):
        raise AttributeError(name)
    return Unused
