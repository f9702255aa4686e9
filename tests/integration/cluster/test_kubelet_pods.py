"""A kubelet beside a real API server: pods run, get ready, are restarted and end."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from _watching import is_ready

from hyperkube_machinery.builtin import CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from hyperkube_machinery.errors import APIError

pytestmark = pytest.mark.anyio

NODE = "node-1"
HOST = "hk.local/host"
ORPHANS = "--orphan-grace-period=10s"  # long enough for the next kubelet, and nothing stays behind a test for long
PATIENCE_SECONDS = 60.0
STAYS = "trap 'exit 0' TERM; while :; do sleep 0.05; done"

Tree = dict[str, Any]
T = TypeVar("T")


async def started(cluster: Any, folder: Path, *flags: str) -> Any:
    """A kubelet of the node, which finds what an earlier one has left in `folder`."""
    known = (f"--hostname-override={NODE}", f"--root-dir={folder}", "--port=0", "--healthz-port=0", ORPHANS)
    return await cluster.start("kubelet", *known, *flags)


@pytest.fixture
async def account(cluster: Any) -> None:
    """What a controller makes in every namespace."""
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")


@pytest.fixture
async def kubelet(cluster: Any, account: None, tmp_path: Path) -> AsyncIterator[Any]:
    """A kubelet whose pods are processes of this machine."""
    yield await started(cluster, tmp_path / "kubelet")
    await emptied(cluster)


async def emptied(cluster: Any) -> None:
    """Let no pod go on behind the test."""
    await cluster.client.delete_collection(PODS, "default")
    await eventually(lambda: is_empty(cluster))


async def is_empty(cluster: Any) -> bool:
    return not (await cluster.client.list(PODS, "default")).items


async def eventually(holds: Callable[[], Awaitable[T]]) -> T:
    """What `holds` comes to, once that is something."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := await holds()):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)
    return found


async def eventually_here(holds: Callable[[], T]) -> T:
    """The same of files of this machine."""

    async def found() -> T:
        return await asyncio.to_thread(holds)

    return await eventually(found)


def pod(name: str, *containers: Tree, **spec: Any) -> Tree:
    defaults = {"nodeName": NODE, "terminationGracePeriodSeconds": 2}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {**defaults, "containers": list(containers), **spec},
    }


def container(script: str = STAYS, name: str = "main", **fields: Any) -> Tree:
    command = ["/bin/sh", "-c", script]
    return {"name": name, "image": HOST, "imagePullPolicy": "IfNotPresent", "command": command, **fields}


async def until_pod(cluster: Any, name: str, holds: Callable[[Tree], Any]) -> Tree:
    """The pod once it is as it should be."""
    seen: Tree = {}
    fields = f"metadata.name={name}"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in cluster.client.watch(PODS, "default", fields=fields, initial_events=True):
                if event.type in ("ADDED", "MODIFIED"):
                    seen = event.object
                    if holds(seen):
                        return seen
    except TimeoutError:
        pass
    pytest.fail(f"pod {name} stayed {json.dumps(seen.get('status'), indent=1)}")


async def until_gone(cluster: Any, name: str) -> None:
    async def is_gone() -> bool:
        try:
            await cluster.client.get(PODS, name, "default")
        except APIError as exc:
            if exc.code != 404:
                raise
            return True
        return False

    await eventually(is_gone)


async def until_event(cluster: Any, name: str, reason: str) -> Tree:
    """An event of a pod."""

    async def told() -> Tree:
        found = (await cluster.client.list(EVENTS, "default", fields=f"involvedObject.name={name}")).items
        return next((event for event in found if event["reason"] == reason), {})

    return await eventually(told)


def phase_is(phase: str) -> Callable[[Tree], bool]:
    return lambda found: found["status"]["phase"] == phase


def status(found: Tree, name: str = "main", field: str = "containerStatuses") -> Tree:
    return next(
        (one for one in found["status"].get(field) or () if one["name"] == name), {"state": {}, "lastState": {}}
    )


def shared(folder: Path, name: str) -> list[str]:
    """The words in a file of the only pod's volume."""
    [file] = folder.glob(f"kubelet/pods/*/volumes/kubernetes.io~empty-dir/shared/{name}")
    return file.read_text().split()


