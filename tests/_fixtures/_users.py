"""An ordinary user, and an environment of wheels that he can run: what a test that runs as root has to give up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _tools
import _wheels
import pytest

_UID = 54321
"""Nobody's, on any machine that tests run on; files and processes of it are of this test."""
_RECENT = "import sys; sys.exit(sys.version_info < (3, 11))"


@dataclass(frozen=True, slots=True)
class User:
    """Whoever runs the programs of a test."""

    uid: int
    home: Path
    environment: _wheels.Environment
    tools: Path  # a folder of programs that the machine may lack

    def run(self, *command: str, seconds: float = 120, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs, or any other by its path; what it prints is in the answer."""
        return subprocess.run(
            self._argv(command),
            cwd=self.home,
            env=self.variables(),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            **self._identity(),
        )

    def __call__(self, *command: str, seconds: float = 120) -> str:
        """What it prints; a failure fails the test."""
        done = self.run(*command, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._argv(command),
            cwd=self.home,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._identity(),
        )

    def variables(self) -> Mapping[str, str]:
        found = self.environment.variables()
        path = f"{found['PATH']}:{self.tools}"
        return {**found, "PATH": path, "HOME": str(self.home), "USER": "hk-test"}

    def processes(self) -> list[str]:
        """What of his runs, in every namespace of the machine, each with its command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    uid = entry.stat().st_uid
                    state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                except OSError:  # it has ended meanwhile
                    continue
                if uid == self.uid and state != "Z" and str(self.home.parent) in (command + _cwd(entry)):
                    found.append(f"{entry.name} {command}")
        return found

    def _argv(self, command: Sequence[str]) -> list[str]:
        program = command[0] if command[0].startswith("/") else str(self.environment.program(command[0]))
        return [program, *command[1:]]

    def _identity(self) -> dict[str, Any]:
        if os.getuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.uid, "extra_groups": []}


def _cwd(entry: Path) -> str:
    try:
        return os.readlink(entry / "cwd") + os.readlink(entry / "exe")
    except OSError:
        return ""


@contextmanager
def ordinary_user(wheels: Mapping[str, Path]) -> Iterator[User]:
    """A user without rights, with all `wheels` installed where he can run them; whoever runs the tests if that is one.

    He has no entry in /etc/passwd, as in many a container.
    """
    uid = _UID if os.getuid() == 0 else os.getuid()
    # Not pytest's folder, which is for its owner alone.
    folder = Path(tempfile.mkdtemp(prefix="hk-user-"))
    try:
        folder.chmod(0o755)
        environment = _wheels.Environment.create(folder, python=_python(uid))
        environment.install(*wheels.values())
        home = folder / "theirs"
        home.mkdir()
        os.chown(home, uid, uid if os.getuid() == 0 else -1)
        yield User(uid, home, environment, _tools_for_him(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tools_for_him(folder: Path) -> Path:
    """nft where he can run it: what the tests brought lies in the checkout, which may be for its owner alone."""
    nft = _tools.nft()
    if _tools.CACHE not in nft.parents:
        return nft.parent
    shutil.copytree(nft.parent, folder / "nft")
    return folder / "nft"


def _python(uid: int) -> str:
    """An interpreter that the user may run: the one of the tests may lie in somebody's home."""
    identity: dict[str, Any] = {} if os.getuid() == uid else {"user": uid, "group": uid, "extra_groups": []}
    candidates = [
        sys.executable,
        *(shutil.which(f"python3{minor}", path="/usr/local/bin:/usr/bin") for minor in _MINORS),
    ]
    for candidate in filter(None, candidates):
        try:
            found = subprocess.run([os.path.realpath(candidate), "-I", "-c", _RECENT], check=False, **identity)
        except OSError:
            continue
        if found.returncode == 0:
            return os.path.realpath(candidate)
    pytest.fail("no Python of 3.11 or later here can be run by an ordinary user: install one, such as Debian's python3")


_MINORS = ("", ".11", ".12", ".13", ".14")
