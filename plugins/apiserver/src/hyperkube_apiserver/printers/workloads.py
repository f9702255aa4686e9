"""The rows of apps, batch and replication controllers. Source: k8s.io/kubernetes/pkg/printers/internalversion."""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.printers.cells import NONE, Tree, age, containers, labels, name, selector, truth
from hyperkube_machinery.ages import human_duration, seconds_of, since

__all__ = [
    "controller_revision",
    "cron_job",
    "daemon_set",
    "deployment",
    "job",
    "replica_set",
    "replication_controller",
    "scale",
    "stateful_set",
]

# A job's conditions, the first of which that holds is its status; deletion comes behind the ends.
_ENDS = {"Complete": "Complete", "Failed": "Failed"}
_STATES = {"Suspended": "Suspended", "FailureTarget": "FailureTarget", "SuccessCriteriaMet": "SuccessCriteriaMet"}


def _parts(obj: Tree) -> tuple[Tree, Tree]:
    return obj.get("spec") or {}, obj.get("status") or {}


def controller_revision(obj: Tree, now: float) -> list[Any]:
    """Name, Controller, Revision, Age."""
    owners = (one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller"))
    owner = next(owners, None)
    controller = NONE
    if owner is not None:
        group, slash, _ = owner.get("apiVersion", "").partition("/")
        kind = f"{owner.get('kind', '')}.{group}" if slash else owner.get("kind", "")
        controller = f"{kind.lower()}/{owner.get('name', '')}"
    return [name(obj), controller, obj.get("revision") or 0, age(obj, now)]


def cron_job(obj: Tree, now: float) -> list[Any]:
    """Name, Schedule, Timezone, Suspend, Active, Last Schedule, Age, Containers, Images, Selector."""
    spec, status = _parts(obj)
    last = status.get("lastScheduleTime")
    template = (spec.get("jobTemplate") or {}).get("spec") or {}
    zone = spec.get("timeZone")
    return [
        name(obj),
        spec.get("schedule", ""),
        NONE if zone is None else zone,
        truth(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers(template.get("template")),
        selector(template.get("selector")),
    ]


def scale(obj: Tree, now: float) -> list[Any]:
    """Name, Desired, Available, Age."""
    spec, status = _parts(obj)
    return [name(obj), spec.get("replicas") or 0, status.get("replicas") or 0, age(obj, now)]


def daemon_set(obj: Tree, now: float) -> list[Any]:
    """Name, Desired, Current, Ready, Up-to-date, Available, Node Selector, Age, Containers, Images, Selector."""
    spec, status = _parts(obj)
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    return [
        name(obj),
        status.get("desiredNumberScheduled") or 0,
        status.get("currentNumberScheduled") or 0,
        status.get("numberReady") or 0,
        status.get("updatedNumberScheduled") or 0,
        status.get("numberAvailable") or 0,
        labels(pod_spec.get("nodeSelector")),
        age(obj, now),
        *containers(spec.get("template")),
        selector(spec.get("selector")),
    ]


def deployment(obj: Tree, now: float) -> list[Any]:
    """Name, Ready, Up-to-date, Available, Age, Containers, Images, Selector."""
    spec, status = _parts(obj)
    return [
        name(obj),
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        status.get("updatedReplicas") or 0,
        status.get("availableReplicas") or 0,
        age(obj, now),
        *containers(spec.get("template")),
        selector(spec.get("selector"), empty="", invalid="<invalid>"),
    ]


def job(obj: Tree, now: float) -> list[Any]:
    """Name, Status, Completions, Duration, Age, Containers, Images, Selector."""
    spec, status = _parts(obj)
    return [
        name(obj),
        _job_status(obj, status),
        _completions(spec, status.get("succeeded") or 0),
        _job_duration(status, now),
        age(obj, now),
        *containers(spec.get("template")),
        selector(spec.get("selector")),
    ]


def _job_status(obj: Tree, status: Tree) -> str:
    conditions = {one.get("type"): one.get("status") for one in reversed(status.get("conditions") or ())}
    holding = {kind for kind, value in conditions.items() if value == "True"}
    for kind, shown in _ENDS.items():
        if kind in holding:
            return shown
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    return next((shown for kind, shown in _STATES.items() if kind in holding), "Running")


def _completions(spec: Tree, succeeded: int) -> str:
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism") or 0
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(status: Tree, now: float) -> str:
    started, completed = status.get("startTime"), status.get("completionTime")
    if not started:
        return ""
    return human_duration((seconds_of(completed) if completed else now) - seconds_of(started))


def replica_set(obj: Tree, now: float) -> list[Any]:
    """Name, Desired, Current, Ready, Age, Containers, Images, Selector."""
    return _replicated(obj, now, selector((obj.get("spec") or {}).get("selector")))


def replication_controller(obj: Tree, now: float) -> list[Any]:
    """Name, Desired, Current, Ready, Age, Containers, Images, Selector: its selector is a plain map."""
    return _replicated(obj, now, labels((obj.get("spec") or {}).get("selector")))


def _replicated(obj: Tree, now: float, selected: str) -> list[Any]:
    spec, status = _parts(obj)
    return [
        name(obj),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(obj, now),
        *containers(spec.get("template")),
        selected,
    ]


def stateful_set(obj: Tree, now: float) -> list[Any]:
    """Name, Ready, Age, Containers, Images."""
    spec, status = _parts(obj)
    ready = f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}"
    return [name(obj), ready, age(obj, now), *containers(spec.get("template"))]
