"""What this machine is and has. Reads /proc and /sys; elsewhere than on Linux, what Python knows.

Source: google/cadvisor's machine information, k8s.io/kubernetes/pkg/kubelet/nodestatus (MachineInfo, NodeAddress).
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hyperkube_machinery.quantity import Quantity

__all__ = ["Machine", "capacity", "examine"]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine, as its node's status tells of it."""

    cpus: int
    memory_bytes: int
    disk_bytes: int  # of the file system of the kubelet's root directory
    architecture: str  # in Go's words
    operating_system: str
    os_image: str
    kernel_version: str
    machine_id: str
    system_uuid: str
    boot_id: str
    swap_bytes: int
    hugepages: Mapping[int, int] = field(default_factory=dict)  # bytes in huge pages, by the size of a page
    most_pids: int | None = None  # processes that it can have


def examine(root: Path) -> Machine:
    """This machine, with the file system that `root`, which must be there, is on."""
    memory = _meminfo()
    return Machine(
        cpus=os.cpu_count() or 1,
        memory_bytes=memory.get("MemTotal", 0) or _physical_memory(),
        disk_bytes=shutil.disk_usage(root).total,
        architecture=_ARCHITECTURES.get(platform.machine(), platform.machine()),
        operating_system=platform.system().lower(),
        os_image=_os_image(),
        kernel_version=platform.release(),
        machine_id=_first_line("/etc/machine-id", "/var/lib/dbus/machine-id"),
        system_uuid=_first_line("/sys/class/dmi/id/product_uuid", "/etc/machine-id"),
        boot_id=_first_line("/proc/sys/kernel/random/boot_id"),
        swap_bytes=memory.get("SwapTotal", 0),
        hugepages=_hugepages(Path("/sys/kernel/mm/hugepages")),
        most_pids=min(
            (int(text) for name in ("pid_max", "threads-max") if (text := _first_line(f"/proc/sys/kernel/{name}"))),
            default=None,
        ),
    )


def capacity(machine: Machine, *, max_pods: int) -> dict[str, str]:
    """What the whole machine has, as quantities."""
    return {
        "cpu": str(machine.cpus),
        "ephemeral-storage": f"{machine.disk_bytes // 1024}Ki",
        **{f"hugepages-{_binary(size)}": _binary(amount) for size, amount in machine.hugepages.items()},
        "memory": f"{machine.memory_bytes // 1024}Ki",
        "pods": str(max_pods),
    }


def _binary(amount: int) -> str:
    """Bytes as a quantity of powers of two: 2Mi."""
    return str(Quantity(amount * 10**9, "binary"))


def _hugepages(folder: Path) -> dict[int, int]:
    """Bytes in huge pages by the size of a page, the largest first; its folders are named hugepages-2048kB."""
    found: dict[int, int] = {}
    try:
        for place in folder.iterdir():
            size = int(place.name.removeprefix("hugepages-").removesuffix("kB")) * 1024
            found[size] = size * int((place / "nr_hugepages").read_text())
    except (OSError, ValueError):
        return {}
    return dict(sorted(found.items(), reverse=True))


def _meminfo() -> dict[str, int]:
    """In bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in pairs if rest.strip().endswith("kB")}


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return f"{platform.system()} {platform.release()}"


def _first_line(*paths: str) -> str:
    for path in paths:
        try:
            if text := Path(path).read_text().strip():
                return text.splitlines()[0]
        except (OSError, UnicodeDecodeError):  # there is none, or it is not for this user
            continue
    return ""
