"""Resizing pods."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hyperkube_machinery.errors import FieldError

Tree = dict[str, Any]

SIZE = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}
ONLY = "only cpu and memory resources are mutable"


def _pod(**spec: Any) -> Tree:
    containers = [{"name": name, "image": "i", "resources": copy.deepcopy(SIZE)} for name in ("a", "b")]
    init = [
        {"name": "init", "image": "i", "resources": copy.deepcopy(SIZE)},
        {"name": "side", "image": "i", "restartPolicy": "Always", "resources": copy.deepcopy(SIZE)},
    ]
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, "initContainers": init, **spec}}


def _put(tree: Any, path: str, value: Any) -> None:
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in way:
        tree = tree[part]
    if value is None:
        del tree[last]
    else:
        tree[last] = value


def _resized(writer: Any, changes: Tree, *, given: Tree | None = None, status: Tree | None = None) -> tuple[Tree, Any]:
    pods = writer.strategy("pods")
    old, errors = writer.create(pods, given or _pod())
    assert errors == []
    old["status"] |= status or {}
    new = copy.deepcopy(old)
    for path, value in changes.items():
        _put(new, path, value)
    tree, wrong = writer.update(pods, old, new, "resize")
    return tree, wrong


def _told(errors: list[FieldError]) -> list[tuple[str, str]]:
    return [(error.field, error.message) for error in errors]


@pytest.mark.parametrize("container", ["containers.1", "initContainers.0", "initContainers.1"])
def test_cpu_and_memory_of_every_container_may_change(writer: Any, container: str) -> None:
    size = {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "3Gi"}}
    tree, errors = _resized(writer, {f"spec.{container}.resources": size})
    assert errors == []
    field, index = container.split(".")
    assert tree["spec"][field][int(index)]["resources"] == size
    assert tree["metadata"]["generation"] == 2


def test_all_else_stays_as_it_was(writer: Any) -> None:
    changes = {
        "spec.containers.0.image": "other",
        "spec.schedulerName": "other",
        "metadata.labels": {"a": "b"},
        "status": {"phase": "Running"},
    }
    tree, errors = _resized(writer, changes)
    assert errors == []
    assert tree["spec"]["containers"][0]["image"] == "i"
    assert (tree["spec"]["schedulerName"], tree["status"]["phase"]) == ("default-scheduler", "Pending")
    assert "labels" not in tree["metadata"]
    assert tree["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("changes", "causes"),
    [
        (
            {"spec.containers.0.resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}},
            [
                ("spec.containers[0].resources.requests", "Forbidden: resource requests cannot be removed"),
                ("spec.containers[0].resources.limits", "Forbidden: resource limits cannot be removed"),
            ],
        ),
        (
            {"spec.initContainers.0.resources.limits": {"cpu": "2"}},
            [("spec.initContainers[0].resources.limits", "Forbidden: resource limits cannot be removed")],
        ),
        (
            {"spec.containers.0.resources.requests.ephemeral-storage": "1Gi"},
            [("spec", f"Forbidden: {ONLY}")],
        ),
        (
            {"spec.initContainers.1.resources.requests.ephemeral-storage": "1Gi"},
            [
                (
                    "spec.initContainers[1]",
                    "Forbidden: only cpu and memory resources for init or sidecar containers are mutable",
                )
            ],
        ),
        (
            {"spec.containers.0.resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}]},
            [("spec", f"Forbidden: {ONLY}")],
        ),
        (
            {"spec.containers.0.name": "c"},
            [("spec.containers[0].name", "Forbidden: containers may not be renamed or reordered on resize")],
        ),
        (
            {"spec.initContainers.0.name": "c"},
            [("spec.initContainers[0].name", "Forbidden: initContainers may not be renamed or reordered on resize")],
        ),
        (
            {"spec.containers.1": None},
            [("spec.containers", "Forbidden: containers may not be added or removed on resize")],
        ),
        (
            {"spec.initContainers.1": None},
            [("spec.initContainers", "Forbidden: initContainers may not be added or removed on resize")],
        ),
    ],
)
def test_a_resize_is_refused(writer: Any, changes: Tree, causes: list[tuple[str, str]]) -> None:
    assert _told(_resized(writer, changes)[1]) == causes


def test_the_class_of_the_pod_stays(writer: Any) -> None:
    both = {"cpu": "2", "memory": "2Gi"}
    paths = [
        f"spec.{field}.{index}.resources.requests" for field in ("containers", "initContainers") for index in (0, 1)
    ]
    _, errors = _resized(writer, dict.fromkeys(paths, both))
    text = 'Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'
    assert _told(errors) == [("spec", text)]


@pytest.mark.parametrize(
    ("states", "supported"),
    [
        ([], True),
        ([{"name": "a", "state": {"waiting": {}}}], True),
        ([{"name": "a", "state": {"running": {"startedAt": None}}, "resources": {}}], True),
        ([{"name": "a", "state": {"waiting": {}}}, {"name": "b", "state": {"running": {"startedAt": None}}}], False),
    ],
)
def test_the_node_must_know_of_resizing(writer: Any, states: list[Tree], supported: bool) -> None:
    change = {"spec.containers.0.resources.requests.cpu": "1500m"}
    _, errors = _resized(writer, change, status={"containerStatuses": states})
    told = [] if supported else [("spec", "Forbidden: Pod running on node without support for resize")]
    assert _told(errors) == told


def test_claims_of_what_the_node_gives_out_keep_a_pod_as_it_is(writer: Any) -> None:
    change = {"spec.containers.0.resources.requests.cpu": "1500m"}
    _, errors = _resized(writer, change, status={"nodeAllocatableResourceClaimStatuses": [{"resourceClaimName": "c"}]})
    text = "Forbidden: pods with node allocatable resource claims cannot be resized"
    assert ("spec", text) in _told(errors)


def test_windows_and_static_pods_are_not_resized(writer: Any) -> None:
    change = {"spec.containers.0.resources.requests.cpu": "1500m"}
    windows = _pod(os={"name": "windows"})
    assert ("", "Forbidden: windows pods cannot be resized") in _told(_resized(writer, change, given=windows)[1])
    static = _pod(nodeName="n")
    static["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert ("", "Forbidden: static pods cannot be resized") in _told(_resized(writer, change, given=static)[1])


def test_resources_of_the_whole_pod_may_change_but_not_go(writer: Any) -> None:
    given = _pod(resources={"requests": {"cpu": "4", "memory": "8Gi"}, "limits": {"cpu": "8", "memory": "16Gi"}})
    tree, errors = _resized(writer, {"spec.resources.requests.cpu": "5"}, given=given)
    assert errors == []
    assert tree["spec"]["resources"]["requests"]["cpu"] == "5"
    told = _told(_resized(writer, {"spec.resources": None}, given=given)[1])
    assert ("spec.resources", "Forbidden: pod-level resources cannot be removed") in told
    told = _told(_resized(writer, {"spec.resources.limits.cpu": None}, given=given)[1])
    assert ("spec.resources.limits", "Forbidden: pod-level resource limits cannot be removed") in told
