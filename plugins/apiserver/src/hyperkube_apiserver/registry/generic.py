"""The one way that every write takes, whatever its kind.

    create   default → own → admit → metadata → reserve → prepare → validate → admit again → encode → store
    update   read → change → default → own → admit → metadata → prepare → reserve → validate → admit again → encode
             → store, once more from the start if it was late
    delete   read → admit → plan → store

To own is to become the owner of what one changed, as it was sent. What a kind does differently is its strategy's. A
write that changes nothing is none: it keeps the resource version
and sends no event.
Source: k8s.io/apiserver/pkg/registry/generic/registry (Store), storage/etcd3 (GuaranteedUpdate).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from hyperkube_apiserver.aside import aside, promptly_or_aside
from hyperkube_apiserver.kinds import Kind
from hyperkube_apiserver.parameters import DeleteOptions
from hyperkube_apiserver.registry import meta as object_meta
from hyperkube_apiserver.registry.attributes import AdmissionControl, Attributes, Operation, options_tree
from hyperkube_apiserver.registry.commits import Commits
from hyperkube_apiserver.registry.deletion import check_preconditions, ends_with_update, plan_deletion
from hyperkube_apiserver.registry.ownership import FieldOwners, Versions, copied, keep_times, keep_valid
from hyperkube_apiserver.registry.refusals import already_exists, check_version, not_for_create, other_uid, outdated
from hyperkube_apiserver.registry.strategy import NO_RESERVATION, Reservation, Strategy, WriteContext
from hyperkube_apiserver.representation import body_of, decode_body, encode_stored, with_version
from hyperkube_apiserver.watchcache.cache import WatchCache
from hyperkube_apiserver.watchcache.hub import Hub
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery import meta
from hyperkube_machinery.decoding import check_tree
from hyperkube_machinery.errors import APIError, FieldError
from hyperkube_machinery.fields.typings import Typing
from hyperkube_machinery.schema import Schemas
from hyperkube_machinery.storage.interface import KeyExists, Revision, StaleRevision, Store

__all__ = ["LONG_BYTES", "AfterRemoval", "Guard", "Registry", "Rights", "Written"]

log = logging.getLogger(__name__)

NAME_ATTEMPTS = 8
PATCH_ATTEMPTS = 5
UPDATE_ATTEMPTS = 100
LARGEST_OBJECT = 3 << 20

LONG_BYTES = 64 << 10
"""From here on an object is read and patched in a thread: few are so large, and theirs takes tens of milliseconds."""

T = TypeVar("T")
Tree = dict[str, Any]
Warn = Callable[[str], None]
AfterRemoval = Callable[[Tree, WriteContext], Coroutine[Any, Any, None]]
"""Told of an object that is no longer in the store, as it last was, before its deletion is answered."""

Guard = Callable[[Tree, Tree | None], Awaitable[None] | None]
"""Raises APIError where a caller may not write an object, in the place of another or of none; at once if it can."""

Rights = Callable[[Tree, Tree | None, WriteContext], list[FieldError] | Awaitable[list[FieldError]]]
"""What a writer may not say of an object, in the place of another or of none: told with all that is wrong with it."""


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
        admission: AdmissionControl,
        ttl_seconds: float | None = None,
        versions: Versions | None = None,
        typing: Typing | None = None,
    ) -> None:
        """`versions` and `typing` are those of objects that no built-in definition tells of."""
        self.kind = kind  # that requests name
        self.stored_kind = cache.kind  # that is another version where objects are stored as that
        self.strategy = strategy
        self._cache = cache
        self._hub = hub
        self._store = store
        self.admission = admission
        self._makes_namespaces = (kind.resource.group, kind.resource.resource) == ("", "namespaces")
        self._ttl_seconds = ttl_seconds
        self._commits = Commits(store, cache, ttl_seconds)
        self._prefix_length = len(cache.prefix)
        self.versions = versions or Versions(self.stored_kind.resource.api_version)
        self.owners = FieldOwners(kind, strategy.reset_fields, self.versions, typing)
        self.after_removal: AfterRemoval | None = None  # takes along what is of no use without an object
        self.rights: Rights | None = None  # where what may be said depends on who says it, or on the cluster

    async def create(
        self, tree: Tree, context: WriteContext, warn: Warn, *, guard: Guard | None = None, owned: bool = False
    ) -> Written:
        """Store a new object; raises 409 if there is one of its name, 422 if it is not valid.

        Who owns what of it is recorded here, unless it is `owned` already.
        """
        meta.ensure_meta(tree)
        object_meta.match_namespace(tree, context.namespace)
        await self._hub.fresh()  # its namespace may have been made, or deleted, just now
        tree = await self._made(lambda: self._completed(tree, None, context, owned=owned))
        metadata = tree["metadata"]
        attributes = self.attributes(Operation.CREATE, meta.name(tree), context, tree)
        if self._makes_namespaces:
            attributes.namespace = attributes.name  # as upstream: a new namespace is in itself
        await self._admit(attributes, tree, warn)
        if guard is not None and (waiting := guard(tree, None)) is not None:
            await waiting
        if metadata.get("name") or not metadata.get("generateName"):
            return await self._create(tree, context, warn, attributes)
        for _ in range(NAME_ATTEMPTS - 1):
            try:
                return await self._create(copied(tree), context, warn, attributes)
            except APIError as exc:
                if exc.reason != "AlreadyExists":
                    raise
        return await self._create(tree, context, warn, attributes)

    def _completed(self, tree: Tree, old: Tree | None, context: WriteContext, *, owned: bool) -> Tree:
        """What was sent to be in the place of `old`, with its defaults and its owners."""
        self.strategy.default(tree)
        if not owned:
            self.owners.record(tree, old, context)
        return tree

    def admitted(self, tree: Tree, *, field_validation: str = "Ignore") -> Tree:
        """What admission made of an object of this version, as it is to be stored: read like one that was sent.

        Raises WrongType for what is no such object any more, StrictError for unknown fields where they count.
        """
        resource = self.kind.resource
        check_tree(
            tree,
            Schemas.load().walker(self.kind.definition),
            group_version=resource.api_version,
            kind=resource.kind,
            field_validation=field_validation,
        )
        return self._defaulted(tree)

    def _defaulted(self, tree: Tree) -> Tree:
        self.strategy.default(tree)
        return tree

    async def converted(self, tree: Tree, api_version: str) -> Tree:
        """An object of any version as one of another, for nobody to change. Raises LookupError for an unserved one."""
        return self.versions.convert(tree, api_version)

    async def _admit(self, attributes: Attributes, tree: Tree, warn: Warn) -> None:
        """Ask admission, and put right what it may have made of the metadata of `tree`."""
        entries = tree["metadata"].get("managedFields")
        await self.admission.admit(attributes)
        keep_valid(tree, entries, warn)
        object_meta.drop_double_owners(tree, warn, admitted=True)

    def attributes(
        self, operation: Operation, name: str, context: WriteContext, tree: Tree | None, old: Tree | None = None
    ) -> Attributes:
        """What `admission` is asked of a request. Whoever answers one that is no write of an object asks himself."""
        return Attributes(
            kind=self.kind,
            operation=operation,
            name="" if context.in_collection else name,
            namespace=context.namespace,
            subresource=context.subresource,
            obj=tree,
            old=old,
            identity=context.identity,
            dry_run=context.dry_run,
            ends=context.ends,
            options=options_tree(operation, context.options),
            warn=context.warn,
            annotate=context.annotate,
        )

    async def _create(self, tree: Tree, context: WriteContext, warn: Warn, attributes: Attributes) -> Written:
        object_meta.before_create(tree, namespace=context.namespace, now=context.now)
        reservation = self.strategy.begin_create(tree, context)
        try:
            self.strategy.prepare_for_create(tree, context)
            errors = await self._not_in_his_rights(tree, None, context) if self.rights is not None else []
            self._refuse(tree, errors + await self._judged(tree, lambda: self.strategy.validate(tree)))
            version = tree["metadata"].get("resourceVersion")
            # It is the store that refuses it, which a dry run never comes to.
            if version and version != "0" and not context.dry_run:
                raise not_for_create(version)
            for text in await self._judged(tree, lambda: self.strategy.warnings(tree)):
                warn(text)
            attributes.obj, attributes.name = tree, tree["metadata"]["name"]
            await self.admission.validate(attributes)
            key = self.kind.key(context.namespace, tree["metadata"]["name"])
            if reservation is not NO_RESERVATION:
                if (existing := self._cache.get(key)) is not None:
                    raise already_exists(self.kind.resource, tree, existing)
                await reservation.secure()
            stored = await self._encoded(tree)
            if context.dry_run:
                await self._hub.fresh()
                existing = self._cache.get(key)
                if existing is not None:
                    raise already_exists(self.kind.resource, tree, existing)
        except BaseException:
            reservation.release()
            raise
        if context.dry_run:
            reservation.release()
            return Written(await self._answer(stored, None), created=True)
        try:
            revision = await self._commits.create(key, stored, tree, reservation)
        except KeyExists as exc:
            await self._hub.fresh()
            raise already_exists(self.kind.resource, tree, self._cache.get(key)) from exc
        return Written(await self._answer(stored, revision), created=True)

    async def update(
        self,
        name: str,
        change: Callable[[Tree], Tree],
        context: WriteContext,
        warn: Warn,
        *,
        uid: str = "",
        on_create: Callable[[], Awaitable[None]] | None = None,
        guard: Guard | None = None,
        attempts: int = UPDATE_ATTEMPTS,
        owned: bool = False,
        makes: bool = False,
    ) -> Written:
        """Write what `change` makes of the object as it is now; it is asked again if another write came between.

        `uid`, if given, must be the object's, so that nothing is made in the place of what had it. `on_create` is
        called before an object is made that was not there, and refuses that by raising; without it, or for kinds that
        don't allow it, what is not there is 404; `makes` allows it for all kinds. `change` records owners itself if it
        is `owned`. What it is given shares managedFields with others, so it may replace, but not change them.
        """
        key = self.kind.key(context.namespace, name)
        for attempt in range(attempts):
            await self._hub.fresh()
            item = self._cache.get(key)
            if item is None:
                if on_create is None or not (makes or self.strategy.allows_create_on_update):
                    raise APIError.not_found(self.kind.resource, name)
                if uid:
                    raise other_uid(self.kind.resource, key, name, uid, "")
                await on_create()
                tree = change({})
                meta.ensure_meta(tree).pop("resourceVersion", None)
                try:
                    return await self.create(tree, context, warn, guard=guard, owned=owned)
                except APIError as exc:
                    if exc.reason != "AlreadyExists" or attempt == attempts - 1:
                        raise
                continue
            try:
                return await self._update(item, change, context, warn, uid, guard, owned=owned)
            except StaleRevision as exc:
                if attempt == attempts - 1:
                    raise outdated(self.kind.resource, name) from exc
        raise AssertionError("the last attempt returns or raises")

    async def _update(
        self,
        item: Item,
        change: Callable[[Tree], Tree],
        context: WriteContext,
        warn: Warn,
        uid: str,
        guard: Guard | None,
        *,
        owned: bool,
    ) -> Written:
        await self._prepare(item)
        old = self._tree(item)
        if uid and uid != old["metadata"]["uid"]:
            raise other_uid(self.kind.resource, item.key, item.name, uid, old["metadata"]["uid"])
        direct = context.subresource in self.strategy.direct_subresources
        tree = await self._made(
            lambda: self._completed(change(self._again(item, old)), old, context, owned=owned or direct), len(item.body)
        )
        attributes, part = self.attributes(Operation.UPDATE, item.name, context, tree, old), context.part
        if part is not None:
            attributes.obj, attributes.old = part.of(tree), part.of(old)
        if not direct and not context.admitted:
            await self._admit(attributes, tree, warn)
        if part is not None:
            assert attributes.obj is not None
            part.put(tree, attributes.obj)
        check_version(self.kind.resource, self.strategy, tree, item)
        if guard is not None and (waiting := guard(tree, old)) is not None:
            await waiting
        object_meta.before_update(tree, old, namespace=context.namespace)
        if direct:
            return await self._write(item, tree, old, context, NO_RESERVATION)
        self.strategy.prepare_for_update(tree, old, context)
        reservation = self.strategy.begin_update(tree, old, context)
        try:
            errors = await self._not_in_his_rights(tree, old, context) if self.rights is not None else []
            errors += await self._judged(tree, lambda: self.strategy.validate_change(tree, old, context))
            self._refuse(tree, errors, name=item.name)
            found = await self._judged(tree, lambda: self.strategy.update_warnings(tree, old, context.subresource))
            for text in found:
                warn(text)
            if part is not None:
                attributes.obj = part.of(tree)
            if not context.admitted:
                await self.admission.validate(attributes)
        except BaseException:
            reservation.release()
            raise
        return await self._write(item, tree, old, context, reservation)

    async def _write(
        self, item: Item, tree: Tree, old: Tree, context: WriteContext, reservation: Reservation
    ) -> Written:
        tree["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        keep_times(tree, old)
        goes = ends_with_update(self.strategy, tree, old)
        is_same = self._is_same(tree, old)
        if not goes and not context.dry_run and (not is_same or await self._is_unfinished(item, old)):
            stored = await self._secured(tree, reservation)
            revision = await self._commits.replace(item, stored, tree, reservation)
            return Written(await self._answer(stored, revision))
        reservation.release()
        if goes and not context.dry_run:
            # The object as it was sent is the answer; it is not written once more before it goes.
            await self._store.delete(item.key, expected=Revision(item.revision))
            await self._tell_of_removal(item.body, context)
        body = self._body(item) if is_same else await self._answer(await self._encoded(tree), item.revision)
        return Written(body, removed=goes)

    def _is_same(self, tree: Tree, old: Tree) -> bool:
        """Whether there is nothing to write."""
        return tree == old

    async def _is_unfinished(self, item: Item, old: Tree) -> bool:
        """Whether a write that changes nothing is one all the same: see `Strategy.completed_by_reading`."""
        if await self._store.is_stale(item.key):
            return True
        if not self.strategy.completed_by_reading(old):
            return False
        entry = await self._store.get(item.key)
        return entry is not None and entry.version == 1

    async def delete(self, name: str, options: DeleteOptions, context: WriteContext, warn: Warn) -> Written:
        """Delete an object, or mark it as being deleted where something keeps it."""
        self.strategy.check_deletion(name)
        if self.strategy.orphaning_warning and options.propagation_policy is None and options.orphan_dependents is None:
            warn(self.strategy.orphaning_warning)
        key = self.kind.key(context.namespace, name)
        for _ in range(UPDATE_ATTEMPTS):
            await self._hub.fresh()
            item = self._cache.get(key)
            if item is None:
                raise APIError.not_found(self.kind.resource, name)
            try:
                written = await self._delete(item, options, context)
            except StaleRevision:
                continue
            if written.removed and not context.dry_run:
                await self._tell_of_removal(written.body, context)
            return written
        raise outdated(self.kind.resource, name)

    async def _secured(self, tree: Tree, reservation: Reservation) -> bytes:
        """What to store for `tree`, once what its reservation stores beside it is there."""
        try:
            if reservation is not NO_RESERVATION:
                await reservation.secure()
            return await self._encoded(tree)
        except BaseException:
            reservation.release()
            raise

    async def _tell_of_removal(self, body: bytes, context: WriteContext) -> None:
        if self.after_removal is None:
            return
        try:
            await self.after_removal(decode_body(body), context)
        except APIError as exc:  # the deletion that was asked for took place all the same
            log.warning("what goes with a %s stays: %s", self.kind.resource.singular, exc)

    async def _delete(self, item: Item, options: DeleteOptions, context: WriteContext) -> Written:
        await self._prepare(item)
        tree = self._tree(item)
        check_preconditions(self.strategy, tree, options)
        before = self._again(item, tree)
        if not context.admitted:
            attributes = self.attributes(Operation.DELETE, item.name, context, None, before)
            if self._makes_namespaces:  # as upstream, which makes sure that it empties the very one that was meant
                attributes.options.setdefault("preconditions", {"uid": tree["metadata"]["uid"]})
            await self.admission.admit(attributes)
            await self.admission.validate(attributes)
        plan = plan_deletion(self.strategy, tree, options, datetime.fromisoformat(context.now))
        body, revision = self._body(item), Revision(item.revision)
        if plan.write and tree != before:
            stored = await self._encoded(tree)
            if not context.dry_run:
                revision = await self._commits.replace(item, stored, tree, NO_RESERVATION)
            body = await self._answer(stored, revision)
        if plan.remove and not context.dry_run:
            body = with_version(body, await self._store.delete(item.key, expected=revision))
        return Written(body, removed=plan.remove)

    # How objects look that are stored, which differs where they may be of several versions

    async def _made(self, make: Callable[[], Tree], size: int = 0) -> Tree:
        """What `make` makes of what was sent, and of an object of `size` bytes. It may be asked for more than once."""
        return make() if size < LONG_BYTES else await asyncio.to_thread(make)

    async def _judged(self, tree: Tree, judge: Callable[[], T]) -> T:
        """What `judge` says of `tree`, said in a thread where the event loop would be held for long."""
        if self.strategy.takes_long(tree):
            return await aside(judge)
        return await promptly_or_aside(judge) if self.strategy.evaluates else judge()

    async def _prepare(self, item: Item) -> None:
        """Do what must be waited for before `item` can be looked at."""

    async def _encoded(self, tree: Tree) -> bytes:
        """What is stored for `tree`."""
        return self._encode(tree)

    async def _answer(self, stored: bytes, revision: int | None) -> bytes:
        """The body that tells of what was stored at `revision`, or (None) would have been."""
        if revision is None:
            return stored[self._prefix_length :]
        return body_of(stored, self._prefix_length, revision)

    def _body(self, item: Item) -> bytes:
        """The same of what a cache holds."""
        return item.body

    def _tree(self, item: Item) -> Tree:
        resource = self.stored_kind.resource
        return {"kind": resource.kind, "apiVersion": resource.api_version, **decode_body(item.body)}

    def _again(self, item: Item, tree: Tree) -> Tree:
        """Another tree of `item`, to be changed beside `tree`: decoding is several times as fast as copying."""
        other = self._tree(item)
        if (entries := tree["metadata"].get("managedFields")) is not None:
            other["metadata"]["managedFields"] = entries
        return other

    def _encode(self, tree: Tree) -> bytes:
        stored = encode_stored(self.stored_kind, tree)
        if len(stored) > LARGEST_OBJECT and tree["metadata"].pop("managedFields", None):
            stored = encode_stored(self.stored_kind, tree)  # rather no owners than no object
        if len(stored) > LARGEST_OBJECT:
            raise APIError.too_large(
                f"the object would take {len(stored)} bytes in the store; the most is {LARGEST_OBJECT}"
            )
        return stored

    async def _not_in_his_rights(self, tree: Tree, old: Tree | None, context: WriteContext) -> list[FieldError]:
        assert self.rights is not None
        found = self.rights(tree, old, context)
        return found if isinstance(found, list) else await found

    def _refuse(self, tree: Tree, errors: list[FieldError], name: str = "") -> None:
        if errors:
            resource = self.stored_kind.resource
            raise APIError.invalid(resource.group, resource.kind, name or meta.name(tree), errors)
