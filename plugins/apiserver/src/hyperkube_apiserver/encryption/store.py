"""A store of which some resources are encrypted: what is written is, and what is read no longer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from hyperkube_apiserver.encryption.configuration import Rules, read_rules
from hyperkube_apiserver.encryption.providers import Transformer, Undecipherable
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError
from hyperkube_machinery.clock import Clock
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

__all__ = ["EncryptedStore", "Resources", "keep_rules"]

log = logging.getLogger(__name__)

RELOAD_SECONDS = 10.0


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
        return None if entry is None else self._read(entry)

    async def is_stale(self, key: str) -> bool:
        """Whether what lives at a key would be written otherwise now."""
        entry, transformer = await self._store.get(key), self._transformer(key)
        return entry is not None and transformer is not None and self._decrypted(entry, transformer)[1]

    async def range(self, prefix: str, *, after: str = "", limit: int = 0, revision: Revision | None = None) -> Page:
        page = await self._store.range(prefix, after=after, limit=limit, revision=revision)
        return replace(page, entries=[self._read(entry) for entry in page.entries])

    async def create(self, key: str, value: bytes, *, ttl_seconds: float | None = None) -> Entry:
        entry = await self._store.create(key, self._encrypted(key, value), ttl_seconds=ttl_seconds)
        return replace(entry, value=value)

    async def update(self, key: str, value: bytes, *, expected: Revision, ttl_seconds: float | None = None) -> Entry:
        try:
            entry = await self._store.update(
                key, self._encrypted(key, value), expected=expected, ttl_seconds=ttl_seconds
            )
        except StaleRevision as exc:
            raise self._stale(exc) from exc
        return replace(entry, value=value)

    async def delete(self, key: str, *, expected: Revision) -> Revision:
        try:
            return await self._store.delete(key, expected=expected)
        except StaleRevision as exc:
            raise self._stale(exc) from exc

    async def watch(self, prefix: str, *, after: Revision) -> AsyncGenerator[Changes, None]:
        async with aclosing(self._store.watch(prefix, after=after)) as batches:
            async for batch in batches:
                yield Changes([self._change(change) for change in batch.changes], batch.revision)

    def _transformer(self, key: str) -> Transformer | None:
        resource = self._resources.at(key)
        return None if resource is None else self.rules.transformer(*resource)

    def _encrypted(self, key: str, value: bytes) -> bytes:
        transformer = self._transformer(key)
        return value if transformer is None else transformer.encrypt(value, self._outside(key).encode())

    def _read(self, entry: Entry) -> Entry:
        transformer = self._transformer(entry.key)
        if transformer is None:
            return entry
        return replace(entry, value=self._decrypted(entry, transformer)[0])

    def _decrypted(self, entry: Entry, transformer: Transformer) -> tuple[bytes, bool]:
        try:
            return transformer.decrypt(entry.value, self._outside(entry.key).encode())
        except Undecipherable as exc:
            raise Unavailable(f'unable to transform key "{entry.key}": {exc}') from exc

    def _change(self, change: Change) -> Change:
        entry = None if change.entry is None else self._read(change.entry)
        previous = None if change.previous is None else self._read(change.previous)
        return Change(change.key, change.revision, entry, previous)

    def _stale(self, exc: StaleRevision) -> StaleRevision:
        return StaleRevision(exc.key, None if exc.current is None else self._read(exc.current))


async def keep_rules(store: EncryptedStore, path: Path, clock: Clock) -> NoReturn:
    """Take over the rules of a file when it has changed, until cancelled. One that is wrong changes nothing."""
    seen = _content(path)
    while True:
        await clock.sleep(RELOAD_SECONDS)
        content = _content(path)
        if content == seen or not content:
            continue
        try:
            store.rules = read_rules(path)
        except EncryptionConfigurationError as exc:
            log.error("failed to process encryption config file, the earlier one goes on: %s", exc)
        else:
            log.info("encryption config file %s was read again", path)
        seen = content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
