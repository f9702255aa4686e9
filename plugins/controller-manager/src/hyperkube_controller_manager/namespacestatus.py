"""What a namespace being deleted says of its content.

Source: k8s.io/kubernetes/pkg/controller/namespace/deletion/status_condition_utils.go (types, reasons and messages).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hyperkube_machinery import meta
from hyperkube_machinery.resources import Resource

__all__ = ["Leftovers", "conditions_after", "grace_estimate"]

Tree = Mapping[str, Any]

FINALIZER_SECONDS = 15.0
"""How long it is taken to last until finalizers are done."""

_FINE = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass(slots=True)
class Leftovers:
    """What is still in a namespace after an attempt to empty it."""

    estimate_seconds: float = 0.0  # until there may be less
    remaining: dict[str, int] = field(default_factory=dict)  # objects, by resource and group
    finalizers: Counter[str] = field(default_factory=Counter)  # objects that each keeps
    errors: list[str] = field(default_factory=list)
    undiscovered: str = ""  # why the server could not say what it serves

    @property
    def failures(self) -> list[str]:
        """Everything that went wrong."""
        return [self.undiscovered, *self.errors] if self.undiscovered else self.errors

    def failed(self, why: str) -> None:
        self.errors.append(why)

    def found(self, namespace: str, resource: Resource, objects: Iterable[Tree], grace_seconds: float) -> None:
        """These objects are still there although they were deleted, with `grace_seconds` left to the slowest."""
        finalizers = [meta.finalizers(obj) for obj in objects]
        if not finalizers:
            return
        self.remaining[f"{resource.resource}.{resource.group}"] = len(finalizers)
        held = Counter(name for names in finalizers for name in names)
        self.finalizers.update(held)
        seconds = grace_seconds or (FINALIZER_SECONDS if held else 0.0)
        self.estimate_seconds = max(self.estimate_seconds, seconds)
        if not seconds:
            which = ", ".join(filter(None, (resource.group or '""', resource.version, resource.resource)))
            self.failed(f"unexpected items still remain in namespace: {namespace} for gvr: {which}")


def grace_estimate(pods: Iterable[Tree], seconds_since_deletion: float) -> float:
    """How long pods of a namespace may still take to end, which began when it was deleted; 0 if they are overdue."""
    alive = (pod for pod in pods if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"))
    grace = max(((pod.get("spec") or {}).get("terminationGracePeriodSeconds") or 0 for pod in alive), default=0)
    return float(grace) if seconds_since_deletion < grace else 0.0


def conditions_after(before: Iterable[Tree], left: Leftovers, now: str) -> list[Tree] | None:
    """The namespace's conditions, brought up to what is left; None if they say so already."""
    told = _told(left)
    merged = {condition.get("type", ""): condition for condition in before}
    changed = False
    for kind, (reason, message) in _FINE.items():
        status = "True" if kind in told else "False"
        reason, message = told.get(kind, (reason, message))
        old = merged.get(kind, {})
        if (old.get("status"), old.get("reason"), old.get("message")) == (status, reason, message):
            continue
        since = old.get("lastTransitionTime") if old.get("status") == status else now
        merged[kind] = {
            "type": kind,
            "status": status,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        }
        changed = True
    return list(merged.values()) if changed else None


def _told(left: Leftovers) -> dict[str, tuple[str, str]]:
    told: dict[str, tuple[str, str]] = {}
    if left.undiscovered:
        told["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", left.undiscovered)
    if left.errors:
        errors = ", ".join(sorted(left.errors))
        message = f"Failed to delete all resource types, {len(left.errors)} remaining: {errors}"
        told["NamespaceDeletionContentFailure"] = ("ContentDeletionFailed", message)
    if left.remaining:
        listed = ", ".join(sorted(f"{name} has {count} resource instances" for name, count in left.remaining.items()))
        told["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {listed}")
    if left.finalizers:
        listed = ", ".join(sorted(f"{name} in {count} resource instances" for name, count in left.finalizers.items()))
        message = f"Some content in the namespace has finalizers remaining: {listed}"
        told["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", message)
    return told
