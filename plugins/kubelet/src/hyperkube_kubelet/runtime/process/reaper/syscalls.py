"""System calls of Linux that Python 3.11 has no function for. Each raises OSError, naming what it was for."""

from __future__ import annotations

import ctypes
import os

__all__ = [
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MNT_DETACH",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOEXEC",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_RDONLY",
    "MS_REC",
    "MS_REMOUNT",
    "MS_SHARED",
    "MS_SLAVE",
    "bound_capabilities",
    "drop_capabilities",
    "make_subreaper",
    "mount",
    "no_new_privileges",
    "pivot_root",
    "read_only",
    "set_death_signal",
    "setns",
    "umount",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20

MNT_DETACH = 2

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522

_NR_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "s390x": 217, "ppc64le": 203, "armv7l": 218, "i686": 217}
_NR_MOUNT_SETATTR = 442  # the same on every architecture, as all calls since Linux 5.0 are
_NR_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91, "s390x": 185, "ppc64le": 184, "armv7l": 185, "i686": 185}
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 1

_libc = ctypes.CDLL(None, use_errno=True)
_machine = os.uname().machine
_mount = _libc.mount
_mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Go into new namespaces (a new process namespace is for children only)."""
    _check(_libc.unshare(flags), f"unshare namespaces ({flags:#x})")


def setns(descriptor: int, kind: int) -> None:
    """Go into the namespace that `descriptor` refers to."""
    _check(_libc.setns(descriptor, kind), f"enter a namespace ({kind:#x})")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount, bind or change a mount."""
    result = _mount(
        os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, os.fsencode(options) or None
    )
    _check(result, f"mount {source} at {target}")


def umount(target: str, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), f"unmount {target}")


def pivot_root(new: str, put_old: str) -> None:
    _check(
        _libc.syscall(_NR_PIVOT_ROOT[_machine], os.fsencode(new), os.fsencode(put_old)), f"make {new} the root folder"
    )


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns", ctypes.c_uint64),
    )


def read_only(path: str, *, recursive: bool = False) -> None:
    """Make the mount at `path` read-only, with those below it where `recursive`; other flags stay."""
    attributes = _MountAttributes(_MOUNT_ATTR_RDONLY, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = _libc.syscall(_NR_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, ctypes.byref(attributes), size)
    if result < 0 and not recursive:  # Linux before 5.12; flags that the mount has must be repeated
        kept = os.statvfs(path).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC | 1024 | 2048)
        mount("none", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY | kept)
        return
    _check(result, f"make {path} read-only")


def _prctl(option: int, value: int, what: str) -> int:
    result: int = _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _check(result, what)
    return result


def set_death_signal(number: int) -> None:
    """Have this process sent signal `number` when the thread that forked it ends."""
    _prctl(_PR_SET_PDEATHSIG, number, "ask for a signal at the parent's death")


def make_subreaper() -> None:
    """Have orphans below this process become its children."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, "become a subreaper")


def no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "give up new privileges")


def bound_capabilities(kept: int) -> None:
    """Let nothing that this process executes have capabilities but those in the mask `kept`."""
    for capability in range(64):
        try:
            known = _prctl(_PR_CAPBSET_READ, capability, "read capabilities")
        except OSError:
            break  # one more than the kernel knows
        if known and not kept >> capability & 1:
            _prctl(_PR_CAPBSET_DROP, capability, "drop capabilities")


def drop_capabilities(kept: int) -> None:
    """Leave this process no capabilities but those in the mask `kept`."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    permitted_low, permitted_high = _permitted()
    low, high = low & permitted_low, high & permitted_high
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)  # effective, permitted, inheritable
    _check(_libc.syscall(_NR_CAPSET[_machine], header, data), "drop capabilities")


def _permitted() -> tuple[int, int]:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("CapPrm:"):
                mask = int(line.split()[1], 16)
                return mask & 0xFFFFFFFF, mask >> 32
    return 0, 0
