"""DefaultTolerationSeconds and ExtendedResourceToleration: what pods tolerate without saying so.

Source: k8s.io/kubernetes/plugin/pkg/admission/{defaulttolerationseconds,extendedresourcetoleration}.
"""

from __future__ import annotations

from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.plugin import CREATE, UPDATE, AdmissionSettings, Plugin, Waiting
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.names import qualified_name

__all__ = ["DefaultTolerationSeconds", "ExtendedResourceToleration"]


Tree = dict[str, Any]


class DefaultTolerationSeconds(Plugin):
    """A pod stays some minutes on a node that is gone, unless it says otherwise."""

    operations = CREATE | UPDATE
    about = ("pods",)

    def __init__(self, cluster: Cluster, settings: AdmissionSettings) -> None:
        super().__init__(cluster, settings)
        self._seconds = {
            "node.kubernetes.io/not-ready": settings.not_ready_seconds,
            "node.kubernetes.io/unreachable": settings.unreachable_seconds,
        }

    def admit(self, attributes: Attributes) -> Waiting:
        """Tolerate each taint that the pod says nothing about."""
        assert attributes.obj is not None
        spec = attributes.obj.setdefault("spec", {})
        given = spec.get("tolerations") or []
        told = {one.get("key") or "" for one in given if (one.get("effect") or "") in ("NoExecute", "")}
        if "" in told:  # of every key
            return None
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
            for key, seconds in self._seconds.items()
            if key not in told
        ]
        if added:
            spec["tolerations"] = [*given, *added]
        return None


class ExtendedResourceToleration(Plugin):
    """A pod that asks for a device tolerates the taint that keeps others off the nodes with such devices."""

    operations = CREATE | UPDATE
    about = ("pods",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Tolerate a taint of the name of each extended resource that is requested."""
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        names = {
            name
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
            for name in (container.get("resources") or {}).get("requests") or ()
            if _is_extended(name)
        }
        for name in sorted(names):
            _tolerate(spec, name)
        return None


def _is_extended(name: str) -> bool:
    """Whether a resource is none of Kubernetes' own. Source: k8s.io/kubernetes/pkg/apis/core/helper."""
    if "/" not in name or "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return not qualified_name(f"requests.{name}")


def _tolerate(spec: Tree, key: str) -> None:
    wanted: Tree = {"key": key, "operator": "Exists", "effect": "NoSchedule"}
    given = spec.get("tolerations") or []
    kept = [one for one in given if not _match(one, wanted)]
    # One of the same key, effect and operator is replaced where it stands, whatever it says beside.
    if len(kept) == len(given):
        spec["tolerations"] = [*given, wanted]
    elif wanted not in given:
        spec["tolerations"] = [dict(wanted) if _match(one, wanted) else one for one in given]


def _match(one: Tree, other: Tree) -> bool:
    return all((one.get(field) or "") == (other.get(field) or "") for field in ("key", "effect", "operator", "value"))
