"""`hk up --detach`: a cluster in the background, watched until it is ready.

The background is forked off before anything of the cluster is there, since a Python that has imported what it needs
is quicker than a new one. What happens to it comes by a pipe; until it has told that it is ready, whoever waits ends
it again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_core._errors import CommandEnded, HyperkubeError
from hyperkube_core._loop import end_process
from hyperkube_core._shown import JSONLines, reason

if TYPE_CHECKING:
    from hyperkube_core._home import Home
    from hyperkube_core._shown import Shown


def in_background(serve: Callable[[Shown], None], home: Home, show: Callable[[], Shown]) -> None:
    """Run `serve` in the background, and return once it has told that the cluster is ready.

    `serve` is given where to tell what happens, `show` makes what is to be shown here. The lock of `home` goes to the
    background. Raises CommandEnded, with the reason, for a cluster that never was ready; nothing of it is left then.
    """
    told, telling = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _serve(serve, telling, home)
    os.close(telling)
    home.release()  # here; the background holds it
    shown = show()
    try:
        with _ending_signals(), os.fdopen(told, "rb") as lines:
            try:
                failed = _until_ready(lines, shown)
            except _Asked as exc:
                _end(pid)
                raise CommandEnded(128 + exc.signum, "interrupted: the cluster is stopped again") from None
        if failed is None:
            return
    except _Asked as exc:  # a moment too late, or once more
        raise CommandEnded(128 + exc.signum) from None
    finally:
        shown.close()
    status = _status(pid)
    log = home.logs / "hk.log"
    raise CommandEnded(status or 1, reason(failed) or f"the cluster ended before it was ready; {log} may say why")


def _serve(serve: Callable[[Shown], None], telling: int, home: Home) -> NoReturn:
    """What the background does, all its life."""
    status = 1
    try:
        os.setsid()
        log = os.open(home.logs / "hk.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for source, target in ((nowhere, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(log)
        os.close(nowhere)
        stream = os.fdopen(telling, "w", encoding="utf-8")
        try:
            serve(JSONLines(stream))
        finally:
            with suppress(OSError):  # nobody reads any more once it is ready
                stream.close()
        status = 0
    except HyperkubeError as exc:
        status = exc.exit_code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        end_process(status)


def _until_ready(lines: Iterator[bytes], shown: Shown) -> Mapping[str, Any] | None:
    """None once the cluster is ready; how it failed, or {}, where it has stopped."""
    failed: Mapping[str, Any] = {}
    for line in lines:
        event = json.loads(line)
        shown.take(event)
        if event["event"] == "ready":
            return None
        if event["event"] == "failed":
            failed = event
    return failed


def _status(pid: int) -> int:
    _, ended = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(ended)
    return code if code >= 0 else 128 - code


def _end(pid: int) -> None:
    """Ask it to stop, and wait for that; a second request insists."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    try:
        _status(pid)
    except _Asked:
        os.kill(pid, signal.SIGTERM)
        _status(pid)


class _Asked(BaseException):
    """A signal asks this process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def _ending_signals() -> Iterator[None]:
    """Have every signal that would end this process raise `_Asked` for the length of the block."""

    def ask(signum: int, _: object) -> None:
        raise _Asked(signum)

    # One that is ignored stays so, as nohup has it.
    numbers = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
