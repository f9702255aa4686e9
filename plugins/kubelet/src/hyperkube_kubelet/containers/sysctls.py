"""Kernel settings that pods may set: those of namespaces that a pod has for itself.

Source: k8s.io/kubernetes/pkg/kubelet/sysctl and k8s.io/component-helpers/node/util/sysctl.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from hyperkube_kubelet.podspec import Tree

__all__ = ["SAFE", "Allowlist", "normalized", "safe_sysctls"]

Namespace = Literal["IPC", "Net"]

SAFE = {
    "kernel.shm_rmid_forced": (0, 0),
    "net.ipv4.ip_local_port_range": (0, 0),
    "net.ipv4.tcp_syncookies": (0, 0),
    "net.ipv4.ping_group_range": (0, 0),
    "net.ipv4.ip_unprivileged_port_start": (0, 0),
    "net.ipv4.ip_local_reserved_ports": (3, 16),
    "net.ipv4.tcp_keepalive_time": (4, 5),
    "net.ipv4.tcp_fin_timeout": (4, 6),
    "net.ipv4.tcp_keepalive_intvl": (4, 5),
    "net.ipv4.tcp_keepalive_probes": (4, 5),
    "net.ipv4.tcp_rmem": (4, 15),
    "net.ipv4.tcp_wmem": (4, 15),
}
"""What no other pod notices, by the version of Linux that first had it for each namespace."""

_IPC = frozenset(
    [
        "kernel.sem",
        *("kernel.shm", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"),
        *("kernel.msg", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni"),
    ]
)
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_PATTERN = rf"({_SEGMENT}[\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]"
_MOST = 253


def safe_sysctls(kernel: str) -> list[str]:
    """Those that a kernel of this release, 6.1.0-13-amd64, has for each namespace."""
    found = re.match(r"(\d+)\.(\d+)", kernel)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return [name for name, since in SAFE.items() if version >= since]


def normalized(name: str) -> str:
    """With dots between its parts, whichever of the two ways it is written in (net/ipv4/conf/eth0.100/x)."""
    first = next((char for char in name if char in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def _namespace_of(name: str) -> Namespace | None:
    if name in _IPC or name.startswith("fs.mqueue."):
        return "IPC"
    return "Net" if name.startswith("net.") else None


class Allowlist:
    """What is allowed on a node: names, and beginnings that end in `*`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises ValueError, in upstream's words, for one that is no pattern or can't be held to a pod."""
        self._names: dict[str, Namespace] = {}
        self._beginnings: dict[str, Namespace] = {}
        for pattern in patterns:
            if len(pattern) > _MOST or not re.fullmatch(_PATTERN, pattern):
                raise ValueError(f'sysctl "{pattern}" must have at most {_MOST} characters and match regex {_PATTERN}')
            name = normalized(pattern)
            begin = name.removesuffix("*")
            namespace = _namespace_of(begin)
            if namespace is None:
                raise ValueError(f'the sysctls "{begin}" are not known to be namespaced')
            (self._beginnings if name.endswith("*") else self._names)[begin] = namespace

    def refusal(self, pod: Tree) -> str:
        """Why the pod must not set what it wants to, or ""."""
        spec = pod["spec"]
        for wanted in (spec.get("securityContext") or {}).get("sysctls") or ():
            name = normalized(wanted["name"])
            namespace = self._allowed(name)
            if namespace is None:
                return f'forbidden sysctl: "{name}" not allowlisted'
            if spec.get({"IPC": "hostIPC", "Net": "hostNetwork"}[namespace]):
                return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
        return ""

    def _allowed(self, name: str) -> Namespace | None:
        if name in self._names:
            return self._names[name]
        return next((namespace for begin, namespace in self._beginnings.items() if name.startswith(begin)), None)
