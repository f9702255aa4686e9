"""What admission is asked about: one operation on one object, and who asks for it.

The write path asks twice: `admit` may still change the object, `validate` sees it as it would be stored.
Source: k8s.io/apiserver/pkg/admission.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.kinds import Kind

__all__ = ["AdmissionControl", "Annotate", "Attributes", "Operation", "Part", "options_tree", "unrecorded"]

Tree = dict[str, Any]


class Operation(StrEnum):
    """What is about to happen, in the words that policies and webhooks use."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


class Annotate(Protocol):
    """Notes for the audit log. Source: k8s.io/apiserver/pkg/audit (AddAuditAnnotation, AddAuditAnnotationWithLevel)."""

    def __call__(self, key: str, value: str, level: str = "Metadata", /) -> None:
        """Add a note to the request's audit event, if that is of `level` at least; the first one of a key stays.

        `key` is a qualified name, such as `patch.webhook.admission.k8s.io/round_0_index_0`.
        """


def unrecorded(key: str, value: str, level: str = "Metadata", /) -> None:
    """The notes of requests that no audit log tells of."""


@dataclass(slots=True, kw_only=True)
class Attributes:
    """One operation on one object."""

    kind: Kind  # the resource that the request names
    operation: Operation
    name: str  # empty where the server is still to make it up, and for a whole collection
    namespace: str  # empty for what is cluster-wide
    subresource: str = ""
    obj: Tree | None = None  # as it is to be, with its type; None when deleting. `admit` may change it in place
    old: Tree | None = None  # as it is, with its type; None when creating. Never changed
    identity: Identity
    dry_run: bool = False
    ends: float = math.inf  # when nobody waits for it any more, on the monotonic clock
    options: Tree = field(default_factory=dict)  # CreateOptions and the like, as a tree
    warn: Callable[[str], None]
    annotate: Annotate = unrecorded  # notes something for the audit log
    reinvoke: bool = False  # set by a plugin that changed what plugins before it have seen: they are asked once more
    reinvoked: bool = False  # whether this is that second time
    memory: dict[str, Any] = field(default_factory=dict)  # what plugins keep for their second time


def options_tree(operation: Operation, options: Mapping[str, Any]) -> Tree:
    """The options of a request as admission shows them; those of a patch are told as of what it comes to."""
    kind = _OPTIONS.get(operation)
    return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **options} if kind is not None else {}


_OPTIONS = {
    Operation.CREATE: "CreateOptions",
    Operation.UPDATE: "UpdateOptions",
    Operation.DELETE: "DeleteOptions",
}


@dataclass(frozen=True, slots=True)
class Part:
    """What a subresource shows of an object, where that has a shape of its own: admission sees nothing else."""

    of: Callable[[Tree], Tree]  # the part of an object, with its type
    put: Callable[[Tree, Tree], None]  # takes a part, as admission changed it, into its object


class AdmissionControl(Protocol):
    """All that an operation must pass beside authorization. Raises APIError to refuse."""

    async def admit(self, attributes: Attributes) -> None:
        """Change `attributes.obj` in place, or refuse."""

    async def validate(self, attributes: Attributes) -> None:
        """Refuse, or let pass; changes nothing."""
