"""Real hk processes for tests: servers that follow a script, and a launcher whose output can be waited for."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from hyperkube_core.testing import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_SECONDS = 60.0
"""How long anything may take on a busy machine before the test is called failed."""

PLUGIN = '''
import sys
from hyperkube_core._hookspecs import hookimpl
from hyperkube_core._server import Blocking, Command, Coroutine, Server

def act(name, **changes):
    run = Coroutine("hk_actors_servers:act")
    return Server(**{"name": name, "run": run, "stop_seconds": 30, "start_seconds": 60, **changes})

GRANDPARENT = """
import os, subprocess, sys
code = "import os, signal; print('grandchild', os.getpid(), flush=True); signal.pause()"
subprocess.Popen([sys.executable, "-c", code], start_new_session="--daemon" in sys.argv)
print("program", os.getpid(), *sys.argv[1:], flush=True)
import signal
def note(number, frame):
    print("program got", signal.Signals(number).name, flush=True)
for number in (signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, note)
if "--exit" in sys.argv:
    sys.exit(int(sys.argv[sys.argv.index("--exit") + 1]))
while True:
    signal.pause()
"""

program = (sys.executable, "-c", GRANDPARENT)
tool = (sys.executable, "-c", "import sys; sys.exit(int(sys.argv[1]))")

@hookimpl
def hyperkube_servers():
    return [
        act("a"), act("b"), act("c"),
        act("late", start_seconds=0.05),
        act("stubborn", stop_seconds=0.05),
        act("job", completes=True),
        act("strict", options="hk_actors_servers:Strict"),
        Server(name="blocking", run=Blocking("hk_actors_servers:block"), stop_seconds=0.05),
        Server(name="respectful", run=Blocking("hk_actors_servers:block")),
        Server(name="uv", run=Coroutine("hk_actors_servers:act"), event_loop="uvloop:new_event_loop"),
        Server(name="program", run=Command(program, environment={"GIVEN": "yes"})),
        Server(name="impatient", run=Command(program), stop_seconds=0.1),
        Server(name="missing", run=Command(("no-such-program-anywhere",))),
        Server(name="ignored", run=Command(("grep", "SigIgn", "/proc/self/status")), completes=True),
        Server(name="tool", run=Command(tool), completes=True),
    ]
'''

SERVERS = '''
import asyncio, dataclasses, logging, os, signal, sys, threading, time

@dataclasses.dataclass(frozen=True, kw_only=True)
class Strict:
    pass

async def act(context):
    """Does what its arguments say, one after the other, and serves."""
    for step in context.args:
        word, _, rest = step.partition("=")
        if word == "pid":
            print(context.name, "has pid", os.getpid(), flush=True)
        elif word == "print":
            print(rest, flush=True)
        elif word == "write":
            sys.stdout.write(rest); sys.stdout.flush()
        elif word == "flood":
            sys.stdout.write("x" * int(rest) + "\\n"); sys.stdout.flush()
        elif word == "log":
            logging.getLogger("actor").info("%s", rest, extra={"key": "a value"})
        elif word == "ready":
            context.ready.set()
            print(context.name, "said it is ready", flush=True)
        elif word == "crash":
            raise OSError(rest)
        elif word == "crash-once":
            if not os.path.exists(rest):
                open(rest, "w").close()
                raise OSError("only once")
        elif word == "return":
            return
        elif word == "die":
            os.kill(os.getpid(), getattr(signal, rest))
        elif word == "exit":
            os._exit(int(rest))
        elif word == "loop":
            print(context.name, "runs on", type(asyncio.get_running_loop()).__module__, flush=True)
        elif word == "spawn":
            name, *args = rest.split(",")
            spawned = await context.spawn(name, tuple(args))
            await spawned.ready()
            print(context.name, "spawned", spawned.name, flush=True)
        elif word == "ignore":
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    print(context.name, "ignores it", flush=True)
        elif word == "spin":
            print(context.name, "spins", flush=True)
            while True:
                pass
    try:
        await asyncio.Event().wait()
    finally:
        print(context.name, "stops", flush=True)

def block(context):
    context.ready.set()
    print("blocking is ready", flush=True)
    if "respect" in context.args:
        context.stopping.wait()
        print("blocking stops", flush=True)
        if "fail" in context.args:
            raise OSError("server returning error")
    else:
        threading.Event().wait()
'''


def install_actors(folder: Path) -> None:
    """Install the scripted servers as a distribution in `folder`."""
    names = re.findall(r'(?:act\(|name=)"([\w-]+)"', PLUGIN)
    Site(folder).install(
        "a",
        PLUGIN,
        distribution="hk-actors",
        entry_points=dict.fromkeys(names, "hk_actors_plugin"),
        files={"hk_actors_servers.py": SERVERS},
    )


class Hk:
    """A running hk whose output, both streams as one, can be waited for."""

    def __init__(self, site: Path, *args: str, stderr: int = subprocess.STDOUT, **environment: str) -> None:
        env = Site(site).environment(PYTHONUNBUFFERED="1", HYPERKUBE_LOAD_PLUGINS="hk-actors")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hyperkube_core", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**env, **environment},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._pipe = self.process.stdout.fileno()
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self.output = ""

    def until(self, pattern: str) -> re.Match[str]:
        """The first place in the output, so far or to come, where `pattern` matches."""
        while (match := re.search(pattern, self.output, re.MULTILINE)) is None:
            if not self._read():
                raise AssertionError(f"the output ended without {pattern!r}:\n{self.output}")
        return match

    def number(self, pattern: str) -> int:
        """The number that the first group of `pattern` is in the output."""
        return int(self.until(pattern).group(1))

    def send(self, signum: int) -> None:
        self.process.send_signal(signum)

    def stop(self) -> int:
        """Ask it to stop; the exit status."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended and its output is read."""
        while self._read():
            pass
        return self.process.wait(max(0.1, self._deadline - time.monotonic()))

    def _read(self) -> bool:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0 or not select.select([self._pipe], [], [], remaining)[0]:
            raise AssertionError(f"nothing more came for too long:\n{self.output}")
        data = os.read(self._pipe, 1 << 16)
        self.output += data.decode(errors="replace")
        return bool(data)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def lines(self) -> list[str]:
        return self.output.splitlines()


class Watched:
    """A process that isn't a child of the test's, whose end can be waited for."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def ends(self) -> bool:
        """Whether it has ended, or does so before patience does."""
        return bool(select.select([self._descriptor], [], [], PATIENCE_SECONDS)[0])

    def close(self) -> None:
        if not select.select([self._descriptor], [], [], 0)[0]:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)
        os.close(self._descriptor)


@contextmanager
def watched(*pids: int) -> Iterator[list[Watched]]:
    processes: list[Any] = []
    try:
        for pid in pids:
            processes.append(Watched(pid))
        yield processes
    finally:
        for process in processes:
            process.close()


@pytest.fixture(scope="session")
def actors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the scripted servers are installed."""
    folder = tmp_path_factory.mktemp("actors")
    install_actors(folder)
    return folder


@pytest.fixture
def start_hk(actors: Path) -> Iterator[Callable[..., Hk]]:
    """Starts hk, with the scripted servers installed; what still runs when the test ends is killed."""
    started: list[Hk] = []

    def start(*args: str, stderr: int = subprocess.STDOUT, **environment: str) -> Hk:
        started.append(Hk(actors, *args, stderr=stderr, **environment))
        return started[-1]

    yield start
    for process in started:
        process.close()
