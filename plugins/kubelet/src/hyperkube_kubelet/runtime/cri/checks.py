"""What `hk doctor` finds about container runtimes: whether one listens where they do, and lets this user in."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

from hyperkube_core import Finding
from hyperkube_kubelet.runtime.cri.discovery import DEFAULT_SOCKETS

__all__ = ["findings"]

_CHECK = "containers"


def findings(sockets: Iterable[Path] = DEFAULT_SOCKETS) -> Iterator[Finding]:
    """One for each runtime whose socket is there; nothing where there is none, for none is needed."""
    for path in sockets:
        try:
            if not path.is_socket():
                continue
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                probe.connect(str(path))
        except PermissionError:
            advice = "become root to run pods' containers by it, or let hk run them as processes"
            yield Finding(_CHECK, "warning", f"the container runtime at {path} does not let you in", advice)
        except OSError as exc:
            advice = "start it, or let hk run containers as processes"
            yield Finding(_CHECK, "warning", f"no container runtime answers at {path}: {exc.strerror or exc}", advice)
        else:
            told = f"{path}: `hk up --set kubelet.container-runtime-endpoint=unix://{path}` has it run pods' containers"
            yield Finding(_CHECK, "ok", told)
