"""A store of which some resources are encrypted: what is written is, and what is read no longer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from hyperkube_apiserver.encryption.providers import Identity, KeyNeeded, Transformer, Undecipherable, Unencryptable
from hyperkube_apiserver.encryption.rules import Rules
from hyperkube_machinery.storage.interface import (
    Change,
    Changes,
    Entry,
    Page,
    Revision,
    StaleRevision,
    Store,
    Unavailable,
)

__all__ = ["EncryptedStore", "Resources"]

_PLAIN = Transformer([Identity()])
"""Of what is not to be encrypted; what is encrypted nevertheless can't be read."""


class Resources:
    """Which resource lives at a key."""

    def __init__(self, prefixes: Mapping[str, tuple[str, str]]) -> None:
        """`prefixes`: what keys begin with, without a slash behind it, and the group and the resource there."""
        self._prefixes = prefixes

    def at(self, key: str) -> tuple[str, str] | None:
        """The group and the resource; None for what is no object."""
        parts = key.split("/")  # "", registry, …
        for length in (4, 3):
            if (found := self._prefixes.get("/".join(parts[:length]))) is not None:
                return found
        if len(parts) > 4 and "." in parts[2]:  # a custom resource
            return parts[2], parts[3]
        return None


class EncryptedStore:
    """A Store over another."""

    def __init__(
        self, store: Store, rules: Rules, resources: Resources, *, outside: Callable[[str], str] = lambda key: key
    ) -> None:
        """`outside` tells what a key is called where it is stored, to which what is written is bound."""
        self._store = store
        self.rules = rules
        self._resources = resources
        self._outside = outside
        self.revision = store.revision
        self.compact = store.compact
        self.check = store.check

    async def get(self, key: str) -> Entry | None:
        entry = await self._store.get(key)
        return None if entry is None else await self._read(entry)

    async def is_stale(self, key: str) -> bool:
        """Whether what lives at a key would be written otherwise now."""
        entry, transformer = await self._store.get(key), self._transformer(key)
        return entry is not None and transformer is not None and (await self._decrypted(entry, transformer))[1]

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        page = await self._store.range(prefix, after=after, limit=limit, revision=revision)
        return replace(page, entries=[await self._read(entry) for entry in page.entries])

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        entry = await self._store.create(key, self._encrypted(key, value), ttl_seconds=ttl_seconds)
        return replace(entry, value=value)

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        try:
            entry = await self._store.update(
                key, self._encrypted(key, value), expected=expected, ttl_seconds=ttl_seconds
            )
        except StaleRevision as exc:
            raise await self._stale(exc) from exc
        return replace(entry, value=value)

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        try:
            return await self._store.delete(key, expected=expected)
        except StaleRevision as exc:
            raise await self._stale(exc) from exc

    async def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        async with aclosing(self._store.watch(prefix, after=after)) as batches:
            async for batch in batches:
                yield Changes([await self._change(change) for change in batch.changes], batch.revision)

    def _transformer(self, key: str) -> Transformer | None:
        """What is done with what lives at a key; None for what is no object."""
        resource = self._resources.at(key)
        return None if resource is None else self.rules.transformer(*resource) or _PLAIN

    def _encrypted(self, key: str, value: bytes) -> bytes:
        transformer = self._transformer(key)
        try:
            return value if transformer is None else transformer.encrypt(value, self._outside(key).encode())
        except Unencryptable as exc:
            raise Unavailable(str(exc)) from exc

    async def _read(self, entry: Entry) -> Entry:
        transformer = self._transformer(entry.key)
        if transformer is None:
            return entry
        return replace(entry, value=(await self._decrypted(entry, transformer))[0])

    async def _decrypted(self, entry: Entry, transformer: Transformer) -> tuple[bytes, bool]:
        about = self._outside(entry.key).encode()
        try:
            while True:
                try:
                    return transformer.decrypt(entry.value, about)
                except KeyNeeded as needed:
                    await needed.fetch()
        except Undecipherable as exc:
            raise Unavailable(f'unable to transform key "{entry.key}": {exc}') from exc

    async def _change(self, change: Change) -> Change:
        entry = None if change.entry is None else await self._read(change.entry)
        previous = None if change.previous is None else await self._read(change.previous)
        return Change(change.key, change.revision, entry, previous)

    async def _stale(self, exc: StaleRevision) -> StaleRevision:
        return StaleRevision(exc.key, None if exc.current is None else await self._read(exc.current))