def log(folder: Path, name: str = "main", attempt: int = 0) -> list[str]:
    """What a container of the only pod has written."""
    [file] = folder.glob(f"kubelet/logs/pods/*/{name}/{attempt}.log")
    return [line.split(" ", 3)[3] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("runtime", ["hollow", "process"])
async def test_a_pod_gets_ready_and_ends(cluster: Any, account: None, tmp_path: Path, runtime: str) -> None:
    await started(cluster, tmp_path / "kubelet", f"--container-runtime={runtime}")
    await cluster.client.create(PODS, pod("web", container()), "default")
    found = await until_pod(cluster, "web", is_ready)
    assert found["status"]["phase"] == "Running"
    assert found["status"]["podIP"]
    assert found["status"]["hostIP"] == "127.0.0.1"
    await cluster.client.delete(PODS, "web", "default", grace_seconds=2)
    await until_gone(cluster, "web")


async def test_a_container_that_fails_is_restarted_later_each_time(cluster: Any, kubelet: Any) -> None:
    await cluster.client.create(PODS, pod("web", container("exit 3")), "default")
    found = await until_pod(
        cluster, "web", lambda seen: status(seen)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
    )
    seen = status(found)
    uid = found["metadata"]["uid"]
    assert seen["state"]["waiting"]["message"] == (
        f"back-off 10s restarting failed container=main pod=web_default({uid})"
    )
    assert (seen["lastState"]["terminated"]["exitCode"], seen["lastState"]["terminated"]["reason"]) == (3, "Error")
    assert seen["restartCount"] == 1
    assert found["status"]["phase"] == "Running"
    told = await until_event(cluster, "web", "BackOff")
    assert told["message"] == f"Back-off restarting failed container main in pod web_default({uid})"
    assert told["involvedObject"]["fieldPath"] == "spec.containers{main}"


async def test_a_pod_that_runs_once_ends_as_it_says(cluster: Any, kubelet: Any) -> None:
    await cluster.client.create(PODS, pod("good", container("exit 0"), restartPolicy="Never"), "default")
    words = container("echo out of cheese > /dev/termination-log; exit 7")
    await cluster.client.create(PODS, pod("bad", words, restartPolicy="Never"), "default")
    good = await until_pod(cluster, "good", phase_is("Succeeded"))
    assert status(good)["state"]["terminated"]["reason"] == "Completed"
    bad = await until_pod(cluster, "bad", phase_is("Failed"))
    ended = status(bad)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (7, "Error", "out of cheese\n")
    assert not is_ready(bad)


async def test_init_containers_come_one_after_the_other_and_sidecars_stay(
    cluster: Any, kubelet: Any, tmp_path: Path
) -> None:
    where: Tree = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    made = pod(
        "web",
        container(f"echo main >> /shared/order; {STAYS}", **where),
        initContainers=[
            container("echo one >> /shared/order", "one", **where),
            container(f"echo beside >> /shared/order; {STAYS}", "beside", restartPolicy="Always", **where),
            container("echo two >> /shared/order", "two", **where),
        ],
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    await cluster.client.create(PODS, made, "default")
    found = await until_pod(cluster, "web", is_ready)
    written = await eventually_here(lambda: len(words := shared(tmp_path, "order")) > 3 and words)
    assert written == ["one", "beside", "two", "main"]
    assert status(found, "one", "initContainerStatuses")["state"]["terminated"]["exitCode"] == 0
    beside = status(found, "beside", "initContainerStatuses")
    assert (beside["ready"], beside["started"]) == (True, True)


async def test_a_sidecar_ends_after_the_others(cluster: Any, kubelet: Any, tmp_path: Path) -> None:
    where: Tree = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}

    def leaves(word: str) -> str:
        trap = f"trap 'sleep 0.2; echo {word} >> /shared/order; exit 0' TERM"
        return f"{trap}; touch /shared/{word}; while :; do sleep 0.05; done"

    made = pod(
        "web",
        container(leaves("main"), **where),
        initContainers=[container(leaves("beside"), "beside", restartPolicy="Always", **where)],
        volumes=[{"name": "shared", "hostPath": {"path": str(tmp_path)}}],
        terminationGracePeriodSeconds=20,
    )
    await cluster.client.create(PODS, made, "default")
    await eventually_here(lambda: (tmp_path / "main").exists() and (tmp_path / "beside").exists())
    await cluster.client.delete(PODS, "web", "default")
    await until_gone(cluster, "web")
    assert (tmp_path / "order").read_text().split() == ["main", "beside"]


async def test_containers_are_told_what_they_ask_for(cluster: Any, kubelet: Any, tmp_path: Path) -> None:
    await cluster.client.create(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"colour": "blue"}}, "default")
    await cluster.client.create(SECRETS, {"metadata": {"name": "s"}, "stringData": {"word": "sesame"}}, "default")
    service = {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}]}}
    address = (await cluster.client.create(SERVICES, service, "default"))["spec"]["clusterIP"]
    told = {
        "COLOUR": {"configMapKeyRef": {"name": "c", "key": "colour"}},
        "NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "IP": {"fieldRef": {"fieldPath": "status.podIP"}},
        "CPU": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}},
    }
    variables = [{"name": name, "valueFrom": source} for name, source in told.items()]
    variables.append({"name": "BOTH", "value": "$(COLOUR) $(NAME)"})
    made = container(
        f"echo $BOTH $word $CPU $SHOP_SERVICE_HOST $IP $0; {STAYS}",
        args=["$(NAME)"],
        env=variables,
        envFrom=[{"secretRef": {"name": "s"}}],
        resources={"requests": {"cpu": "250m"}},
    )
    await until_service(cluster, address)
    await cluster.client.create(PODS, pod("web", made), "default")
    found = await until_pod(cluster, "web", is_ready)
    assert await eventually_here(lambda: log(tmp_path)) == [
        f"blue web sesame 250 {address} {found['status']['podIP']} web"
    ]


