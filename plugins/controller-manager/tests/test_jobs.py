"""Jobs: indexes, policies, pauses, which pods come and go, and counting each once.

Cases are facts of Kubernetes' pkg/controller/job tests.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hyperkube_controller_manager.conditions import find
from hyperkube_controller_manager.jobindexes import Indexes, first_free
from hyperkube_controller_manager.jobpods import job_pod, pause_seconds, when_ended
from hyperkube_controller_manager.jobpolicies import judged, success_rule
from hyperkube_controller_manager.jobrecords import Record
from hyperkube_controller_manager.jobtally import condition, counted, finished_status, tallied, with_condition
from hyperkube_controller_manager.jobview import Ending, JobView, ending_of, seconds_to_deadline, staffing
from hyperkube_machinery.timestamps import format_seconds

NOW = 2_000_000_000.0
TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
_numbers = itertools.count()


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"job": "work"}},
        "spec": {"containers": [{"name": "c"}], "restartPolicy": "Never"},
    }
    body = {"template": template, "parallelism": 2, "backoffLimit": 6, **spec}
    return {"metadata": {"name": "work", "uid": "j"}, "spec": body, "status": status or {}}


def indexed(completions: int, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return job(status, completionMode="Indexed", completions=completions, parallelism=completions, **spec)


def pod(
    phase: str = "Running",
    *,
    uid: str = "",
    index: int | str | None = None,
    tracked: bool = True,
    deleted: bool = False,
    exit_code: int = 0,
    ended: float = 100,
    failures: int = 0,
    ready: bool = False,
    conditions: tuple[str, ...] = (),
    restarts: int = 0,
) -> dict[str, Any]:
    uid = uid or f"u{next(_numbers)}"
    meta: dict[str, Any] = {"name": f"work-{uid}", "namespace": "ns", "uid": uid, "annotations": {}}
    if tracked:
        meta["finalizers"] = [TRACKING]
    if index is not None:
        meta["annotations"] = {INDEX: str(index), FAILURES: str(failures)}
    if deleted:
        meta["deletionTimestamp"] = format_seconds(NOW)
    listed = [{"type": kind, "status": "True"} for kind in conditions]
    if ready:
        listed.append({"type": "Ready", "status": "True"})
    container: dict[str, Any] = {"name": "c", "restartCount": restarts, "state": {"running": {}}}
    if phase in ("Failed", "Succeeded"):
        container["state"] = {"terminated": {"exitCode": exit_code, "finishedAt": format_seconds(NOW - ended)}}
    status = {"phase": phase, "conditions": listed, "containerStatuses": [container]}
    return {"metadata": meta, "spec": {}, "status": status}


# Indexes


@pytest.mark.parametrize(
    ("text", "completions", "shown", "size"),
    [
        ("", 10, "", 0),
        ("0", 10, "0", 1),
        ("0,1", 10, "0,1", 2),
        ("0-2,3", 10, "0-3", 4),
        ("1,3-5,9", 6, "1,3-5", 4),
        ("3-9", 6, "3-5", 3),
        ("x,2-y,4", 10, "4", 1),
    ],
)
def test_indexes_are_read_and_written(text: str, completions: int, shown: str, size: int) -> None:
    indexes = Indexes.parse(text, completions)
    assert (str(indexes), len(indexes)) == (shown, size)


def test_indexes_join() -> None:
    joined = Indexes.parse("0-2,8", 20) | Indexes.of([3, 5, 9])
    assert str(joined) == "0-3,5,8,9"
    assert 8 in joined
    assert 4 not in joined
    assert str(Indexes.of([1, 2, 3]) | Indexes.parse("1", 5)) == "1-3"


@pytest.mark.parametrize(
    ("count", "completions", "taken", "expected"),
    [
        (5, 3, "", [0, 1, 2]),
        (2, 5, "", [0, 1]),
        (3, 10, "0,1", [2, 3, 4]),
        (6, 6, "4,5", [0, 1, 2, 3]),
        (5, 20, "2-5,8,9", [0, 1, 6, 7, 10]),
        (5, 20, "1-3,5-7,9", [0, 4, 8, 10, 11]),
        (0, 5, "", []),
    ],
)
def test_the_lowest_free_indexes_are_next(count: int, completions: int, taken: str, expected: list[int]) -> None:
    assert first_free(Indexes.parse(taken, 100), completions, count) == expected


# Policies


def rule(indexes: str | None = None, count: int | None = None) -> dict[str, Any]:
    given = {"succeededIndexes": indexes, "succeededCount": count}
    return {key: value for key, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("rules", "succeeded", "expected"),
    [
        ([], "0", None),
        ([rule("invalid-form")], "0", None),
        ([rule("0-2")], "0-2,4-7", 0),
        ([rule("3")], "0-2", None),
        ([rule(count=2)], "0-2", 0),
        ([rule(count=4)], "0-2", None),
        ([rule("9"), rule("4,6")], "0-2,4-7", 1),
        ([rule("0,1"), rule("5")], "0-2,4-7", 0),
        ([rule("3-6", 2)], "0-2,4-7", 0),
        ([rule("3-6", 2)], "0-2,6,7", None),
        ([rule(count=4)], "", None),
        ([rule("2-4,6-8")], "1-9", 0),
        ([rule("2-4,8")], "2-5,7-9", 0),
        ([rule("")], "1-3", None),
        ([rule("1-3,5-7")], "2-4,6-8", None),
        ([rule("1-3,5-7", 4)], "2-4,6-8", 0),
    ],
)
def test_a_success_policy_is_met_by_its_indexes_or_their_number(rules: Any, succeeded: Any, expected: Any) -> None:
    assert success_rule(indexed(10, successPolicy={"rules": rules}), Indexes.parse(succeeded, 20)) == expected


def on_exit(action: str, operator: str, *codes: int, container: str | None = None) -> dict[str, Any]:
    codes_rule = {"operator": operator, "values": list(codes), "containerName": container}
    return {"action": action, "onExitCodes": codes_rule}


def on_condition(action: str, kind: str) -> dict[str, Any]:
    return {"action": action, "onPodConditions": [{"type": kind, "status": "True"}]}


@pytest.mark.parametrize(
    ("rules", "failed", "action", "counts", "message"),
    [
        ([], pod("Failed", exit_code=1), "", True, ""),
        ([on_exit("Ignore", "In", 1, 2)], pod("Failed", exit_code=2), "Ignore", False, ""),
        ([on_exit("Ignore", "NotIn", 5)], pod("Failed", exit_code=5), "", True, ""),
        ([on_exit("Count", "NotIn", 5)], pod("Failed", exit_code=6), "Count", True, ""),
        ([on_exit("Ignore", "NotIn", 5)], pod("Failed", exit_code=0), "", True, ""),
        ([on_exit("Ignore", "In", 1, container="x")], pod("Failed", exit_code=1), "", True, ""),
        ([on_exit("FailIndex", "In", 1, container="c")], pod("Failed", exit_code=1), "FailIndex", True, ""),
        (
            [on_exit("Ignore", "In", 7), on_exit("FailJob", "In", 3)],
            pod("Failed", uid="x", exit_code=3),
            "FailJob",
            True,
            "Container c for pod ns/work-x failed with exit code 3 matching FailJob rule at index 1",
        ),
        (
            [on_condition("FailJob", "DisruptionTarget")],
            pod("Failed", uid="y", conditions=("DisruptionTarget",)),
            "FailJob",
            True,
            "Pod ns/work-y has condition DisruptionTarget matching FailJob rule at index 0",
        ),
        ([on_condition("Ignore", "DisruptionTarget")], pod("Failed"), "", True, ""),
    ],
)
def test_the_first_rule_that_fits_a_failure_decides(
    rules: Any, failed: Any, action: Any, counts: Any, message: Any
) -> None:
    verdict = judged(job(podFailurePolicy={"rules": rules}), failed)
    assert (verdict.action, verdict.counts, verdict.fails_job) == (action, counts, message)


# Pauses


def ends(*ages: float) -> list[dict[str, Any]]:
    return [pod("Failed", ended=age) for age in ages]


@pytest.mark.parametrize(
    ("before", "succeeded", "failed", "expected"),
    [
        (Record(), [], [0], Record(1, NOW)),
        (Record(), [], [0, 1], Record(2, NOW)),
        (Record(), [0], [2, 1], Record()),
        (Record(), [2], [0, 4, 3, 1], Record(2, NOW)),
        (Record(2, NOW - 50), [], [0], Record(3, NOW)),
        (Record(), [0], [0], Record()),
        (Record(2, NOW - 50), [], [], Record(2, NOW - 50)),
        (Record(2, NOW - 50), [0], [], Record()),
    ],
)
def test_failures_since_the_last_success_are_counted(before: Any, succeeded: Any, failed: Any, expected: Any) -> None:
    assert before.after(ends(*succeeded), ends(*failed)) == expected


@pytest.mark.parametrize(
    ("failures", "ago", "expected"), [(0, 0, 0), (1, 0, 10), (1, 4, 6), (3, 0, 40), (3, 41, 0), (99, 0, 600)]
)
def test_a_pause_doubles_up_to_ten_minutes(failures: int, ago: float, expected: float) -> None:
    assert pause_seconds(failures, NOW - ago, NOW) == expected


def test_when_a_pod_ended_is_told_by_the_best_witness() -> None:
    ended = pod("Failed", ended=7)
    assert when_ended(ended) == NOW - 7
    ended["status"]["containerStatuses"][0]["state"] = {}
    ended["status"]["conditions"] = [
        {"type": "Ready", "status": "False", "lastTransitionTime": format_seconds(NOW - 20)}
    ]
    assert when_ended(ended) == NOW - 20
    ended["status"]["conditions"] = []
    ended["metadata"].update(deletionTimestamp=format_seconds(NOW), deletionGracePeriodSeconds=30)
    assert when_ended(ended) == NOW - 30


# Pods


def test_a_pod_of_an_index_is_told_it_and_kept_until_it_is_counted() -> None:
    made = job_pod(indexed(5, backoffLimitPerIndex=1), {"kind": "Job"}, 3, None)
    assert made["metadata"]["generateName"] == "work-3-"
    assert made["metadata"]["finalizers"] == [TRACKING]
    assert made["metadata"]["labels"] == {"job": "work", INDEX: "3"}
    assert made["metadata"]["annotations"] == {INDEX: "3", FAILURES: "0"}
    assert made["spec"]["hostname"] == "work-3"
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    assert made["spec"]["containers"][0]["env"] == [{"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]


def test_a_replacement_goes_on_counting() -> None:
    policy = {"rules": [on_exit("Ignore", "In", 9)]}
    owner = indexed(5, backoffLimitPerIndex=3, podFailurePolicy=policy)
    counted_one = job_pod(owner, {}, 0, pod("Failed", index=0, failures=1, exit_code=1))
    assert counted_one["metadata"]["annotations"][FAILURES] == "2"
    ignored = job_pod(owner, {}, 0, pod("Failed", index=0, failures=1, exit_code=9))
    assert ignored["metadata"]["annotations"][FAILURES] == "1"
    assert ignored["metadata"]["annotations"]["batch.kubernetes.io/job-index-ignored-failure-count"] == "1"


# Which pods come and go


def view(owner: dict[str, Any], *pods: dict[str, Any], released: tuple[str, ...] = ()) -> JobView:
    return JobView(owner, pods, frozenset(released))


@pytest.mark.parametrize(
    ("owner", "pods", "created"),
    [
        (job(completions=5), [], 2),
        (job(completions=5), [pod()], 1),
        (job({"succeeded": 4}, completions=5), [], 1),
        (job(completions=2), [pod("Succeeded")], 1),
        (job({"succeeded": 5}, completions=5), [], 0),
        (job(), [], 2),
        (job({"succeeded": 1}), [pod()], 0),
        (job(completions=5), [pod(deleted=True)], 2),
        (job(completions=5, podReplacementPolicy="Failed"), [pod(deleted=True)], 1),
        (job(completions=5, parallelism=0), [], 0),
    ],
)
def test_as_many_pods_come_as_are_missing(owner: dict[str, Any], pods: list[Any], created: int) -> None:
    plan = staffing(view(owner, *pods), 0.0, NOW)
    assert (plan.create, plan.delete) == ([None] * created, [])


def test_pods_beyond_the_parallelism_go() -> None:
    ready = pod(ready=True)
    unready = pod("Pending")
    assert staffing(view(job(completions=5, parallelism=1), ready, unready), 0.0, NOW).delete == [unready]


def test_a_suspended_job_has_no_pods() -> None:
    running = pod()
    plan = staffing(view(job(completions=5, suspend=True), running, pod("Succeeded")), 0.0, NOW)
    assert (plan.delete, plan.create) == ([running], [])


def test_no_pod_comes_before_its_pause_is_over() -> None:
    plan = staffing(view(job(completions=5)), 7.5, NOW)
    assert (plan.create, plan.wait) == ([], 7.5)


def test_each_index_has_one_pod() -> None:
    kept, twin, strange = pod(index=0, ready=True), pod("Pending", index=0), pod(index=9)
    assert staffing(view(indexed(3), kept, twin, strange), 0.0, NOW).delete == [strange, twin]
    assert staffing(view(indexed(3), kept, pod("Succeeded", index=1)), 0.0, NOW).create == [2]


def test_an_index_with_a_limit_of_its_own_pauses_alone() -> None:
    owner = indexed(3, backoffLimitPerIndex=2)
    fresh, older = pod("Failed", index=0, ended=1), pod("Failed", index=1, ended=60)
    plan = staffing(view(owner, fresh, older, pod(index=2)), 100.0, NOW)
    assert plan.create == [1]
    plan = staffing(view(owner, fresh, pod(index=1), pod(index=2)), 0.0, NOW)
    assert (plan.create, plan.wait) == ([], 9.0)


# Why it is over


@pytest.mark.parametrize(
    ("owner", "pods", "expected"),
    [
        (job(completions=2), [pod("Failed")], None),
        (job(completions=2, backoffLimit=0), [pod("Failed")], ("FailureTarget", "BackoffLimitExceeded")),
        (job({"failed": 6}, completions=2), [pod("Failed")], ("FailureTarget", "BackoffLimitExceeded")),
        (job({"failed": 6}, completions=2), [pod("Failed", tracked=False)], None),
        (job(completions=2, backoffLimit=0), [pod(deleted=True)], ("FailureTarget", "BackoffLimitExceeded")),
        (job(completions=2, backoffLimit=0, podReplacementPolicy="Failed"), [pod(deleted=True)], None),
        (
            job({"startTime": format_seconds(NOW - 10)}, completions=2, activeDeadlineSeconds=10),
            [],
            ("FailureTarget", "DeadlineExceeded"),
        ),
        (job({"startTime": format_seconds(NOW - 9)}, completions=2, activeDeadlineSeconds=10), [], None),
        (
            job({"startTime": format_seconds(NOW - 99)}, completions=2, activeDeadlineSeconds=10, suspend=True),
            [],
            None,
        ),
        (
            job(completions=2, podFailurePolicy={"rules": [on_exit("FailJob", "In", 1)]}),
            [pod("Failed", exit_code=1)],
            ("FailureTarget", "PodFailurePolicy"),
        ),
        (
            job(completions=2, backoffLimit=0, podFailurePolicy={"rules": [on_exit("Ignore", "In", 1)]}),
            [pod("Failed", exit_code=1)],
            None,
        ),
        (
            indexed(3, backoffLimitPerIndex=0, maxFailedIndexes=0),
            [pod("Failed", index=1)],
            ("FailureTarget", "MaxFailedIndexesExceeded"),
        ),
        (
            indexed(2, backoffLimitPerIndex=0),
            [pod("Failed", index=1), pod("Succeeded", index=0)],
            ("FailureTarget", "FailedIndexes"),
        ),
        (indexed(2, backoffLimitPerIndex=1), [pod("Failed", index=1), pod("Succeeded", index=0)], None),
        (
            indexed(5, successPolicy={"rules": [rule("2")]}),
            [pod("Succeeded", index=2)],
            ("SuccessCriteriaMet", "SuccessPolicy"),
        ),
        (
            job({"conditions": [{"type": "FailureTarget", "status": "True", "reason": "R"}]}, completions=1),
            [],
            ("Failed", "R"),
        ),
    ],
)
def test_why_a_job_is_over(owner: dict[str, Any], pods: list[Any], expected: tuple[str, str] | None) -> None:
    ending = ending_of(view(owner, *pods), NOW)
    assert (ending and (ending.kind, ending.reason)) == expected


@pytest.mark.parametrize(("limit", "restarts", "over"), [(0, 0, False), (0, 1, True), (2, 1, False), (2, 2, True)])
def test_restarts_of_containers_count_where_pods_are_not_replaced(limit: int, restarts: int, over: bool) -> None:
    owner = job(completions=1, backoffLimit=limit)
    owner["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    assert (ending_of(view(owner, pod(restarts=restarts)), NOW) is not None) is over


def test_a_deadline_is_told_in_advance() -> None:
    owner = job({"startTime": format_seconds(NOW - 4)}, activeDeadlineSeconds=10)
    assert seconds_to_deadline(view(owner), NOW) == 6
    assert seconds_to_deadline(view(job()), NOW) is None


# Counting


def test_a_pod_is_listed_then_let_go_then_counted() -> None:
    done, running = pod("Succeeded", uid="s"), pod(uid="r")
    look = view(job(completions=2), done, running, pod("Failed", uid="f"))
    tally = tallied(look, {}, None, NOW)
    assert tally.status["uncountedTerminatedPods"] == {"succeeded": ["s"], "failed": ["f"]}
    assert {one["metadata"]["uid"] for one in tally.release} == {"s", "f"}
    assert "succeeded" not in tally.status
    after = counted(tally.status, {"r"})
    assert (after["succeeded"], after["failed"], after["uncountedTerminatedPods"]) == (1, 1, {})


def test_a_controller_that_died_between_the_steps_counts_neither_twice_nor_never() -> None:
    listed = {"uncountedTerminatedPods": {"succeeded": ["s"]}, "succeeded": 4}
    # It died before the finalizer went: the pod is still there, and is not listed again.
    tally = tallied(view(job(listed, completions=9), pod("Succeeded", uid="s")), listed, None, NOW)
    assert tally.status["uncountedTerminatedPods"] == {"succeeded": ["s"]}
    assert len(tally.release) == 1
    # It died after: the pod is gone, or has no finalizer.
    for pods in ([], [pod("Succeeded", uid="s", tracked=False)]):
        look = view(job(listed, completions=9), *pods)
        assert look.succeeded == 5
        tally = tallied(look, listed, None, NOW)
        assert (tally.status["succeeded"], tally.status["uncountedTerminatedPods"]) == (5, {})
        assert tally.release == []


def test_a_cache_that_still_shows_the_finalizer_is_not_believed() -> None:
    status = {"succeeded": 5}
    look = view(job(status, completions=9), pod("Succeeded", uid="s"), released=("s",))
    assert look.succeeded == 5
    assert tallied(look, status, None, NOW).release == []


def test_an_index_is_counted_once_however_many_pods_succeeded_at_it() -> None:
    look = view(indexed(9, {"completedIndexes": "0"}), *(pod("Succeeded", index=number) for number in (0, 1, 1, 2)))
    tally = tallied(look, {"completedIndexes": "0"}, None, NOW)
    assert (tally.status["succeeded"], tally.status["completedIndexes"]) == (3, "0-2")
    assert len(tally.release) == 4
    assert tally.status["uncountedTerminatedPods"] == {}


def test_a_failed_pod_stays_until_its_replacement_has_its_count() -> None:
    owner = indexed(2, backoffLimitPerIndex=3)
    failed = pod("Failed", index=0)
    assert tallied(view(owner, failed), {}, None, NOW).release == []
    assert tallied(view(owner, failed, pod(index=0, failures=1)), {}, None, NOW).release == [failed]


def test_once_a_job_has_failed_so_have_its_pods() -> None:
    running = pod(uid="r", deleted=True)
    ending = Ending("FailureTarget", "DeadlineExceeded", "late")
    tally = tallied(view(job(completions=1, podReplacementPolicy="Failed"), running), {}, ending, NOW)
    assert tally.status["uncountedTerminatedPods"] == {"failed": ["r"]}
    told = find(tally.status["conditions"], "FailureTarget")
    assert told is not None
    assert (told["reason"], told["message"]) == ("DeadlineExceeded", "late")


def test_a_status_lists_no_more_than_it_can_hold() -> None:
    pods = [pod("Succeeded") for _ in range(600)]
    tally = tallied(view(job(completions=900), *pods), {}, None, NOW)
    assert tally.is_full
    assert len(tally.release) == len(tally.status["uncountedTerminatedPods"]["succeeded"]) == 500


def test_a_job_is_over_when_all_its_pods_are() -> None:
    ending = Ending("SuccessCriteriaMet", "CompletionsReached", "enough")
    assert finished_status({"uncountedTerminatedPods": {"succeeded": ["s"]}}, ending, NOW) is None
    assert finished_status({"terminating": 1}, ending, NOW) is None
    status = finished_status({"terminating": 0}, ending, NOW)
    assert status is not None
    assert status["completionTime"] == format_seconds(NOW)
    assert [one["type"] for one in status["conditions"]] == ["Complete"]
    failed = finished_status({}, Ending("Failed", "R", "why"), NOW)
    assert failed is not None
    assert "completionTime" not in failed
    assert [(one["type"], one["reason"]) for one in failed["conditions"]] == [("Failed", "R")]


def test_what_was_never_true_is_not_said_to_be_false() -> None:
    resumed = condition("Suspended", "False", "JobResumed", "Job resumed", NOW)
    suspended = condition("Suspended", "True", "JobSuspended", "Job suspended", NOW)
    assert with_condition({}, resumed) == {}
    held = with_condition({}, suspended)
    assert with_condition(held, condition("Suspended", "True", "JobSuspended", "Job suspended", NOW + 9)) == held
    assert [one["status"] for one in with_condition(held, resumed)["conditions"]] == ["False"]
