"""What a container sees of its pod's volumes. Source: makeMounts in k8s.io/kubernetes/pkg/kubelet/kubelet_pods.go."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from hyperkube_kubelet.containers.expansion import expand
from hyperkube_kubelet.runtime.values import Mount
from hyperkube_kubelet.volumes.manager import Mounted
from hyperkube_kubelet.volumes.payload import PayloadError
from hyperkube_kubelet.volumes.subpaths import within

__all__ = ["Givens", "MountRefused", "container_mounts", "is_recursive"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")


class MountRefused(ValueError):
    """A container can't have what it asks for; the message is upstream's (CreateContainerConfigError)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Givens:
    """What mounts are made from."""

    volumes: Mapping[str, Mounted]
    images: Mapping[str, str] = field(default_factory=dict)  # ids of images by the volume that shows one
    environment: Mapping[str, str] = field(default_factory=dict)
    recursive: bool = False  # whether the runtime can make mounts read-only with all that is mounted in them


def container_mounts(container: Tree, givens: Givens) -> tuple[Mount, ...]:
    """The mounts of `container`, those of outer paths first. Makes folders for subPaths. Raises MountRefused."""
    for device in container.get("volumeDevices") or ():
        raise MountRefused(f'cannot find volume "{device["name"]}" to pass into container "{container["name"]}"')
    found = [_mount(container, each, givens) for each in container.get("volumeMounts") or ()]
    return tuple(sorted(found, key=lambda mount: len(PurePosixPath(mount.container_path).parts)))


def _mount(container: Tree, each: Tree, givens: Givens) -> Mount:
    name, part = each["name"], _part(each, givens.environment)
    path = _absolute(each["mountPath"])
    if image := givens.images.get(name):
        return Mount(container_path=path, host_path=Path(), image=image, image_sub_path=part, readonly=True)
    volume = givens.volumes.get(name)
    if volume is None:
        raise MountRefused(f'cannot find volume "{name}" to mount into container "{container["name"]}"')
    source = volume.path
    if part:
        try:
            source = within(source, part, makes=not volume.readonly)
        except (PayloadError, OSError) as exc:  # what it says is of the node's files, which are nobody's business
            log.error("subPath %r of volume %s: %s", part, name, exc)
            raise MountRefused(
                f'failed to prepare subPath for volumeMount "{name}" of container "{container["name"]}"'
            ) from exc
    try:
        recursive = is_recursive(each, possible=givens.recursive)
    except ValueError as exc:
        raise MountRefused(f"failed to resolve recursive read-only mode: {exc}") from exc
    return Mount(
        container_path=path,
        host_path=source,
        resolved=bool(part),
        readonly=bool(each.get("readOnly")) or volume.readonly,
        recursive_readonly=recursive,
        propagation=each.get("mountPropagation") or "None",
    )


def _part(each: Tree, environment: Mapping[str, str]) -> str:
    """The part of the volume that is to be seen; "" for all of it."""
    part = each.get("subPath") or ""
    if expression := each.get("subPathExpr"):
        named = {match[1] for match in _REFERENCE.finditer(expression) if match[1] is not None}
        if missing := sorted(name for name in named if not environment.get(name)):
            raise MountRefused(f"missing value for {', '.join(missing)}")
        part = expand(expression, environment)
    if part.startswith("/"):
        raise MountRefused(f"error SubPath `{part}` must not be an absolute path")
    if ".." in part.split("/"):
        raise MountRefused(f"unable to provision SubPath `{part}`: must not contain '..'")
    return part


def is_recursive(each: Tree, *, possible: bool) -> bool:
    """Whether what is mounted inside is read-only as well. Raises ValueError where it must be and can't."""
    mode, begin = (
        each.get("recursiveReadOnly"),
        f'volume "{each["name"]}" requested recursive read-only mode, but it is',
    )
    if mode in (None, "Disabled"):
        return False
    if not each.get("readOnly"):
        raise ValueError(f"{begin} not read-only")
    propagation = each.get("mountPropagation") or "None"
    if propagation != "None":
        raise ValueError(f'{begin} not compatible with propagation "{propagation}"')
    if mode == "Enabled" and not possible:
        raise ValueError(f"{begin} not supported by the runtime")
    return possible


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
