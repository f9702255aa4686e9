"""Distributions for tests: real ones, with metadata, in a folder that other Pythons are pointed to."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hyperkube_core._discovery import GROUP, LIMIT_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Installed:
    """A distribution that a test installed."""

    distribution: str
    version: str
    module: str
    """What its entry points load, unless the test said otherwise."""
    folder: Path
    """Where its modules are."""


class Site:
    """A folder of installed distributions, and the launcher as a user with that folder would call it.

        site = Site(tmp_path)
        site.install("good", GOOD_SOURCE)
        assert site.hk("good").returncode == 0

    Discovery reads the distributions' metadata as it reads any other's; nothing is patched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def install(
        self,
        name: str,
        source: str,
        *,
        aliases: Sequence[str] = (),
        distribution: str = "",
        version: str = "1.0",
        group: str = GROUP,
        entry_points: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        requires: Sequence[str] = (),
    ) -> Installed:
        """Install a distribution whose plugin module has `source` and offers the server `name`.

        The distribution is called as the server unless `distribution` says otherwise. `entry_points` (names to
        targets) stands in for those of `name` and `aliases`; `files` are further modules, by path.
        """
        distribution = distribution or name
        stem = distribution.replace("-", "_").replace(".", "_")
        module = f"{stem}_plugin"
        if entry_points is None:
            entry_points = dict.fromkeys((name, *aliases), module)
        metadata = self.path / f"{stem}-{version}.dist-info"
        metadata.mkdir()
        requirements = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
        header = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{requirements}"
        (metadata / "METADATA").write_text(header, encoding="utf-8")
        (metadata / "INSTALLER").write_text("hyperkube_core.testing\n", encoding="utf-8")
        lines = "".join(f"{key} = {target}\n" for key, target in entry_points.items())
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{lines}", encoding="utf-8")
        for path, text in {f"{module}.py": source, **(files or {})}.items():
            file = self.path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return Installed(distribution, version, module, self.path)

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment of a process that sees these distributions, free of settings of whoever runs the tests."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HK_", "_HK_")) and name != LIMIT_VARIABLE
        }
        return {**kept, "PYTHONPATH": str(self.path), "PYTHONDONTWRITEBYTECODE": "1", **variables}

    def hk(
        self,
        *args: str,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = (sys.executable, "-m", "hyperkube_core"),
        timeout_seconds: float = 60.0,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Call the launcher and wait for its end; `environment` is laid over that of `environment()`."""
        return subprocess.run(
            [*program, *args],
            env=self.environment(**(environment or {})),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd=cwd or self.path,
        )
