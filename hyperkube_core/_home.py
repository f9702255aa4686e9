"""Where a cluster lives: its data directory, who holds it, and what is written down there.

DIR/lock          held by every process of the cluster, so that it is free once the last one is gone
DIR/state.json    the ports that the cluster keeps, and what runs or ran last; there first, it marks DIR as its own
DIR/logs/         a file for each server, and hk.log
DIR/…             whatever servers and contributions keep
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hyperkube_core._clock import Clock, SystemClock
from hyperkube_core._errors import HyperkubeError, SettingsError, UsageError

FORMAT = 1
DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,38}[a-z0-9])?\Z")
_LOOPBACK = "127.0.0.1"
_MARKS = frozenset({"lock", "state.json"})


def cluster_folder(name: str, data_dir: Path | None, environment: Mapping[str, str], *, make: bool = False) -> Path:
    """The data directory of the cluster `name`, and with `make` one that is there and can be a cluster's.

    Raises UsageError for what can be no name, and SettingsError for a directory that can't be used.
    """
    if not _NAME.match(name):
        raise UsageError(f"--name {name}: letters a to z, digits and '-' between them make a name, 40 at most")
    if data_dir is not None:
        folder = data_dir.expanduser().absolute()
    else:
        home = environment.get("HOME") or str(Path.home())
        # Only an absolute path counts. Source: the XDG Base Directory Specification.
        state = environment.get("XDG_STATE_HOME", "")
        folder = Path(state if state.startswith("/") else f"{home}/.local/state") / "hk" / name
    if make:
        Home(folder, name, clock=SystemClock()).make()
    return folder


def cluster_home(name: str | None, data_dir: Path | None, environment: Mapping[str, str]) -> Home:
    """The home of the cluster that is meant by `--name` and `--data-dir`; a directory says itself whose it is.

    Raises UsageError for a name that is none, or another than the directory's; HyperkubeError for a state that can't
    be read.
    """
    home = Home(cluster_folder(name or DEFAULT_NAME, data_dir, environment), name or DEFAULT_NAME, clock=SystemClock())
    if data_dir is None or not home.exists():
        return home
    called = home.state.get("name", home.name)
    if name is not None and name != called:
        raise UsageError(f"--name {name}: the cluster in {home.folder} is called {called!r}")
    home.name = called
    return home


class Home:
    """One cluster's data directory. It is a `ClusterHome` once it is told of the servers."""

    def __init__(
        self, folder: Path, name: str, *, clock: Clock, servers: Sequence[str] = (), in_process: bool = False
    ) -> None:
        self.folder = folder
        self.name = name
        self.clock = clock
        self.servers = tuple(servers)
        self.in_process = in_process
        self.lock = -1
        """The descriptor that holds the lock; -1 while it is not held."""
        self._state: dict[str, Any] | None = None
        self._settled: set[str] = set()
        self._claims: list[socket.socket] = []

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    # Who holds it.

    def make(self) -> None:
        """Make the directory and close it to others. Raises SettingsError where it cannot be used."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = os.listdir(self.folder)
            if found and not _MARKS.intersection(found):
                raise self._refused("it holds other files and is no cluster's: name an empty directory or a new one")
            if self.folder.stat().st_uid != os.geteuid():
                raise self._refused("it belongs to another user")
            self.folder.chmod(0o700)
            if not found:
                self._mark()
            self.logs.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise self._refused(exc.strerror or str(exc)) from exc

    def _mark(self) -> None:
        """Write a first state down, unless somebody else has done so by now."""
        partial = self.folder / f".state.json.{os.getpid()}"
        self._put(partial, {"format": FORMAT, "name": self.name})
        try:
            with suppress(FileExistsError):
                os.link(partial, self.folder / "state.json")
        finally:
            partial.unlink()

    def _refused(self, why: str) -> SettingsError:
        return SettingsError("data-dir", "flag --data-dir", f"{self.folder}: {why}")

    def exists(self) -> bool:
        """Whether there is, or was, a cluster. Raises SettingsError for somebody else's."""
        try:
            return any((self.folder / mark).exists() for mark in _MARKS)
        except PermissionError as exc:
            raise self._refused("it belongs to another user") from exc

    def try_lock(self) -> bool:
        """Take the lock, and say whether that succeeded."""
        if self.lock >= 0:
            return True
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self.lock = descriptor
        return True

    async def lock_within(self, seconds: float) -> bool:
        """Take the lock as soon as it is free; whether that was in time."""
        deadline = self.clock.monotonic() + seconds
        while not self.try_lock():
            if self.clock.monotonic() >= deadline:
                return False
            await self.clock.sleep(0.05)
        return True

    def release(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1
        while self._claims:
            self._claims.pop().close()

    # What is written down.

    @property
    def state(self) -> dict[str, Any]:
        """What was written down last. Raises HyperkubeError for what this hk does not understand."""
        if self._state is None:
            self._state = self._read()
        return self._state

    def _read(self) -> dict[str, Any]:
        path = self.folder / "state.json"
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {"format": FORMAT}
        except (OSError, ValueError) as exc:
            raise HyperkubeError(f"{path}: cannot be read ({exc}); remove it, and ports are chosen anew") from exc
        if not isinstance(found, dict) or not isinstance(found.get("format"), int):
            raise HyperkubeError(f"{path}: is not the state of a cluster; remove it, and ports are chosen anew")
        if found["format"] > FORMAT:
            raise HyperkubeError(f"{path}: was written by a newer hyperkube-core; upgrade this one")
        return found

    def forget(self) -> None:
        """Read the state anew when it is asked for next."""
        self._state = None

    def write(self, **changes: Any) -> None:
        """Write `changes` to the state down. It survives the death of any process, though not a power cut."""
        self._state = {**self.state, "name": self.name, **changes}
        partial = self.folder / f".state.json.{os.getpid()}"
        self._put(partial, self._state)
        partial.replace(self.folder / "state.json")

    @staticmethod
    def _put(path: Path, state: Mapping[str, Any]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(state, file, indent=2)
            file.write("\n")

    def remove(self) -> None:
        """Remove the directory with all that is in it.

        Raises HyperkubeError for one without the state of a cluster, which may be anybody's, and OSError.
        """
        if not (self.folder / "state.json").exists() or not self._read():
            raise HyperkubeError(f"{self.folder} holds no state of a cluster: see what it is, and remove it yourself")
        for folder, names, _ in os.walk(self.folder):
            for name in names:
                path = os.path.join(folder, name)
                found = os.lstat(path)
                if stat.S_ISDIR(found.st_mode) and found.st_mode & 0o700 != 0o700:
                    with suppress(PermissionError):
                        os.chmod(path, 0o700)  # the kernel closes an overlay's work folder to its own owner
        shutil.rmtree(self.folder)

    def port(self, use: str, preferred: int = 0) -> int:
        """See `ClusterHome.port`. Asked by a command that does not hold the cluster, it changes nothing."""
        ports: dict[str, int] = dict(self.state.get("ports") or {})
        kept = ports.get(use, 0)
        if kept and (self.lock < 0 or use in self._settled):
            return kept
        others = {port for name, port in ports.items() if name != use}
        candidates = (port for port in itertools.chain((kept, preferred), _any_ports()) if port not in {0, *others})
        if self.lock < 0:
            return next(port for port in candidates if _is_free(port))
        chosen = next(port for port in candidates if self._claim(port))
        self._settled.add(use)  # who listens there from now on is our own server
        if chosen != kept:
            self.write(ports={**ports, use: chosen})
        return chosen

    def _claim(self, port: int) -> bool:
        """Have a free port to ourselves among the clusters of this machine, from now until `release`."""
        if not _is_free(port):
            return False
        claim = _claimed(port)
        if claim is not None:
            self._claims.append(claim)
        return claim is not None

    def runner(self) -> int | None:
        """The process of the `hk up` that was written down last, if it lives."""
        run = self.state.get("run") or {}
        pid, began = run.get("pid"), run.get("began")
        if isinstance(pid, int) and began and beginning(pid) == began:
            return pid
        return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: what a connection that has ended left behind is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError:
            return False
        return True


def _claimed(port: int) -> socket.socket | None:
    """A name that only one process of the machine can have, and no longer than it lives; None if another has it.

    Between the choice of a port and the moment when a server listens there, another cluster might choose the same.
    """
    claim = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":  # elsewhere no socket has a name without a file
        try:
            claim.bind(f"\0hyperkube.port.{port}")
        except OSError:
            claim.close()
            return None
    return claim


def _any_ports() -> Iterator[int]:
    """Ports by chance, of those that the system gives to no connection by itself, nor Kubernetes to a service."""
    while True:
        yield random.randrange(20000, 30000)


def beginning(pid: int) -> str:
    """What tells a process from a later one of the same number; "" where there is none."""
    if sys.platform == "linux":
        with suppress(OSError, IndexError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            # pid (name) state … starttime is the 22nd; the name may hold anything, parentheses included.
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            return "" if fields[0] in (b"Z", b"X") else f"{boot}:{fields[19].decode()}"
        return ""
    told = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return told.stdout.strip()
