"""Objects that show this node's static pods to the API server's clients.

Source: k8s.io/kubernetes/pkg/kubelet/pod/mirror_client.go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hyperkube_kubelet.podspec import CONFIG_HASH, CONFIG_MIRROR, Tree, full_name
from hyperkube_machinery import meta
from hyperkube_machinery.builtin import PODS
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.errors import APIError

__all__ = ["Mirrors", "mirror_for"]

log = logging.getLogger(__name__)


def mirror_for(pod: Tree, node: Tree) -> dict[str, Any]:
    """The object that shows a static pod."""
    about = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": meta.name(node), "uid": meta.uid(node), "controller": True}
    metadata = {
        "name": about["name"],
        "namespace": about["namespace"],
        "labels": dict(about.get("labels") or {}),
        "annotations": {**about["annotations"], CONFIG_MIRROR: about["annotations"][CONFIG_HASH]},
        "ownerReferences": [owner],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}


class Mirrors:
    """Makes and deletes them. What can't be done now is told, and tried again when the pod is next looked at."""

    def __init__(
        self, client: Client | None, mirror_of: Callable[[Tree], Tree | None], node: Callable[[], Tree | None]
    ) -> None:
        self._client = client
        self._mirror_of = mirror_of
        self._node = node

    async def show(self, pod: Tree) -> None:
        """Let there be a mirror that shows `pod` as it is."""
        mirror, node = self._mirror_of(pod), self._node()
        if self._client is None or node is None:
            return
        wanted = meta.annotations_of(pod)[CONFIG_HASH]
        if mirror is not None:
            going = meta.deletion_timestamp(mirror) is not None
            if not going and meta.annotations_of(mirror).get(CONFIG_MIRROR) == wanted:
                return
            await self.remove(mirror)
        try:
            await self._client.create(PODS, mirror_for(pod, node), meta.namespace(pod))
        except APIError as exc:
            if exc.reason != "AlreadyExists":  # it may be there and not have been heard of yet
                log.warning("static pod %s can't be shown: %s", full_name(pod), exc)
        except ClientError as exc:
            log.warning("static pod %s can't be shown: %s", full_name(pod), exc)

    async def remove(self, mirror: Tree) -> None:
        """Delete a mirror."""
        if self._client is None:
            return
        try:
            await self._client.delete(
                PODS, meta.name(mirror), meta.namespace(mirror), grace_seconds=0, uid=meta.uid(mirror)
            )
        except (APIError, ClientError) as exc:
            if not (isinstance(exc, APIError) and exc.code in (404, 409)):
                log.warning("the mirror of static pod %s can't be deleted: %s", full_name(mirror), exc)
