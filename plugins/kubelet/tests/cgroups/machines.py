"""Folders that look like machines with control groups of each version, and behave enough like them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hyperkube_kubelet.cgroups import groups as module

_OF_V1 = {
    "cpu": {"cpu.shares": "1024", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "memory": {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "4096"},
    "pids": {"pids.max": "max"},
    "hugetlb": {"hugetlb.2MB.limit_in_bytes": "9223372036854771712", "hugetlb.1GB.limit_in_bytes": "0"},
}
_OF_V2 = {
    "cpu": {"cpu.weight": "100", "cpu.max": "max 100000"},
    "cpuset": {"cpuset.cpus": "", "cpuset.mems": ""},
    "memory": {"memory.max": "max", "memory.current": "4096", "memory.min": "0", "memory.low": "0"},
    "pids": {"pids.max": "max"},
    "hugetlb": {"hugetlb.2MB.max": "max", "hugetlb.1GB.max": "max"},
}


class FakeMachine:
    """The files of a machine under `root`, where folders of groups have files as the kernel's do."""

    def __init__(self, root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.kind = root, kind
        self.mount = root / "sys/fs/cgroup"
        monkeypatch.setattr(module, "_make_folder", self._make)
        monkeypatch.setattr(module, "_remove_folder", self._remove)
        self.busy: set[Path] = set()  # groups that a process is in
        lines = []
        if kind == "v2":
            lines.append("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate")
            self._fill_v2(self.mount, " ".join(_OF_V2))
        else:
            lines.append("30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755")
            for controller, files in _OF_V1.items():
                lines.append(f"31 30 0:27 / /sys/fs/cgroup/{controller} rw - cgroup cgroup rw,{controller}")
                self._fill(self.mount / controller, files)
            (self.mount / "cpuset/cpuset.cpus").write_text("0-3\n")
            (self.mount / "cpuset/cpuset.mems").write_text("0\n")
            lines.append("32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd")
            self._fill(self.mount / "systemd", {})
            if kind == "hybrid":
                lines.append("33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw")
                self._fill_v2(self.mount / "unified", "")
        self.write("proc/self/mountinfo", "\n".join(lines) + "\n")
        self.write("proc/1/comm", "init\n")
        for size in (2048, 1048576):
            (root / f"sys/kernel/mm/hugepages/hugepages-{size}kB").mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def read(self, controller: str, group: str, file: str) -> str:
        """What a file of a group says."""
        place = self.mount if self.kind == "v2" else self.mount / controller
        return (place / group.lstrip("/") / file).read_text().strip()

    def groups(self) -> set[str]:
        """All groups but the roots, by their paths, in any hierarchy."""
        tops = [self.mount] if self.kind == "v2" else [path for path in self.mount.iterdir() if path.is_dir()]
        return {f"/{path.relative_to(top)}" for top in tops for path in top.rglob("*") if path.is_dir()}

    def _fill(self, folder: Path, files: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {"cgroup.procs": "", **files}.items():
            (folder / name).write_text(f"{text}\n")

    def _fill_v2(self, folder: Path, controllers: str) -> None:
        self._fill(folder, {"cgroup.controllers": controllers, "cgroup.subtree_control": ""})
        for controller in controllers.split():
            for name, text in _OF_V2[controller].items():
                (folder / name).write_text(f"{text}\n")

    def _make(self, folder: Path) -> None:
        if folder.exists():
            return
        if self.kind == "v2":
            # A write to the file of a folder replaces what was there, where the kernel adds to it.
            self._fill_v2(folder, (folder.parent / "cgroup.controllers").read_text())
        else:
            controller = folder.relative_to(self.mount).parts[0]
            self._fill(folder, _OF_V1.get(controller, {}))

    def _remove(self, folder: Path) -> None:
        if folder in self.busy or any(path.is_dir() for path in folder.iterdir()):
            raise OSError(16, "Device or resource busy")
        shutil.rmtree(folder)
