"""What a node says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.facts import NodeFacts
from hyperkube_kubelet.node.machine import Machine, capacity, examine
from hyperkube_kubelet.node.registration import NodeKeeper
from hyperkube_kubelet.node.status import NodeView, changed, default_labels, new_node, node_status
from hyperkube_kubelet.runtime.values import Image, Limitation, RuntimeStatus
from hyperkube_machinery.client import Unreachable
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

MACHINE = Machine(
    cpus=4,
    memory_bytes=8 << 30,
    disk_bytes=100 << 30,
    architecture="amd64",
    operating_system="linux",
    os_image="Debian",
    kernel_version="6.1",
    machine_id="m",
    system_uuid="s",
    boot_id="b",
    swap_bytes=0,
)
RUNTIME = RuntimeStatus(name="hk-process", version="0.1.0", ready=True, network_ready=True)
CAPACITY = capacity(MACHINE, max_pods=110)
FACTS = NodeFacts(
    name="n", ips=["127.0.0.1"], capacity=CAPACITY, allocatable=CAPACITY, labels=default_labels("n", MACHINE)
)
VIEW = NodeView(facts=FACTS, machine=MACHINE, runtime=RUNTIME, images=(), port=1234)


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in status["conditions"]}


def test_this_machine_is_one(tmp_path: Path) -> None:
    machine = examine(tmp_path)
    assert machine.cpus > 0
    assert machine.memory_bytes > 0
    assert machine.disk_bytes > 0
    assert all((machine.architecture, machine.operating_system, machine.os_image, machine.kernel_version))


def test_a_new_node_says_where_and_what_it_is() -> None:
    node = new_node(VIEW, taints=[("a", "", "NoSchedule"), ("b", "c", "NoExecute")], provider_id="x://y", now=0.0)
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "n"
    assert node["spec"]["taints"][1] == {"key": "b", "value": "c", "effect": "NoExecute"}
    status = node["status"]
    assert status["addresses"] == [
        {"type": "InternalIP", "address": "127.0.0.1"},
        {"type": "Hostname", "address": "n"},
    ]
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 1234
    assert status["nodeInfo"]["containerRuntimeVersion"] == "hk-process://0.1.0"
    assert status["conditions"][-1]["type"] == "Ready"
    assert conditions(status)["Ready"]["message"] == "kubelet is posting ready status"


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (
            replace(VIEW, runtime=replace(RUNTIME, network_ready=False, network_message="no bridge")),
            "container runtime network not ready: no bridge",
        ),
        (
            replace(VIEW, runtime=replace(RUNTIME, ready=False, ready_reason="Gone", ready_message="it is gone")),
            "container runtime not ready: RuntimeReady=false reason:Gone message:it is gone",
        ),
        (
            replace(VIEW, runtime=replace(RUNTIME, network_ready=False, network_reason="None", network_message="no")),
            "container runtime network not ready: NetworkReady=false reason:None message:no",
        ),
        (replace(VIEW, not_ready=("one", "two")), "[one, two]"),
    ],
)
def test_what_keeps_a_node_from_being_ready_is_told(view: NodeView, message: str) -> None:
    ready = conditions(node_status(view, {}, 0.0))["Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "KubeletNotReady", message)


def test_a_condition_keeps_the_time_since_when_it_holds() -> None:
    before = node_status(VIEW, {}, 0.0)
    later = node_status(VIEW, before, 100.0)
    assert not changed(before, later)
    ready = conditions(later)["Ready"]
    assert (ready["lastTransitionTime"], ready["lastHeartbeatTime"]) == ("1970-01-01T00:00:00Z", "1970-01-01T00:01:40Z")
    ill = node_status(replace(VIEW, not_ready=("ill",)), later, 200.0)
    assert changed(later, ill)
    assert conditions(ill)["Ready"]["lastTransitionTime"] == "1970-01-01T00:03:20Z"


def test_what_this_machine_cant_do_is_a_condition_until_it_can() -> None:
    runtime = replace(RUNTIME, limitations=(Limitation("MemoryLimitsNotEnforced", "there is no cgroup"),))
    before = node_status(replace(VIEW, runtime=runtime), {}, 0.0)
    assert conditions(before)["MemoryLimitsNotEnforced"]["status"] == "True"
    after = node_status(VIEW, before, 1.0)
    assert conditions(after)["MemoryLimitsNotEnforced"]["status"] == "False"


def test_conditions_of_others_are_no_news() -> None:
    before = node_status(VIEW, {}, 0.0)
    before["conditions"].insert(0, {"type": "NetworkUnavailable", "status": "False"})
    before["volumesInUse"] = ["x"]
    assert not changed(before, node_status(VIEW, before, 1.0))


def test_what_is_empty_and_not_stored_is_no_news() -> None:
    view = replace(VIEW, images=[], port=0)
    stored = {name: value for name, value in node_status(view, {}, 0.0).items() if value}
    assert "images" not in stored
    assert stored["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 0}}
    assert not changed(stored, node_status(view, stored, 1.0))


def test_the_largest_images_are_told() -> None:
    images = [Image(id=f"sha256:{n}", tags=(f"i:{n}",), digests=(), size=n) for n in range(10)]
    status = node_status(replace(VIEW, images=images, most_images=2), {}, 0.0)
    assert status["images"] == [{"names": ["i:9"], "sizeBytes": 9}, {"names": ["i:8"], "sizeBytes": 8}]


class Objects:
    """An API server's nodes and leases."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[str] = []
        self.gone = False

    def _called(self, what: str) -> None:
        if self.gone:
            raise Unreachable("connection refused")
        self.calls.append(what)

    async def get(self, resource: Resource, name: str, namespace: str = "") -> dict[str, Any]:
        self._called(f"get {resource.resource}")
        if (resource.resource, name) not in self.objects:
            raise APIError.not_found(resource, name)
        return self.objects[resource.resource, name]

    async def create(self, resource: Resource, obj: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        self._called(f"create {resource.resource}")
        key = (resource.resource, obj["metadata"]["name"])
        if key in self.objects:
            raise APIError.already_exists(resource, key[1])
        self.objects[key] = {**obj, "metadata": {**obj["metadata"], "uid": "u"}}
        return self.objects[key]

    async def replace(self, resource: Resource, obj: dict[str, Any]) -> dict[str, Any]:
        self._called(f"replace {resource.resource}")
        self.objects[resource.resource, obj["metadata"]["name"]] = obj
        return obj

    async def patch(
        self, resource: Resource, name: str, patch: dict[str, Any], *, kind: str, subresource: str = ""
    ) -> dict[str, Any]:
        self._called(f"patch {resource.resource}/{subresource}")
        there = self.objects[resource.resource, name]
        there["metadata"].setdefault("labels", {}).update((patch.get("metadata") or {}).get("labels") or {})
        there.setdefault("status", {}).update(patch.get("status") or {})
        return there

    def count(self, what: str) -> int:
        return self.calls.count(what)


class Keeping:
    def __init__(self) -> None:
        self.api = Objects()
        self.clock = VirtualClock()
        self.view = VIEW
        self.known: dict[str, Any] | None = None
        self.keeper = NodeKeeper("n", self.api, self.clock, self.look, known=lambda: self.known)  # type: ignore[arg-type]

    async def look(self) -> NodeView:
        return self.view


@pytest.fixture
async def keeping() -> Any:
    import asyncio

    keeping = Keeping()
    task: asyncio.Task[None] | None = None

    async def start() -> None:
        nonlocal task
        task = asyncio.ensure_future(keeping.keeper.run())
        await keeping.clock.advance(0)

    keeping.start = start  # type: ignore[attr-defined]
    yield keeping
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_node_is_registered_and_its_status_written_at_once(keeping: Any) -> None:
    await keeping.start()
    await keeping.keeper.registered()
    assert keeping.api.count("create nodes") == 1
    assert keeping.api.count("patch nodes/status") == 1
    assert keeping.api.objects["nodes", "n"]["status"]["conditions"][-1]["status"] == "True"


async def test_a_status_without_news_is_written_every_five_minutes(keeping: Any) -> None:
    await keeping.start()
    await keeping.clock.advance(295)
    assert keeping.api.count("patch nodes/status") == 1
    await keeping.clock.advance(10)
    assert keeping.api.count("patch nodes/status") == 2


async def test_the_api_server_is_not_asked_for_what_was_heard(keeping: Any) -> None:
    await keeping.start()
    keeping.known = keeping.api.objects["nodes", "n"]
    asked = keeping.api.count("get nodes")
    await keeping.clock.advance(100)
    assert keeping.api.count("get nodes") == asked


async def test_the_lease_is_renewed_every_ten_seconds_and_goes_with_the_node(keeping: Any) -> None:
    await keeping.start()
    await keeping.clock.advance(31)
    assert keeping.api.count("create leases") == 1
    assert keeping.api.count("replace leases") == 3
    lease = keeping.api.objects["leases", "n"]
    assert lease["spec"]["holderIdentity"] == "n"
    assert lease["metadata"]["ownerReferences"][0]["uid"] == "u"


async def test_a_node_that_was_there_gets_its_labels_and_keeps_the_rest(keeping: Any) -> None:
    there = {"metadata": {"name": "n", "uid": "u", "labels": {"mine": "1", "kubernetes.io/os": "plan9"}}}
    keeping.api.objects["nodes", "n"] = there
    await keeping.start()
    labels = keeping.api.objects["nodes", "n"]["metadata"]["labels"]
    assert (labels["mine"], labels["kubernetes.io/os"]) == ("1", "linux")


async def test_an_api_server_that_is_away_is_waited_for(keeping: Any) -> None:
    keeping.api.gone = True
    await keeping.start()
    await keeping.clock.advance(5)
    keeping.api.gone = False
    await keeping.clock.advance(10)
    assert keeping.api.count("create nodes") == 1
    assert keeping.api.count("create leases") == 1


async def test_a_node_that_somebody_deleted_is_registered_again(keeping: Any) -> None:
    await keeping.start()
    del keeping.api.objects["nodes", "n"]
    await keeping.clock.advance(21)
    assert keeping.api.count("create nodes") == 2
