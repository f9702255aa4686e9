"""As whom a container runs, and what it may do.

Source: k8s.io/kubernetes/pkg/securitycontext and pkg/kubelet/kuberuntime.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_kubelet.containers.profiles import apparmor_of, seccomp_of
from hyperkube_kubelet.podspec import Tree, all_containers, described
from hyperkube_kubelet.runtime.values import Image, Security, SELinux

__all__ = [
    "PLAIN",
    "Confinement",
    "RootForbidden",
    "masked_paths",
    "sandbox_security",
    "security_of",
]

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

MOST_USER = (1 << 31) - 1


class RootForbidden(ValueError):
    """The container must not run as root and would; the message is upstream's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What the node does for containers that say nothing of it."""

    seccomp_default: bool = False  # whether they get the runtime's profile instead of none
    seccomp_root: Path = Path("/var/lib/kubelet/seccomp")  # where profiles of the type Localhost are
    masked_paths: tuple[str, ...] = MASKED_PATHS


PLAIN = Confinement()


def masked_paths(cpus: Path = Path("/sys/devices/system/cpu")) -> tuple[str, ...]:
    """What containers don't see, with what this machine's processors have of it."""
    return (*MASKED_PATHS, *sorted(map(str, cpus.glob("cpu[0-9]*/thermal_throttle"))))


def security_of(pod: Tree, container: Tree, image: Image | None, confinement: Confinement = PLAIN) -> Security:
    """What the pod's and the container's securityContext come to.

    `image` says whose the container is where they don't; None where that is not known. Raises RootForbidden, and
    InvalidProfile.
    """
    of_pod: Tree = pod["spec"].get("securityContext") or {}
    own: Tree = container.get("securityContext") or {}

    def either(name: str) -> Any:
        return own[name] if own.get(name) is not None else of_pod.get(name)

    user = either("runAsUser")
    if either("runAsNonRoot"):
        _check_not_root(pod, container, user, image)
    username = ""
    if user is None and image is not None:
        user, username = image_user(image)
    capabilities = own.get("capabilities") or {}
    privileged = bool(own.get("privileged"))
    unmasked = privileged or own.get("procMount") == "Unmasked"
    return Security(
        run_as_user=user,
        run_as_username=username,
        run_as_group=either("runAsGroup"),
        supplemental_groups=supplemental_groups(of_pod),
        supplemental_groups_policy=of_pod.get("supplementalGroupsPolicy") or "Merge",
        privileged=privileged,
        readonly_root=bool(own.get("readOnlyRootFilesystem")),
        add_capabilities=tuple(capabilities.get("add") or ()),
        drop_capabilities=tuple(capabilities.get("drop") or ()),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        seccomp=seccomp_of(either("seccompProfile"), confinement.seccomp_root, default=confinement.seccomp_default),
        apparmor=apparmor_of(pod, container),
        selinux=selinux_of(either("seLinuxOptions")),
        masked_paths=() if unmasked else confinement.masked_paths,
        readonly_paths=() if unmasked else READONLY_PATHS,
    )


def sandbox_security(pod: Tree) -> Security:
    """What the sandbox itself runs with. Source: generatePodSandboxLinuxConfig."""
    context: Tree = pod["spec"].get("securityContext") or {}
    return Security(
        run_as_user=context.get("runAsUser"),
        run_as_group=context.get("runAsGroup"),
        supplemental_groups=supplemental_groups(context),
        supplemental_groups_policy=context.get("supplementalGroupsPolicy") or "Merge",
        privileged=any((one.get("securityContext") or {}).get("privileged") for one in all_containers(pod)),
        seccomp="RuntimeDefault",  # whatever its containers have
        selinux=selinux_of(context.get("seLinuxOptions")),
    )


def supplemental_groups(of_pod: Tree) -> tuple[int, ...]:
    """fsGroup first, so that it is the group of what volumes hold."""
    fs_group = of_pod.get("fsGroup")
    return (*(() if fs_group is None else (fs_group,)), *(of_pod.get("supplementalGroups") or ()))


def selinux_of(options: Tree | None) -> SELinux | None:
    if options is None:
        return None
    names = ("user", "role", "type", "level")
    return SELinux(**{name: str(options.get(name) or "") for name in names})


def image_user(image: Image) -> tuple[int | None, str]:
    """The number of the image's user, or None and the name. One that says nothing runs as root.

    Its group is not asked for, as upstream asks for none: it is the user's own in the image's /etc/passwd.
    """
    name = image.user.partition(":")[0]
    if name and not name.isdigit():
        return None, name
    return int(name or 0), ""


def _check_not_root(pod: Tree, container: Tree, user: int | None, image: Image | None) -> None:
    where = f'(pod: "{described(pod)}", container: {container["name"]})'
    if user is not None:
        if user == 0:
            raise RootForbidden(f"container's runAsUser breaks non-root policy {where}")
        return
    uid, name = image_user(image) if image is not None else (0, "")
    if uid == 0:
        raise RootForbidden(f"container has runAsNonRoot and image will run as root {where}")
    if uid is None:
        why = f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root "
        raise RootForbidden(why + where)
    if uid > MOST_USER:
        raise RootForbidden(
            f"container has runAsNonRoot and image has an invalid user id ({uid}). (Must be 1-({MOST_USER})): must be"
            f" between 0 and {MOST_USER}, inclusive {where}"
        )