async def until_service(cluster: Any, address: str) -> None:
    """Services reach the kubelet by a watch of their own: let a pod that waits for one be the last of a few."""
    for attempt in range(100):
        name = f"probe-{attempt}"
        script = f'test "$SHOP_SERVICE_HOST" = {address}'
        await cluster.client.create(PODS, pod(name, container(script), restartPolicy="Never"), "default")
        found = await until_pod(cluster, name, lambda seen: seen["status"]["phase"] in ("Succeeded", "Failed"))
        await cluster.client.delete(PODS, name, "default", grace_seconds=0)
        await until_gone(cluster, name)
        if found["status"]["phase"] == "Succeeded":
            return
    pytest.fail("the kubelet never heard of the service")


async def test_what_is_missing_is_told_and_waited_for(cluster: Any, kubelet: Any) -> None:
    made = container(envFrom=[{"configMapRef": {"name": "c"}}])
    await cluster.client.create(PODS, pod("web", made), "default")
    found = await until_pod(
        cluster,
        "web",
        lambda seen: "waiting" in status(seen)["state"] and "message" in status(seen)["state"]["waiting"],
    )
    assert status(found)["state"]["waiting"] == {
        "reason": "CreateContainerConfigError",
        "message": 'configmap "c" not found',
    }
    assert (await until_event(cluster, "web", "Failed"))["message"] == 'Error: configmap "c" not found'


async def test_an_image_that_is_not_there_is_told_and_tried_again(cluster: Any, kubelet: Any) -> None:
    made = {**container(), "image": "nowhere.invalid/nothing:1"}
    await cluster.client.create(PODS, pod("web", made), "default")
    found = await until_pod(
        cluster, "web", lambda seen: status(seen)["state"].get("waiting", {}).get("reason") == "ErrImagePull"
    )
    assert found["status"]["phase"] == "Pending"
    await until_pod(
        cluster, "web", lambda seen: status(seen)["state"].get("waiting", {}).get("reason") == "ImagePullBackOff"
    )
    assert (await until_event(cluster, "web", "Failed"))["type"] == "Warning"


