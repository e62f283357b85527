"""Finds the place in the cluster where replicas share what they remember, or says why there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from flaggerpy.kube.client import Client
from flaggerpy.kube.errors import NoCredentials
from flaggerpy.kube.transport import connect, find_namespace
from flaggerpy.loadtester.board import Board
from flaggerpy.loadtester.configmap import ConfigMapBoard

_ONLY_HERE = "gates and results are kept in memory: they are lost with this process, and replicas do not agree"
_MANAGER = "flaggerpy-loadtester"
_SECONDS = 5.0
"""Shorter than hooks wait by default, so that they hear why."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


@asynccontextmanager
async def shared_board(place: str) -> AsyncIterator[Board | None]:
    """Yield the board in a ConfigMap, NAME or NAMESPACE/NAME; None, after a line in the log, where that cannot be.

    A server that is not reached now is no reason: gates then answer that they are not known until it is.
    """
    if not place:
        _log.info(_ONLY_HERE, reason="-state-configmap is not given")
        yield None
        return
    try:
        namespace, _, name = place.rpartition("/")
        namespace = namespace or find_namespace()
        transport = await connect()
    except NoCredentials as error:
        _log.warning(_ONLY_HERE, reason=str(error))
        yield None
        return
    async with transport:
        board = ConfigMapBoard(Client(transport, field_manager=_MANAGER, timeout=_SECONDS), namespace, name)
        if why := await board.why_not():
            _log.warning(_ONLY_HERE, reason=why)
            yield None
            return
        _log.info("gates and results are kept in the cluster", configmap=f"{namespace}/{name}")
        yield board
