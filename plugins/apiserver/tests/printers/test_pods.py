"""The STATUS column of pods, case by case. Source of the cases: the rules of upstream's printPod."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.printers.pods import pod

CREATED = "2026-01-01T00:00:00Z"
NOW = 1767225605.0
RUNNING: dict[str, Any] = {"running": {"startedAt": CREATED}}


def terminated(code: int, **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, **more}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason}}


def container(state: dict[str, Any], *, ready: bool = False, restarts: int = 0, **more: Any) -> dict[str, Any]:
    return {"name": more.pop("name", "c"), "state": state, "ready": ready, "restartCount": restarts, **more}


def show(
    *containers: dict[str, Any],
    init: list[dict[str, Any]] | None = None,
    sidecars: tuple[str, ...] = (),
    phase: str = "Running",
    conditions: dict[str, str] | None = None,
    **more: Any,
) -> list[Any]:
    """The cells of a pod whose containers are in these states."""
    init = init or []
    obj = {
        "metadata": {"name": "p", "creationTimestamp": CREATED, **more.pop("metadata", {})},
        "spec": {
            "containers": [{"name": one["name"]} for one in containers],
            "initContainers": [
                {"name": one["name"], **({"restartPolicy": "Always"} if one["name"] in sidecars else {})}
                for one in init
            ],
            **more.pop("spec", {}),
        },
        "status": {
            "phase": phase,
            "containerStatuses": list(containers),
            "initContainerStatuses": init,
            "conditions": [{"type": kind, "status": value} for kind, value in (conditions or {}).items()],
            **more,
        },
    }
    return pod(obj, NOW)


@pytest.mark.parametrize(
    ("containers", "conditions", "ready", "status"),
    [
        ([container(RUNNING, ready=True), container(RUNNING)], {}, "1/2", "Running"),
        ([container(waiting("CrashLoopBackOff")), container(RUNNING, ready=True)], {}, "1/2", "CrashLoopBackOff"),
        ([container(waiting("A")), container(waiting("B"))], {}, "0/2", "A"),
        ([container(terminated(1, reason="Error"))], {}, "0/1", "Error"),
        ([container(terminated(3))], {}, "0/1", "ExitCode:3"),
        ([container(terminated(0))], {}, "0/1", "ExitCode:0"),
        ([container(terminated(137, signal=9))], {}, "0/1", "Signal:9"),
        # one container is through while another runs
        ([container(terminated(0, reason="Completed")), container(RUNNING, ready=True)], {}, "1/2", "NotReady"),
        (
            [container(terminated(0, reason="Completed")), container(RUNNING, ready=True)],
            {"Ready": "True"},
            "1/2",
            "Running",
        ),
        # one is through, one has failed
        (
            [container(terminated(0, reason="Completed")), container(terminated(2, reason="Error"))],
            {},
            "0/2",
            "Error",
        ),
        ([container(terminated(0, reason="Completed"))], {}, "0/1", "Completed"),
    ],
)
def test_containers(containers: list[Any], conditions: dict[str, str], ready: str, status: str) -> None:
    assert show(*containers, conditions=conditions)[1:3] == [ready, status]


@pytest.mark.parametrize(
    ("init", "status"),
    [
        ([container({}, name="i")], "Init:0/1"),
        ([container(terminated(0), name="i"), container(RUNNING, name="j")], "Init:1/2"),
        ([container(waiting("PodInitializing"), name="i")], "Init:0/1"),
        ([container(waiting("ErrImagePull"), name="i")], "Init:ErrImagePull"),
        ([container(terminated(1, reason="Error"), name="i")], "Init:Error"),
        ([container(terminated(4), name="i")], "Init:ExitCode:4"),
        ([container(terminated(137, signal=9), name="i")], "Init:Signal:9"),
    ],
)
def test_init_containers_hide_the_others_until_they_are_done(init: list[Any], status: str) -> None:
    waits = container(waiting("PodInitializing"))
    assert show(waits, init=init, phase="Pending")[1:3] == ["0/1", status]


def test_the_initialized_condition_makes_the_containers_count_again() -> None:
    init = [container(RUNNING, name="i")]
    cells = show(container(waiting("ImagePullBackOff")), init=init, conditions={"Initialized": "True"})
    assert cells[2] == "ImagePullBackOff"


def test_sidecars_count_among_the_containers() -> None:
    init = [container(RUNNING, name="s", ready=True, started=True), container(terminated(0), name="i")]
    assert show(container(RUNNING, ready=True), init=init, sidecars=("s",))[1:3] == ["2/2", "Running"]
    starting = [container(RUNNING, name="s", started=False)]
    assert show(container(RUNNING), init=starting, sidecars=("s",))[1:3] == ["0/2", "Init:0/1"]


def test_restarts_tell_when_the_last_one_was() -> None:
    def before(at: str) -> dict[str, Any]:
        return {"lastState": {"terminated": {"exitCode": 1, "finishedAt": at}}}

    cells = show(
        container(RUNNING, restarts=2, **before("2025-12-31T23:59:00Z")),
        container(RUNNING, restarts=1, **before("2025-12-31T23:59:55Z")),
    )
    assert cells[3] == "3 (10s ago)"
    assert show(container(RUNNING, restarts=2))[3] == "2"
    assert show(container(RUNNING, restarts=0, **before("2025-12-31T23:59:00Z")))[3] == "0"


def test_restarts_of_init_containers_are_forgotten_once_they_are_done() -> None:
    init = [container(terminated(0), name="i", restarts=5), container(terminated(0), name="s", restarts=2)]
    assert show(container(RUNNING, restarts=1), init=init, sidecars=("s",))[3] == "3"
    still = [container(waiting("CrashLoopBackOff"), name="i", restarts=5)]
    assert show(container({}), init=still)[3] == "5"


@pytest.mark.parametrize(
    ("phase", "reason", "status"),
    [
        ("Running", "", "Terminating"),
        ("Failed", "", "Failed"),
        ("Succeeded", "", "Succeeded"),
        ("Running", "NodeLost", "Unknown"),
    ],
)
def test_deletion_shows_unless_the_pod_is_over(phase: str, reason: str, status: str) -> None:
    cells = show(phase=phase, reason=reason, metadata={"deletionTimestamp": CREATED})
    assert cells[2] == status


def test_a_reason_hides_the_phase() -> None:
    assert show(phase="Failed", reason="Evicted")[2] == "Evicted"


def test_a_gated_pod_says_so() -> None:
    obj = {
        "metadata": {"name": "p"},
        "status": {
            "phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
        },
    }
    assert pod(obj, NOW)[2] == "SchedulingGated"


def test_the_wide_columns() -> None:
    cells = show(
        phase="Running",
        podIPs=[{"ip": "10.1.1.1"}, {"ip": "fd00::1"}],
        nominatedNodeName="n2",
        conditions={"a": "True", "b": "False"},
        spec={"nodeName": "n1", "readinessGates": [{"conditionType": one} for one in ("a", "b", "c")]},
    )
    assert cells[4:] == ["5s", "10.1.1.1", "n1", "n2", "1/3"]
    assert show()[5:] == ["<none>", "<none>", "<none>", "<none>"]
