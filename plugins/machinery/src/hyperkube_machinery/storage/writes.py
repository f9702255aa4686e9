"""A write and what it comes to: the rules of the key space as one plain function."""

from __future__ import annotations

from dataclasses import dataclass

from hyperkube_machinery.storage.interface import Change, Entry, KeyExists, Revision, StaleRevision

__all__ = ["FIRST_REVISION", "LARGEST_VALUE", "Write", "after_prefix", "decide"]

# An empty store is at revision 1, as etcd's: 0 means something else to Kubernetes' clients.
FIRST_REVISION = Revision(1)

# Bytes. Far above what the API server accepts in a body, far below what SQLite can hold in a row.
LARGEST_VALUE = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Write:
    """What is asked of one key. Checked when it is made, so that no write can spoil those it is committed with."""

    key: str
    value: bytes | None  # None deletes
    expected: Revision | None  # of the entry that must live there; None: nothing may
    expires: float | None = None  # seconds since the epoch

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError("a key can't be empty")
        self.key.encode()  # UnicodeEncodeError, a ValueError, for what has no UTF-8
        if self.value is not None and len(self.value) > LARGEST_VALUE:
            raise ValueError(f"the value for {self.key} has {len(self.value)} bytes; at most {LARGEST_VALUE} fit")

    @classmethod
    def lasting(
        cls, key: str, value: bytes, expected: Revision | None, *, ttl_seconds: float | None, now: float
    ) -> Write:
        """A put whose entry lives for `ttl_seconds` from `now`, or for ever."""
        if ttl_seconds is None:
            return cls(key, bytes(value), expected)
        if not ttl_seconds > 0:
            raise ValueError(f"the time to live of {key} must be above 0 s, not {ttl_seconds}")
        return cls(key, bytes(value), expected, now + ttl_seconds)


def decide(write: Write, current: Entry | None, revision: Revision) -> Change:
    """The change that `write` makes at `revision` where `current` lives; raises KeyExists or StaleRevision."""
    if write.expected is None:
        if current is not None:
            raise KeyExists(write.key)
    elif current is None or current.mod_revision != write.expected:
        raise StaleRevision(write.key, current)
    if write.value is None:
        return Change(write.key, revision, None, current)
    if current is None:
        entry = Entry(write.key, write.value, revision, revision, 1)
    else:
        entry = Entry(write.key, write.value, current.create_revision, revision, current.version + 1)
    return Change(write.key, revision, entry, current)


def after_prefix(prefix: str) -> str | None:
    """The least key above every key that begins with `prefix`; None if there is none.

    Keys order by their UTF-8 bytes, which is the order of their code points.
    """
    for length in range(len(prefix), 0, -1):
        last = ord(prefix[length - 1])
        if last < 0x10FFFF:
            following = 0xE000 if last == 0xD7FF else last + 1  # the surrogates between have no UTF-8
            return prefix[: length - 1] + chr(following)
    return None
