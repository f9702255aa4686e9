"""Starts a process of a container: what is done between the fork and the execution of its program.

The parent gets a child and a channel. On the channel the child passes the terminal it made, if one was asked for, and
what went wrong; the end of the channel without a word is the sign that the program runs.
"""

from __future__ import annotations

import array
import errno
import fcntl  # and what else is needed in the container, where there may be no Python to import from
import json
import os
import resource
import signal
import socket
import termios
from contextlib import suppress

from hyperkube_kubelet.runtime.process.reaper import plainroot, rootfs, syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

__all__ = ["allow_descriptors", "fork", "in_container", "pause", "program", "read_channel", "start_container"]

_NOT_FOUND, _NOT_EXECUTABLE, _OTHER = 127, 126, 128
_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
"""What the kubelet was given, and containers are."""

_MOST_FILES = 1 << 16
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class _Failed(Exception):
    """The program can't be started; `code` is what the container exits with."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def allow_descriptors() -> None:
    """Let this process, not its children, have as many files open as it may: pods take up to a dozen each."""
    soft, hard = _FILES
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def fork(child: Callable[[socket.socket], None], home: int = -1, pid_namespace: int = -1) -> tuple[int, socket.socket]:
    """Run `child(channel)` in a new process, which must not return; the process and this end of its channel.

    With `home`, which is the caller's own process namespace, the child is the first of a new one, or enters
    `pid_namespace` where that is given.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if pid_namespace >= 0:
            syscalls.setns(pid_namespace, syscalls.CLONE_NEWPID)
        elif home >= 0:
            syscalls.unshare(syscalls.CLONE_NEWPID)
        try:
            pid = os.fork()
            if not pid:
                _become(child, theirs)
        finally:
            if home >= 0:
                syscalls.setns(home, syscalls.CLONE_NEWPID)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)
    return pid, ours


def _become(child: Callable[[socket.socket], None], channel: socket.socket) -> NoReturn:
    code = _OTHER
    try:
        try:
            child(channel)
        except _Failed as exc:
            code = exc.code
            _tell(channel, str(exc), code)
        except (OSError, rootfs.Misfit) as exc:
            _tell(channel, exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc), code)
        except BaseException as exc:
            _tell(channel, f"{type(exc).__name__}: {exc}", code)
    finally:
        os._exit(code)


def _tell(channel: socket.socket, message: str, code: int) -> None:
    channel.sendall(json.dumps({"message": message, "code": code}).encode())


def read_channel(channel: socket.socket) -> tuple[bytes, list[int]] | None:
    """What came on the channel, b"" at its end, with descriptors that came along; None if nothing did yet."""
    try:
        data, ancillary, _, _ = channel.recvmsg(65536, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    passed: list[int] = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(content[: len(content) - len(content) % 4])
            passed += numbers
    return data, passed


# The children


def start_container(
    run: dict[str, Any],
    folder: str,
    files: dict[str, str],
    groups: list[str],
    namespaces: tuple[tuple[int, int], ...],
    streams: list[int],
) -> Callable[[socket.socket], None]:
    """A child that becomes the container.

    `groups` are files by which it joins its control groups, `namespaces` descriptors and kinds of what it enters.
    """

    def child(channel: socket.socket) -> None:
        _fresh()
        _join(groups)
        for descriptor, kind in namespaces:
            syscalls.setns(descriptor, kind)
        if run["isolated"]:
            syscalls.unshare(syscalls.CLONE_NEWNS)
            rootfs.build(run, folder, files)
        _streams(run, streams, channel)
        _execute(run if run["isolated"] else plainroot.adapt(run, folder))

    return child


def in_container(
    run: dict[str, Any],
    folder: str,
    groups: list[str],
    namespaces: tuple[tuple[int, int], ...],
    users: int,
    streams: list[int],
) -> Callable[[socket.socket], None]:
    """A child that executes one more program in a container; `users` is its own user namespace, or -1."""

    def child(channel: socket.socket) -> None:
        _fresh()
        _join(groups)
        for descriptor, kind in namespaces:
            syscalls.setns(descriptor, kind)
        _streams(run, streams, channel)
        _execute(run if run["isolated"] else plainroot.adapt(run, folder), users)

    return child


def program(
    argv: list[str], namespaces: tuple[tuple[int, int], ...]
) -> Callable[[list[int]], Callable[[socket.socket], None]]:
    """A child that executes one of the machine's programs with the three given streams."""

    def with_streams(streams: list[int]) -> Callable[[socket.socket], None]:
        def child(channel: socket.socket) -> None:
            _fresh()
            for descriptor, kind in namespaces:
                syscalls.setns(descriptor, kind)
            for target, descriptor in enumerate(streams):
                os.dup2(descriptor, target, inheritable=True)
            try:
                _exec(argv, {"PATH": os.environ.get("PATH", _DEFAULT_PATH), "LANG": "C.UTF-8"}, "")
            except _Failed as exc:
                os.write(2, f"{exc}\n".encode())
                raise

        return child

    return with_streams


def pause() -> Callable[[socket.socket], None]:
    """A child that does nothing but reap its orphans."""

    def child(channel: socket.socket) -> None:
        _fresh()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # which makes the kernel reap them
        os.closerange(0, os.sysconf("SC_OPEN_MAX"))
        while True:
            signal.pause()

    return child


def _join(groups: list[str]) -> None:
    for path in groups:
        with open(path, "w") as file:
            file.write("0")


def _fresh() -> None:
    os.setsid()
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_NOFILE, _FILES)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _streams(run: dict[str, Any], streams: list[int], channel: socket.socket) -> None:
    if run["tty"]:
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        channel.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
        streams = [slave, slave, slave]
    high = [os.dup(descriptor) if descriptor < 3 else descriptor for descriptor in streams]
    for target, descriptor in enumerate(high):
        os.dup2(descriptor, target, inheritable=True)


