"""Plays a recording's user against our controller, and tells what the controller did."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

from flaggerpy.kube.errors import AlreadyExists
from flaggerpy.kube.objects import JsonObject, name_of
from flaggerpy.kube.resources import CANARIES, Resource
from flaggerpy.kube.transport import connect
from flaggerpy.kube.wire import Request, Transport
from tests.integration.site import KINDS, Controller, Site, new_site
from tests.replay.recording import Recording
from tests.replay.story import NAMESPACE, SERVER, Call, Change, Story, tell
from tests.replay.surroundings import Surroundings, surroundings
from tests.replay.watching import Watcher

PACE = 0.2
"""A second of a recording lasts so long here: an interval of 10 s is one of 2 s."""
PATIENCE = 60.0
QUIET, AT_MOST = 6.0, 15.0
"""Seconds without any change after which a story is over, and how long they are waited for.

Users are given an interval to leave a canary, after half a second in which no gateway answers: 2.5 s between two
changes where an interval is one of 10 s, and more on a busy machine.
"""
PATCHES = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}
_UNSEEN = frozenset({"answer", "metric"})
"""What changes the surroundings only: who waits then is content with what is already so."""
_INTERVAL = re.compile(r"^(\d+)s$")


async def replay(recording: Recording) -> Story:
    """Return what our controller does where Flagger did what was recorded."""
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(surroundings())
        wire = await stack.enter_async_context(await connect())
        site = await stack.enter_async_context(
            new_site(
                wire=wire,
                min_interval=timedelta(seconds=1),
                include_label_prefix="app.kubernetes.io",
                metrics_server=around.url,
                event_webhook=f"{around.url}/event-webhook",
            )
        )
        changes = {name: _filled(value, site, around) for name, value in recording.settings.items()}
        player = _Player(recording, site, around, wire)
        return await player.play(changes)


class _Player:
    def __init__(self, recording: Recording, site: Site, around: Surroundings, wire: Transport) -> None:
        self._recording = recording
        self._site = site
        self._around = around
        self._wire = wire
        self._watcher = Watcher(site.client, site.namespace)
        around.heard = self._watcher.wake
        self._changes_before = self._calls_before = 0
        """How much there was when the user last did something: what is waited for comes after it."""
        self._unseen = False
        """Whether what was done last changed no object."""
        self._controller: Controller | None = None
        self._settings: dict[str, Any] = {}

    async def play(self, settings: dict[str, Any]) -> Story:
        self._settings = settings
        await self._watcher.open()
        watching = asyncio.create_task(self._watcher.run())
        try:
            async with AsyncExitStack() as self._lives:
                await self._start()
                for step in self._recording.steps:
                    await self._do(_filled(step, self._site, self._around))
                if self._recording.settle:
                    await self._watcher.quiet(QUIET, AT_MOST)
            if watching.done():
                watching.result()
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        return self._story()

    def _story(self) -> Story:
        def plain(value: Any) -> Any:
            text = json.dumps(value, ensure_ascii=False)
            text = text.replace(self._around.url, SERVER).replace(self._around.url.removeprefix("http://"), SERVER)
            return json.loads(text.replace(self._site.namespace, NAMESPACE))

        return tell(
            (Change(change.kind, change.name, plain(change.obj)) for change in self._watcher.changes),
            [Call(call.to, plain(call.path), plain(call.body)) for call in self._around.calls],
            given=self._recording.given,
            routers=not self._recording.provider,
            canaries=self._recording.canaries,
        )

    async def _start(self) -> None:
        self._controller = await self._lives.enter_async_context(self._site.controller(**self._settings))

    async def _do(self, step: JsonObject) -> None:
        what = step["do"]
        if what == "end":
            return
        if what == "sleep":
            await asyncio.sleep(step["seconds"] * PACE)
        elif what.startswith("wait"):
            await self._wait(step)
        else:
            self._changes_before, self._calls_before = self._watcher.count(), len(self._around.calls)
            self._unseen = what in _UNSEEN
            await self._act(step)

    async def _act(self, step: JsonObject) -> None:
        match step["do"]:
            case "kubectl-apply" | "kubectl-create":
                for obj in step["objects"]:
                    await self._apply(obj)
            case "patch":
                await self._patch(step)
            case "delete":
                await self._site.client.delete(self._site.ref(KINDS[step["kind"]], step["name"]))
            case "answer":
                self._around.will_answer(step["path"], step["status"], step.get("body"))
            case "metric":
                self._around.will_measure(step["match"], step["value"])
            case "restart-controller":
                if self._controller is not None:
                    await self._controller.kill()
                await self._start()
            case unknown:
                raise ValueError(f"{self._recording.name}: nobody knows how to {unknown}")

    async def _apply(self, obj: JsonObject) -> None:
        resource = KINDS[obj["kind"]]
        obj = {**obj, "metadata": {**obj["metadata"], "namespace": self._site.namespace}}
        if resource == CANARIES:
            _hurry(obj["spec"])
        try:
            await self._site.client.create(resource, obj)
        except AlreadyExists:
            await self._site.client.merge_patch(self._site.ref(resource, name_of(obj)), obj)

    async def _patch(self, step: JsonObject) -> None:
        resource: Resource = KINDS[step["kind"]]
        body = step["body"]
        if resource == CANARIES and isinstance(body, dict):
            _hurry(body.get("spec") or {})
        path = self._site.ref(resource, step["name"]).path(step.get("subresource"))
        request = Request("PATCH", path, body=json.dumps(body).encode(), content_type=PATCHES[step["type"]])
        answer = await self._wire.send(request)
        if answer.status != 200:
            raise AssertionError(f"{self._recording.name}: {step} was answered with {answer.status}: {answer.body!r}")

    async def _wait(self, step: JsonObject) -> None:
        what, rest = step["do"], {key: value for key, value in step.items() if key not in {"do", "name"}}
        if what == "wait-call":
            path = str(step["path"]).removeprefix("/hook/")
            there = lambda: self._around.asked(path, self._calls_before) >= step["count"]  # noqa: E731
        elif what == "wait":
            name = str(step["until"]).removeprefix("Canary ").removesuffix(" is gone")
            there = lambda: self._gone(name)  # noqa: E731
        else:
            there = lambda: self._was(step.get("name") or self._recording.canaries[0], rest)  # noqa: E731
        await self._watcher.until(there, f"{what} {rest}", PATIENCE)

    def _gone(self, name: str) -> bool:
        mine = [change for change in self._watcher.changes if (change.kind, change.name) == ("Canary", name)]
        return bool(mine) and mine[-1].obj is None

    def _was(self, canary: str, wanted: JsonObject) -> bool:
        every, since = (self._watcher.statuses(canary, changes) for changes in (0, self._changes_before))
        # A status that is written again while it is so is no arrival.
        states = [{}, *every][-len(since) - 1 :]
        so = [all(status.get(field) == value for field, value in wanted.items()) for status in states]
        arrived = True in so if self._unseen else (False, True) in pairwise(so)
        return arrived or any(_stalled(status) for status in every[-1:])


def _stalled(status: JsonObject) -> bool:
    """Whether the controller waits for its user, so that nothing more comes."""
    return any(row["type"] == "Stalled" and row["status"] == "True" for row in status.get("conditions") or ())


def _hurry(spec: JsonObject) -> None:
    """Shorten the interval of a canary as everything else is."""
    analysis = spec.get("analysis") or {}
    if said := _INTERVAL.match(str(analysis.get("interval", ""))):
        analysis["interval"] = f"{max(1000, round(int(said[1]) * PACE * 1000))}ms"


def _filled(value: Any, site: Site, around: Surroundings) -> Any:
    """Put namespace and address where they belong."""
    text = json.dumps(value).replace(SERVER, around.url).replace(NAMESPACE, site.namespace)
    return json.loads(text)
