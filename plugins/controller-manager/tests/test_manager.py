"""Running controllers: none ends unnoticed, each has begun before the server is ready, tokens are renewed in time."""

from __future__ import annotations

import asyncio

import pytest

from hyperkube_controller_manager.catalog import Entry
from hyperkube_controller_manager.context import ControllerContext
from hyperkube_controller_manager.identities import AccountCredentials, Connections
from hyperkube_controller_manager.manager import ControllerEnded, Progress, run_controllers
from hyperkube_controller_manager.options import Options
from hyperkube_core import SettingsError
from hyperkube_machinery.client.metrics import ClientMetrics
from hyperkube_machinery.kubeconfig import Access
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.api import MemoryAPI
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until
from hyperkube_machinery.workqueue import WorkQueueMetrics

pytestmark = pytest.mark.anyio


async def works(context: ControllerContext) -> None:
    await context.synced()
    await asyncio.get_running_loop().create_future()


also_works = works


async def fails(context: ControllerContext) -> None:
    raise ValueError("out of ideas")


async def returns(context: ControllerContext) -> None:
    await context.synced()


async def never_begins(context: ControllerContext) -> None:
    await asyncio.get_running_loop().create_future()


def entry(name: str) -> Entry:
    return Entry(name=f"{name}-controller", target=f"{__name__}:{name}", summary="", account=name)


async def run(*names: str, begun: list[str], expected: list[str] | None = None) -> Progress:
    """Run controllers until they have begun, or until one of them ends."""
    api, clock, registry = MemoryAPI(), VirtualClock(), Registry()
    entries = [entry(name) for name in names]
    progress = Progress(entries, all_begun=lambda: begun.append("all"))
    connections = Connections(
        access=Access(server=api.server.address),
        clock=clock,
        local=api.server,
        metrics=ClientMetrics(registry),
        qps=0,
        burst=0,
    )
    async with connections.own("test") as reader:
        running = asyncio.ensure_future(
            run_controllers(
                entries,
                connections=connections,
                reader=reader,
                options=Options(),
                clock=clock,
                metrics=WorkQueueMetrics(registry, clock),
                root_ca="",
                progress=progress,
            )
        )
        try:
            await until(lambda: running.done() or begun or expected is not None)
            for _ in range(20):
                await clock.advance(0)
            if running.done():
                await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    return progress


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fails", "the fails-controller failed: out of ideas"),
        ("returns", "the returns-controller returned, which it must not"),
        ("absent", "the absent-controller failed: .* has no attribute 'absent'"),
    ],
)
async def test_a_controller_that_ends_ends_all_by_its_name(name: str, why: str) -> None:
    with pytest.raises(ControllerEnded, match=why):
        await run("works", name, begun=[])


async def test_the_server_is_ready_once_all_have_begun() -> None:
    begun: list[str] = []
    progress = await run("works", "also_works", begun=begun)
    assert begun == ["all"]
    await progress.check("works-controller")()


async def test_one_that_has_not_begun_is_named_by_its_check() -> None:
    begun: list[str] = []
    progress = await run("works", "never_begins", begun=begun, expected=["works"])
    assert begun == []
    await progress.check("works-controller")()
    with pytest.raises(RuntimeError, match="not synced"):
        await progress.check("never_begins-controller")()


async def test_who_stands_by_is_well() -> None:
    progress = Progress([entry("works")], all_begun=lambda: None)
    await progress.check("works-controller")()


async def test_a_token_is_asked_for_once_and_again_before_it_is_too_old() -> None:
    clock, asked = VirtualClock(), []

    async def ask() -> tuple[str, float]:
        asked.append(clock.now())
        await asyncio.sleep(0)
        return f"t{len(asked)}", clock.now() + 3600

    credentials = AccountCredentials(Access(server="https://x"), clock, ask)
    assert credentials.known() is None
    assert len({*await asyncio.gather(credentials.find(), credentials.find())}) == 1
    await clock.advance(2879)
    assert credentials.known() == (("authorization", "Bearer t1"),)
    await clock.advance(1)
    assert credentials.known() is None
    assert await credentials.find() == (("authorization", "Bearer t2"),)
    credentials.refused()  # the account was made anew, say
    assert credentials.known() is None
    assert await credentials.find() == (("authorization", "Bearer t3"),)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"leader_elect_renew_deadline": 15.0}, "leader-elect-renew-deadline"),
        ({"allocate_node_cidrs": True}, "cluster-cidr"),
        ({"node_cidr_mask_size": 24, "cluster_cidr": ("10.0.0.0/16", "fd00::/56")}, "node-cidr-mask-size"),
    ],
)
def test_options_that_do_not_fit_name_their_flag(options: dict[str, object], flag: str) -> None:
    with pytest.raises(SettingsError, match=f"flag --{flag}"):
        Options(**options)  # type: ignore[arg-type]
