"""The condition DisruptionTarget of a pod: who takes it away, and why.

Source: k8s.io/kubernetes/pkg/api/v1/pod/util.go and pkg/util/pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_controller_manager.podstates import condition_of
from hyperkube_machinery import meta

__all__ = ["disruption_patch"]

Tree = Mapping[str, Any]
_TYPE = "DisruptionTarget"


def disruption_patch(pod: Tree, *, reason: str, message: str, now: str) -> dict[str, Any]:
    """A strategic merge patch of the pod's status that sets the condition; refused if it is another pod by then."""
    old = condition_of(pod, _TYPE) or {}
    condition: dict[str, Any] = {"type": _TYPE, "status": "True", "reason": reason, "message": message}
    condition["lastTransitionTime"] = old.get("lastTransitionTime") if old.get("status") == "True" else now
    if generation := meta.generation(pod):
        condition["observedGeneration"] = generation
    return {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
