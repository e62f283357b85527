"""A GitOps tool that applies Deployment and Canary every three seconds costs no user a request."""

from __future__ import annotations

import pytest

from tests.e2e import workloads
from tests.e2e.conftest import Figures
from tests.e2e.place import assert_served, new_place, tally
from tests.e2e.workloads import progressive
from tests.integration.gitops import syncing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

FOUGHT = "something else scales podinfo"


async def test_no_request_is_lost_while_git_wants_other_replicas(figures: Figures) -> None:
    async with new_place("gitops") as place:
        await place.set_up()
        made = progressive(place.host, step=25, most=50, interval="5s")
        async with place.users() as users:
            async with syncing(place, "argocd-controller", workloads.deployment(), made) as tool:
                await place.phase_is("Initialized", patience=90)
                await place.reason_has(FOUGHT)
                await tool.goes_round(6)
                assert await place.phase() == "Initialized"

                tool.push("6.0.1")
                await place.phase_is("Succeeded", patience=120)
                await place.reason_has(FOUGHT)
                await tool.goes_round(3)
                await place.all_served_by(users, "6.0.1")
                assert await place.phase() == "Succeeded"

                tool.leave_replicas_alone()
                await tool.goes_round(3)
            await place.ends("Succeeded")
        figures(tally(users.summary()))
        assert_served(users.summary())
        end = await place.end()
        assert end.route == {"podinfo-primary": 100, "podinfo-canary": 0}
        assert end.replicas == {"podinfo": 0, "podinfo-primary": 2}
        assert [text for text in await place.events() if "New revision detected" in text] == [
            "New revision detected! Scaling up podinfo.gitops"
        ]