async def test_probes_decide_on_readiness_and_life(cluster: Any, kubelet: Any, tmp_path: Path) -> None:
    shared: Tree = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    made = pod(
        "web",
        container(
            readinessProbe={**probe, "exec": {"command": ["test", "-e", "/shared/ready"]}},
            livenessProbe={**probe, "exec": {"command": ["test", "!", "-e", "/shared/dead"]}},
            **shared,
        ),
        volumes=[{"name": "shared", "hostPath": {"path": str(tmp_path)}}],
    )
    await cluster.client.create(PODS, made, "default")
    told = await until_event(cluster, "web", "Unhealthy")
    assert told["message"].startswith("Readiness probe failed: ")
    found = await cluster.client.get(PODS, "web", "default")
    assert not is_ready(found)
    assert status(found)["started"] is True
    (tmp_path / "ready").touch()
    await until_pod(cluster, "web", is_ready)
    (tmp_path / "dead").touch()
    told = await until_event(cluster, "web", "Killing")
    assert told["message"] == "Container main failed liveness probe, will be restarted"
    (tmp_path / "dead").unlink()
    found = await until_pod(cluster, "web", lambda seen: is_ready(seen) and status(seen)["restartCount"] == 1)


async def test_probes_reach_pods_where_they_are(cluster: Any, kubelet: Any) -> None:
    script = f"exec {sys.executable} -m http.server --bind $IP 8080"
    where = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"httpGet": {"port": "http"}, "periodSeconds": 1}
    ports = [{"name": "http", "containerPort": 8080}]
    made = container(
        script, env=where, ports=ports, readinessProbe=probe, startupProbe={**probe, "failureThreshold": 30}
    )
    await cluster.client.create(PODS, pod("web", made), "default")
    found = await until_pod(cluster, "web", is_ready)
    assert status(found)["restartCount"] == 0


async def test_hooks_are_run(cluster: Any, kubelet: Any, tmp_path: Path) -> None:
    def says(word: str) -> Tree:
        return {"exec": {"command": ["/bin/sh", "-c", f"echo {word} >> /shared/said"]}}

    made = pod(
        "web",
        container(
            lifecycle={"postStart": says("hello"), "preStop": says("goodbye")},
            volumeMounts=[{"name": "shared", "mountPath": "/shared"}],
        ),
        volumes=[{"name": "shared", "hostPath": {"path": str(tmp_path)}}],
    )
    await cluster.client.create(PODS, made, "default")
    await until_pod(cluster, "web", is_ready)
    await cluster.client.delete(PODS, "web", "default")
    await until_gone(cluster, "web")
    assert (tmp_path / "said").read_text().split() == ["hello", "goodbye"]


async def test_what_does_not_stop_is_killed_when_its_grace_is_over(cluster: Any, kubelet: Any) -> None:
    stubborn = container("trap '' TERM; while :; do sleep 0.05; done")
    made = pod("web", stubborn, terminationGracePeriodSeconds=600)
    await cluster.client.create(PODS, made, "default")
    await until_pod(cluster, "web", is_ready)
    await cluster.client.delete(PODS, "web", "default")
    await until_event(cluster, "web", "Killing")
    await cluster.client.delete(PODS, "web", "default", grace_seconds=1)  # less grace than it was given before
    await until_gone(cluster, "web")


async def test_a_pod_may_take_only_so_long(cluster: Any, kubelet: Any) -> None:
    await cluster.client.create(PODS, pod("web", container(), activeDeadlineSeconds=1), "default")
    found = await until_pod(cluster, "web", phase_is("Failed"))
    assert (found["status"]["reason"], found["status"]["message"]) == (
        "DeadlineExceeded",
        "Pod was active on the node longer than the specified deadline",
    )


async def test_a_pod_that_does_not_fit_is_rejected(cluster: Any, kubelet: Any) -> None:
    greedy = container(resources={"requests": {"cpu": "1000"}})
    await cluster.client.create(PODS, pod("web", greedy), "default")
    found = await until_pod(cluster, "web", phase_is("Failed"))
    assert found["status"]["reason"] == "OutOfcpu"
    assert found["status"]["message"].startswith("Pod was rejected: Node didn't have enough resource: cpu")
    assert (await until_event(cluster, "web", "OutOfcpu"))["type"] == "Warning"


