"""What is done for a pod: which containers are started, killed and started again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from hyperkube_kubelet.containers.observed import Observed
from hyperkube_kubelet.containers.plan import Plan, plan_for
from hyperkube_kubelet.containers.verdicts import Verdicts

from ..builders import container, observed, pod, run, sandbox, sidecar

NOTHING = observed(sandboxes=())
ENDED = (sandbox(ready=False),)


def told(plan: Plan) -> dict[str, Any]:
    """A plan, in a few words."""
    said: dict[str, Any] = {
        "kill pod": plan.kill_pod,
        "sandbox": plan.create_sandbox,
        "kill": [kill.container.id for kill in plan.kill],
        "start": [one["name"] for one in plan.starts],
    }
    return {name: value for name, value in said.items() if value}


@dataclass(frozen=True)
class Case:
    """A pod, what there is of it, and what is to be done."""

    pod: dict[str, Any]
    seen: Observed
    wanted: dict[str, Any]
    verdicts: Verdicts = field(default_factory=Verdicts)


PROBE = {"tcpSocket": {"port": 80}}
PROBED = container(livenessProbe=PROBE, startupProbe=PROBE)
NEVER = {"restartPolicy": "Never"}
ON_FAILURE = {"restartPolicy": "OnFailure"}
INIT: dict[str, Any] = {"initContainers": [container("one"), container("two")]}
BESIDE: dict[str, Any] = {"initContainers": [sidecar("log"), container("one")]}
ANEW = {"kill pod": True, "sandbox": True}

CASES = {
    "a new pod gets a sandbox and its containers": Case(
        pod(container("a"), container("b")), NOTHING, {**ANEW, "start": ["a", "b"]}
    ),
    "what runs is left alone": Case(pod(), observed(run()), {}),
    "a container that has ended is started again": Case(
        pod(), observed(run(state="exited", code=1)), {"start": ["main"]}
    ),
    "also one that has succeeded": Case(pod(), observed(run(state="exited")), {"start": ["main"]}),
    "but not where it ran to succeed": Case(pod(**ON_FAILURE), observed(run(state="exited")), {"kill pod": True}),
    "where it failed it is": Case(pod(**ON_FAILURE), observed(run(state="exited", code=1)), {"start": ["main"]}),
    "nothing is started again that runs once": Case(
        pod(**NEVER), observed(run(state="exited", code=1)), {"kill pod": True}
    ),
    "a container's own policy goes before the pod's": Case(
        pod(container(restartPolicy="Always"), **NEVER), observed(run(state="exited", code=1)), {"start": ["main"]}
    ),
    "and its rules before that": Case(
        pod(
            container(
                restartPolicy="Never",
                restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
            )
        ),
        observed(run(state="exited", code=42)),
        {"start": ["main"]},
    ),
    "a pod goes on while one container runs": Case(
        pod(container("a"), container("b"), **NEVER), observed(run("a"), run("b", state="exited")), {}
    ),
    "one that was created and not started is started": Case(pod(), observed(run(state="created")), {"start": ["main"]}),
    "one of unknown state is killed first": Case(
        pod(), observed(run(state="unknown")), {"kill": ["main-0"], "start": ["main"]}
    ),
    "another image replaces a container": Case(
        pod(container(image="image:2"), **NEVER), observed(run()), {"kill": ["main-0"], "start": ["main"]}
    ),
    "a container that is not alive is replaced": Case(
        pod(PROBED),
        observed(run()),
        {"kill": ["main-0"], "start": ["main"]},
        Verdicts(liveness={"main-0": False}, startup={"main-0": True}),
    ),
    "one that does not start is replaced": Case(
        pod(PROBED), observed(run()), {"kill": ["main-0"], "start": ["main"]}, Verdicts(startup={"main-0": False})
    ),
    "and only killed where it runs once": Case(
        pod(PROBED, **NEVER),
        observed(run()),
        {"kill pod": True, "kill": ["main-0"]},
        Verdicts(liveness={"main-0": False}),
    ),
    "the first init container comes alone": Case(pod(**INIT), NOTHING, {**ANEW, "start": ["one"]}),
    "the next one waits for its success": Case(pod(**INIT), observed(run("one")), {}),
    "and comes then": Case(pod(**INIT), observed(run("one", state="exited")), {"start": ["two"]}),
    "an init container that failed comes again": Case(
        pod(**INIT), observed(run("one", state="exited", code=1)), {"start": ["one"]}
    ),
    "unless the pod runs once": Case(
        pod(**INIT, **NEVER), observed(run("one", state="exited", code=1)), {"kill pod": True}
    ),
    "the others come after the last": Case(
        pod(**INIT), observed(run("two", state="exited"), run("one", state="exited")), {"start": ["main"]}
    ),
    "records of init containers may be gone": Case(
        pod(**INIT), observed(run("two", state="exited")), {"start": ["main"]}
    ),
    "once others run nothing is initialized again": Case(pod(**INIT), observed(run()), {}),
    "what follows a sidecar waits until it runs": Case(pod(**BESIDE), NOTHING, {**ANEW, "start": ["log"]}),
    "no longer": Case(pod(**BESIDE), observed(run("log")), {"start": ["one"]}),
    "or until its startup probe passes": Case(
        pod(initContainers=[sidecar("log", startupProbe=PROBE), container("one")]), observed(run("log")), {}
    ),
    "which may fail": Case(
        pod(initContainers=[sidecar("log", startupProbe=PROBE), container("one")]),
        observed(run("log")),
        {"kill": ["log-0"], "start": ["log"]},
        Verdicts(startup={"log-0": False}),
    ),
    "a sidecar that ended comes again": Case(
        pod(**BESIDE),
        observed(run(), run("one", state="exited"), run("log", state="exited", code=0)),
        {"start": ["log"]},
    ),
    "also one whose record is gone": Case(pod(**BESIDE), observed(run()), {"start": ["log"]}),
    "sidecars keep no pod going": Case(
        pod(**BESIDE, **NEVER),
        observed(run(state="exited"), run("one", state="exited"), run("log")),
        {"kill pod": True},
    ),
    "a dead sandbox is replaced, with all in it": Case(
        pod(**INIT), observed(run(state="exited"), sandboxes=ENDED), {**ANEW, "start": ["one"]}
    ),
    "but not for a pod that runs once": Case(
        pod(**NEVER), observed(run(state="exited"), sandboxes=ENDED), {"kill pod": True}
    ),
    "nor where all has succeeded": Case(
        pod(**ON_FAILURE), observed(run(state="exited"), sandboxes=ENDED), {"kill pod": True}
    ),
    "a sandbox without an address is replaced": Case(
        pod(), observed(sandboxes=(sandbox(ips=()),)), {**ANEW, "start": ["main"]}
    ),
    "in the node's network none is needed": Case(
        pod(hostNetwork=True), observed(run(), sandboxes=(sandbox(ips=(), host_network=True),)), {}
    ),
    "a debugging container comes at once": Case(
        pod(**INIT, ephemeralContainers=[container("look")]), observed(run("one")), {"start": ["look"]}
    ),
    "and once": Case(
        pod(ephemeralContainers=[container("look")]), observed(run(), run("look", state="exited", code=1)), {}
    ),
    "nothing is started in a pod that is deleted": Case(
        pod(meta_deletionTimestamp="2026-01-01T00:00:00Z"), observed(run(state="exited", code=1)), {"kill pod": True}
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_done(name: str) -> None:
    case = CASES[name]
    assert told(plan_for(case.pod, case.seen, case.verdicts)) == case.wanted


def test_messages_say_why_and_what_follows() -> None:
    killed = plan_for(pod(PROBED), observed(run()), Verdicts(liveness={"main-0": False})).kill[0]
    assert killed.message == "Container main failed liveness probe, will be restarted"
    assert killed.reason == "LivenessProbe"


def test_a_new_sandbox_is_counted() -> None:
    plan = plan_for(pod(), observed(sandboxes=(sandbox("s3", attempt=3, ready=False),)), Verdicts())
    assert (plan.attempt, plan.sandbox_id) == (4, "s3")


RESTARTS_ALL = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}


@pytest.mark.parametrize(
    ("runs", "reset"),
    [
        ([run("main"), run("other")], []),
        ([run("main", "exited", code=1), run("other")], []),
        ([run("main", "exited", code=88), run("other"), run("first", "exited")], ["other-0", "first-0", "main-0"]),
        ([run("main", "exited", code=88)], ["main-0"]),  # the rest was forgotten before this kubelet began
        ([run("main", attempt=1), run("main", "exited", code=88), run("other")], []),
    ],
)
def test_an_end_may_begin_the_whole_pod_anew(runs: list[Any], reset: list[str]) -> None:
    main = container("main", restartPolicyRules=[RESTARTS_ALL])
    made = pod(main, container("other"), initContainers=[container("first")], restartPolicy="Never")
    plan = plan_for(made, observed(*runs), Verdicts())
    assert [one.id for one in plan.reset] == reset
    if reset:
        assert told(plan) == {}
        anew = plan_for(made, observed(), Verdicts())
        assert told(anew) == {"start": ["first"]}
