"""How long a tick may take before its worker counts as stuck: as long as its hooks may, and a while."""

from __future__ import annotations

import asyncio

from flaggerpy.api.analysis import CanaryWebhook
from flaggerpy.controller.hooks import longest
from tests.controller.test_first_write import at_rest
from tests.metrics.loopback import Asked, Say, loopback


async def test_a_hook_may_take_as_long_as_its_user_says_and_the_worker_is_not_stuck() -> None:
    """Or the Pod would be restarted again and again, and an acceptance test of an hour would never end."""
    asked, go = asyncio.Event(), asyncio.Event()

    async def answer(_: Asked) -> Say:
        asked.set()
        await go.wait()
        return Say()

    async with loopback() as receiver:
        receiver.says(answer)
        hook = {"name": "acceptance", "type": "confirm-rollout", "url": receiver.url, "timeout": "1h"}
        async with at_rest(webhooks=[hook]) as (cluster, made):
            assert made.reconciler.patience == 0
            cluster.push("example/web:2")
            tick = asyncio.create_task(made.tick(cluster))
            async with asyncio.timeout(30):
                await asked.wait()
            assert made.reconciler.patience == 3600
            go.set()
            await tick
            assert made.reconciler.patience == 0


def test_hooks_take_at_most_all_their_attempts_and_the_waits_between_them() -> None:
    hooks = [
        CanaryWebhook.model_validate({"name": "a", "url": "http://a", "timeout": "30s", "retries": 2}),
        CanaryWebhook.model_validate({"name": "b", "url": "http://b"}),
        CanaryWebhook.model_validate({"name": "c", "url": "http://c", "retries": -1}),
    ]

    assert longest(hooks) == (3 * 30 + 2 * 30) + 10 + 10
    assert longest([]) == 0
