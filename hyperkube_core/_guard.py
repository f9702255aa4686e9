"""A small process between hk and a program that isn't hk's: it ends the program when hk is gone.

Run as a script by its path, with the standard library alone, so that it starts in a few milliseconds:

    _guard.py LIFELINE_FD[:HELD_FD …] NOTIFY_FD GRACE_SECONDS PROGRAM [ARGUMENT …]

The program gets a process group of its own. At the lifeline's end of file it is asked with SIGTERM and, after the
grace, killed with everything that descends from it, or at once when hk writes to the lifeline: on Linux this process
is their subreaper, so a descendant that left the group, and lost its parent, is found as well. When the program ends
by itself, what it left behind is killed too, and this process ends as the program did. Should somebody kill this
process, the kernel kills the program: that signal follows the thread that forked, and there is one thread here. Once
the program runs, READY=1 is written to the notify pipe.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT)


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2); elsewhere there is none, and the process group has to do."""
    if sys.platform != "linux":
        return
    try:
        import ctypes
    except ImportError:  # a Python built without it
        return
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def children() -> list[int]:
    """The processes whose parent this one is, zombies included."""
    found: list[int] = []
    try:
        entries = os.listdir("/proc")
    except OSError:
        return found
    me = str(os.getpid()).encode()
    for entry in entries:
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as file:
                    # pid (name) state parent …; the name may hold anything, parentheses included.
                    parent = file.read().rpartition(b")")[2].split()[1]
            except OSError:
                continue
            if parent == me:
                found.append(int(entry))
    return found


def reap(program: int) -> int | None:
    """Collect whatever ended; the program's wait status if that was among it."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == program:
            status = ended


def kill_all(program: int) -> None:
    """Kill the program's group, then its descendants as they lose their parents, until none is left."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    for _ in range(100):  # bounded: one stuck in the kernel dies when it leaves it
        reap(program)
        left = children()
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def end_as(status: int) -> None:
    """End in the way of the program's wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def start(argv: list[str], notify: int) -> int:
    """Fork and execute the program; the process id."""
    guard = os.getpid()
    executed, executing = os.pipe()  # closed by the kernel when the program is executed
    program = os.fork()
    if program:
        os.close(executing)
        if not os.read(executed, 1):
            with suppress(OSError):  # hk is gone, as the lifeline says too
                os.write(notify, b"READY=1\n")
        os.close(executed)
        os.close(notify)
        return program
    try:
        os.setpgid(0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(128 + signal.SIGKILL)
        for signum in (*HANDED_ON, signal.SIGPIPE, signal.SIGCHLD):
            if signum == signal.SIGPIPE or signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(argv[0], argv)
    except OSError as exc:
        os.write(executing, b"!")
        os.write(2, f"cannot run {argv[0]}: {exc.strerror}\n".encode())
        os._exit(127 if isinstance(exc, FileNotFoundError) else 126)
    finally:
        os._exit(126)


def main() -> None:
    lifeline, *held = map(int, sys.argv[1].split(":"))
    notify, grace, argv = int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]
    for descriptor in (lifeline, notify, *held):
        os.set_inheritable(descriptor, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Signals are only noted, and the loop below is woken; a handler that acted would race with it.
    wakeup, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wakeup, False)
    pending: list[int] = []
    for signum in HANDED_ON:
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(signum, lambda number, frame: pending.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    program = start(argv, notify)
    deadline = None
    watched = [lifeline, wakeup]
    while True:
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable = select.select(watched, [], [], timeout)[0]
        if wakeup in readable:
            os.read(wakeup, 512)
        while pending:
            signal_program(program, pending.pop(0))
        status = reap(program)
        if status is not None:
            kill_all(program)
            end_as(status)
        if lifeline in readable:
            if os.read(lifeline, 64):
                deadline = time.monotonic()
            else:
                watched.remove(lifeline)
                deadline = time.monotonic() + grace
                signal_program(program, signal.SIGTERM)
        if deadline is not None and time.monotonic() >= deadline:
            kill_all(program)
            os._exit(128 + signal.SIGKILL)


def signal_program(program: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(program, signum)


if __name__ == "__main__":
    main()
