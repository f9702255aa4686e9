"""As whom a container runs, and what it may do and use.

Source: k8s.io/kubernetes/pkg/securitycontext and pkg/kubelet/kuberuntime.
"""

from __future__ import annotations

from typing import Any

from hyperkube_kubelet.podspec import Tree, described
from hyperkube_kubelet.runtime.values import Image, Limits, Security
from hyperkube_machinery.quantity import Quantity

__all__ = ["RootForbidden", "limits_of", "security_of"]

MINIMUM_SHARES, SHARES_PER_CPU, MAXIMUM_SHARES = 2, 1024, 262144
PERIOD_MICROSECONDS = 100_000
MINIMUM_QUOTA = 1000

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class RootForbidden(ValueError):
    """The container must not run as root and would; the message is upstream's."""


def security_of(pod: Tree, container: Tree, image: Image | None) -> Security:
    """What the pod's and the container's securityContext come to. Raises RootForbidden."""
    of_pod: Tree = pod["spec"].get("securityContext") or {}
    own: Tree = container.get("securityContext") or {}

    def either(name: str) -> Any:
        return own[name] if own.get(name) is not None else of_pod.get(name)

    user = either("runAsUser")
    if either("runAsNonRoot"):
        _check_not_root(pod, container, user, image)
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    unmasked = privileged or own.get("procMount") == "Unmasked"
    groups = [*(of_pod.get("supplementalGroups") or ())]
    if of_pod.get("fsGroup") is not None:
        groups.append(of_pod["fsGroup"])
    return Security(
        run_as_user=user,
        run_as_group=either("runAsGroup"),
        supplemental_groups=tuple(groups),
        privileged=privileged,
        readonly_root=bool(own.get("readOnlyRootFilesystem")),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        seccomp=_profile(either("seccompProfile")),
        apparmor=_profile(either("appArmorProfile")),
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
    )


def _check_not_root(pod: Tree, container: Tree, user: int | None, image: Image | None) -> None:
    where = f'(pod: "{described(pod)}", container: {container["name"]})'
    if user is not None:
        if user == 0:
            raise RootForbidden(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image.user.partition(":")[0] if image is not None else ""
    if not name or name == "0":
        raise RootForbidden(f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdigit():
        why = f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root "
        raise RootForbidden(why + where)


def _profile(profile: Tree | None) -> str:
    if not profile:
        return ""
    return str(profile.get("localhostProfile") if profile["type"] == "Localhost" else profile["type"])


def limits_of(pod: Tree, container: Tree, *, memory_capacity: int) -> Limits:
    """What the container's resources come to. `memory_capacity`: the node's, in bytes."""
    resources: Tree = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    cpu_limit, memory_limit = _amount(limits, "cpu"), _amount(limits, "memory")
    cpu = _amount(requests, "cpu") or cpu_limit
    memory = _amount(requests, "memory")
    return Limits(
        cpu_shares=_shares(cpu.milli if cpu else 0),
        cpu_quota=max(MINIMUM_QUOTA, cpu_limit.milli * PERIOD_MICROSECONDS // 1000) if cpu_limit else None,
        cpu_period=PERIOD_MICROSECONDS,
        memory_bytes=memory_limit.value if memory_limit else None,
        memory_request_bytes=memory.value if memory else None,
        oom_score_adj=_oom_score(pod, memory.value if memory else 0, memory_capacity),
    )


def _amount(amounts: Tree, resource: str) -> Quantity | None:
    text = amounts.get(resource)
    return Quantity.parse(str(text)) if text is not None else None


def _shares(milli: int) -> int:
    return min(MAXIMUM_SHARES, max(MINIMUM_SHARES, milli * SHARES_PER_CPU // 1000))


def _oom_score(pod: Tree, memory_request: int, capacity: int) -> int:
    """Who is killed first when memory runs out. Source: k8s.io/kubernetes/pkg/kubelet/qos/policy.go."""
    spec = pod["spec"]
    if spec.get("priorityClassName") == "system-node-critical":
        return -997
    quality = (pod.get("status") or {}).get("qosClass") or "BestEffort"
    if quality == "Guaranteed":
        return -997
    if quality == "BestEffort" or capacity <= 0:
        return 1000
    score = 1000 - 1000 * memory_request // capacity
    return min(max(score, 3), 999)
