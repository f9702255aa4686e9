"""Names of control groups: from the top down, and as each driver writes them.

Source: k8s.io/kubernetes/pkg/kubelet/cm (cgroup_manager_linux.go), systemd.slice(5).
"""

from __future__ import annotations

from typing import Literal

__all__ = ["DRIVERS", "Driver", "Name", "described", "parse", "written"]

Driver = Literal["cgroupfs", "systemd"]
DRIVERS: tuple[Driver, ...] = ("cgroupfs", "systemd")

Name = tuple[str, ...]
"""From the root down: ("kubepods", "burstable", "pod0b5e"); the root is ()."""

_SLICE = ".slice"


def written(name: Name, driver: Driver) -> str:
    """The path of a group below where its hierarchy is mounted.

    systemd's slices say all of their way down in each name, with dashes between, so a dash within becomes "_".
    """
    if driver == "cgroupfs":
        return "/" + "/".join(name)
    parts = [part.replace("-", "_") for part in name]
    return "/" + "/".join("-".join(parts[: depth + 1]) + _SLICE for depth in range(len(parts)))


def parse(path: str, driver: Driver) -> Name:
    """The name that `written` made `path` from."""
    if driver == "cgroupfs":
        return tuple(part for part in path.split("/") if part)
    last = path.rstrip("/").rpartition("/")[2].removesuffix(_SLICE)
    return tuple(part.replace("_", "-") for part in last.split("-") if part)


def described(name: Name) -> str:
    """How messages name a group, whatever the driver."""
    return f"[{' '.join(name)}]" if name else "/"
