"""What a pod's sandbox asks of the runtime beside its config: a handler, and users of its own.

Source: k8s.io/kubernetes/pkg/kubelet/runtimeclass, pkg/kubelet/userns and kuberuntime/util.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from hyperkube_kubelet.podspec import Tree
from hyperkube_kubelet.runtime.errors import InvalidConfig
from hyperkube_kubelet.runtime.values import IDMapping, RuntimeStatus
from hyperkube_kubelet.volumes.objects import ObjectCache
from hyperkube_machinery import meta
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.files import write_durably

__all__ = ["PodNamespaces", "free_range"]

USERS = 1 << 16
"""How many users a pod has."""
_FIRST, _PAST = 1, 1 << 15  # blocks of users: the first is the node's own
_FILE = "userns"


def free_range(taken: Iterable[int]) -> int | None:
    """The first user of a block that is free; `taken`: those of blocks that are not."""
    blocks = {first // USERS for first in taken}
    found = next((block for block in range(_FIRST, _PAST) if block not in blocks), None)
    return found * USERS if found is not None else None


class PodNamespaces:
    """The handlers and users of a node's pods; users are noted below each pod's folder."""

    def __init__(self, pods: Path, objects: ObjectCache | None, runtime: Callable[[], RuntimeStatus]) -> None:
        """`pods`: where pods' folders are. `runtime`: what the runtime says of itself now."""
        self._pods = pods
        self._objects = objects
        self._runtime = runtime

    async def handler(self, pod: Tree) -> str:
        """What the pod's RuntimeClass stands for; "" is the runtime's default. Raises InvalidConfig."""
        name = pod["spec"].get("runtimeClassName") or ""
        if not name or self._objects is None:
            return ""
        try:
            found = await self._objects.runtime_class(name)
        except (APIError, ClientError) as exc:
            raise InvalidConfig(f"failed to lookup RuntimeClass {name}: {exc}") from exc
        if found is None:
            raise InvalidConfig(f'runtimeclass.node.k8s.io "{name}" not found')
        return str(found.get("handler") or "")

    async def mounts_recursively(self, pod: Tree) -> bool:
        """Whether what is mounted in a volume can be read-only with it. Raises InvalidConfig."""
        handlers = {one.name: one for one in self._runtime().handlers}
        found = handlers.get(await self.handler(pod))
        return found is not None and found.recursive_readonly_mounts

    def users(self, pod: Tree, handler: str) -> tuple[IDMapping, ...]:
        """The pod's own users, for one with `hostUsers: false`: the same each time. Raises InvalidConfig, OSError."""
        if pod["spec"].get("hostUsers") is not False:
            return ()
        known = {one.name: one for one in self._runtime().handlers}
        if handler not in known or not known[handler].user_namespaces:
            why = f'RuntimeClass handler "{handler}" does' if handler else "runtime does"
            raise InvalidConfig(f"can't set `spec.hostUsers: false`, {why} not support user namespaces")
        file = self._pods / meta.uid(pod) / _FILE
        first = _first_in(file)
        if first is None:
            taken = (_first_in(other) for other in self._pods.glob(f"*/{_FILE}"))
            first = free_range(one for one in taken if one is not None)
            if first is None:
                raise InvalidConfig("create user namespace: could not find an empty slot to allocate a user namespace")
            file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            mapping = [{"hostId": first, "containerId": 0, "length": USERS}]
            write_durably(file, json.dumps({"uidMappings": mapping, "gidMappings": mapping}).encode())
        return (IDMapping(host_id=first, container_id=0, length=USERS),)


def _first_in(file: Path) -> int | None:
    try:
        return int(json.loads(file.read_bytes())["uidMappings"][0]["hostId"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise InvalidConfig(f"user namespace: {file} can't be read: {exc}") from exc
