"""A control group of the tests' own, in whatever hierarchies this machine has."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PATIENCE_SECONDS = 10.0


class GroupRoot:
    """The group `/name`, which a kubelet may be told to keep its pods below; all in it goes with it."""

    def __init__(self, name: str) -> None:
        self.path = f"/{name}"
        self._folders = [hierarchy / name for hierarchy in hierarchies()]

    def make(self) -> None:
        """Make it; nothing happens where it is there."""
        for folder in self._folders:
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):  # of version 1, where they begin empty
                if (folder / file).exists() and (folder / "tasks").exists():
                    (folder / file).write_text((folder.parent / file).read_text())
            if (folder / "cgroup.subtree_control").exists():
                _pass_on(folder)

    def pods(self) -> set[str]:
        """The groups of pods in it, as paths below it."""
        found: set[str] = set()
        for folder in self._folders:
            found |= {
                str(path.relative_to(folder))
                for path in folder.rglob("*pod*")
                if path.is_dir() and path.name != "kubepods" and not path.name.endswith("kubepods.slice")
            }
        return found

    def remove(self) -> None:
        """Take it away with all in it, once nothing runs there."""
        for folder in self._folders:
            _remove(folder)


def hierarchies() -> list[Path]:
    """Where control groups are: one folder for version 2, one for each hierarchy of version 1."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return sorted(folder for folder in _ROOT.iterdir() if folder.is_dir() and not folder.is_symlink())


def _pass_on(folder: Path) -> None:
    """Let groups below have what this one has."""
    for controller in (folder / "cgroup.controllers").read_text().split():
        with suppress(OSError):  # some are of version 1 here
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")


def _remove(folder: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while folder.exists():
        below = sorted((path for path in folder.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
        try:
            for path in (*below, folder):
                path.rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # what was in it has not quite ended
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
