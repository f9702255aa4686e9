"""What a control group is held to, and which files say so. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/cm (toResources), opencontainers/cgroups (fs, fs2).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from hyperkube_kubelet.cgroups.conversions import page_name, shares_of_weight, weight_of
from hyperkube_kubelet.cgroups.hierarchies import Hierarchies

__all__ = ["UNBOUNDED", "Held", "Settings", "Step", "Write", "files_read", "held", "steps_to", "writes_of"]

UNBOUNDED = 1 << 62
"""Bytes of huge pages for a group that is to have no limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a group is to be held to; None leaves as it is what the group has."""

    cpu_shares: int | None = None
    cpu_quota: int | None = None  # microseconds in each period; less than one: no limit
    cpu_period: int | None = None
    memory_bytes: int | None = None  # less than one: no limit
    pids: int | None = None
    hugepages: Mapping[int, int] | None = None  # bytes by size of page; sizes that are not in it may not be used
    unified: Mapping[str, int] = field(default_factory=dict)  # files of version 2, such as memory.min


@dataclass(frozen=True, slots=True)
class Write:
    """A text that a file of a group is to have."""

    controller: str
    file: str
    text: str
    needed: bool = True  # else the kernel may lack the file: it was built without what it sets


def writes_of(settings: Settings, hierarchies: Hierarchies) -> Iterator[Write]:
    """The writes that hold a group to `settings`, as far as the machine has the controllers for them."""
    make = _version_2 if hierarchies.version == 2 else _version_1
    yield from (write for write in make(settings) if write.controller in hierarchies.points)
    if settings.hugepages is not None and "hugetlb" in hierarchies.points:
        suffix = "max" if hierarchies.version == 2 else "limit_in_bytes"
        for size in hierarchies.page_sizes:
            limit = settings.hugepages.get(size, 0)
            yield Write("hugetlb", f"hugetlb.{page_name(size)}.{suffix}", str(limit), needed=False)


def _version_1(settings: Settings) -> Iterator[Write]:
    if settings.cpu_shares is not None:
        yield Write("cpu", "cpu.shares", str(settings.cpu_shares))
    if settings.cpu_period is not None:
        yield Write("cpu", "cpu.cfs_period_us", str(settings.cpu_period))
    if settings.cpu_quota is not None:
        yield Write("cpu", "cpu.cfs_quota_us", str(settings.cpu_quota if settings.cpu_quota > 0 else -1))
    if settings.memory_bytes is not None:
        yield Write("memory", "memory.limit_in_bytes", str(settings.memory_bytes if settings.memory_bytes > 0 else -1))
    if settings.pids is not None:
        yield Write("pids", "pids.max", str(settings.pids) if settings.pids > 0 else "max")


def _version_2(settings: Settings) -> Iterator[Write]:
    if settings.cpu_shares is not None:
        yield Write("cpu", "cpu.weight", str(weight_of(settings.cpu_shares)))
    if settings.cpu_quota is not None:
        quota = str(settings.cpu_quota) if settings.cpu_quota > 0 else "max"
        yield Write("cpu", "cpu.max", f"{quota} {settings.cpu_period}" if settings.cpu_period else quota)
    if settings.memory_bytes is not None:
        yield Write("memory", "memory.max", str(settings.memory_bytes) if settings.memory_bytes > 0 else "max")
    if settings.pids is not None:
        yield Write("pids", "pids.max", str(settings.pids) if settings.pids > 0 else "max")
    for file, value in settings.unified.items():
        yield Write(file.partition(".")[0], file, str(value))


@dataclass(frozen=True, slots=True)
class Held:
    """What a group is held to now, in the terms of version 1; a limit of 0 is none."""

    cpu_shares: int
    cpu_quota: int
    cpu_period: int
    memory_bytes: int
    version: int = 1  # of the control groups that it was read from


_MOST_MEMORY = 1 << 60
"""Version 1 shows a group without a limit as one of nearly 2**63 bytes."""


def files_read(version: int) -> tuple[tuple[str, str], ...]:
    """The controllers and files that `held` is made of, in its order."""
    if version == 2:
        return ("cpu", "cpu.weight"), ("cpu", "cpu.max"), ("memory", "memory.max")
    return (
        ("cpu", "cpu.shares"),
        ("cpu", "cpu.cfs_quota_us"),
        ("cpu", "cpu.cfs_period_us"),
        ("memory", "memory.limit_in_bytes"),
    )


def held(version: int, *texts: str) -> Held:
    """What the texts of those files say."""
    if version == 2:
        weight, (quota, period), memory = texts[0].strip(), texts[1].split(), texts[2].strip()
        limit = 0 if memory == "max" else int(memory)
        return Held(shares_of_weight(int(weight)), 0 if quota == "max" else int(quota), int(period), limit, 2)
    shares, quota_us, period_us, limit = (int(text) for text in texts)
    return Held(shares, max(quota_us, 0), period_us, 0 if limit >= _MOST_MEMORY else limit)


@dataclass(frozen=True, slots=True)
class Step:
    """A change of what a group is held to."""

    resource: Literal["memory", "cpu"]
    settings: Settings
    grows: bool  # so that it has to come before what is in the group grows


def steps_to(wanted: Settings, now: Held) -> list[Step]:
    """What brings a group from `now` to `wanted`, in this order; a limit that `wanted` doesn't have stays.

    Where it grows, limits come before requests, else after them. Source: doPodResizeAction.
    """
    steps: list[Step] = []
    memory, page = wanted.memory_bytes, os.sysconf("SC_PAGE_SIZE")
    if memory is not None and memory // page != now.memory_bytes // page:  # the kernel counts pages
        steps.append(Step("memory", Settings(memory_bytes=memory), _more(memory, now.memory_bytes)))
    before: list[Step] = []
    after: list[Step] = []
    if wanted.cpu_quota is not None:
        same = max(wanted.cpu_quota, 0) == now.cpu_quota and wanted.cpu_period in (None, now.cpu_period)
        if not same:
            limit = Settings(cpu_quota=wanted.cpu_quota, cpu_period=wanted.cpu_period)
            grows = _more(wanted.cpu_quota, now.cpu_quota)
            (before if grows else after).append(Step("cpu", limit, grows))
    if wanted.cpu_shares is not None and not _same_shares(wanted.cpu_shares, now.cpu_shares, now.version):
        grows = wanted.cpu_shares > now.cpu_shares
        if grows:
            before.append(Step("cpu", _shares_alone(wanted), grows))
        else:
            after.insert(0, Step("cpu", _shares_alone(wanted), grows))
    return steps + before + after


def _more(limit: int, than: int) -> bool:
    """Of limits, of which none is the most."""
    return than > 0 and (limit <= 0 or limit > than)


def _same_shares(one: int, other: int, version: int) -> bool:
    return weight_of(one) == weight_of(other) if version == 2 else one == other


def _shares_alone(settings: Settings) -> Settings:
    return Settings(cpu_shares=settings.cpu_shares)
