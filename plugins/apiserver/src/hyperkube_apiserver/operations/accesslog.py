"""The access log: a line for each request, in upstream's fields, at verbosity 3.

A watch is told of when it ends. Source: k8s.io/apiserver/pkg/server/httplog.
"""

from __future__ import annotations

import logging
import re
import secrets

from hyperkube_core import verbose
from hyperkube_machinery.serving.messages import Request

__all__ = ["AuditIDs", "enabled", "log_request"]

log = logging.getLogger(__name__)

VERBOSITY = 3
_LEVEL = logging.INFO - VERBOSITY  # a level asked for before anything is put together
_LONGEST_ID = 64
_SECRETS = re.compile(r"(?i)\b((?:access_|id_|refresh_)?token|password|client_secret)=[^&]*")


class AuditIDs:
    """Names requests, so that a line of the log, or of an audit, is found for an answer.

    They look like random UUIDs: all but the last twelve digits are random once for a server, those count on from a
    random number. A UUID made anew would cost a tenth of the time that a read takes.
    """

    __slots__ = ("_next", "_start")

    def __init__(self) -> None:
        digits = secrets.token_hex(8)
        self._start = f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-{secrets.choice('89ab')}{secrets.token_hex(2)[:3]}"
        self._next = secrets.randbits(47)

    def of(self, request: Request) -> str:
        """The name that the client gave `request`, or a new one."""
        given = request.headers.get("audit-id")
        if given:
            return given
        self._next += 1
        return f"{self._start}-{self._next:012x}"


def enabled() -> bool:
    """Whether the log is written."""
    return log.isEnabledFor(_LEVEL)


def log_request(request: Request, *, verb: str, seconds: float, audit_id: str, status: int | None) -> None:
    """Tell of an answered request; `status` is None for one whose connection was handed to another protocol."""
    uri = f"{request.path}?{request.query}" if request.query else request.path
    verbose(
        log,
        VERBOSITY,
        "HTTP",
        **{
            "verb": verb,
            "URI": _SECRETS.sub(r"\1=<redacted>", uri),
            "latency": f"{seconds * 1000:.3f}ms",
            "userAgent": request.headers.get("user-agent", ""),
            "audit-ID": audit_id[:_LONGEST_ID],
            "srcIP": request.connection.peer_address,
            **({"hijacked": True} if status is None else {"resp": status}),
        },
    )
