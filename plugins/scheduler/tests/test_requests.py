"""What pods ask of nodes. The cases are those of upstream's tests of PodRequests, written anew."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_scheduler.requests import Requests, is_scalar, pod_requests

MEBI = 1 << 20


def container(name: str = "c", *, restart: str = "", **requests: str) -> dict[str, Any]:
    named = {key.replace("_", "-"): value for key, value in requests.items()}
    found: dict[str, Any] = {"name": name, "resources": {"requests": named}}
    return {**found, "restartPolicy": restart} if restart else found


@pytest.mark.parametrize(
    ("spec", "cpu", "memory"),
    [
        ({"containers": [container()]}, 0, 0),
        ({"containers": [container(cpu="1", memory="1Mi"), container(cpu="500m")]}, 1500, MEBI),
        ({"containers": [container(cpu="1")], "initContainers": [container(cpu="3"), container(cpu="2")]}, 3000, 0),
        ({"containers": [container(cpu="5")], "initContainers": [container(cpu="3")]}, 5000, 0),
        # A sidecar stays beside the containers, and beside what is started after it.
        ({"containers": [container(cpu="1")], "initContainers": [container(cpu="2", restart="Always")]}, 3000, 0),
        (
            {
                "containers": [container(cpu="1")],
                "initContainers": [container(cpu="5"), container(cpu="1", restart="Always"), container(cpu="3")],
            },
            5000,
            0,
        ),
        (
            {
                "containers": [container(cpu="1")],
                "initContainers": [container(cpu="1", restart="Always"), container(cpu="5")],
            },
            6000,
            0,
        ),
        ({"containers": [container(cpu="1")], "overhead": {"cpu": "250m", "memory": "1Mi"}}, 1250, MEBI),
        ({"containers": [container(cpu="1")], "resources": {"requests": {"cpu": "3"}}}, 3000, 0),
        (
            {"containers": [container(cpu="4")], "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "1"}},
            4000,
            0,
        ),
    ],
)
def test_containers_come_to_what_they_need_together(spec: dict[str, Any], cpu: int, memory: int) -> None:
    found = pod_requests(spec)
    assert (found.cpu, found.memory) == (cpu, memory)


def test_a_container_that_asks_for_nothing_counts_a_little_where_nodes_are_compared() -> None:
    found = pod_requests({"containers": [container(), container(cpu="1")]})
    assert (found.cpu, found.counted_cpu) == (1000, 1100)
    assert (found.memory, found.counted_memory) == (0, 400 * MEBI)


def test_other_resources_are_counted_by_name() -> None:
    asked = {"example.com/gpu": "2", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1Ki", "made-up": "1"}
    found = pod_requests({"containers": [{"resources": {"requests": asked}}]})
    assert found.storage == 1024
    assert found.scalars == (("example.com/gpu", 2), ("hugepages-2Mi", 4 * MEBI))
    assert (found.of("example.com/gpu"), found.of("example.com/other")) == (2, 0)


@pytest.mark.parametrize(
    ("conditions", "cpu"),
    [([], 3000), ([{"type": "PodResizePending", "reason": "Infeasible"}], 2000)],
)
def test_what_is_in_use_after_a_resize_counts(conditions: list[dict[str, str]], cpu: int) -> None:
    status = {
        "conditions": conditions,
        "containerStatuses": [
            {
                "name": "c",
                "resources": {"requests": {"cpu": "2"}},
                "allocatedResources": {"cpu": "1"},
            }
        ],
    }
    assert pod_requests({"containers": [container(cpu="3")]}, status).cpu == cpu


def test_a_pod_without_requests_asks_for_nothing() -> None:
    assert Requests().nothing
    assert not pod_requests({"containers": [container(cpu="1m")]}).nothing


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("example.com/gpu", True),
        ("hugepages-1Gi", True),
        ("attachable-volumes-csi-x", True),
        ("kubernetes.io/batteries", True),
        ("requests.example.com/gpu", False),
        ("gpu", False),
    ],
)
def test_names_of_resources_that_are_compared(name: str, counts: bool) -> None:
    assert is_scalar(name) is counts
