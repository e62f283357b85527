"""The controller put together: every part is made here, in order, and handed to those who need it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from functools import partial

import structlog

from flaggerpy import __version__
from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.clock import Clock, SystemClock
from flaggerpy.controller.alerts import AlertSender, Receiver
from flaggerpy.controller.announce import Announcer, Channels
from flaggerpy.controller.beside import InOrder
from flaggerpy.controller.check import Checker
from flaggerpy.controller.configs import ConfigDigests
from flaggerpy.controller.execute import Executor
from flaggerpy.controller.hooks import EventHooks, HookAnswer, WebhookClient
from flaggerpy.controller.neighbours import Neighbours
from flaggerpy.controller.observe import Observer
from flaggerpy.controller.pods import PODS_OF_DEPLOYMENTS, PodReader
from flaggerpy.controller.questions import Sources
from flaggerpy.controller.reconciler import Reconciler, Rooms
from flaggerpy.controller.schema import SchemaGuard
from flaggerpy.controller.series import CanarySeries
from flaggerpy.controller.sources import Library
from flaggerpy.controller.takeover import Takeover
from flaggerpy.kube.cache import Caches, Scope
from flaggerpy.kube.client import Client
from flaggerpy.kube.controller import Reconcile, Result, Workers
from flaggerpy.kube.dependents import Dependents
from flaggerpy.kube.errors import ApiError, KubeError
from flaggerpy.kube.events import EventRecorder
from flaggerpy.kube.lease import Elector, LeaseTiming
from flaggerpy.kube.objects import name_of, namespace_of
from flaggerpy.kube.resources import BUDGETS, CANARIES, PODS, Ref
from flaggerpy.kube.throttle import Throttle
from flaggerpy.kube.transport import connect
from flaggerpy.kube.wire import Request, Response, Transport
from flaggerpy.kube.workqueue import Key, WorkQueue
from flaggerpy.metrics.outbound import Outbound
from flaggerpy.notifiers.base import Sender
from flaggerpy.settings import Settings
from flaggerpy.telemetry.controller import ControllerSeries, Ended, HookResult
from flaggerpy.telemetry.recorder import Recorder
from flaggerpy.telemetry.server import make_app, serving

log = structlog.get_logger()

STUCK_SECONDS = 1800.0
"""A tick that takes longer than that beside its hooks is stuck, and the Pod is better restarted."""
FAREWELL_SECONDS = 5.0
FIRST_RETRY_SECONDS = 0.05
"""A conflict with the workload's own controller is an everyday thing and over at once; further retries wait longer."""