async def test_containers_go_on_when_the_kubelet_is_started_again(cluster: Any, account: None, tmp_path: Path) -> None:
    kubelet = await started(cluster, tmp_path / "kubelet")
    crashing = container("exit 4", "crashing")
    await cluster.client.create(PODS, pod("web", container(), crashing), "default")
    before = await until_pod(cluster, "web", lambda seen: status(seen, "crashing").get("restartCount") == 1)
    await kubelet.stop()
    await started(cluster, tmp_path / "kubelet")
    made = pod("later", container())
    await cluster.client.create(PODS, made, "default")
    await until_pod(cluster, "later", is_ready)
    after = await cluster.client.get(PODS, "web", "default")
    assert status(after)["containerID"] == status(before)["containerID"]
    assert status(after)["restartCount"] == 0
    assert status(after, "crashing")["restartCount"] >= 1
    assert status(after, "crashing")["lastState"]["terminated"]["exitCode"] == 4
    await emptied(cluster)


async def test_what_was_deleted_while_no_kubelet_ran_is_cleared_away(
    cluster: Any, account: None, tmp_path: Path
) -> None:
    kubelet = await started(cluster, tmp_path / "kubelet")
    script = f"echo $$ > /shared/pid; {STAYS}"
    mounts = [{"name": "shared", "mountPath": "/shared"}]
    volumes = [{"name": "shared", "emptyDir": {}}]
    await cluster.client.create(PODS, pod("web", container(script, volumeMounts=mounts), volumes=volumes), "default")
    await until_pod(cluster, "web", is_ready)
    await kubelet.stop()
    await cluster.client.delete(PODS, "web", "default", grace_seconds=0)
    await until_gone(cluster, "web")
    await started(cluster, tmp_path / "kubelet")
    left = [tmp_path / "kubelet" / "pods", tmp_path / "kubelet" / "logs" / "pods"]
    await eventually_here(lambda: not any(list(folder.iterdir()) for folder in left))


async def test_static_pods_run_and_are_shown(cluster: Any, account: None, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    made = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [container()]}}
    file = manifests / "web.yaml"
    file.write_text(json.dumps(made))
    flags = (f"--pod-manifest-path={manifests}", "--file-check-frequency=100ms")
    await started(cluster, tmp_path / "kubelet", *flags)
    found = await until_pod(cluster, f"web-{NODE}", is_ready)
    assert found["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    node = await cluster.client.get(NODES, NODE)
    [owner] = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("Node", node["metadata"]["uid"])
    first = status(found)["containerID"]
    await cluster.client.delete(PODS, f"web-{NODE}", "default", grace_seconds=0)  # which stops nothing
    again = await until_pod(
        cluster, f"web-{NODE}", lambda seen: is_ready(seen) and seen["metadata"]["uid"] != found["metadata"]["uid"]
    )
    assert status(again)["containerID"] == first
    file.unlink()
    await until_gone(cluster, f"web-{NODE}")


async def test_a_label_that_a_pod_was_bound_for_is_known(cluster: Any, kubelet: Any) -> None:
    labels = {"metadata": {"labels": {"disk": "ssd"}}}
    await asyncio.gather(
        cluster.client.patch(NODES, NODE, labels, kind="strategic"),
        cluster.client.create(PODS, pod("web", container(), nodeSelector={"disk": "ssd"}), "default"),
    )
    await until_pod(cluster, "web", is_ready)
    await cluster.client.create(PODS, pod("other", container(), nodeSelector={"disk": "hdd"}), "default")
    found = await until_pod(cluster, "other", phase_is("Failed"))
    assert found["status"]["reason"] == "NodeAffinity"


async def test_a_pod_stays_ready_when_the_kubelet_is_started_again(cluster: Any, account: None, tmp_path: Path) -> None:
    kubelet = await started(cluster, tmp_path / "kubelet")
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    made = container(readinessProbe=probe, startupProbe=probe)
    await cluster.client.create(PODS, pod("web", made), "default")
    before = await until_pod(cluster, "web", is_ready)
    seen: list[Tree] = []

    async def watch() -> None:
        version = before["metadata"]["resourceVersion"]
        async for event in cluster.client.watch(PODS, "default", fields="metadata.name=web", resource_version=version):
            if event.type == "MODIFIED":
                seen.append(event.object)

    watching = asyncio.create_task(watch())
    await kubelet.stop()
    await started(cluster, tmp_path / "kubelet")
    await cluster.client.create(PODS, pod("later", container()), "default")
    await until_pod(cluster, "later", is_ready)
    watching.cancel()
    assert all(is_ready(one) for one in seen), seen
    await emptied(cluster)
