"""The one way that every write takes, whatever its kind.

    create   admit → default → metadata → reserve → prepare → validate → encode → store
    update   read → change → default → metadata → prepare → reserve → validate → encode → store, again if it was late
    delete   read → plan → store

What a kind does differently is its strategy's. A write that changes nothing is none: it keeps the resource version
and sends no event.
Source: k8s.io/apiserver/pkg/registry/generic/registry (Store), storage/etcd3 (GuaranteedUpdate).
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.deletion import check_preconditions, ends_with_update, plan_deletion
from hyperkube_apiserver.registry.strategy import Strategy, WriteContext
from hyperkube_apiserver.representation import body_of, decode_body, encode_stored, unversioned, with_version
from hyperkube_apiserver.storage.interface import Entry, KeyExists, Revision, StaleRevision, Store
from hyperkube_apiserver.versions import invalid_version, parse_version
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError, FieldError

__all__ = ["Admission", "Guard", "Registry", "Written"]

NAME_ATTEMPTS = 8
PATCH_ATTEMPTS = 5
UPDATE_ATTEMPTS = 100
LARGEST_OBJECT = 3 << 20
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"

Tree = dict[str, Any]
Admission = Callable[[Kind, Tree, WriteContext], None]
"""Raises APIError for an object that may not be created."""
Warn = Callable[[str], None]
Guard = Callable[[Tree, Tree | None], None]
"""Raises APIError where a caller may not write an object, in the place of another or of none."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to: the body of the object as it is now, or as it last was."""

    body: bytes
    created: bool = False
    removed: bool = False


