"""Capabilities by name. Source: linux/capability.h; the default set is containerd's."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ALL", "DEFAULT", "UnknownCapability", "mask"]

_NAMES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
_BITS = {name: 1 << bit for bit, name in enumerate(_NAMES)}

ALL = (1 << len(_NAMES)) - 1
DEFAULT = sum(
    _BITS[name]
    for name in (
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    )
)


class UnknownCapability(ValueError):
    """There is no capability of that name."""


def mask(*, add: Iterable[str], drop: Iterable[str], privileged: bool) -> int:
    """The capabilities of a container, a bit each. Raises UnknownCapability.

    "ALL" is dropped before others are added, and added before others are dropped.
    """
    if privileged:
        return ALL
    added, dropped = ([_plain(name) for name in names] for names in (add, drop))
    held = ALL if "ALL" in added else 0 if "ALL" in dropped else DEFAULT
    for name in added:
        held |= _bit(name)
    for name in dropped:
        held &= ~_bit(name) if name != "ALL" else ALL
    return held


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _bit(name: str) -> int:
    if name == "ALL":
        return 0
    if name not in _BITS:
        raise UnknownCapability(f'unknown capability "{name}"')
    return _BITS[name]
