"""The store that a server was told to use, and how its history is kept short."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from socket import gethostname
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_machinery.storage import Backend, open_store
from hyperkube_machinery.storage.datadir import claim
from hyperkube_machinery.storage.interface import StoreError
from hyperkube_machinery.storage.schedule import keep_compacted
from hyperkube_machinery.tls import CertificateError

if TYPE_CHECKING:
    from pathlib import Path

    from hyperkube_apiserver.encryption.terms import EncryptionTerms
    from hyperkube_apiserver.storage.etcd.store import EtcdStore
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.health import Check
    from hyperkube_machinery.serving.metrics import Registry
    from hyperkube_machinery.storage.interface import Store

__all__ = [
    "EtcdTerms",
    "EtcdUnusable",
    "Opened",
    "open_embedded",
    "open_etcd",
]

log = logging.getLogger(__name__)

_REACHED_SECONDS = 20.0  # upstream's dial timeout
_PAUSE_SECONDS = 0.5

ROOT = "/registry"
"""What keys begin with here, whatever they begin with in etcd."""


Companion = Callable[[], Coroutine[Any, Any, NoReturn]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdTerms:
    """Which etcd, and how it is spoken to."""

    servers: tuple[str, ...]
    prefix: str = ROOT
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    lease_reuse_seconds: int = 60


class EtcdUnusable(Exception):
    """etcd can't be used; `flag` is what is behind it."""

    def __init__(self, flag: str, why: str) -> None:
        super().__init__(why)
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store."""

    store: Store
    keep_compacted: Callable[[float], Coroutine[Any, Any, NoReturn]]
    """Forget history that is older than so many seconds, again and again; 0 for never."""
    companions: Sequence[Companion] = ()
    """What is to run beside it."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """What has to work beside it, for whoever asks about the server's health."""
    instruments: Registry | None = None
    """What is counted of that."""


@asynccontextmanager
async def open_embedded(
    backend: Backend, directory: Path, clock: Clock, encryption: EncryptionTerms | None = None
) -> AsyncIterator[Opened]:
    """A store in the data directory, or in memory. Raises DataDirectoryError and EncryptionConfigurationError."""
    async with open_store(backend, directory, clock) as store:
        compacting = partial(keep_compacted, store, clock)
        if encryption is None:
            yield Opened(store, compacting)
        else:
            opened = Opened(store, compacting)
            yield await _encrypted(opened, encryption, clock, lambda key: key)


async def _encrypted(opened: Opened, terms: EncryptionTerms, clock: Clock, outside: Callable[[str], str]) -> Opened:
    """A store of which some resources are encrypted."""
    from hyperkube_apiserver.encryption.keeping import ReloadMetrics, keep_rules, primed
    from hyperkube_apiserver.encryption.rules import KeyServices, read_rules
    from hyperkube_apiserver.encryption.store import EncryptedStore, Resources
    from hyperkube_apiserver.kinds import load_kinds
    from hyperkube_machinery.serving.metrics import Registry

    prefixes = {
        kind.storage_prefix: (kind.resource.group, kind.resource.resource)
        for kind in load_kinds().values()
        if kind.is_stored
    }
    registry, server_id = Registry(), gethostname()
    services = KeyServices(clock, registry, server_id)
    rules = await primed(read_rules(terms.file, services, reloads=terms.reloads))
    store = EncryptedStore(opened.store, rules, Resources(prefixes), outside=outside)
    if not (terms.reloads or rules.guarded):
        return replace(opened, store=store)
    metrics = ReloadMetrics(registry, server_id) if terms.reloads else None
    return replace(
        opened,
        store=store,
        companions=[partial(keep_rules, store, terms.file, clock, services, metrics)],
        checks={"kms-providers": lambda: store.rules.check()},  # of whichever rules count then
        instruments=registry,
    )


@asynccontextmanager
async def open_etcd(
    terms: EtcdTerms, directory: Path, clock: Clock, encryption: EncryptionTerms | None = None
) -> AsyncIterator[Opened]:
    """A store in etcd; the data directory, for what else a server keeps there, is this process' alone.

    Raises DataDirectoryError, EncryptionConfigurationError, and EtcdUnusable.
    """
    from hyperkube_apiserver.storage.etcd import compaction
    from hyperkube_apiserver.storage.etcd.connecting import connect
    from hyperkube_apiserver.storage.etcd.reading import ReadingStore
    from hyperkube_apiserver.storage.etcd.store import EtcdStore

    try:
        channel = connect(terms.servers, clock, terms.ca_file, terms.certificate_file, terms.key_file)
    except CertificateError as exc:
        raise EtcdUnusable("etcd-cafile", str(exc)) from exc
    outer = "/" + terms.prefix.strip("/")
    with claim(directory):
        async with EtcdStore.open(
            channel,
            clock,
            inner=ROOT,
            outer=outer,
            lease_reuse_seconds=terms.lease_reuse_seconds,
        ) as store:
            await _until_reached(store, terms.servers, clock)
            compacting = partial(compaction.keep_compacted, store, clock)
            if encryption is None:
                yield Opened(ReadingStore(store), compacting)
            else:
                opened = Opened(store, compacting)
                opened = await _encrypted(opened, encryption, clock, lambda key: outer + key.removeprefix(ROOT))
                yield replace(opened, store=ReadingStore(opened.store))


async def _until_reached(store: EtcdStore, servers: Sequence[str], clock: Clock) -> None:
    """Return once etcd answers; it may be starting as well. Raises EtcdUnusable."""
    deadline = clock.monotonic() + _REACHED_SECONDS
    while True:
        try:
            return await store.ask_version()
        except StoreError as exc:
            if clock.monotonic() >= deadline:
                raise EtcdUnusable("etcd-servers", f"etcd does not answer at {', '.join(servers)}: {exc}") from exc
            log.info("waiting for etcd: %s", exc)
        await clock.sleep(_PAUSE_SECONDS)