class Registry:
    """The objects of one kind, to be written."""

    def __init__(
        self,
        kind: Kind,
        strategy: Strategy,
        cache: WatchCache,
        hub: Hub,
        store: Store,
        *,
        admit: Admission,
        ttl_seconds: float | None = None,
    ) -> None:
        self.kind = kind
        self.strategy = strategy
        self._cache = cache
        self._hub = hub
        self._store = store
        self._admit = admit
        self._ttl_seconds = ttl_seconds
        self._prefix_length = len(cache.prefix)

    async def create(self, tree: Tree, context: WriteContext, warn: Warn, *, guard: Guard | None = None) -> Written:
        """Store a new object; raises 409 if there is one of its name, 422 if it is not valid."""
        metadata = meta.ensure_meta(tree)
        object_meta.match_namespace(tree, context.namespace)
        self._admit(self.kind, tree, context)
        self.strategy.default(tree)
        if guard is not None:
            guard(tree, None)
        if metadata.get("name") or not metadata.get("generateName"):
            return await self._create(tree, context, warn)
        for _ in range(NAME_ATTEMPTS - 1):
            try:
                return await self._create(copy.deepcopy(tree), context, warn)
            except APIError as exc:
                if exc.reason != "AlreadyExists":
                    raise
        return await self._create(tree, context, warn)

    async def _create(self, tree: Tree, context: WriteContext, warn: Warn) -> Written:
        object_meta.before_create(tree, namespace=context.namespace, now=context.now)
        reservation = self.strategy.begin_create(tree, context)
        try:
            self.strategy.prepare_for_create(tree, context)
            self._refuse(tree, self.strategy.validate(tree))
            version = tree["metadata"].get("resourceVersion")
            if version and version != "0":
                raise _not_for_create(version)
            for text in self.strategy.warnings(tree):
                warn(text)
            name = tree["metadata"]["name"]
            key = self.kind.key(context.namespace, name)
            if context.dry_run:
                await self._hub.fresh()
                existing = self._cache.get(key)
                if existing is not None:
                    raise self._exists(tree, existing)
                return Written(unversioned(self.kind, tree), created=True)
            stored = self._encode(tree)
            try:
                entry = await self._announced(
                    key, stored, tree, self._store.create(key, stored, ttl_seconds=self._ttl_seconds)
                )
            except KeyExists as exc:
                await self._hub.fresh()
                raise self._exists(tree, self._cache.get(key)) from exc
        except BaseException:
            reservation.release()
            raise
        if context.dry_run:
            reservation.release()
        else:
            reservation.commit()
        return Written(body_of(stored, self._prefix_length, entry.mod_revision), created=True)

    async def update(
        self,
        name: str,
        change: Callable[[Tree], Tree],
        context: WriteContext,
        warn: Warn,
        *,
        uid: str = "",
        on_create: Callable[[], None] | None = None,
        guard: Guard | None = None,
        attempts: int = UPDATE_ATTEMPTS,
    ) -> Written:
        """Write what `change` makes of the object as it is now; it is asked again if another write came between.

        `uid`, if given, must be the object's. `on_create` is called before an object is made that was not there, and
        refuses that by raising; without it, or for kinds that don't allow it, what is not there is 404.
        """
        key = self.kind.key(context.namespace, name)
        for attempt in range(attempts):
            await self._hub.fresh()
            item = self._cache.get(key)
            if item is None:
                if on_create is None or not self.strategy.allows_create_on_update:
                    raise APIError.not_found(self.kind.resource, name)
                on_create()
                return await self.create(change({}), context, warn, guard=guard)
            try:
                return await self._update(item, change, context, warn, uid, guard)
            except StaleRevision as exc:
                if attempt == attempts - 1:
                    raise APIError.conflict(self.kind.resource, name, MODIFIED) from exc
        raise AssertionError("the last attempt returns or raises")

    async def _update(
        self,
        item: Item,
        change: Callable[[Tree], Tree],
        context: WriteContext,
        warn: Warn,
        uid: str,
        guard: Guard | None,
    ) -> Written:
        old = self._tree(item)
        if uid and uid != old["metadata"]["uid"]:
            raise self._other_uid(item, uid, old["metadata"]["uid"])
        tree = change(copy.deepcopy(old))
        self._check_version(tree, item)
        self.strategy.default(tree)
        if guard is not None:
            guard(tree, old)
        object_meta.before_update(tree, old, namespace=context.namespace)
        if context.subresource in self.strategy.direct_subresources:
            return await self._write(item, tree, old, context)
        self.strategy.prepare_for_update(tree, old, context)
        reservation = self.strategy.begin_update(tree, old, context)
        try:
            self._refuse(tree, self.strategy.validate_update(tree, old, context.subresource), name=item.name)
            for text in self.strategy.warnings(tree, old):
                warn(text)
            written = await self._write(item, tree, old, context)
        except BaseException:
            reservation.release()
            raise
        if context.dry_run:
            reservation.release()
        else:
            reservation.commit()
        return written

    async def _write(self, item: Item, tree: Tree, old: Tree, context: WriteContext) -> Written:
        tree["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if ends_with_update(self.strategy, tree, old):
            # The object as it was sent is the answer; it is not written once more before it goes.
            if not context.dry_run:
                await self._store.delete(item.key, expected=Revision(item.revision))
            return Written(self._body(tree, item.revision), removed=True)
        if tree == old:
            return Written(item.body)
        stored = self._encode(tree)
        if context.dry_run:
            return Written(body_of(stored, self._prefix_length, item.revision))
        revision = await self._replace(item, stored, tree)
        return Written(body_of(stored, self._prefix_length, revision))

    async def delete(self, name: str, options: DeleteOptions, context: WriteContext, warn: Warn) -> Written:
        """Delete an object, or mark it as being deleted where something keeps it."""
        if self.strategy.orphaning_warning and options.propagation_policy is None and options.orphan_dependents is None:
            warn(self.strategy.orphaning_warning)
        key = self.kind.key(context.namespace, name)
        for _ in range(UPDATE_ATTEMPTS):
            await self._hub.fresh()
            item = self._cache.get(key)
            if item is None:
                raise APIError.not_found(self.kind.resource, name)
            try:
                return await self._delete(item, options, context)
            except StaleRevision:
                continue
        raise APIError.conflict(self.kind.resource, name, MODIFIED)

    async def _delete(self, item: Item, options: DeleteOptions, context: WriteContext) -> Written:
        tree = self._tree(item)
        self.strategy.check_deletion(tree)
        check_preconditions(self.kind, tree, options)
        before = copy.deepcopy(tree)
        plan = plan_deletion(self.strategy, tree, options, datetime.fromisoformat(context.now))
        body, revision = item.body, Revision(item.revision)
        if plan.write and tree != before:
            stored = self._encode(tree)
            if not context.dry_run:
                revision = await self._replace(item, stored, tree)
            body = body_of(stored, self._prefix_length, revision)
        if plan.remove and not context.dry_run:
            body = with_version(body, await self._store.delete(item.key, expected=revision))
        return Written(body, removed=plan.remove)

    async def _replace(self, item: Item, stored: bytes, tree: Tree) -> Revision:
        write = self._store.update(item.key, stored, expected=Revision(item.revision), ttl_seconds=self._ttl_seconds)
        return (await self._announced(item.key, stored, tree, write)).mod_revision

    async def _announced(self, key: str, stored: bytes, tree: Tree, write: Awaitable[Entry]) -> Entry:
        self._cache.announce(key, stored, tree)
        try:
            return await write
        except BaseException:
            self._cache.withdraw(key)
            raise

    def _tree(self, item: Item) -> Tree:
        resource = self.kind.resource
        return {"kind": resource.kind, "apiVersion": resource.api_version, **decode_body(item.body)}

    def _body(self, tree: Tree, revision: int) -> bytes:
        return body_of(self._encode(tree), self._prefix_length, revision)

    def _encode(self, tree: Tree) -> bytes:
        stored = encode_stored(self.kind, tree)
        if len(stored) > LARGEST_OBJECT:
            raise APIError.too_large(
                f"the object would take {len(stored)} bytes in the store; the most is {LARGEST_OBJECT}"
            )
        return stored

    def _refuse(self, tree: Tree, errors: list[FieldError], name: str = "") -> None:
        if errors:
            resource = self.kind.resource
            raise APIError.invalid(resource.group, resource.kind, name or meta.name(tree), errors)

    def _check_version(self, tree: Tree, item: Item) -> None:
        """Raise unless the change was made to the object as it is, or to whatever it is where the kind allows that."""
        text = meta.resource_version(tree)
        revision = parse_version(text) if text else 0
        if revision is None:
            raise APIError.of(500, "", invalid_version(text))
        if revision == item.revision:
            return
        resource = self.kind.resource
        if revision:
            raise APIError.conflict(resource, item.name, MODIFIED)
        if not self.strategy.allows_unconditional_update:
            error = FieldError.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise APIError.invalid(resource.group, resource.resource, item.name, [error])

    def _other_uid(self, item: Item, wanted: str, found: str) -> APIError:
        why = (
            f"StorageError: invalid object, Code: 4, Key: {item.key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
        )
        return APIError.conflict(self.kind.resource, item.name, why)

    def _exists(self, tree: Tree, existing: Item | None) -> APIError:
        name = meta.name(tree)
        error = APIError.already_exists(self.kind.resource, name)
        status, headers = error.status, []
        if tree["metadata"].get("generateName"):
            status["message"] += ", the server was not able to generate a unique name for the object"
            status["details"]["retryAfterSeconds"] = 1
            headers.append(("Retry-After", "1"))
        if existing is not None and meta.deletion_timestamp(self._tree(existing)):
            status["message"] = f"object is being deleted: {status['message']}"
        return APIError(status, headers=headers)


def _not_for_create(resource_version: str) -> APIError:
    if parse_version(resource_version) is None:
        return APIError.of(500, "", invalid_version(resource_version))
    return APIError.of(500, "", "resourceVersion should not be set on objects to be created")
