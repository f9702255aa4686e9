"""The pods of this node by uid and by name, and the mirrors that show static ones."""

from __future__ import annotations

from collections.abc import Sequence

from hyperkube_kubelet.podspec import Tree, full_name, is_static
from hyperkube_machinery import meta

__all__ = ["PodDirectory"]


class PodDirectory:
    """What the sources say of pods now."""

    def __init__(self) -> None:
        self._pods: dict[str, Tree] = {}  # by uid
        self._mirrors: dict[str, Tree] = {}  # by full name

    def put(self, pod: Tree) -> None:
        self._pods[meta.uid(pod)] = pod

    def drop(self, uid: str) -> None:
        self._pods.pop(uid, None)

    def get(self, uid: str) -> Tree | None:
        return self._pods.get(uid)

    def pods(self) -> Sequence[Tree]:
        return list(self._pods.values())

    def named(self, namespace: str, name: str) -> Tree | None:
        """The pod of that name; of two, one being stopped and one to follow it, the later one."""
        found = [pod for pod in self._pods.values() if (meta.namespace(pod), meta.name(pod)) == (namespace, name)]
        return found[-1] if found else None

    def put_mirror(self, mirror: Tree) -> None:
        self._mirrors[full_name(mirror)] = mirror

    def drop_mirror(self, mirror: Tree) -> None:
        known = self._mirrors.get(full_name(mirror))
        if known is not None and meta.uid(known) == meta.uid(mirror):
            del self._mirrors[full_name(mirror)]

    def mirror_of(self, pod: Tree) -> Tree | None:
        return self._mirrors.get(full_name(pod))

    def mirrors(self) -> Sequence[Tree]:
        return list(self._mirrors.values())

    def static_of(self, mirror: Tree) -> Tree | None:
        """The static pod that a mirror shows."""
        name = full_name(mirror)
        return next((pod for pod in self._pods.values() if is_static(pod) and full_name(pod) == name), None)

    def in_api(self, uid: str) -> Tree | None:
        """The API server's object for a pod: its own, or its mirror."""
        pod = self._pods.get(uid)
        return self.mirror_of(pod) if pod is not None and is_static(pod) else pod
