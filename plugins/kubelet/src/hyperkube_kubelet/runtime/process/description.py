"""What the machine lets the reaper do, and what that means for pods."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperkube_kubelet.runtime.values import Limitation

__all__ = ["Node", "limitations", "node_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What all containers of the node have in common."""

    version: int
    isolated: bool
    network: str  # namespace, loopback or host
    all_users: bool
    overlay: bool
    limits: tuple[str, ...] = ()  # what control groups hold containers to: cpu, memory
    pod_cidr: str = ""
    gateway: str = ""
    why: dict[str, str] = field(default_factory=dict)  # the system's words for what can't be had
    owner: tuple[int, int] = (0, 0)  # user and group of the kubelet
    hidden: tuple[Path, ...] = ()  # what containers of the machine's own root don't see


def node_of(answer: dict[str, Any], hidden: tuple[Path, ...]) -> Node:
    """Read what the reaper says of itself."""
    return Node(
        version=answer["version"],
        isolated=answer["isolated"],
        network=answer["mode"],
        all_users=answer["users"] == "all-users",
        overlay=answer["overlay"],
        limits=tuple(answer["limits"]),
        pod_cidr=answer["pod_cidr"],
        gateway=answer["gateway"],
        why=answer["why"],
        owner=(os.geteuid(), os.getegid()),
        hidden=hidden,
    )


def limitations(node: Node) -> tuple[Limitation, ...]:
    """What pods can't have on this machine, the gravest first."""
    found: list[Limitation] = []

    def tell(reason: str, message: str) -> None:
        found.append(Limitation(reason, message))

    if not node.isolated:
        cause = node.why.get("isolation", "it was asked for")
        tell(
            "NoNamespaces",
            f"Containers are plain processes of this machine ({cause}): they see its files and processes, and find"
            " their own files by the variable HK_ROOT. Allowing user namespaces (sysctl user.max_user_namespaces, and"
            " kernel.apparmor_restrict_unprivileged_userns=0 where it exists) changes it.",
        )
    if node.network == "loopback":
        cause = node.why.get("network") or node.why.get("isolation") or "it was asked for"
        tell(
            "PodsOnLoopback",
            f"Pods have addresses 127.x.y.z of this machine ({cause}), which they must bind to: the variable POD_IP"
            " tells it. NetworkPolicies and ports below 1024 can't be had.",
        )
    if node.network == "host":
        tell("PodsInHostNetwork", "All pods are in the machine's own network, as was asked for.")
    if node.network == "namespace":
        tell(
            "NoWayOut",
            "Pods reach each other, services and what is relayed to them, and nothing outside of this machine.",
        )
    if node.isolated and not node.overlay:
        tell(
            "NoOverlay",
            f"Each container gets a copy of its image, which takes time and room ({node.why.get('overlay', '')}):"
            " this kernel, or the file system of --root-dir, has no overlays for ordinary users.",
        )
    if node.isolated and not node.all_users:
        tell(
            "OneUserEach",
            "All processes of a container are one user: it may have any number, but programs that change their user,"
            " supplementalGroups and fsGroup have no effect or fail. A kubelet of root has all users.",
        )
    free = [name for name in ("cpu", "memory") if name not in node.limits]
    if free:
        cause = f" ({node.why['limits']})" if "limits" in node.why else ""
        tell(
            "LimitsNotEnforced",
            f"Limits of {' and '.join(free)} are not enforced{cause}: containers share what the machine has.",
        )
    tell("NoSecurityProfiles", "seccomp and AppArmor profiles are not applied.")
    return tuple(found)
