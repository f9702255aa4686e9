"""The status that a pod gets from what the runtime has of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hyperkube_kubelet.containers.observed import RESOURCES, WHOLE, Observed
from hyperkube_kubelet.containers.verdicts import Verdicts
from hyperkube_kubelet.runtime.values import ContainerState
from hyperkube_kubelet.status.generate import pod_status, rejected_status, without_survivors
from hyperkube_kubelet.status.statuses import Seen, Waiting

from ..builders import IP, container, observed, pod, run, sandbox, sidecar

NEVER = {"restartPolicy": "Never"}
NOTHING = Observed()
DONE = run(state="exited")
FAILED = run(state="exited", code=3)


def status_of(
    made: dict[str, Any], seen: Observed, previous: dict[str, Any] | None = None, *, terminal: bool = False, **more: Any
) -> dict[str, Any]:
    before = made["status"] if previous is None else previous
    return pod_status(made, Seen(observed=seen, host_ips=("127.0.0.1",), **more), before, terminal=terminal)


def only(status: dict[str, Any], field: str = "containerStatuses") -> dict[str, Any]:
    [found] = status[field]
    return dict(found)


def conditions(status: dict[str, Any]) -> dict[str, str]:
    return {one["type"]: one["status"] for one in status["conditions"]}


PHASES = {
    "Pending": [
        ("nothing is there", pod(), NOTHING),
        ("one of two was not started", pod(container("a"), container("b")), observed(run("a"))),
        ("an init container runs", pod(initContainers=[container("init")]), observed(run("init"))),
        ("a sidecar has not started", pod(initContainers=[sidecar("s")]), observed(run("s", state="created"))),
    ],
    "Running": [
        ("all run", pod(), observed(run())),
        ("it will be started again", pod(), observed(FAILED)),
        ("it will be started again, though it succeeded", pod(), observed(DONE)),
        ("it failed and must succeed", pod(restartPolicy="OnFailure"), observed(FAILED)),
        ("one runs, one is done", pod(container("a"), container("b"), **NEVER), observed(run("a"), run("b", "exited"))),
        ("a sidecar runs on", pod(initContainers=[sidecar("s")], **NEVER), observed(DONE, run("s"))),
    ],
    "Succeeded": [
        ("all are done", pod(**NEVER), observed(DONE)),
        ("all have succeeded", pod(restartPolicy="OnFailure"), observed(DONE)),
        (
            "how sidecars end is nobody's",
            pod(initContainers=[sidecar("s")], **NEVER),
            observed(DONE, run("s", "exited", code=1)),
        ),
    ],
    "Failed": [
        ("one failed and runs once", pod(**NEVER), observed(FAILED)),
        (
            "an init container failed and runs once",
            pod(initContainers=[container("init")], **NEVER),
            observed(run("init", "exited", code=1)),
        ),
        ("it has ended", pod(status={"phase": "Failed"}), observed(run())),
    ],
}


@pytest.mark.parametrize(
    ("phase", "why", "made", "seen"), [(phase, *case) for phase, cases in PHASES.items() for case in cases]
)
def test_the_phase(phase: str, why: str, made: dict[str, Any], seen: Observed) -> None:
    assert status_of(made, seen)["phase"] == phase, why


@pytest.mark.parametrize(("ended", "phase"), [(DONE, "Succeeded"), (FAILED, "Failed")])
def test_a_pod_that_was_stopped_is_in_its_last_phase(ended: Any, phase: str) -> None:
    assert status_of(pod(), observed(ended), terminal=True)["phase"] == phase


def test_a_pod_that_runs_is_ready_where_it_has_no_probes() -> None:
    status = status_of(pod(), observed(run()))
    assert set(conditions(status).values()) == {"True"}
    assert (status["podIP"], status["podIPs"], status["hostIP"]) == (IP, [{"ip": IP}], "127.0.0.1")
    assert status["observedGeneration"] == 1
    assert only(status) == {
        "name": "main",
        "image": "image:1",
        "imageID": "image@sha256:1",
        "containerID": "hk-process://main-0",
        "state": {"running": {"startedAt": "1970-01-01T00:01:40Z"}},
        "lastState": {},
        "ready": True,
        "started": True,
        "restartCount": 0,
        "resources": {},
    }


def test_conditions_come_in_upstreams_order_behind_those_of_others() -> None:
    gate = {"type": "example.com/gate", "status": "True"}
    made = pod(
        readinessGates=[{"conditionType": "example.com/gate"}], status={"phase": "Pending", "conditions": [gate]}
    )
    assert list(conditions(status_of(made, observed(run())))) == [
        "example.com/gate",
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]


def test_a_readiness_gate_keeps_a_pod_from_being_ready() -> None:
    made = pod(readinessGates=[{"conditionType": "example.com/gate"}])
    status = status_of(made, observed(run()))
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert ready["message"] == 'corresponding condition of pod readiness gate "example.com/gate" does not exist.'
    assert conditions(status)["ContainersReady"] == "True"


def test_a_container_is_ready_once_its_probe_says_so() -> None:
    made = pod(container(readinessProbe={"exec": {}}))
    status = status_of(made, observed(run()), verdicts=Verdicts(readiness={"main-0": False}))
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert (ready["reason"], ready["message"]) == ("ContainersNotReady", "containers with unready status: [main]")
    status = status_of(made, observed(run()), verdicts=Verdicts(readiness={"main-0": True}))
    assert conditions(status)["Ready"] == "True"


def test_a_container_has_not_started_before_its_probe_says_so() -> None:
    made = pod(container(startupProbe={"exec": {}}))
    status = only(status_of(made, observed(run())))
    assert (status["started"], status["ready"]) == (False, False)


def test_what_waits_says_for_what() -> None:
    assert only(status_of(pod(), NOTHING))["state"] == {"waiting": {"reason": "ContainerCreating"}}
    made = pod(initContainers=[container("init")])
    assert only(status_of(made, NOTHING))["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(status_of(made, NOTHING))["Initialized"] == "False"


def test_a_container_that_keeps_failing_waits_and_remembers() -> None:
    waiting = {"main": Waiting("CrashLoopBackOff", "back-off 10s")}
    status = only(status_of(pod(), observed(run(state="exited", code=3, attempt=2)), waiting=waiting))
    assert status["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] == 2


def test_the_run_before_the_latest_is_its_last_state() -> None:
    status = only(status_of(pod(), observed(run(attempt=1), FAILED)))
    assert status["state"].keys() == {"running"}
    assert status["lastState"]["terminated"] == {
        "exitCode": 3,
        "reason": "Error",
        "startedAt": "1970-01-01T00:01:40Z",
        "finishedAt": "1970-01-01T00:01:50Z",
        "containerID": "hk-process://main-0",
    }


def test_a_message_outlives_the_file_that_it_stood_in() -> None:
    first = status_of(pod(**NEVER), observed(run(state="exited", code=3, message="no space")))
    again = status_of(pod(**NEVER), observed(FAILED), first)
    assert only(again)["state"]["terminated"]["message"] == "no space"


def test_a_container_that_ran_and_is_not_to_be_found_was_lost() -> None:
    before = status_of(pod(), observed(run()))
    status = only(status_of(pod(), observed(), before))
    assert status["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["restartCount"] == 1


def test_a_pod_keeps_its_address_when_its_sandbox_has_gone() -> None:
    before = status_of(pod(), observed(run()))
    status = status_of(pod(), observed(DONE, sandboxes=(sandbox(ready=False, ips=()),)), before)
    assert status["podIP"] == IP
    assert conditions(status)["PodReadyToStartContainers"] == "False"


def test_a_pod_in_the_nodes_network_has_its_address() -> None:
    status = status_of(pod(hostNetwork=True), NOTHING)
    assert status["podIP"] == "127.0.0.1"


def test_init_containers_are_done_once_others_run() -> None:
    made = pod(initContainers=[container("init")])
    status = status_of(made, observed(run()))
    init = only(status, "initContainerStatuses")
    assert init["state"]["terminated"]["reason"] == "Completed"
    assert conditions(status)["Initialized"] == "True"


def test_a_pod_that_ended_is_completed() -> None:
    status = status_of(pod(**NEVER), observed(DONE))
    ready = next(one for one in status["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "PodCompleted")


def test_a_rejected_pod_has_failed() -> None:
    made = pod(status={"phase": "Pending", "qosClass": "Burstable"})
    status = rejected_status(made, "OutOfcpu", "Pod was rejected: too much")
    assert (status["phase"], status["reason"], status["qosClass"]) == ("Failed", "OutOfcpu", "Burstable")


def test_in_the_last_status_nothing_goes_on() -> None:
    last = without_survivors(pod(), status_of(pod(), observed(run())))
    assert last["phase"] == "Failed"
    assert only(last)["state"]["terminated"]["exitCode"] == 137
    ended = status_of(pod(**NEVER), observed(DONE))
    assert without_survivors(pod(**NEVER), ended) == ended


def test_a_debugging_container_is_neither_started_nor_ready() -> None:
    made = pod(ephemeralContainers=[container("look")])
    found = only(status_of(made, observed(run("look"), run())), "ephemeralContainerStatuses")
    assert found["state"].keys() == {"running"}
    assert found["ready"] is False
    assert "started" not in found


def test_what_runs_shows_the_resources_that_it_was_started_with() -> None:
    before, after = ({"requests": {"cpu": amount}} for amount in ("100m", "200m"))
    running = run()
    annotations = {**running.config.annotations, RESOURCES: json.dumps(before)}
    running = replace(running, config=replace(running.config, annotations=annotations))
    status = status_of(pod(container(resources=after)), observed(running))
    assert (only(status)["resources"], only(status)["allocatedResources"]) == (before, after["requests"])
    ended = replace(running, state=ContainerState.EXITED)
    status = status_of(pod(container(resources=after)), observed(ended))
    assert only(status)["resources"] == after


def test_what_its_pod_limits_is_told_of_a_container_that_has_limits() -> None:
    own = {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    whole = {"limits": {"cpu": "2", "memory": "1Gi"}}
    running = run()
    annotations = {**running.config.annotations, RESOURCES: json.dumps(own), WHOLE: json.dumps(whole)}
    running = replace(running, config=replace(running.config, annotations=annotations))
    shown = only(status_of(pod(container(resources=own), resources=whole), observed(running)))["resources"]
    assert shown == {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}}
