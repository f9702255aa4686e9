"""Whose an object is: owners adopt what matches their selector, and release what no longer does.

Source: k8s.io/kubernetes/pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hyperkube_controller_manager.podcontrol import FAILURES
from hyperkube_controller_manager.templates import controller_reference
from hyperkube_machinery.client import Client
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.meta import controller_of, deletion_timestamp, labels_of, name, namespace, uid
from hyperkube_machinery.resources import Resource

__all__ = ["Claims", "claim", "claims_of", "is_controlled_by"]

Tree = Mapping[str, Any]


def is_controlled_by(obj: Tree, owner: Tree) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid(owner)


@dataclass(frozen=True, slots=True)
class Claims:
    """What an owner has, and what it should take or let go."""

    owned: list[Tree] = field(default_factory=list)
    adopt: list[Tree] = field(default_factory=list)
    release: list[Tree] = field(default_factory=list)

    def add(self, more: Claims) -> None:
        self.owned.extend(more.owned)
        self.adopt.extend(more.adopt)
        self.release.extend(more.release)


def claims_of(owner: Tree, matches: Callable[[Mapping[str, str]], bool], objects: Iterable[Tree]) -> Claims:
    """Sort the objects of the owner's namespace; `matches` tells whether labels fit the owner's selector.

    An owner that is being deleted takes and lets go nothing, or the collector of its dependents would miss some.
    """
    claims, going = Claims(), deletion_timestamp(owner) is not None
    for obj in objects:
        fits = matches(labels_of(obj))
        if controller_of(obj) is not None:
            if is_controlled_by(obj, owner):
                if fits:
                    claims.owned.append(obj)
                elif not going:
                    claims.release.append(obj)
        elif fits and not going and deletion_timestamp(obj) is None:
            claims.adopt.append(obj)
    return claims


async def claim(
    client: Client, kind: Resource, owner: Tree, claims: Claims, dependents: Resource, *, finalizer: str = ""
) -> list[Tree]:
    """Adopt and release as `claims` say, and return what the owner has then, as far as known.

    `kind` is the owner's resource, `dependents` that of the objects; `finalizer` comes with adoption and goes with
    release. Raises the first failure once all were tried.
    """
    kept: list[Tree] = list(claims.owned)
    failures: list[Exception] = []
    for obj in claims.release:
        try:
            await _release(client, owner, dependents, obj, finalizer)
        except FAILURES as exc:
            failures.append(exc)
    if claims.adopt:
        try:
            await _check_may_adopt(client, kind, owner)
            adopted, refused = await _adopted(client, kind, owner, claims.adopt, dependents, finalizer)
            kept += adopted
            failures += refused
        except FAILURES as exc:
            failures.append(exc)
    if failures:
        raise failures[0]
    return kept


async def _check_may_adopt(client: Client, kind: Resource, owner: Tree) -> None:
    """Ask the API server, not a cache, whether the owner is still there: the one that is deleted must not adopt."""
    fresh = await client.get(kind, name(owner), namespace(owner))
    if uid(fresh) != uid(owner) or deletion_timestamp(fresh) is not None:
        raise APIError.conflict(kind, name(owner), "it is gone or being deleted, so it adopts nothing")


async def _adopted(
    client: Client, kind: Resource, owner: Tree, orphans: Sequence[Tree], dependents: Resource, finalizer: str
) -> tuple[list[Tree], list[Exception]]:
    reference = controller_reference(owner, kind.api_version, kind.kind)
    adopted: list[Tree] = []
    failures: list[Exception] = []
    for obj in orphans:
        # The UID is the guard: an object of the same name made since is not meant.
        patch: dict[str, Any] = {"metadata": {"uid": uid(obj), "ownerReferences": [reference]}}
        if finalizer:
            patch["metadata"]["finalizers"] = [finalizer]
        try:
            adopted.append(await client.patch(dependents, name(obj), patch, namespace(obj), kind="strategic"))
        except FAILURES as exc:
            if not (isinstance(exc, APIError) and exc.code == 404):
                failures.append(exc)
    return adopted, failures


async def _release(client: Client, owner: Tree, dependents: Resource, obj: Tree, finalizer: str) -> None:
    meta: dict[str, Any] = {"uid": uid(obj), "ownerReferences": [{"$patch": "delete", "uid": uid(owner)}]}
    if finalizer:
        meta["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    try:
        await client.patch(dependents, name(obj), {"metadata": meta}, namespace(obj), kind="strategic")
    except APIError as exc:
        if exc.code not in (404, 422):  # gone, or another object by now
            raise
