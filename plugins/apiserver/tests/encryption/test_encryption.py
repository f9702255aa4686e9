"""What is chosen is written so that nobody reads it on the disk, and is read again, whatever keys come and go."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.encryption.keeping import RELOAD_SECONDS, ReloadMetrics, keep_rules
from hyperkube_apiserver.encryption.providers import Undecipherable
from hyperkube_apiserver.encryption.rules import KeyServices, read_rules
from hyperkube_apiserver.encryption.store import EncryptedStore, Resources
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.storage.interface import Revision, StaleRevision, Store, Unavailable
from hyperkube_machinery.storage.memory import MemoryStore
from hyperkube_machinery.storage.sqlite import SQLiteStore
from hyperkube_machinery.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

SECRET = "/registry/secrets/default/s"
PREFIXES = {"/registry/secrets": ("", "secrets"), "/registry/pods": ("", "pods")}
NO_SERVICES = KeyServices(VirtualClock(), Registry(), "here")
PLAIN = b'{"kind":"Secret","data":"the-plain-text"}'


def key(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def provider(kind: str, *names: int) -> str:
    if kind == "identity":
        return "{identity: {}}"
    keys = ", ".join(f"{{name: k{number}, secret: {key(number)}}}" for number in names)
    return f"{{{kind}: {{keys: [{keys}]}}}}"


def configure(path: Path, *providers: str, resources: str = "[secrets]") -> Path:
    head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
    path.write_text(f"{head}resources:\n- resources: {resources}\n  providers: [{', '.join(providers)}]\n")
    return path


def encrypted(store: Store, file: Path, **how: Any) -> EncryptedStore:
    return EncryptedStore(store, read_rules(file, NO_SERVICES), Resources(PREFIXES), **how)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def raw(clock: VirtualClock) -> AsyncIterator[MemoryStore]:
    async with MemoryStore.open(clock=clock) as store:
        yield store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "encryption.yaml"


@pytest.mark.parametrize("kind", ["aesgcm", "aescbc", "secretbox"])
async def test_what_is_written_is_unreadable_below_and_the_same_above(raw: MemoryStore, file: Path, kind: str) -> None:
    if kind == "secretbox":
        pytest.importorskip("nacl")
    store = encrypted(raw, configure(file, provider(kind, 1)))
    first = await store.create(SECRET, PLAIN)
    assert first.value == PLAIN
    below = await raw.get(SECRET)
    assert below is not None
    assert below.value.startswith(b"k8s:enc:%b:v1:k1:" % kind.encode())
    assert b"plain" not in below.value
    second = await store.update(SECRET, PLAIN * 2, expected=first.mod_revision)
    assert await store.get(SECRET) == second
    assert (await store.range("/registry/")).entries == [second]
    assert (await store.range("/registry/", revision=first.mod_revision)).entries == [first]
    with pytest.raises(StaleRevision) as stale:
        await store.update(SECRET, b"", expected=first.mod_revision)
    assert stale.value.current == second
    async with aclosing(store.watch("/registry/", after=Revision(1))) as watch:
        changes = (await anext(watch)).changes
    assert [(change.entry, change.previous) for change in changes] == [(first, None), (second, first)]


async def test_what_is_not_chosen_stays_as_it_is(raw: MemoryStore, file: Path) -> None:
    store = encrypted(raw, configure(file, provider("aesgcm", 1), resources="[secrets, widgets.example.com]"))
    for key_, plain in (
        ("/registry/pods/default/p", True),
        ("/registry/example.com/widgets/default/w", False),
        ("/registry/example.com/gadgets/default/w", True),
        ("/registry/secretslike/a", True),
    ):
        await store.create(key_, PLAIN)
        below = await raw.get(key_)
        assert below is not None
        assert (below.value == PLAIN) is plain


async def test_a_value_can_not_be_moved_to_another_key(raw: MemoryStore, file: Path) -> None:
    store = encrypted(raw, configure(file, provider("aesgcm", 1)))
    await store.create(SECRET, PLAIN)
    below = await raw.get(SECRET)
    assert below is not None
    await raw.create(SECRET + "2", below.value)
    with pytest.raises(Unavailable, match=r'unable to transform key "/registry/secrets/default/s2": cipher: message'):
        await store.get(SECRET + "2")


STEPS = [
    (provider("identity"),),
    (provider("identity"), provider("aescbc", 1)),
    (provider("aescbc", 1), provider("identity")),
    (provider("aescbc", 2, 1), provider("identity")),
    (provider("aesgcm", 3), provider("aescbc", 2, 1)),
    (provider("aesgcm", 4, 3), provider("aescbc", 2)),
    (provider("aesgcm", 4),),
    (provider("identity"), provider("aesgcm", 4)),
    (provider("identity"),),
]


async def test_rotation_loses_nothing(raw: MemoryStore, file: Path) -> None:
    """Each step reads what the one before has written, tells what is stale, and writes it anew."""
    for number in range(10):
        await raw.create(f"{SECRET}{number}", PLAIN + b"%d" % number)
    for step in STEPS:
        store = encrypted(raw, configure(file, *step))
        for entry in (await store.range("/registry/secrets/")).entries:
            assert entry.value.startswith(PLAIN)
            if await store.is_stale(entry.key):
                await store.update(entry.key, entry.value, expected=entry.mod_revision)
            assert not await store.is_stale(entry.key)
    values = [entry.value for entry in (await raw.range("/registry/secrets/")).entries]
    assert values == [PLAIN + b"%d" % number for number in range(10)]


async def test_what_no_key_reads_is_told_in_words(raw: MemoryStore, file: Path) -> None:
    await encrypted(raw, configure(file, provider("aesgcm", 1))).create(SECRET, PLAIN)
    for providers, words in (
        ((provider("aesgcm", 2),), "no matching key was found for the provided AES transformer"),
        ((provider("aescbc", 1),), "no matching prefix found"),
        ((provider("identity"),), "identity transformer tried to read encrypted data"),
    ):
        with pytest.raises(Unavailable, match=words):
            await encrypted(raw, configure(file, *providers)).get(SECRET)


@pytest.mark.parametrize("data", [b"", b"short", b"x" * 17, b"x" * 32, b"x" * 100])
@pytest.mark.parametrize("kind", ["aesgcm", "aescbc"])
def test_what_is_damaged_is_not_read(file: Path, kind: str, data: bytes) -> None:
    transformer = read_rules(configure(file, provider(kind, 1)), NO_SERVICES).transformer("", "secrets")
    assert transformer is not None
    with pytest.raises(Undecipherable):
        transformer.decrypt(b"k8s:enc:%b:v1:k1:%b" % (kind.encode(), data), b"")


@asynccontextmanager
async def on_disk(path: Path, clock: VirtualClock, file: Path) -> AsyncIterator[EncryptedStore]:
    async with SQLiteStore.open(path, clock=clock) as store:
        yield encrypted(store, file)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


async def test_nothing_that_is_chosen_stands_in_plain_on_the_disk(
    tmp_path_factory: pytest.TempPathFactory, clock: VirtualClock, file: Path
) -> None:
    folder = tmp_path_factory.mktemp("data")
    configure(file, provider("aesgcm", 1))
    async with on_disk(folder / "hk.db", clock, file) as store:
        entry = await store.create(SECRET, PLAIN)
        for _ in range(20):
            entry = await store.update(SECRET, PLAIN * 100, expected=entry.mod_revision)
        await store.create("/registry/pods/default/p", b"what may be seen")
        running = contents(folder)  # the log included
    stopped = contents(folder)
    assert any(b"what may be seen" in content for content in running)
    for content in running + stopped:
        assert b"the-plain-text" not in content
    async with on_disk(folder / "hk.db", clock, file) as store:
        assert await store.get(SECRET) == entry


async def test_the_file_is_read_again_when_it_has_changed(
    raw: MemoryStore, file: Path, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = encrypted(raw, configure(file, provider("aesgcm", 1)))
    registry = Registry()
    keeper = asyncio.create_task(keep_rules(store, file, clock, NO_SERVICES, ReloadMetrics(registry, "here")))
    await clock.until_sleeping(RELOAD_SECONDS)
    await store.create(SECRET + "1", PLAIN)
    configure(file, "nonsense")
    await clock.advance(RELOAD_SECONDS)
    assert "the earlier one goes on" in caplog.text
    await store.create(SECRET + "2", PLAIN)
    configure(file, provider("aesgcm", 2, 1))
    await clock.advance(RELOAD_SECONDS)
    await store.create(SECRET + "3", PLAIN)
    keeper.cancel()
    written = [entry.value.split(b":")[4] for entry in (await raw.range("/registry/secrets/")).entries]
    assert written == [b"k1", b"k1", b"k2"]
    assert len((await store.range("/registry/secrets/")).entries) == 3


async def test_what_is_written_is_bound_to_the_key_that_it_is_stored_at(raw: MemoryStore, file: Path) -> None:
    configure(file, provider("aesgcm", 1))
    store = encrypted(raw, file, outside=lambda name: name.replace("/registry", "/other", 1))
    await store.create(SECRET, PLAIN)
    assert (await store.get(SECRET)) is not None
    with pytest.raises(Unavailable, match="authentication failed"):
        await encrypted(raw, file).get(SECRET)
