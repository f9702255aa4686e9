"""Mounts the volumes of pods and takes them away again.

    ROOT/pods/UID/volumes/kubernetes.io~configmap/NAME/    filled by the kubelet
    ROOT/pods/UID/volumes/kubernetes.io~empty-dir/NAME/    the pod's own

Mounting is done at every sync of a pod, and so brings new contents as well. Folders are the truth: what a kubelet that
was killed left is found by its next run.
Source: the layout of k8s.io/kubernetes/pkg/kubelet/kubelet_getters.go and pkg/volume.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hyperkube_kubelet.containers.fieldpaths import Addresses
from hyperkube_kubelet.podspec import container_named
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.volumes.atomicwriter import write_files
from hyperkube_kubelet.volumes.errors import VolumeFailure
from hyperkube_kubelet.volumes.hostpaths import check_host_path
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_kubelet.volumes.payload import DEFAULT_MODE, File, Payload, PayloadError, downward, object_files
from hyperkube_kubelet.volumes.tokens import Tokens
from hyperkube_machinery import meta
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.quantity import Quantity
from hyperkube_machinery.timestamps import format_micro

__all__ = ["Folders", "Mounted", "PodVolumes"]

Tree = Mapping[str, Any]

_TOKEN_SECONDS = 3600
_READONLY = ("configMap", "secret", "projected", "downwardAPI")
_FOLDER_MODE = 0o750
_OPEN_MODE = 0o777
_GROUP_MODE = 0o2770


class Folders(Protocol):
    """What only the runtime can do with a pod's folders."""

    async def mount_memory(self, path: Path, size_bytes: int) -> None: ...

    async def unmount_memory(self, path: Path) -> None: ...

    async def remove_tree(self, path: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Mounted:
    """A volume that containers can be given."""

    path: Path
    readonly: bool = False  # whatever a container asks for


class PodVolumes:
    """The volumes of a node's pods, below its root directory."""

    def __init__(
        self, root: Path, folders: Folders, objects: ObjectCache | None, tokens: Tokens | None, clock: Clock
    ) -> None:
        """Without an API server there are neither objects nor tokens, and pods that need one wait."""
        self._pods = root / "pods"
        self._folders = folders
        self._objects = objects
        self._tokens = tokens
        self._clock = clock
        self._kinds: Mapping[str, Callable[[Tree, Tree, Addresses], Awaitable[Mounted]]] = {
            "emptyDir": self._empty_dir,
            "hostPath": self._host_path,
            "configMap": self._filled,
            "secret": self._filled,
            "projected": self._filled,
            "downwardAPI": self._filled,
        }

    def pod_folder(self, uid: str) -> Path:
        return self._pods / uid

    def pods_with_folders(self) -> set[str]:
        """The uids of pods that something is left of."""
        try:
            return {entry.name for entry in self._pods.iterdir() if entry.is_dir()}
        except FileNotFoundError:
            return set()

    async def mount(self, pod: Tree, addresses: Addresses) -> dict[str, Mounted]:
        """The pod's volumes by name, with their contents as they are now.

        Raises VolumeFailure for the first that can't be had.
        """
        mounted: dict[str, Mounted] = {}
        for volume in pod["spec"].get("volumes") or ():
            name = volume["name"]
            kind = next((one for one in volume if one != "name" and volume[one] is not None), "emptyDir")
            if kind == "image":
                continue  # the runtime mounts it, once a container that sees it is started
            mount = self._kinds.get(kind)
            if mount is None:
                raise VolumeFailure(name, f"this kubelet has no volumes of the type {kind}")
            try:
                mounted[name] = await mount(volume, pod, addresses)
            except (PayloadError, APIError, ClientError, RuntimeFailure, OSError) as exc:
                raise VolumeFailure(name, str(exc)) from exc
        return mounted

    async def unmount(self, uid: str) -> None:
        """Take away all that was the pod's own, once nothing of it runs. Raises RuntimeFailure, OSError."""
        folder = self.pod_folder(uid)
        empty_dirs = folder / "volumes" / "kubernetes.io~empty-dir"
        with suppress(FileNotFoundError):
            for path in list(empty_dirs.iterdir()):
                await self._folders.unmount_memory(path)
        if folder.exists():
            await self._folders.remove_tree(folder)
        if self._tokens is not None:
            self._tokens.forget(uid)

    async def _empty_dir(self, volume: Tree, pod: Tree, addresses: Addresses) -> Mounted:
        source = volume.get("emptyDir") or {}
        path = self._path(pod, "empty-dir", volume["name"])
        if not path.exists():  # it is there once it is open to all, however this kubelet ends
            fresh = path.with_name(f".{path.name}")
            fresh.mkdir(parents=True, exist_ok=True)
            fresh.chmod(_OPEN_MODE)
            _give_to_group(fresh, pod)
            fresh.rename(path)
        if source.get("medium") == "Memory":
            limit = Quantity.parse(str(source.get("sizeLimit") or "0")).value
            await self._folders.mount_memory(path, limit)
            _give_to_group(path, pod)
        elif source.get("medium"):
            raise PayloadError(f"unknown storage medium {source['medium']!r}")
        return Mounted(path)

    async def _host_path(self, volume: Tree, pod: Tree, addresses: Addresses) -> Mounted:
        source = volume["hostPath"]
        path = Path(source["path"])
        await asyncio.to_thread(check_host_path, path, source.get("type") or "")
        return Mounted(path)

    async def _filled(self, volume: Tree, pod: Tree, addresses: Addresses) -> Mounted:
        """A volume whose files are told by objects."""
        kind = next(one for one in _READONLY if volume.get(one) is not None)
        source, path = volume[kind], self._path(pod, kind.lower().replace("api", "-api"), volume["name"])
        mode = source.get("defaultMode")
        payload = await self._payload(kind, source, pod, addresses, DEFAULT_MODE if mode is None else mode)
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        stamp = re.sub(r"\D+", "_", format_micro(self._clock.now())[:26]).strip("_")
        await asyncio.to_thread(write_files, path, payload, stamp=stamp, group=group)
        return Mounted(path, readonly=True)

    async def _payload(self, kind: str, source: Tree, pod: Tree, addresses: Addresses, mode: int) -> Payload:
        if kind in ("configMap", "secret"):
            name = (source.get("secretName") if kind == "secret" else source.get("name")) or ""
            return await self._objects_files(kind, name, source, pod, mode)
        if kind == "downwardAPI":
            return self._downward(source, pod, addresses, mode)
        files: Payload = {}
        for part in source.get("sources") or ():
            files |= await self._projected(part, pod, addresses, mode)
        return files

    async def _projected(self, part: Tree, pod: Tree, addresses: Addresses, mode: int) -> Payload:
        for kind in ("configMap", "secret"):
            if part.get(kind) is not None:
                return await self._objects_files(kind, part[kind].get("name") or "", part[kind], pod, mode)
        if part.get("downwardAPI") is not None:
            return self._downward(part["downwardAPI"], pod, addresses, mode)
        if part.get("serviceAccountToken") is not None:
            return await self._token(part["serviceAccountToken"], pod, mode)
        unknown = ", ".join(part) or "nothing"
        raise PayloadError(f"this kubelet projects no {unknown}")

    async def _objects_files(self, kind: str, name: str, source: Tree, pod: Tree, mode: int) -> Payload:
        if self._objects is None:
            raise PayloadError(f"a {kind.lower()} can't be read without an API server")
        namespace, optional = meta.namespace(pod), bool(source.get("optional"))
        items = source.get("items") or ()
        if kind == "configMap":
            held = await self._objects.config_map(namespace, name)
            return object_files("configMap", name, held, items, mode=mode, optional=optional)
        held = await self._objects.secret(namespace, name)
        return object_files("secret", name, held, items, mode=mode, optional=optional)

    def _downward(self, source: Tree, pod: Tree, addresses: Addresses, mode: int) -> Payload:
        items = source.get("items") or ()
        return downward(items, pod, addresses, mode=mode, container_named=lambda name: container_named(pod, name))

    async def _token(self, source: Tree, pod: Tree, mode: int) -> Payload:
        if self._tokens is None:
            raise PayloadError("a token can't be had without an API server")
        seconds = int(source.get("expirationSeconds") or _TOKEN_SECONDS)
        token = await self._tokens.get(pod, audience=source.get("audience") or "", seconds=seconds)
        return {source["path"]: File(token.encode(), mode)}

    def _path(self, pod: Tree, kind: str, name: str) -> Path:
        folder = self.pod_folder(meta.uid(pod))
        if not folder.exists():
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        return folder / "volumes" / f"kubernetes.io~{kind}" / name


def _give_to_group(path: Path, pod: Tree) -> None:
    """Let the pod's fsGroup have a folder, and what is made in it.

    Source: k8s.io/kubernetes/pkg/volume/volume_linux.go.
    """
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    if group is None:
        return
    with suppress(PermissionError):  # an ordinary user gives nothing away
        os.chown(path, -1, group)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | _GROUP_MODE)