class App:
    """One controller process. Everything it does happens within :meth:`run`."""

    def __init__(self, settings: Settings, transport: Transport, outbound: Outbound, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._recorder = Recorder(version=__version__, mesh_provider=settings.mesh_provider)
        self._series = self._recorder.controller
        counted = _Counted(transport, self._series)
        throttle = Throttle(clock, qps=settings.qps, burst=settings.burst)
        # What only tells must not hold up what moves traffic.
        behind = Throttle(clock, qps=settings.qps / 2, burst=settings.burst // 2)
        timing = LeaseTiming()
        lease = Client(counted, session="lease", timeout=timing.request_timeout)
        self._elector = Elector(lease, settings.leader_election_namespace, clock, timing=timing)
        fence = self._elector.fence if settings.leader_election else None
        self._reader = Client(counted, throttle=throttle)
        writer = Client(counted, fence=fence, throttle=throttle)
        self._caches = Caches(self._reader, scope=Scope(settings.namespaces), clock=clock)
        self._caches.keep_whole(BUDGETS)
        self._queue = WorkQueue(clock, first_delay=FIRST_RETRY_SECONDS)
        self._events = EventRecorder(Client(counted, throttle=behind), clock=clock)
        library = Library(self._reader, self._caches)
        hooks = WebhookClient(outbound, library.secret, on_answer=self._answered, clock=clock)
        self._event_hooks = EventHooks(hooks, everywhere=settings.event_webhook, on_drop=self._dropped("event"))
        self._alerts = AlertSender(
            outbound, library.secret, clock=clock, on_drop=self._dropped("alert"), on_end=self._alerted
        )
        channels = Channels(
            events=self._events,
            event_hooks=self._event_hooks,
            hooks=hooks,
            alerts=self._alerts,
            receiver=receiver_for_everyone(settings),
            cluster=settings.cluster_name,
            link=settings.alert_link,
        )
        self._announcer = Announcer(channels, library, clock, self._queue.add)
        self._pods = Dependents(self._reader, PODS, PODS_OF_DEPLOYMENTS, clock=clock)
        pods = PodReader(self._reader, self._pods, settings.fail_fast_after)
        digests, takeover = ConfigDigests(self._reader, self._caches), Takeover(self._reader, clock)
        beside = InOrder(takeover, Neighbours(self._reader, self._caches, settings))
        observer = Observer(self._caches, digests, pods, library, settings, beside)
        mesh, alone = settings.mesh_provider, settings.no_cross_namespace_refs
        sources = Sources(library.metric_template, library.secret, settings.metrics_server, mesh, counted, alone)
        rooms = Rooms(
            observer=observer,
            checker=Checker(hooks, outbound, sources, self._recorder, clock),
            executor=Executor(writer, self._caches, observer.rules, clock),
            announcer=self._announcer,
        )
        self._reconciler = Reconciler(rooms, self._caches, CanarySeries(self._recorder), clock)
        self._schema = SchemaGuard(self._reader, self._caches, clock, self._tell)
        reconcile = _Timed(self._schema.guarded(self._reconciler), self._series, clock)
        self._workers = Workers(self._queue, reconcile, concurrency=settings.workers, clock=clock)
        self._caches.on_change(self._changed)
        self._pods.on_change(self._changed)
        self._problem = "The CustomResourceDefinitions have not been looked at yet."
        self._leading = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until asked to stop; then finish writes in flight, say what is left to say, and free the lease."""
        app = make_app(live=self._live, ready=self._ready, registry=self._recorder.registry, refresh=self._refresh)
        async with serving(app, self._settings.port), asyncio.TaskGroup() as group:
            caches = (self._caches.run(), self._pods.run())
            parts = (*caches, self._events.run(), self._schema.run(self._queue_all), self._take_part())
            tasks = [group.create_task(part) for part in parts]
            await stop.wait()
            log.info("shutting down")
            tasks[-1].cancel()
            await asyncio.wait([tasks[-1]])
            await self._announcer.aclose(FAREWELL_SECONDS)
            await self._event_hooks.aclose(FAREWELL_SECONDS)
            await self._alerts.aclose(FAREWELL_SECONDS)
            for task in tasks:
                task.cancel()

    async def _take_part(self) -> None:
        await self._schema.wait_until_current()
        if self._settings.leader_election:
            await self._elector.run(self._lead)
        else:
            await self._lead()

    async def _lead(self) -> None:
        self._reconciler.leadership_began()
        self._queue_all()
        self._leading = True
        try:
            await self._workers.run()
        finally:
            self._leading = False
            self._pods.clear()  # who leads next follows them
            self._reconciler.leadership_ended()

    def _queue_all(self, namespace: str = "") -> None:
        for obj in self._caches.all(CANARIES):
            if namespace in {"", namespace_of(obj)}:
                self._queue.add((namespace_of(obj), name_of(obj)))

    def _tell(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.error(problem)
        self._problem = problem

    def _dropped(self, kind: str) -> Callable[[int], None]:
        return partial(self._series.count_dropped, kind)

    def _alerted(self, receiver: str, sent: bool) -> None:
        self._series.count_alert(receiver, sent=sent)

    def _answered(self, hook: CanaryWebhook, answer: HookAnswer, seconds: float) -> None:
        result: HookResult = "passed" if answer.passed else "unanswered" if answer.status is None else "refused"
        self._series.observe_webhook(hook.type.value, result, seconds)

    def _changed(self, ref: Ref) -> None:
        if ref.resource == CANARIES:
            self._queue.add((ref.namespace, ref.name))
        if ref.resource == BUDGETS:
            self._queue_all(ref.namespace)
        for key in self._caches.owners(ref):
            self._queue.add(key)

    def _live(self) -> str | None:
        # Hooks end by their own limits, however long those are: a load test of an hour is no reason to begin again.
        if self._leading and not self._workers.progress().is_healthy(STUCK_SECONDS + self._reconciler.patience):
            return "a worker is stuck"
        return None

    def _ready(self) -> str | None:
        if self._problem:
            return self._problem
        return None if self._caches.synced() else "the caches are not synced yet"

    def _refresh(self) -> None:
        # The total belongs to the leader alone: every replica knows all canaries, and sums would count them twice.
        canaries = self._caches.all(CANARIES) if self._leading else []
        self._recorder.set_totals(Counter(map(namespace_of, canaries)))
        watches = {**self._caches.ages(), **self._pods.ages()}
        ages = {(subject.resource.title, subject.namespace): age for subject, age in watches.items()}
        self._series.set_watch_ages(ages)
        longest = self._workers.progress().longest
        self._series.set_work(leading=self._leading, waiting=self._queue.depth, longest=longest)


class _Timed:
    """A reconciliation that is timed."""

    def __init__(self, inner: Reconcile, series: ControllerSeries, clock: Clock) -> None:
        self._inner = inner
        self._series = series
        self._clock = clock

    async def __call__(self, key: Key) -> Result:
        began = self._clock.monotonic()
        ended: Ended = "error"
        try:
            result = await self._inner(key)
            ended = "success"
        except KubeError:
            ended = "retry"
            raise
        except asyncio.CancelledError:
            ended = "cancelled"
            raise
        finally:
            seconds = self._clock.monotonic() - began
            self._series.observe_reconcile(ended, seconds, self._clock.now().timestamp())
        return result


class _Counted:
    """A transport that counts its requests by verb and code."""

    def __init__(self, inner: Transport, series: ControllerSeries) -> None:
        self._inner = inner
        self._series = series

    async def send(self, request: Request) -> Response:
        try:
            response = await self._inner.send(request)
        except KubeError:
            self._series.count_request(request.method, "none")
            raise
        self._series.count_request(request.method, response.status)
        return response

    async def stream(self, request: Request) -> AsyncGenerator[bytes, None]:
        opened = False
        try:
            async for line in self._inner.stream(request):
                if not line:
                    opened = True
                    self._series.count_request("WATCH", 200)
                yield line
        except ApiError as error:
            self._series.count_request("WATCH", error.status)
            raise
        except KubeError:
            if not opened:
                self._series.count_request("WATCH", "none")
            raise


def receiver_for_everyone(settings: Settings) -> Receiver | None:
    """Return who gets the alerts of canaries that name nobody; Teams wins over Slack, as in Flagger."""
    if settings.msteams_url:
        return Receiver("msteams", settings.msteams_url, proxy=settings.msteams_proxy_url)
    if settings.slack_url and settings.slack_channel:
        sender = Sender(settings.slack_channel, settings.slack_user)
        return Receiver("slack", settings.slack_url, sender, token=settings.slack_token, proxy=settings.slack_proxy_url)
    return None


async def run(settings: Settings) -> None:
    """Run the controller until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(await connect(settings.kubeconfig or None))
        outbound = await stack.enter_async_context(Outbound())
        log.info("starting", version=__version__, provider=settings.mesh_provider)
        await App(settings, transport, outbound, SystemClock()).run(stop)
    log.info("ended")
