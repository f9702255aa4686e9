"""What a job's policies say of a pod that failed, and of the indexes that succeeded. Computed from values.

Source: k8s.io/kubernetes/pkg/controller/job/{pod_failure_policy,success_policy}.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hyperkube_controller_manager.jobindexes import Indexes
from hyperkube_machinery.meta import name, namespace

__all__ = ["Verdict", "judged", "success_rule"]

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a pod's failure means to its job."""

    action: str = ""  # of the rule that fits, if one does
    counts: bool = True  # towards the limit
    fails_job: str = ""  # why the whole job fails, if it does


_COUNTED = Verdict()


def judged(job: Tree, pod: Tree) -> Verdict:
    """The verdict of the first rule of the job's podFailurePolicy that fits the failed pod."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
    for index, rule in enumerate(rules):
        reason = _reason(rule, pod)
        if reason:
            action = rule.get("action") or ""
            message = f"{reason} matching {action} rule at index {index}" if action == "FailJob" else ""
            return Verdict(action, action != "Ignore", message)
    return _COUNTED


def _reason(rule: Tree, pod: Tree) -> str:
    """Why the rule fits, in the words of a failed job's condition; empty if it does not."""
    whose, status = f"{namespace(pod)}/{name(pod)}", pod.get("status") or {}
    if rule.get("onExitCodes"):
        statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
        found = _with_exit_code(statuses, rule["onExitCodes"])
        return f"Container {found[0]} for pod {whose} failed with exit code {found[1]}" if found else ""
    patterns = rule.get("onPodConditions") or ()
    for condition in status.get("conditions") or ():
        for pattern in patterns:
            wanted = (pattern.get("type"), pattern.get("status") or "True")
            if (condition.get("type"), condition.get("status")) == wanted:
                return f"Pod {whose} has condition {condition['type']}"
    return ""


def _with_exit_code(statuses: Iterable[Tree], requirement: Tree) -> tuple[str, int] | None:
    wanted_name, codes = requirement.get("containerName"), requirement.get("values") or ()
    for status in statuses:
        terminated = (status.get("state") or {}).get("terminated")
        if terminated is None or wanted_name not in (None, status.get("name")):
            continue
        code = terminated.get("exitCode") or 0
        if code != 0 and (code in codes) == (requirement.get("operator") == "In"):
            return status.get("name") or "", code
    return None


def success_rule(job: Tree, succeeded: Indexes) -> int | None:
    """The index of the first rule of the job's successPolicy that is met; None if none is."""
    rules = (job["spec"].get("successPolicy") or {}).get("rules") or ()
    completions = job["spec"].get("completions") or 0
    for index, rule in enumerate(rules if len(succeeded) else ()):
        count = rule.get("succeededCount")
        if rule.get("succeededIndexes") is not None:
            required = Indexes.parse(rule["succeededIndexes"], completions)
            common = required.in_common(succeeded)
            if len(required) and (common == len(required) or (count is not None and common >= count)):
                return index
        elif count is not None and len(succeeded) >= count:
            return index
    return None
