"""Alerts on a real API server: what a mistake shows, what arrives, and that it arrives after a restart."""

from __future__ import annotations

import base64

import pytest

from flaggerpy.kube.objects import JsonObject
from flaggerpy.kube.resources import ALERT_PROVIDERS
from flaggerpy.notifiers.webhook import SIGNATURE_HEADER
from tests.integration.gateway import Gateway
from tests.integration.objects import deployment, progressive
from tests.integration.servers import Call, Hooks
from tests.integration.site import IMAGE, Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240), pytest.mark.usefixtures("calm")]

HUSH = "planted-2009-hush"
PROMOTED = "Canary analysis completed successfully, promotion finished."
TOLD = [{"name": "on-call", "severity": "info", "providerRef": {"name": "pager"}}]


def provider(**spec: object) -> JsonObject:
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "AlertProvider",
        "metadata": {"name": "pager"},
        "spec": {"type": "webhook", "secretRef": {"name": "pager"}, **spec},
    }


def secret(**data: str) -> JsonObject:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pager"}, "data": encoded}


async def undelivered(site: Site) -> str:
    """The message of the condition that says that alerts reach nobody, empty without one."""
    conditions = (await site.canary()).get("status", {}).get("conditions") or []
    return next((row["message"] for row in conditions if row["type"] == "AlertsDelivered"), "")


async def test_a_mistake_is_an_event_and_a_condition_until_it_is_mended_and_holds_up_nothing(
    site: Site, gateway: Gateway, hooks: Hooks, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site.controller():
        await site.apply(deployment(), progressive(step=50, most=50, alerts=TOLD))
        await site.phase_is("Initialized")
        await site.until(lambda: undelivered(site), "the missing AlertProvider in a condition")
        assert f"there is no AlertProvider pager.{site.namespace}" in await undelivered(site)
        await site.event("there is no AlertProvider pager")

        await site.apply(provider())
        await site.set_image("6.0.1")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded", patience=60)
        await site.event("There is no Secret pager")

        await site.apply(secret(address=f"{hooks.url}/{HUSH}", token=HUSH, signingKey=HUSH))
        await site.set_image("6.0.2")
        await site.phase_is("Progressing")
        await site.phase_is("Succeeded", patience=60)
        await site.until(lambda: _promoted(hooks), "the alert of the promotion")

        async def mended() -> bool:
            return not await undelivered(site)

        await site.until(mended, "no condition any more")
    arrived = await _promoted(hooks)
    assert arrived is not None
    assert arrived.body["revision"]["before"] == [f"podinfod={IMAGE}:6.0.1"]
    assert arrived.body["revision"]["after"] == [f"podinfod={IMAGE}:6.0.2"]
    assert arrived.headers["Authorization"] == f"Bearer {HUSH}"
    assert arrived.headers[SIGNATURE_HEADER].startswith("sha256=")
    said = capsys.readouterr()
    told = f"{said.out}{said.err}{await site.events()}{await site.canary()}"
    assert "did not reach AlertProvider pager" in told
    assert HUSH not in told
    assert "Traceback" not in told  # what was read here, the fixture that asks for the same does not see any more


async def test_an_alert_that_a_controller_could_not_deliver_is_delivered_by_the_next(
    site: Site, gateway: Gateway, hooks: Hooks
) -> None:
    hooks.answers["pager"] = (503, "not now")
    async with site.controller():
        await site.apply(deployment(), provider(), secret(address=f"{hooks.url}/pager"), progressive(alerts=TOLD))
        await site.phase_is("Initialized")
        await site.until(lambda: _asked(hooks), "a first try")
    (pending,) = {call.body["id"] for call in hooks.to("pager")}

    hooks.answers.clear()
    hooks.calls.clear()
    async with site.controller():
        await site.until(lambda: _asked(hooks), "the alert")

        async def forgotten() -> bool:
            return not (await site.canary())["status"]["rollout"].get("pending")

        await site.until(forgotten, "nothing more to tell")

    assert [call.body["id"] for call in hooks.to("pager")] == [pending]
    assert await site.exists(ALERT_PROVIDERS, "pager")


async def _promoted(hooks: Hooks) -> Call | None:
    return next((call for call in hooks.to(HUSH) if call.body["message"] == PROMOTED), None)


async def _asked(hooks: Hooks) -> bool:
    return bool(hooks.to("pager"))
