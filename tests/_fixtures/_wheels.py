"""Wheels of this checkout, and environments that they are installed into."""

from __future__ import annotations

import functools
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uv

ROOT = Path(__file__).resolve().parents[2]
PINS = ROOT / "constraints" / "dev.txt"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of its own, which knows nothing of the checkout."""

    folder: Path
    home: Path

    @classmethod
    def create(cls, folder: Path, *, python: str = sys.executable) -> Environment:
        run_uv("venv", "--python", python, str(folder / "venv"))
        (folder / "home").mkdir()
        return cls(folder / "venv", folder / "home")

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def install(self, *requirements: Path | str) -> None:
        """Install `requirements` as pinned: without the network where uv's cache has them.

        The distributions of the checkout are given by the path of their wheels, so that no index is asked for them.
        """
        target = ("--python", str(self.program("python")), "--constraint", str(PINS))
        try:
            run_uv("pip", "install", "--offline", *target, *map(str, requirements))
        except subprocess.CalledProcessError:
            run_uv("pip", "install", *target, *map(str, requirements))

    def variables(self) -> dict[str, str]:
        """What its programs find in their environment: nothing of whoever runs the tests."""
        path = os.pathsep.join([str(self.folder / "bin"), "/usr/local/bin", "/usr/bin", "/bin"])
        return {"PATH": path, "HOME": str(self.home), "COLUMNS": "80", "LANG": "C.UTF-8"}

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs outside the checkout."""
        return subprocess.run(
            [str(self.program(command[0])), *command[1:]],
            cwd=self.home,
            env=self.variables() | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextmanager
    def running(self, *command: str, until: str, **variables: str) -> Iterator[Running]:
        """Run one of its programs for the length of the block, entered once it has printed a line with `until`."""
        process = subprocess.Popen(
            [str(self.program(command[0])), *command[1:]],
            cwd=self.home,
            env=self.variables() | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = Running(process)
        try:
            running.wait_for(until)
            yield running
        finally:
            process.kill()
            process.wait()
            running.reader.join()
            assert process.stdout is not None
            process.stdout.close()


class Running:
    """A program that runs, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    @property
    def output(self) -> str:
        """What was printed, as far as somebody waited for it."""
        return "".join(self._seen)

    def wait_for(self, text: str, *, seconds: float = 60) -> str:
        """All that was printed up to the line with `text`."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {text!r} in {seconds} s, but:\n{''.join(self._seen)}") from None
            if line is None:
                raise AssertionError(f"it ended before {text!r} and printed:\n{''.join(self._seen)}")
            self._seen.append(line)
            if text in line:
                return "".join(self._seen)

    def stop(self) -> tuple[int, str]:
        """Ask it to end, and return its status and all that it printed."""
        self.process.terminate()
        status = self.process.wait(timeout=60)
        while (line := self._lines.get(timeout=60)) is not None:
            self._seen.append(line)
        self._lines.put(None)
        return status, "".join(self._seen)


@functools.cache
def distributions() -> Mapping[str, Path]:
    """The folder of every distribution of the checkout, by its name."""
    plugins = sorted((ROOT / "plugins").glob("*/pyproject.toml"))
    return {"hyperkube-core": ROOT} | {f"hyperkube-{path.parent.name}": path.parent for path in plugins}


def copy_checkout(target: Path) -> None:
    """Copy what a clone would hold, were everything here committed."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, capture_output=True, check=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        source = ROOT / name
        if source.is_file():  # one that is deleted is listed until that is committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target / name)


def build(project: Path, target: Path) -> Path:
    """The wheel of `project` in the folder `target`, made with the hatchling that is installed here."""
    before = set(target.glob("*.whl"))
    run_uv(
        *("build", "--wheel", "--no-build-isolation", "--offline"),
        *("--python", sys.executable, "--out-dir", str(target), str(project)),
    )
    (made,) = set(target.glob("*.whl")) - before
    return made


def run_uv(*arguments: str) -> None:
    """Raises CalledProcessError, with what uv said in `stderr`."""
    subprocess.run([uv.find_uv_bin(), "--quiet", *arguments], check=True, capture_output=True, text=True, timeout=300)
