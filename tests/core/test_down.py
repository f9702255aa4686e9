"""`hk down`: whom it ends, and what it removes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from _toys import Toys, toy_site, toys

from hyperkube_core import HyperKube, SystemClock
from hyperkube_core._commands import down
from hyperkube_core._home import Home

__all__ = ["toy_site", "toys"]

# Holds the lock of the data directory, and says who it is as soon as it is told to.
HOLDER = """
import os, sys
from pathlib import Path
from hyperkube_core import SystemClock
from hyperkube_core._home import Home, beginning
home = Home(Path(sys.argv[1]), "mine", clock=SystemClock())
home.make()
assert home.try_lock()
print("held", flush=True)
sys.stdin.readline()
home.write(run={"pid": os.getpid(), "began": beginning(os.getpid()), "servers": []})
print("told", flush=True)
sys.stdin.readline()
"""


class Watched(SystemClock):
    """Calls something when it is first slept by."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    async def sleep(self, seconds: float) -> None:
        call, self._call = self._call, None
        if call is not None:
            call()
        await super().sleep(seconds)


@pytest.mark.anyio
async def test_one_that_has_not_said_yet_who_it_is_is_stopped_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cluster"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:  # noqa: ASYNC220
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        home = Home(folder, "mine", clock=Watched(lambda: print(file=holder.stdin, flush=True)))
        assert home.runner() is None
        monkeypatch.setattr(down, "groundworks_of", lambda launcher, home: [])
        assert await down._end(HyperKube("hk"), home, 30.0) == []
        home.release()
    assert holder.returncode == -15


@pytest.mark.anyio
async def test_one_that_ends_at_once_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("it waits for what is gone")

    folder = tmp_path / "cluster"
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:  # noqa: ASYNC220
        assert holder.stdin is not None
        assert holder.stdout is not None
        print(file=holder.stdin, flush=True)
        assert [holder.stdout.readline(), holder.stdout.readline()] == ["held\n", "told\n"]
        kill = os.kill

        def kill_and_see_it_end(pid: int, number: int) -> None:
            kill(pid, number)
            holder.wait()

        monkeypatch.setattr(os, "kill", kill_and_see_it_end)
        monkeypatch.setattr(down, "groundworks_of", lambda launcher, home: [])
        home = Home(folder, "mine", clock=Watched(never))
        assert await down._end(HyperKube("hk"), home, 30.0) == []
        home.release()


def test_a_directory_that_only_looks_like_a_clusters_is_not_removed(toys: Toys) -> None:
    toys.folder.mkdir()
    for name in ("lock", "thesis.tex"):
        (toys.folder / name).touch()
    done = toys.hk("down", "--delete")
    assert done.returncode == 1
    assert "holds no state of a cluster" in done.stderr
    (toys.folder / "state.json").write_text('{"resources": []}')
    done = toys.hk("down", "--delete")
    assert done.returncode == 1
    assert "is not the state of a cluster" in done.stderr
    assert (toys.folder / "thesis.tex").exists()


def test_a_directory_with_logs_of_something_else_is_left_alone(toys: Toys) -> None:
    (toys.folder / "logs").mkdir(parents=True)
    done = toys.hk("up")
    assert done.returncode == 2
    assert "it holds other files and is no cluster's" in done.stderr


def test_a_directory_that_is_made_is_known_again_at_once(tmp_path: Path) -> None:
    for _ in range(2):
        home = Home(tmp_path / "cluster", "mine", clock=SystemClock())
        home.make()
        assert home.exists()
        assert {path.name for path in home.folder.iterdir()} == {"logs", "state.json"}
    home.remove()
    assert not home.folder.exists()


def test_what_is_closed_to_its_own_owner_is_removed_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "cluster", "mine", clock=SystemClock())
    home.make()
    (home.folder / "work" / "inner").mkdir(parents=True)
    os.chmod(home.folder / "work", 0)
    child = os.fork()
    if child == 0:  # as somebody whom permissions bind, if the tests run as root
        try:
            os.chdir(tmp_path)
            if os.geteuid() == 0:
                os.chown(tmp_path, 65534, 65534)
                for folder, names, files in os.walk(home.folder):
                    for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
                        os.chown(path, 65534, 65534)
                os.setgid(65534)
                os.setuid(65534)
            home.folder = Path("cluster")
            home.remove()
            os._exit(0)
        except BaseException as exc:
            os.write(2, f"{exc!r}\n".encode())
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert not (tmp_path / "cluster").exists()