def _execute(run: dict[str, Any], users: int = -1) -> NoReturn:
    for name, (soft, hard) in run["rlimits"].items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (soft, hard))
        except (ValueError, OSError) as exc:
            raise _Failed(f"cannot set the limit {name}: {exc}", _OTHER) from exc
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # less than ours takes a privilege
        file.write(str(run["oom_score_adj"]))
    folder = run["cwd"]
    if run["isolated"]:
        with suppress(OSError):  # what is wrong with it, entering it tells
            os.makedirs(folder, 0o755, exist_ok=True)
        _become_user(run, users)
    elif run["privileges"] == "all-users" and (run["uid"] or run["gid"]):
        _change_user(run)
    try:
        os.chdir(folder)
    except OSError as exc:
        raise _Failed(f"cannot enter the working directory {folder}: {exc.strerror}", _OTHER) from exc
    if run["no_new_privileges"]:
        syscalls.no_new_privileges()
    _exec(run["argv"], dict(run["env"]), run.get("executable", ""))


def _become_user(run: dict[str, Any], users: int) -> None:
    """Be the container's user with the container's capabilities.

    Where the node's user namespace knows its user only as root, the container gets a user namespace in which that one
    user has the number that was asked for.
    """
    uid, gid, kept = run["uid"], run["gid"], run["capabilities"]
    if run["privileges"] == "one-user" and (uid or gid):
        if users >= 0:
            syscalls.setns(users, syscalls.CLONE_NEWUSER)
        else:
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            for name, text in (("setgroups", "deny"), ("gid_map", f"{gid} 0 1"), ("uid_map", f"{uid} 0 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
    syscalls.bound_capabilities(kept)  # before others are given up that this takes
    if uid or gid or run["groups"]:
        _change_user(run)
    if not uid:  # anybody else has none already
        syscalls.drop_capabilities(kept)


def _change_user(run: dict[str, Any]) -> None:
    uid, gid = run["uid"], run["gid"]
    try:
        if run["privileges"] == "all-users":
            os.setgroups(run["groups"])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as exc:
        raise _Failed(f"cannot become user {uid} of group {gid}: {exc.strerror}", _OTHER) from exc


def _exec(argv: list[str], env: dict[str, str], executable: str) -> NoReturn:
    """Become the program. `executable` is its file where that isn't to be looked for."""
    name = argv[0]
    searched = not executable and "/" not in name
    if not searched:
        candidates = [executable or name]
    else:
        folders = env.get("PATH", _DEFAULT_PATH).split(":")
        candidates = [os.path.join(folder or ".", name) for folder in folders]
    denied = False
    for path in candidates:
        try:
            os.execve(path, argv, env)
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            if exc.errno == errno.EACCES and searched:
                denied = True
                continue
            if exc.errno == errno.ENOEXEC:
                raise _Failed(f'exec: "{name}": exec format error', _NOT_EXECUTABLE) from exc
            raise _Failed(f'exec: "{name}": {(exc.strerror or "").lower()}', _NOT_EXECUTABLE) from exc
    if denied:
        raise _Failed(f'exec: "{name}": permission denied', _NOT_EXECUTABLE)
    if not searched:
        raise _Failed(f'exec: "{name}": stat {name}: no such file or directory', _NOT_FOUND)
    raise _Failed(f'exec: "{name}": executable file not found in $PATH', _NOT_FOUND)
