"""Keeps a store's rules: looks after the services that keys come from, and reads the file again when it changes.

Source: k8s.io/apiserver/pkg/server/options/encryptionconfig/controller.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hyperkube_apiserver.encryption.rules import KeyServices, Rules, ServiceFailed, read_rules
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError

if TYPE_CHECKING:
    from hyperkube_apiserver.encryption.store import EncryptedStore
    from hyperkube_machinery.clock import Clock
    from hyperkube_machinery.serving.metrics import Registry

__all__ = ["RELOAD_SECONDS", "ReloadMetrics", "keep_rules", "primed"]

log = logging.getLogger(__name__)

RELOAD_SECONDS = 10.0
"""Source: k8s.io/apiserver/pkg/server/options/encryptionconfig/controller; upstream looks once a minute."""


class ReloadMetrics:
    """What is counted of reading the file again."""

    def __init__(self, registry: Registry, server_id: str) -> None:
        prefix, self._server = "apiserver_encryption_config_controller", _hashed(server_id.encode())
        self._reloads = registry.counter(
            f"{prefix}_automatic_reloads_total",
            "[ALPHA] Times that the encryption configuration was read again.",
            ("status", "apiserver_id_hash"),
        )
        self._last = registry.gauge(
            f"{prefix}_automatic_reload_last_timestamp_seconds",
            "[ALPHA] When the encryption configuration was last read again.",
            ("status", "apiserver_id_hash"),
        )
        self._content = b""
        registry.collect(
            f"{prefix}_last_config_info",
            "[ALPHA] The digest of the encryption configuration that counts.",
            lambda: [((self._server, _hashed(self._content)), 1.0)] if self._content else (),
            ("apiserver_id_hash", "hash"),
        )

    def counts(self, content: bytes) -> None:
        """Tell which content of the file counts."""
        self._content = content

    def reloaded(self, *, well: bool, now: float) -> None:
        labels = ("success" if well else "failure", self._server)
        self._reloads.labels(*labels).inc()
        self._last.labels(*labels).set(now)


async def primed(rules: Rules) -> Rules:
    """`rules`, whose services were asked for what can be written with; one that fails is asked again later."""
    try:
        await rules.check()
    except ServiceFailed as exc:
        log.error("keys can't be had yet, what they encrypt is neither read nor written: %s", exc)
    return rules


async def keep_rules(
    store: EncryptedStore,
    path: Path,
    clock: Clock,
    services: KeyServices,
    metrics: ReloadMetrics | None = None,
) -> NoReturn:
    """Look after the rules until cancelled; where there are `metrics`, take over those of the file when it changes.

    A file that is wrong, or whose services fail, changes nothing.
    """
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(store.rules.run())
        try:
            if metrics is None:
                await looking
                raise AssertionError("it looks after services until it is cancelled")
            seen = _content(path)
            metrics.counts(seen)
            while True:
                await clock.sleep(RELOAD_SECONDS)
                content = _content(path)
                if content == seen or not content:
                    continue
                try:
                    rules = read_rules(path, services, reloads=True)
                except EncryptionConfigurationError as exc:
                    log.error("failed to process encryption config file, the earlier one goes on: %s", exc)
                    metrics.reloaded(well=False, now=clock.now())
                    seen = content
                    continue
                try:
                    await rules.check()
                except ServiceFailed as exc:  # it may work the next time
                    log.error("failed to process encryption config file, the earlier one goes on: %s", exc)
                    metrics.reloaded(well=False, now=clock.now())
                    await rules.close()
                    continue
                looking.cancel()
                group.create_task(_close_later(store.rules, clock))
                store.rules, seen = rules, content
                looking = group.create_task(rules.run())
                metrics.counts(content)
                metrics.reloaded(well=True, now=clock.now())
                log.info("encryption config file %s was read again", path)
        finally:
            await store.rules.close()
    raise AssertionError("it is only left by an exception")


async def _close_later(rules: Rules, clock: Clock) -> None:
    if rules.guarded:
        await clock.sleep(rules.grace_seconds)
        await rules.close()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _hashed(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
