"""RuntimeClass: what a pod's runtime costs, and where it is to be found.

Source: k8s.io/kubernetes/plugin/pkg/admission/runtimeclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import CREATE, Plugin, Waiting
from hyperkube_apiserver.admission.tolerationsets import merge_tolerations
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery.quantity import Quantity

__all__ = ["RuntimeClass"]

_GROUP = "node.k8s.io"
_OTHER_OVERHEAD = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"

Tree = dict[str, Any]


class RuntimeClass(Plugin):
    """A new pod takes over the overhead, the node selector and the tolerations of its class."""

    operations = CREATE
    about = ("pods",)

    def admit(self, attributes: Attributes) -> Waiting:
        """Complete the pod. Raises 403 for a class that does not exist, and for a pod that contradicts it."""
        runtime = self._class_of(attributes)
        if runtime is None:
            return None
        assert attributes.obj is not None
        spec = attributes.obj["spec"]
        if (overhead := runtime.get("overhead")) is not None:
            fixed = overhead.get("podFixed")
            if spec.get("overhead") and not _same_amounts(spec["overhead"], fixed):
                raise forbidden(attributes, _OTHER_OVERHEAD)
            spec.pop("overhead", None)
            if fixed is not None:
                spec["overhead"] = fixed
        if (scheduling := runtime.get("scheduling")) is not None:
            self._place(attributes, spec, scheduling)
        return None

    def _class_of(self, attributes: Attributes) -> Tree | None:
        assert attributes.obj is not None
        name = (attributes.obj.get("spec") or {}).get("runtimeClassName")
        if name is None:
            return None
        found = self.cluster.find("runtimeclasses", name, group=_GROUP)
        if found is None:
            raise forbidden(attributes, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    def _place(self, attributes: Attributes, spec: Tree, scheduling: Tree) -> None:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in (scheduling.get("nodeSelector") or {}).items():
            if selector.get(key, value) != value:
                why = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                raise forbidden(attributes, f"{why}pod.spec.nodeSelector[{key}] = {selector[key]}")
            selector[key] = value
        if selector:
            spec["nodeSelector"] = selector
        merged = merge_tolerations([*(spec.get("tolerations") or ()), *(scheduling.get("tolerations") or ())])
        if merged:
            spec["tolerations"] = merged

    def validate(self, attributes: Attributes) -> Waiting:
        """Raise 403 unless the pod has the overhead of its class, and none of its own."""
        assert attributes.obj is not None
        spec = attributes.obj.get("spec") or {}
        if spec.get("runtimeClassName") is None and spec.get("overhead") is None:
            return None
        overhead = (self._class_of(attributes) or {}).get("overhead")
        if overhead is None:
            if spec.get("overhead") is not None:
                why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                raise forbidden(attributes, why)
        elif not _same_amounts(spec.get("overhead"), overhead.get("podFixed")):
            raise forbidden(attributes, _OTHER_OVERHEAD)
        return None


def _same_amounts(some: Mapping[str, str] | None, others: Mapping[str, str] | None) -> bool:
    mine, theirs = some or {}, others or {}
    return mine.keys() == theirs.keys() and all(
        Quantity.parse(amount) == Quantity.parse(theirs[name]) for name, amount in mine.items()
    )
