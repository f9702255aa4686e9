"""What a container sees of its pod's volumes. Source: makeMounts in k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from hyperkube_kubelet.containers.expansion import expand
from hyperkube_kubelet.runtime.values import Mount
from hyperkube_kubelet.volumes.errors import VolumeFailure
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_kubelet.volumes.payload import PayloadError
from hyperkube_kubelet.volumes.subpaths import within

__all__ = ["container_mounts"]

Tree = Mapping[str, Any]


def container_mounts(
    container: Tree, volumes: Mapping[str, Mounted], environment: Mapping[str, str]
) -> tuple[Mount, ...]:
    """The mounts of `container`, those of outer paths first. Makes folders for subPaths.

    Raises VolumeFailure for a volume that the pod lacks and a subPath that leads out of its volume.
    """
    found = [_mount(each, volumes, environment) for each in container.get("volumeMounts") or ()]
    return tuple(sorted(found, key=lambda mount: len(PurePosixPath(mount.container_path).parts)))


def _mount(each: Tree, volumes: Mapping[str, Mounted], environment: Mapping[str, str]) -> Mount:
    name = each["name"]
    volume = volumes.get(name)
    if volume is None:
        raise VolumeFailure(name, "the pod has no volume of that name")
    readonly = bool(each.get("readOnly")) or volume.readonly
    path, part = volume.path, each.get("subPath") or ""
    if each.get("subPathExpr"):
        part = expand(each["subPathExpr"], environment)
    if part:
        try:
            path = within(path, part, makes=not volume.readonly)
        except (PayloadError, OSError) as exc:
            raise VolumeFailure(name, str(exc)) from exc
    return Mount(
        container_path=_absolute(each["mountPath"]),
        host_path=path,
        resolved=bool(part),
        readonly=readonly,
        recursive_readonly=each.get("recursiveReadOnly") in ("Enabled", "IfPossible"),
        propagation=each.get("mountPropagation") or "None",
    )


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
