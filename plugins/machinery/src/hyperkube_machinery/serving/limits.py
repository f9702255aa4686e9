"""What a server puts up with from its clients."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one client, and all together, may take; every wait is seen by a sweep, so `sweep_seconds` late.

    Upstream's figures where it has one. Source: k8s.io/apiserver/pkg/server/secure_serving.go, config.go.
    """

    connections: int = 10_000  # beyond them the kernel's backlog waits
    handshakes: int = 256  # connections whose TLS handshake runs; beyond them the kernel's backlog waits
    backlog: int = 1024

    request_line_bytes: int = 1 << 20  # of the target; 414 beyond
    header_bytes: int = 1 << 20  # with the request line, give or take one read of 4 KiB; 431 beyond
    header_count: int = 1000  # 431 beyond
    body_bytes: int = 3 * 1024 * 1024  # 413 beyond, for a handler that looks at the body
    pipelined_requests: int = 16  # read ahead of the one that is being answered; then reading pauses
    pipelined_bytes: int = 1 << 20  # the same for their bodies

    handshake_seconds: float = 10.0
    header_seconds: float = 32.0  # from a request's first byte, or the connection's begin, to the end of its headers
    idle_seconds: float = 90.0  # between two requests
    body_seconds: float = 30.0  # for a body, and one second more for every
    body_bytes_per_second: int = 16 * 1024
    write_stall_seconds: float = 60.0  # without a byte leaving, when the client doesn't read its answer
    linger_seconds: float = 2.0  # what a refused client still sends is thrown away that long, so that it reads why

    sweep_seconds: float = 1.0
