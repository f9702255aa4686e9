"""What requests tell whoever keeps an audit log. There need not be one: then nothing of this is asked.

    Auditor.begin(request …) ─→ Trail ─ received ─ (impersonated, annotate, sent …) ─ answered

Source: k8s.io/apiserver/pkg/audit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hyperkube_apiserver.requestinfo import RequestInfo
    from hyperkube_machinery.identity import Identity
    from hyperkube_machinery.serving.messages import Answer, Request

__all__ = ["Auditor", "Trail"]


class Trail(Protocol):
    """What is told of one request, as far as the policy wants it told."""

    async def received(self) -> bool:
        """Tell that the request came; whether it may go on, which strict logs make depend on their being written."""

    def impersonated(self, identity: Identity) -> None:
        """Tell whom the request acts as."""

    def constrained(self, constraint: str) -> None:
        """Tell by which permission it does."""

    def annotate(self, key: str, value: str, level: str = "Metadata", /) -> None:
        """Note something; of several notes under one key the first stays."""

    def spent(self, layer: str, seconds: float) -> None:
        """Tell how long a part of the server took, which is told of requests that are slow."""

    def sent(self, tree: Mapping[str, Any], default: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Tell what was sent, with its type and, of a copy, what `default` makes of it."""

    def sent_patch(self, body: bytes) -> None:
        """Tell which patch was sent."""

    async def answered(self, answer: Answer) -> None:
        """Tell of the answer; of one that streams, now and when it ends."""

    async def panicked(self, exc: Exception) -> None:
        """Tell that there was no answer, for the server failed."""

    def abandoned(self) -> None:
        """Tell that there was no answer, for the client went away."""


class Auditor(Protocol):
    """Whoever keeps an audit log."""

    def begin(
        self, request: Request, info: RequestInfo, audit_id: str, sender: Identity | None, *, age_seconds: float
    ) -> Trail | None:
        """The trail of a request that came so long ago; None where the policy wants nothing told of it.

        There is no sender where nobody knows whose request it is.
        """
