"""Asking systemd for slices, whose groups it keeps to what it was told and to nothing else.

systemd makes the slices that units are in by itself, with settings of its own: a pod's limits would be lost when the
first container is started below it. So slices are started with what they are to be held to, through busctl, which is
part of systemd. Blocking. Source: opencontainers/cgroups (systemd), org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence

from hyperkube_kubelet.cgroups.conversions import weight_of
from hyperkube_kubelet.cgroups.errors import CgroupFailure
from hyperkube_kubelet.cgroups.settings import Settings

__all__ = ["Slices", "properties_of"]

Property = tuple[str, str, tuple[str, ...]]
"""A name, the signature of its type, and the words of its value."""

_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_SECONDS = 30.0
_NO_LIMIT = str(2**64 - 1)
_ACCOUNTED = ("CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting")
_THERE = ("already exists", "already loaded", "UnitExists")
_GONE = ("not loaded", "NoSuchUnit")

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def _busctl(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)


def properties_of(settings: Settings, version: int) -> Iterator[Property]:
    """What a unit is to be held to, in systemd's words; what it has none for stays with the files of its group."""
    if settings.cpu_shares is not None:
        if version == 2:
            yield "CPUWeight", "t", (str(weight_of(settings.cpu_shares)),)
        else:
            yield "CPUShares", "t", (str(settings.cpu_shares),)
    if settings.cpu_quota is not None:
        period = settings.cpu_period or 100_000
        per_second = str(settings.cpu_quota * 1_000_000 // period) if settings.cpu_quota > 0 else _NO_LIMIT
        yield "CPUQuotaPeriodUSec", "t", (str(period),)
        yield "CPUQuotaPerSecUSec", "t", (per_second,)
    if settings.memory_bytes is not None:
        limit = str(settings.memory_bytes) if settings.memory_bytes > 0 else _NO_LIMIT
        yield ("MemoryMax" if version == 2 else "MemoryLimit"), "t", (limit,)
    if settings.pids is not None:
        yield "TasksMax", "t", (str(settings.pids) if settings.pids > 0 else _NO_LIMIT,)
    for file, name in (("memory.min", "MemoryMin"), ("memory.low", "MemoryLow")):
        if file in settings.unified:
            yield name, "t", (str(settings.unified[file]),)


class Slices:
    """systemd's slices of a machine whose control groups have `version`."""

    def __init__(self, version: int, run: Run = _busctl) -> None:
        self._version = version
        self._run = run

    def start(self, unit: str, above: str, settings: Settings) -> None:
        """Have a slice, below the slice `above` ("" at the top), held to `settings`. Raises CgroupFailure."""
        properties: list[Property] = [
            ("Description", "s", (f"Kubernetes pods below {unit}",)),
            ("DefaultDependencies", "b", ("false",)),
            *((name, "b", ("true",)) for name in _ACCOUNTED),
            *((("Wants", "as", ("1", above)),) if above else ()),
            *properties_of(settings, self._version),
        ]
        arguments = [*_words(properties), "0"]
        done = self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "replace", *arguments)
        if done.returncode and any(text in done.stderr for text in _THERE):
            self.set(unit, settings)
        elif done.returncode:
            raise CgroupFailure(f"systemd can't start slice {unit}: {done.stderr.strip()}")

    def set(self, unit: str, settings: Settings) -> None:
        """Hold a slice to other limits, until the machine is started again. Raises CgroupFailure."""
        properties = list(properties_of(settings, self._version))
        if not properties:
            return
        done = self._call("SetUnitProperties", "sba(sv)", unit, "true", *_words(properties))
        if done.returncode:
            raise CgroupFailure(f"systemd can't change slice {unit}: {done.stderr.strip()}")

    def stop(self, unit: str) -> None:
        """Let a slice go; nothing happens where there is none. Raises CgroupFailure."""
        done = self._call("StopUnit", "ss", unit, "replace")
        if done.returncode and not any(text in done.stderr for text in _GONE):
            raise CgroupFailure(f"systemd can't stop slice {unit}: {done.stderr.strip()}")

    def _call(self, method: str, signature: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return self._run(["busctl", "call", "--quiet", *_MANAGER, method, signature, *arguments])
        except (OSError, subprocess.TimeoutExpired) as exc:
            raise CgroupFailure(f"systemd can't be asked for slices: {exc}") from exc


def _words(properties: Sequence[Property]) -> list[str]:
    words = [str(len(properties))]
    for name, signature, value in properties:
        words += [name, signature, *value]
    return words
