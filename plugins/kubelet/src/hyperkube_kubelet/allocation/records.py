"""What pods were given, and what their containers have of it, kept for kubelets that come later.

Source: k8s.io/kubernetes/pkg/kubelet/allocation/state.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hyperkube_kubelet.containers.observed import Having
from hyperkube_kubelet.podspec import Tree, containers, init_containers
from hyperkube_machinery import meta
from hyperkube_machinery.files import write_durably

__all__ = ["Records", "allocation_of", "with_allocation"]

log = logging.getLogger(__name__)

_FORMAT = 1


@dataclass(slots=True)
class _Record:
    allocated: dict[str, Any] = field(default_factory=dict)
    actuated: dict[str, Any] = field(default_factory=dict)  # resources by id of the container

    def as_json(self) -> dict[str, Any]:
        return {"allocated": self.allocated, "actuated": self.actuated}


def allocation_of(pod: Tree) -> dict[str, Any]:
    """What a pod asks for that may change while it runs."""
    found: dict[str, Any] = {
        "containers": {one["name"]: one.get("resources") or {} for one in (*init_containers(pod), *containers(pod))}
    }
    if pod["spec"].get("resources") is not None:
        found["pod"] = pod["spec"]["resources"]
    return found


def with_allocation(pod: Tree, allocated: Mapping[str, Any]) -> Tree:
    """The pod as if it asked for what it was given; `pod` itself where it does."""
    if allocation_of(pod) == allocated:
        return pod
    spec = dict(pod["spec"])
    given: Mapping[str, Any] = allocated.get("containers") or {}
    for name in ("initContainers", "containers"):
        if spec.get(name):
            spec[name] = [
                {**one, "resources": given.get(one["name"], one.get("resources") or {})} for one in spec[name]
            ]
    spec.pop("resources", None)
    if allocated.get("pod") is not None:
        spec["resources"] = allocated["pod"]
    return {**pod, "spec": spec}


class Records:
    """By uid of the pod. Changes are written some time later, in one go."""

    def __init__(self, path: Path | None) -> None:
        """`path`: the file that they are kept in; None to keep none. What can't be read is told, and forgotten."""
        self._path = path
        self._pods: dict[str, _Record] = {}
        self._changed = asyncio.Event()
        if path is not None:
            self._pods = _read(path)

    async def run(self) -> NoReturn:
        """Write what has changed, until cancelled; what then is not written yet is written at last."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await asyncio.to_thread(self._write, self._document())
        finally:
            if self._changed.is_set():
                self._write(self._document())

    def _document(self) -> bytes:
        pods = {uid: record.as_json() for uid, record in self._pods.items()}
        return json.dumps({"format": _FORMAT, "pods": pods}).encode()

    def _write(self, document: bytes) -> None:
        if self._path is None:
            return
        try:
            write_durably(self._path, document)
        except OSError as exc:
            log.warning("what pods were given can't be kept: %s", exc)

    def allocated(self, uid: str) -> Mapping[str, Any] | None:
        record = self._pods.get(uid)
        return record.allocated if record is not None and record.allocated else None

    def allocate(self, pod: Tree) -> None:
        """Give the pod what it asks for."""
        self._record(meta.uid(pod)).allocated = allocation_of(pod)
        self._changed.set()

    def actuated(self, uid: str) -> Mapping[str, Having]:
        """What containers of a pod were changed to, by id, without those that have what they were started with."""
        record = self._pods.get(uid)
        if record is None:
            return {}
        return {key: (told["own"], told["whole"]) for key, told in record.actuated.items()}

    def actuate(self, uid: str, container_id: str, having: Having, known: Iterable[str]) -> None:
        """A container was changed; `known`: the ids of the pod's containers that are not forgotten."""
        record = self._record(uid)
        kept = {*known, container_id}
        record.actuated = {key: told for key, told in record.actuated.items() if key in kept}
        record.actuated[container_id] = {"own": having[0], "whole": having[1]}
        self._changed.set()

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        if self._pods.pop(uid, None) is not None:
            self._changed.set()

    def uids(self) -> set[str]:
        return set(self._pods)

    def _record(self, uid: str) -> _Record:
        return self._pods.setdefault(uid, _Record())


def _read(path: Path) -> dict[str, _Record]:
    try:
        document = json.loads(path.read_bytes())
        if document["format"] != _FORMAT:
            raise ValueError(f"format {document['format']} is not known")
        return {uid: _Record(**record) for uid, record in document["pods"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        log.warning("%s can't be read, and what pods were given is taken from their specs: %s", path, exc)
        return {}
