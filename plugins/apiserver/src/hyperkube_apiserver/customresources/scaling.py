"""The scale of custom resources, whose definition says where the replicas are.

Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource (etcd.go, ScaleREST).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.fields import SCALE_VERSION, ReplicasPaths

__all__ = ["CustomScale", "replicas_paths"]

_UNSET = -(2**31)
_COPIED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CustomScale:
    """Where the objects of one version have what makes a scale: paths such as `.spec.replicas`."""

    spec_replicas: str
    status_replicas: str
    label_selector: str
    paths: ReplicasPaths | None

    @classmethod
    def of_version(cls, scale: Mapping[str, Any], paths: ReplicasPaths) -> CustomScale:
        """By what a definition says of the subresource."""
        selector = scale.get("labelSelectorPath") or ""
        return cls(scale["specReplicasPath"], scale["statusReplicasPath"], selector, paths)

    def of(self, workload: Tree) -> Tree:
        replicas = _number(workload, self.spec_replicas) or 0
        told: Tree = {"replicas": _number(workload, self.status_replicas) or 0}
        if self.label_selector and (selector := _found(workload, self.label_selector)):
            told["selector"] = selector
        return {
            "kind": "Scale",
            "apiVersion": SCALE_VERSION,
            "metadata": {name: workload["metadata"][name] for name in _COPIED if name in workload["metadata"]},
            "spec": {"replicas": replicas} if replicas else {},
            "status": told,
        }

    def before(self, workload: Tree) -> Tree:
        scale = self.of(workload)
        if _number(workload, self.spec_replicas) is None:
            scale["spec"] = {"replicas": _UNSET}
        return scale

    def require(self, workload: Tree) -> None:
        if _number(workload, self.spec_replicas) is None:
            raise APIError.internal(f'the spec replicas field "{self.spec_replicas}" does not exist')

    def put(self, workload: Tree, scale: Tree) -> None:
        *parents, last = _steps(self.spec_replicas)
        place = workload
        for step in parents:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise APIError.of(500, "", f"value cannot be set because .{step} is not a map[string]interface{{}}")
        place[last] = (scale.get("spec") or {}).get("replicas", 0)

    def check(self, name: str, scale: Tree) -> None:
        if (scale.get("spec") or {}).get("replicas", 0) == _UNSET:
            raise APIError.bad_request(f'the spec replicas field "{self.spec_replicas}" cannot be empty')


def replicas_paths(group: str, versions: Sequence[Mapping[str, Any]]) -> ReplicasPaths:
    """Where each version of a definition has its replicas, as ownership calls fields."""
    paths: dict[str, Sequence[str] | None] = {}
    for version in versions:
        scale = (version.get("subresources") or {}).get("scale")
        name = f"{group}/{version['name']}"
        paths[name] = [f"f:{step}" for step in _steps(scale["specReplicasPath"])] if scale is not None else None
    return paths


def _steps(path: str) -> list[str]:
    return path.removeprefix(".").split(".")


def _found(tree: Tree, path: str) -> Any:
    value: Any = tree
    for step in _steps(path):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _number(tree: Tree, path: str) -> int | None:
    value = _found(tree, path)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
