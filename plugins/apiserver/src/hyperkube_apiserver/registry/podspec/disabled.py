"""Fields of features that are off unless a feature gate turns them on: what a client says in them is lost.

An object that has such a field already, from a server with the feature, may go on using it.
Source: dropDisabledFields in k8s.io/kubernetes/pkg/api/pod; the defaults of pkg/features in 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["drop_disabled"]

Tree = dict[str, Any]

_PROJECTIONS = ("clusterTrustBundle", "podCertificate")  # ClusterTrustBundleProjection, PodCertificateRequest


def drop_disabled(spec: Tree, old: Mapping[str, Any] | None) -> None:
    """Take from a pod's spec what no client can set; `old` is the spec as it was, if there was one."""
    before = old or {}
    if before.get("schedulingGroup") is None:  # GenericWorkload
        spec.pop("schedulingGroup", None)
    for field in _PROJECTIONS:
        if not any(source.get(field) is not None for source in _sources(before)):
            for source in _sources(spec):
                source.pop(field, None)
    if not any((one.get("lifecycle") or {}).get("stopSignal") is not None for one in _containers(before)):
        for container in _containers(spec):  # ContainerStopSignals
            lifecycle = container.get("lifecycle")
            if lifecycle and lifecycle.pop("stopSignal", None) is not None and not lifecycle:
                del container["lifecycle"]


def _sources(spec: Mapping[str, Any]) -> Iterator[Tree]:
    for volume in spec.get("volumes") or ():
        yield from (volume.get("projected") or {}).get("sources") or ()


def _containers(spec: Mapping[str, Any]) -> Iterator[Tree]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()
