"""The kernel's settings that kubelets rely on, and which of them are otherwise.

Source: setupKernelTunables in k8s.io/kubernetes/pkg/kubelet/cm/container_manager_linux.go, pkg/util/sysctl.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["wrong_settings"]

_WANTED = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def wrong_settings(root: Path = Path("/proc/sys")) -> Iterator[str]:
    """A complaint for each setting that is not what it should be, or can't be read."""
    for name, wanted in _WANTED.items():
        try:
            found = (root / name).read_text().strip()
        except OSError as exc:
            yield f"kernel flag {name} can't be read: {exc.strerror}"
            continue
        if found != str(wanted):
            yield f"invalid kernel flag: {name}, expected value: {wanted}, actual value: {found}"
