"""Commands in containers, and containers' own streams, for clients of either protocol.

Source: k8s.io/cri-streaming/pkg/streaming/remotecommand (ServeExec, ServeAttach).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from hyperkube_kubelet.runtime.errors import ExecFailed, RuntimeFailure
from hyperkube_machinery.errors import failure
from hyperkube_machinery.streaming.channels import Channels, ended, pass_on
from hyperkube_machinery.streaming.errors import RemoteFailure
from hyperkube_machinery.streaming.sessions import Session, Streams

__all__ = ["talk"]


async def talk(
    channels: Channels,
    session: Callable[[], AbstractAsyncContextManager[Session]],
    streams: Streams,
    *,
    attached: bool = False,
) -> None:
    """Pass the streams of a process to and fro, and say in the end how it ended.

    `session` starts the process, or with `attached` takes part in one that is there: then its end is a success,
    whatever its exit code, which the pod's status tells.
    """
    try:
        async with session() as process:
            exit_code = await pass_on(channels, process, streams)
            status = ended(0 if attached else exit_code)
    except RemoteFailure as exc:
        status = dict(exc.status)
    except RuntimeFailure as exc:
        status = _refused(exc, "attaching to container" if attached else "executing command in container")
        if isinstance(exc, ExecFailed) and (streams.stdout or streams.stderr):  # of an exit code kubectl tells no more
            text = str(exc).encode() + (b"\r\n" if streams.tty else b"\n")
            await channels.send("stderr" if streams.stderr else "stdout", text)
    await channels.end(status)


def _refused(exc: RuntimeFailure, what: str) -> dict[str, Any]:
    """A command that can't be started has the exit code that a shell would give it, as runtimes tell."""
    if isinstance(exc, ExecFailed):
        return {**ended(exc.exit_code), "message": f"error {what}: {exc}"}
    return failure(500, "InternalError", f"Internal error occurred: error {what}: {exc}")
