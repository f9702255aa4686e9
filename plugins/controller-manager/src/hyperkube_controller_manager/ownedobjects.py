"""Objects of any kind, found by what owner references say of them, and what is done to them.

Source: k8s.io/kubernetes/pkg/controller/garbagecollector (operations.go, patch.go).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_controller_manager.disposal import without_owners
from hyperkube_controller_manager.ownergraph import Identity
from hyperkube_machinery import meta
from hyperkube_machinery.client import Client
from hyperkube_machinery.client.client import PatchKind
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.resources import Resource

__all__ = ["ClusterScopedDependent", "Kinds", "ObjectGone", "Objects", "UnknownKind"]

log = logging.getLogger(__name__)

Tree = Mapping[str, Any]

_CONFLICTS = 5


class UnknownKind(Exception):
    """Owner references name a kind that the API server does not serve, or not yet."""


class ClusterScopedDependent(Exception):
    """An object of the cluster names an owner in a namespace, and there is no telling in which."""


class ObjectGone(Exception):
    """The object that was to be changed is gone, or another has its name."""


class Kinds:
    """What the API server serves, by kind; of several versions the preferred one."""

    def __init__(self) -> None:
        self._by_kind: dict[tuple[str, str], Resource] = {}

    def refresh(self, resources: Sequence[Resource]) -> None:
        self._by_kind = {(one.group, one.kind): one for one in reversed(resources)}

    def of(self, api_version: str, kind: str) -> Resource:
        """Raises UnknownKind. The version that is named need not be the preferred one."""
        group = api_version.rpartition("/")[0]
        try:
            return self._by_kind[group, kind]
        except KeyError:
            raise UnknownKind(f"the API server serves no {kind} of {api_version}") from None


class Objects:
    """What can be done to an object whose identity is all that is known of it.

    Everything raises UnknownKind and ClusterScopedDependent, beside what the client raises.
    """

    def __init__(self, client: Client, kinds: Kinds) -> None:
        self._client = client
        self._kinds = kinds

    def _place(self, identity: Identity) -> tuple[Resource, str]:
        resource = self._kinds.of(identity.api_version, identity.kind)
        if resource.namespaced and not identity.namespace:
            raise ClusterScopedDependent(f"an object of the cluster has an owner in a namespace: {identity}")
        return resource, identity.namespace if resource.namespaced else ""

    async def get(self, identity: Identity) -> Tree | None:
        """The object of that name, which may be another than was meant; None if there is none."""
        resource, namespace = self._place(identity)
        try:
            return await self._client.get(resource, identity.name, namespace)
        except APIError as exc:
            if exc.code == 404:
                return None
            raise

    async def _patch(self, identity: Identity, patch: Mapping[str, Any], kind: PatchKind) -> None:
        resource, namespace = self._place(identity)
        await self._client.patch(resource, identity.name, dict(patch), namespace, kind=kind)

    async def detach(self, identity: Identity, owners: Sequence[str]) -> None:
        """Take owners off an object. Raises ObjectGone where it is none such."""
        refs = [{"$patch": "delete", "uid": uid} for uid in owners]
        try:
            await self._patch(identity, {"metadata": {"uid": identity.uid, "ownerReferences": refs}}, "strategic")
        except APIError as exc:
            if exc.code == 404:
                raise ObjectGone from exc
            if exc.code != 415:  # custom resources have no strategic merge patch
                raise
            latest = await self.get(identity)
            if latest is None or meta.uid(latest) != identity.uid:
                raise ObjectGone from exc
            await self._patch(identity, without_owners(latest, owners), "merge")

    async def unblock(self, identity: Identity) -> None:
        """Have none of the object's owners wait for it."""
        latest = await self.get(identity)
        if latest is None or meta.uid(latest) != identity.uid:
            return
        refs = [{**ref, "blockOwnerDeletion": False} for ref in meta.owner_references(latest)]
        patch = {"metadata": {"resourceVersion": meta.resource_version(latest), "ownerReferences": refs}}
        await self._patch(identity, patch, "merge")

    async def delete(self, identity: Identity, latest: Tree, propagation: str) -> None:
        """Delete an object unless its owners are others than those in `latest`. Raises ObjectGone."""
        resource, namespace = self._place(identity)
        version = meta.resource_version(latest)
        while True:
            try:
                await self._client.delete(
                    resource,
                    identity.name,
                    namespace,
                    uid=identity.uid,
                    resource_version=version,
                    propagation=propagation,
                )
            except APIError as exc:
                if exc.code == 404:
                    raise ObjectGone from exc
                if exc.code != 409 or not version:
                    raise
                live = await self.get(identity)
                if live is None:
                    raise ObjectGone from exc
                if meta.uid(live) != identity.uid or meta.owner_references(live) != meta.owner_references(latest):
                    raise
                version = ""  # it changed in another way, and may do so faster than it can be deleted
            else:
                log.debug("deleted %s (%s)", identity, propagation)
                return

    async def remove_finalizer(self, identity: Identity, finalizer: str) -> None:
        """Take a finalizer off the object, if it has it and is there."""
        for attempt in range(_CONFLICTS):
            latest = await self.get(identity)
            if latest is None or meta.uid(latest) != identity.uid or finalizer not in meta.finalizers(latest):
                return
            left = [one for one in meta.finalizers(latest) if one != finalizer]
            about = {"resourceVersion": meta.resource_version(latest), "finalizers": left}
            try:
                await self._patch(identity, {"metadata": about}, "merge")
            except APIError as exc:
                if exc.code == 404:
                    return
                if exc.code != 409 or attempt == _CONFLICTS - 1:
                    raise
            else:
                return
