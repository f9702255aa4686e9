"""The key space written plainly, a copy of everything for each revision, and a store held against it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from dataclasses import dataclass

from hypothesis import strategies as st

from hyperkube_machinery.storage.interface import (
    Change,
    Compacted,
    Entry,
    KeyExists,
    Revision,
    StaleRevision,
    Store,
    StoreError,
)

KEYS = ("/a", "/a/b", "/a0", "/é", "/\U00010000")
PREFIXES = ("", "/", "/a", "/a/", "/b", "/c")


@dataclass(frozen=True)
class Write:
    verb: str
    key: str
    value: bytes
    guess: int  # at what it expects: 0 is right, anything else is as much too old


@dataclass(frozen=True)
class Together:
    """Writes that are asked for at once."""

    writes: tuple[Write, ...]


@dataclass(frozen=True)
class Read:
    prefix: str
    after: str
    limit: int
    back: int  # revisions before the newest


@dataclass(frozen=True)
class Watch:
    prefix: str
    back: int


@dataclass(frozen=True)
class Compact:
    back: int


Step = Together | Read | Watch | Compact

_writes = st.builds(
    Write,
    st.sampled_from(["create", "update", "delete"]),
    st.sampled_from(KEYS),
    st.binary(max_size=3),
    st.sampled_from([0, 0, 0, 1]),
)
_together = st.builds(Together, st.lists(_writes, min_size=1, max_size=8).map(tuple))
_back = st.integers(0, 12)
plans = st.lists(
    _together
    | _together
    | st.builds(Read, st.sampled_from(PREFIXES), st.sampled_from(("", *KEYS)), st.integers(0, 3), _back)
    | st.builds(Watch, st.sampled_from(PREFIXES), _back)
    | st.builds(Compact, _back),
    min_size=1,
    max_size=25,
)


class Model:
    """Does steps to a store that is empty at first, and says what should come of them."""

    def __init__(self, store: Store, *, skips: bool = False) -> None:
        """`skips`: revisions are skipped now and then, for somebody else writes."""
        self.store = store
        self.skips = skips
        self.states: list[dict[str, Entry]] = [{}, {}]  # of each revision
        self.changes: list[Change] = []
        self.oldest = 0

    @property
    def revision(self) -> int:
        return len(self.states) - 1

    async def follow(self, plan: list[Step]) -> None:
        async with aclosing(self.store.watch("", after=Revision(1))) as live:
            for step in plan:
                if isinstance(step, Together):
                    await self._write(step)
                elif isinstance(step, Read):
                    await self._read(step)
                elif isinstance(step, Watch):
                    await self._watch(step)
                else:
                    await self._compact(step)
                if self.skips:
                    self._skip_to(await self.store.revision())
                assert await self.store.revision() == self.revision or self.skips
            await self._check_all_states()
            told: list[Change] = []
            try:
                async for batch in live:
                    told.extend(batch.changes)
                    if batch.revision >= self.revision:
                        break
            except Compacted:  # it had not begun before compaction
                assert self.oldest > 1
                assert not told
            else:
                assert told == self.changes

    def _skip_to(self, revision: int) -> None:
        while self.revision < revision:
            self.states.append(self.states[-1])

    async def _check_all_states(self) -> None:
        for revision in range(max(1, self.oldest), self.revision + 1):
            page = await self.store.range("", revision=Revision(revision))
            assert sorted(page.entries, key=lambda entry: entry.key) == page.entries
            assert {entry.key: entry for entry in page.entries} == self.states[revision]
            assert len(page.entries) == len(self.states[revision])

    async def _write(self, step: Together) -> None:
        now = self.states[-1]
        outcomes = await asyncio.gather(*(self._ask(write, now) for write in step.writes), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, StoreError):
                raise outcome
        done = [
            (outcome.mod_revision if isinstance(outcome, Entry) else outcome, write, outcome)
            for write, outcome in zip(step.writes, outcomes, strict=True)
            if not isinstance(outcome, BaseException)
        ]
        for revision, write, outcome in sorted(done, key=lambda one: one[0]):
            self._apply(int(revision), write, outcome, now)
        if len(step.writes) == 1 and isinstance(outcomes[0], StoreError):
            self._check_refusal(step.writes[0], outcomes[0], now)

    async def _ask(self, write: Write, now: dict[str, Entry]) -> Entry | Revision:
        if write.verb == "create":
            return await self.store.create(write.key, write.value)
        expected = self._expected(write, now)
        if write.verb == "update":
            return await self.store.update(write.key, write.value, expected=expected)
        return await self.store.delete(write.key, expected=expected)

    def _expected(self, write: Write, now: dict[str, Entry]) -> Revision:
        current = now.get(write.key)
        return Revision((current.mod_revision if current else self.revision) - write.guess)

    def _apply(self, revision: int, write: Write, outcome: Entry | Revision, then: dict[str, Entry]) -> None:
        if self.skips:
            self._skip_to(revision - 1)
        assert revision == self.revision + 1
        state = dict(self.states[-1])
        previous = state.pop(write.key, None)
        at = Revision(revision)
        entry = None
        if write.verb == "create":
            assert previous is None
            entry = state[write.key] = Entry(write.key, write.value, at, at, 1)
        else:
            assert previous is not None
            assert previous.mod_revision == self._expected_then(write, then)
            if write.verb == "update":
                entry = Entry(write.key, write.value, previous.create_revision, at, previous.version + 1)
                state[write.key] = entry
        assert outcome == (entry or at)
        self.states.append(state)
        self.changes.append(Change(write.key, at, entry, previous))

    @staticmethod
    def _expected_then(write: Write, then: dict[str, Entry]) -> int:
        return then[write.key].mod_revision - write.guess

    def _check_refusal(self, write: Write, refusal: StoreError, now: dict[str, Entry]) -> None:
        current = now.get(write.key)
        if isinstance(refusal, KeyExists):
            assert write.verb == "create"
            assert current is not None
        else:
            assert isinstance(refusal, StaleRevision)
            assert refusal.current == current
            assert current is None or current.mod_revision != self._expected(write, now)

    async def _read(self, step: Read) -> None:
        revision = self.revision - step.back
        if revision < self.oldest:
            await _refused(self.store.range(step.prefix, revision=Revision(revision)))
            return
        if revision < 1:
            return
        page = await self.store.range(step.prefix, after=step.after, limit=step.limit, revision=Revision(revision))
        found = sorted(
            (
                entry
                for key, entry in self.states[revision].items()
                if key.startswith(step.prefix) and key.encode() > step.after.encode()
            ),
            key=lambda entry: entry.key.encode(),
        )
        shown = found[: step.limit or None]
        assert (page.entries, page.revision, page.remaining) == (shown, revision, len(found) - len(shown))

    async def _watch(self, step: Watch) -> None:
        after = self.revision - step.back
        if after < 1 and after >= self.oldest:
            return
        async with aclosing(self.store.watch(step.prefix, after=Revision(after))) as watch:
            if after < self.oldest:
                await _refused(anext(watch))
                return
            told: list[Change] = []
            async for batch in watch:
                told.extend(batch.changes)
                if batch.revision >= self.revision:
                    break
        assert told == [
            change for change in self.changes if change.revision > after and change.key.startswith(step.prefix)
        ]

    async def _compact(self, step: Compact) -> None:
        revision = self.revision - step.back
        if revision <= self.oldest:
            await _refused(self.store.compact(Revision(revision)))
        else:
            await self.store.compact(Revision(revision))
            self.oldest = revision


async def _refused(asked: Awaitable[object]) -> None:
    try:
        await asked
    except Compacted:
        return
    raise AssertionError("history that was compacted was read")
