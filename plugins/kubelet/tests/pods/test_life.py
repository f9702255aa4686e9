"""The life of a pod on its node, from its sandbox to its last status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.runtime.errors import CreateFailed, ImageUnavailable, StartFailed
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

from ..builders import container, pod, sidecar
from .harness import Bench, ScriptedRuntime, bench

pytestmark = pytest.mark.anyio


@pytest.fixture
async def runtime() -> AsyncIterator[ScriptedRuntime]:
    runtime = ScriptedRuntime(VirtualClock())
    yield runtime
    await runtime.close()


@pytest.fixture
async def node(tmp_path: Path, runtime: ScriptedRuntime) -> AsyncIterator[Bench]:
    async with bench(tmp_path, runtime.clock, runtime) as node:
        yield node


def waits(node: Bench) -> str:
    """What the container main waits for."""
    reason: str = node.container()["state"].get("waiting", {}).get("reason", "")
    return reason


def runs(node: Bench) -> str:
    """The id of the container main that is shown to run."""
    shown = node.container()
    return str(shown.get("containerID", "")) if "running" in shown["state"] else ""


async def test_a_pod_gets_ready_and_tells_how(node: Bench) -> None:
    node.put(pod())
    await node.until(lambda: node.ready)
    assert node.heard.reasons == ["Pulled", "Created", "Started"]
    assert node.heard.message("Pulled") == (
        'Container image "image:1" already present on machine and can be accessed by the pod'
    )
    assert node.status()["phase"] == "Running"


async def test_a_container_that_ends_is_started_again_at_once(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod())
    await node.until(lambda: node.ready)
    first = runtime.running()
    runtime.end(code=1)
    await node.until(lambda: runtime.running() not in ("", first))
    await node.until(lambda: node.ready)
    assert node.container()["restartCount"] == 1
    assert node.container()["lastState"]["terminated"]["exitCode"] == 1


async def test_then_later_each_time(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod())
    for wait in (0, 0, 10, 20, 40, 80, 160, 300, 300):
        if wait:
            await node.until(lambda: waits(node) == "CrashLoopBackOff")
            shown = f"{wait // 60}m{wait % 60}s" if wait >= 60 else f"{wait}s"
            assert node.container()["state"]["waiting"]["message"].startswith(f"back-off {shown} restarting failed")
            await node.pass_time(wait - 1)
            assert not runtime.running()
            await node.pass_time(20)  # the next look may be late by half a second in a minute
        await node.until(lambda: runtime.running() and runs(node).endswith(runtime.running()))
        runtime.end(code=1)
    assert node.heard.message("BackOff") == "Back-off restarting failed container main in pod web_default(uid-1)"


async def test_a_volume_that_is_missing_is_asked_for_again_soon_and_then_later(node: Bench, tmp_path: Path) -> None:
    there = tmp_path / "there"
    node.put(pod(volumes=[{"name": "v", "hostPath": {"path": str(there), "type": "Directory"}}]))
    for tries, wait in enumerate((0.0, 0.5, 1.0, 2.0, 4.0), 1):
        await node.pass_time(wait)
        await node.until(partial(_tried, node, tries))
        assert node.heard.reasons.count("FailedMount") == tries
    there.mkdir()
    await node.pass_time(8.5)
    await node.until(lambda: node.ready)


def _tried(node: Bench, tries: int) -> bool:
    return node.heard.reasons.count("FailedMount") >= tries


async def test_nothing_is_started_before_its_turn(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod(initContainers=[container("one"), sidecar("beside")]))
    await node.until(lambda: runtime.running("main"))
    order = [one.container.config.name for one in runtime._containers.values()]
    assert order == ["one", "beside", "main"]


async def test_a_pod_that_runs_once_is_finished(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod(restartPolicy="Never"))
    await node.until(lambda: node.ready)
    runtime.end(code=3)
    await node.until(lambda: node.status()["phase"] == "Failed")
    await node.pass_time(120)
    assert not runtime.running()
    assert node.container()["state"]["terminated"]["exitCode"] == 3
    await node.until(lambda: not (node.root / "pods" / "uid-1").exists())


async def test_its_sidecars_end_with_it(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod(restartPolicy="OnFailure", initContainers=[sidecar("beside")]))
    await node.until(lambda: node.ready)
    runtime.end()
    await node.until(lambda: node.status()["phase"] == "Succeeded")
    assert not runtime.running("beside")


async def test_a_deleted_pod_is_stopped_with_its_grace(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod())
    await node.until(lambda: node.ready)
    node.delete(grace=7)
    await node.until(lambda: node.status()["phase"] == "Failed")  # 143 is no success
    assert runtime.stops == [("main", 7.0)]
    assert node.heard.message("Killing") == "Stopping container main"
    node.drop()
    await node.until(lambda: not runtime._sandboxes)
    assert not list((node.root / "pods").iterdir())


async def test_grace_gets_shorter_and_never_longer(node: Bench, runtime: ScriptedRuntime) -> None:
    runtime.stubborn["main"] = 1000
    node.put(pod())
    await node.until(lambda: node.ready)
    node.delete(grace=100)
    await node.until(lambda: runtime.stops == [("main", 100.0)])
    node.delete(grace=600)
    await node.pass_time(1)
    assert len(runtime.stops) == 1
    node.delete(grace=5)
    await node.until(lambda: runtime.stops[1:] == [("main", 5.0)])
    await node.pass_time(6)
    await node.until(lambda: node.status()["phase"] == "Failed")
    assert node.heard.reasons.count("Killing") == 1


async def test_while_a_pod_is_stopped_its_status_goes_on(node: Bench, runtime: ScriptedRuntime) -> None:
    runtime.stubborn["slow"] = 1000
    node.put(pod(container("quick"), container("slow")))
    await node.until(lambda: node.ready)
    node.delete(grace=50)
    await node.until(lambda: "terminated" in node.container("quick")["state"])
    assert "running" in node.container("slow")["state"]
    assert not node.ready


async def test_sidecars_are_stopped_last_and_within_the_same_grace(node: Bench, runtime: ScriptedRuntime) -> None:
    runtime.stubborn["main"] = 4
    node.put(pod(initContainers=[sidecar("first"), sidecar("second")]))
    await node.until(lambda: node.ready)
    node.delete(grace=10)
    await node.until(lambda: runtime.stops)
    await node.pass_time(11)
    await node.until(lambda: not runtime.running("first"))
    assert [name for name, _ in runtime.stops] == ["main", "second", "first"]
    assert [grace for _, grace in runtime.stops] == pytest.approx([10, 6, 6])


async def test_a_hook_runs_before_a_container_is_stopped_and_takes_of_its_grace(
    node: Bench, runtime: ScriptedRuntime
) -> None:
    hook = {"preStop": {"sleep": {"seconds": 4}}}
    node.put(pod(container(lifecycle=hook)))
    await node.until(lambda: node.ready)
    node.delete(grace=10)
    await node.pass_time(3)
    assert runtime.stops == []
    await node.pass_time(2)
    await node.until(lambda: runtime.stops)
    [(_, grace)] = runtime.stops
    assert grace == pytest.approx(6.0)


async def test_a_hook_that_fails_after_the_start_ends_the_container(node: Bench, runtime: ScriptedRuntime) -> None:
    runtime.exit_codes["greet"] = 9
    node.put(pod(container(lifecycle={"postStart": {"exec": {"command": ["greet"]}}})))
    await node.until(lambda: waits(node) == "PostStartHookError")
    assert node.heard.message("FailedPostStartHook") == "PostStartHook failed"
    assert node.heard.message("Killing") == "FailedPostStartHook"
    assert "exited with 9" in node.container()["state"]["waiting"]["message"]


@pytest.mark.parametrize(
    ("call", "failure", "reason", "told", "message"),
    [
        ("start_container", StartFailed("no such program"), "RunContainerError", "Failed", "Error: no such program"),
        ("run_sandbox", CreateFailed("no room"), "ContainerCreating", "FailedCreatePodSandBox", None),
        ("pull_image", ImageUnavailable("nobody has it"), "ErrImagePull", "Failed", "Error: ErrImagePull"),
    ],
)
async def test_what_fails_is_told_and_tried_again(
    node: Bench, runtime: ScriptedRuntime, call: str, failure: Any, reason: str, told: str, message: str | None
) -> None:
    runtime.failures[call] = failure
    node.put(pod(container(imagePullPolicy="Always")))
    await node.until(lambda: told in node.heard.reasons and waits(node) == reason)
    assert node.heard.message(told) == (message or f"Failed to create pod sandbox: {failure}")
    runtime.failures.clear()
    await node.pass_time(40)
    await node.until(lambda: node.ready)


async def test_a_pod_without_a_network_waits_for_one(node: Bench, runtime: ScriptedRuntime) -> None:
    runtime.has_network = False
    await node.loop._tools.state.look()
    node.put(pod())
    await node.until(lambda: "NetworkNotReady" in node.heard.reasons)
    assert node.heard.message("NetworkNotReady") == "network is not ready: no address is free"
    node.put(pod(name="host", uid="uid-2", hostNetwork=True))
    await node.until(lambda: node.status("host")["phase"] == "Running")
    runtime.has_network = True
    await node.loop._tools.state.look()
    await node.pass_time(2)
    await node.until(lambda: node.ready)


async def test_a_pod_ends_at_its_deadline(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod(activeDeadlineSeconds=20))
    await node.until(lambda: node.ready)
    await node.pass_time(15)
    assert runtime.running()
    await node.pass_time(8)
    await node.until(lambda: node.status()["phase"] == "Failed")
    assert node.status()["reason"] == "DeadlineExceeded"
    assert not runtime.running()


async def test_a_sandbox_that_dies_is_replaced_with_all_in_it(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod(initContainers=[container("init")]))
    await node.until(lambda: node.ready)
    first = runtime.running()
    [sandbox] = await runtime.sandboxes()
    await runtime.stop_sandbox(sandbox.id)
    await node.until(lambda: node.ready and runtime.running() not in ("", first))
    assert "SandboxChanged" in node.heard.reasons
    assert node.container()["restartCount"] == 1
    names = [one.container.config.name for one in runtime._containers.values()]
    assert names == ["main", "init", "main"], "it was initialized again"


async def test_only_the_latest_runs_are_kept(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod())
    for _ in range(3):
        await node.until(runtime.running)
        runtime.end(code=1)
        await node.pass_time(100)
    await node.until(lambda: len(runtime._containers) == 2)
    words = node.root / "pods" / "uid-1" / "containers" / "main"
    await node.until(lambda: len(list(words.iterdir())) == 2)


async def test_a_pod_that_does_not_fit_fails(node: Bench, runtime: ScriptedRuntime) -> None:
    node.put(pod(container(resources={"requests": {"cpu": "5"}})))
    assert node.status()["reason"] == "OutOfcpu"
    assert node.status()["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu")
    await node.pass_time(5)
    assert not runtime._sandboxes


async def test_what_was_deleted_by_force_takes_no_room_while_it_stops(node: Bench, runtime: ScriptedRuntime) -> None:
    greedy = container(resources={"requests": {"cpu": "3"}})
    runtime.stubborn["main"] = 1000
    node.put(pod(greedy))
    await node.until(runtime.running)
    node.drop()
    node.put(pod(greedy, name="next", uid="next"))
    await node.until(lambda: node.status("next").get("phase") == "Running")
    assert len(await runtime.sandboxes()) == 2


async def test_pods_of_one_name_come_one_after_the_other(node: Bench, runtime: ScriptedRuntime) -> None:
    static = {"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "1"}
    runtime.stubborn["main"] = 1000
    old, new = (pod(uid=uid, meta_annotations=static) for uid in ("old", "new"))
    node.loop.changed(None, old)
    await node.until(runtime.running)
    node.loop.changed(old, None)
    node.loop.changed(None, new)
    await node.pass_time(5)
    assert [one.config.uid for one in await runtime.sandboxes()] == ["old"]
    await node.pass_time(40)
    await node.until(lambda: [one.config.uid for one in runtime._sandboxes.values()] == ["new"])


async def test_a_static_pod_that_was_put_back_runs_again(node: Bench, runtime: ScriptedRuntime) -> None:
    static = pod(meta_annotations={"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "1"})
    node.loop.changed(None, static)
    await node.until(runtime.running)
    first = runtime.running()
    node.loop.changed(static, None)
    node.loop.changed(None, static)
    await node.until(lambda: runtime.running() not in ("", first))


async def test_a_static_pod_that_was_put_back_while_it_was_cleared_away_runs_again(
    node: Bench, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    clearing, go_on = asyncio.Event(), asyncio.Event()
    remove = runtime.remove_sandbox

    async def remove_slowly(sandbox_id: str) -> None:
        clearing.set()
        await go_on.wait()
        await remove(sandbox_id)

    monkeypatch.setattr(runtime, "remove_sandbox", remove_slowly)
    static = pod(meta_annotations={"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "1"})
    node.loop.changed(None, static)
    await node.until(runtime.running)
    first = runtime.running()
    node.loop.changed(static, None)
    await node.until(clearing.is_set)
    node.loop.changed(None, static)
    go_on.set()
    await node.until(lambda: runtime.running() not in ("", first))


async def test_the_next_kubelet_finds_what_runs(tmp_path: Path, runtime: ScriptedRuntime) -> None:
    async with bench(tmp_path, runtime.clock, runtime) as node:
        node.put(pod())
        await node.until(lambda: node.ready)
        runtime.end(code=1)
        await node.until(lambda: node.container().get("restartCount") == 1 and node.ready)
        before = node.status()
    assert runtime.running(), "containers go on without a kubelet"
    async with bench(tmp_path, runtime.clock, runtime) as node:
        node.put(pod(status=before))
        await node.until(lambda: node.ready)
        assert node.status()["containerStatuses"] == before["containerStatuses"]
        assert node.heard.told == []


async def test_pods_that_nobody_knows_are_cleared_away(tmp_path: Path, runtime: ScriptedRuntime) -> None:
    async with bench(tmp_path, runtime.clock, runtime) as node:
        node.put(pod())
        await node.until(lambda: node.ready)
    async with bench(tmp_path, runtime.clock, runtime) as node:
        await until(lambda: not runtime._sandboxes)
        await until(lambda: not list((tmp_path / "pods").iterdir()))


async def test_what_happens_is_counted(node: Bench, runtime: ScriptedRuntime) -> None:
    probed = container("probed", readinessProbe={"exec": {"command": ["x"]}})
    node.put(pod(container(), probed, initContainers=[container("init")]))
    await node.until(lambda: node.ready)
    assert await node.counted("kubelet_started_pods_total") == {"": 1}
    started = await node.counted("kubelet_started_containers_total")
    assert started == {'container_type="init_container"': 1, 'container_type="container"': 2}
    assert await node.counted("kubelet_running_pods") == {"": 1}
    assert await node.counted("kubelet_running_containers") == {
        'container_state="exited"': 1,
        'container_state="running"': 2,
    }
    assert await node.counted("kubelet_desired_pods") == {'static="false"': 1, 'static="true"': 0}
    probes = await node.counted("prober_probe_total")
    whose = 'container="probed",pod="web",namespace="default",pod_uid="uid-1"'
    assert probes[f'probe_type="Readiness",result="successful",{whose}'] == 1
    runtime.failures["start_container"] = StartFailed("no")
    runtime.end("main", code=1)
    await node.until(lambda: waits(node) == "RunContainerError")
    errors = await node.counted("kubelet_started_containers_errors_total")
    assert errors == {'container_type="container",code="RunContainerError"': 1}


async def test_an_exit_may_begin_the_whole_pod_anew(node: Bench, runtime: ScriptedRuntime) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    main = container(restartPolicy="Never", restartPolicyRules=[rule])
    node.put(pod(main, container("other"), restartPolicy="Never"))
    await node.until(lambda: node.ready)
    before = (runtime.running(), runtime.running("other"))
    runtime.end(code=88)
    await node.until(lambda: runtime.running() not in ("", before[0]))
    await node.until(lambda: runtime.running("other") not in ("", before[1]))
    await node.until(lambda: node.ready)
    assert node.heard.message("Killing") == "killing"
    conditions = {one["type"]: one["status"] for one in node.status()["conditions"]}
    assert conditions["AllContainersRestarting"] == "False"


async def test_pods_make_room_for_one_that_the_cluster_can_not_do_without(node: Bench) -> None:
    def asking(cpu: str, name: str, **fields: Any) -> dict[str, Any]:
        return pod(container(resources={"requests": {"cpu": cpu}}), name=name, uid=name, **fields)

    node.put(asking("3", "common", terminationGracePeriodSeconds=1))
    node.put(asking("1", "small"))
    await node.until(lambda: all(node.status(name).get("phase") == "Running" for name in ("common", "small")))
    node.put(asking("2", "critical", priority=2_000_000_000))
    await node.pass_time(3)
    await node.until(lambda: node.status("critical").get("phase") == "Running")
    ended = node.status("common")
    assert (ended["phase"], ended["reason"]) == ("Failed", "Preempting")
    assert ended["message"] == "Preempted in order to admit critical pod"
    assert "DisruptionTarget" in {one["type"] for one in ended["conditions"]}
    assert node.status("small")["phase"] == "Running"
    node.put(asking("2", "common-again"))
    await node.until(lambda: node.status("common-again").get("reason") == "OutOfcpu")
