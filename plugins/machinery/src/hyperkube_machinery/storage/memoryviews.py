"""Views of a store in memory: see `views`. What is written through one is taken over when the function has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hyperkube_machinery.storage.interface import Change, Entry, Revision
from hyperkube_machinery.storage.views import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyperkube_machinery.storage.memory import MemoryStore

__all__ = ["MemoryView", "MemoryWritingView"]


class MemoryView:
    """A View of what lives now."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.revision = store.newest
        self.oldest = store.oldest

    def get(self, key: str) -> Entry | None:
        return self._store.living(key)

    def range(
        self, start: str, end: str | None, *, limit: int = 0, revision: Revision | None = None, values: bool = True
    ) -> Found:
        entries, count = self._store.span(start, end, limit, revision)
        return Found(entries if values else [replace(entry, value=b"") for entry in entries], count)

    def kept_at(self, revision: Revision, start: str, end: str | None) -> Sequence[Change]:
        changes = self._store.kept_changes(revision)
        return [change for change in changes if change.key >= start and (end is None or change.key < end)]

    def ttl(self, lease: int) -> int | None:
        return self._store.kept_leases.get(lease)

    def leases(self) -> Sequence[tuple[int, int]]:
        return list(self._store.kept_leases.items())

    def leased(self) -> Sequence[tuple[str, int]]:
        return [(entry.key, entry.lease) for entry in self._store.span("", None, 0, None)[0] if entry.lease]


class MemoryWritingView(MemoryView):
    """A WritingView."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.changes: list[Change] = []
        self.kept_leases = dict(store.kept_leases)
        self._written: dict[str, Entry | None] = {}

    def get(self, key: str) -> Entry | None:
        return self._written[key] if key in self._written else super().get(key)

    def range(
        self, start: str, end: str | None, *, limit: int = 0, revision: Revision | None = None, values: bool = True
    ) -> Found:
        if not self._written or (revision is not None and revision <= self.revision):
            return super().range(start, end, limit=limit, revision=revision, values=values)
        living = {entry.key: entry for entry in self._store.span(start, end, 0, None)[0]}
        for key, entry in self._written.items():
            if entry is None:
                living.pop(key, None)
            elif key >= start and (end is None or key < end):
                living[key] = entry
        entries = [living[key] for key in sorted(living)]
        shown = entries if not limit else entries[: max(0, limit)]
        return Found(shown if values else [replace(entry, value=b"") for entry in shown], len(entries))

    def put(self, key: str, value: bytes, *, lease: int = 0) -> Change:
        previous, revision = self.get(key), Revision(self.revision + 1)
        created = previous.create_revision if previous is not None else revision
        version = previous.version + 1 if previous is not None else 1
        return self._write(Change(key, revision, Entry(key, value, created, revision, version, lease), previous))

    def delete(self, key: str) -> Change | None:
        previous = self.get(key)
        if previous is None:
            return None
        return self._write(Change(key, Revision(self.revision + 1), None, previous))

    def ttl(self, lease: int) -> int | None:
        return self.kept_leases.get(lease)

    def grant(self, lease: int, ttl_seconds: int) -> None:
        self.kept_leases[lease] = ttl_seconds

    def revoke(self, lease: int) -> None:
        self.kept_leases.pop(lease, None)

    def _write(self, change: Change) -> Change:
        self._written[change.key] = change.entry
        self.changes.append(change)
        return change
