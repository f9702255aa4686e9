"""Encrypts with a seed that a key service has encrypted, and has it decrypt what others, or earlier keys, were made of.

The service is asked how it is once a minute, more often after it failed. With another key of its own it is given a new
seed; a seed may be written with for three minutes after the service was last known to be well.
Source: k8s.io/apiserver/pkg/server/options/encryptionconfig (kmsv2PluginProbe), encrypt/envelope/kmsv2 (envelope.go).
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

from hyperkube_apiserver.encryption.kms.envelope import (
    SEED_BYTES,
    BadEnvelope,
    DEKSource,
    ExtendedKey,
    check_key_id,
    key_of,
    seal,
    unseal,
)
from hyperkube_apiserver.encryption.kms.metrics import KeyServiceMetrics, hashed
from hyperkube_apiserver.encryption.kms.service import KeyService, ServiceStatus
from hyperkube_apiserver.encryption.providers import Cryptic, KeyNeeded, Undecipherable, Unencryptable
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import aggregated
from hyperkube_machinery.grpc import CallFailed
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.remembering import Latest
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["KMSProvider", "Unhealthy"]

log = logging.getLogger(__name__)

_WRITABLE_SECONDS = 180.0
_WELL_SECONDS, _FAILED_SECONDS = 60.0, 10.0
"""After which the service is asked again how it is."""
_BELIEVED_WELL_SECONDS, _BELIEVED_FAILED_SECONDS = 20.0, 3.0
"""So long what it said is told to whoever asks about the server's health."""
_VERSIONS = ("v2", "v2beta1")
_REMEMBERED = 8192


class Unhealthy(Exception):
    """A key service doesn't work; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class _Writing:
    """What is written with."""

    key: ExtendedKey
    source: DEKSource
    until: float  # seconds since the epoch


class KMSProvider:
    """A provider whose keys a service guards. `close` it."""

    def __init__(self, name: str, service: KeyService, clock: Clock, metrics: KeyServiceMetrics) -> None:
        self.name = name
        self.prefix = f"k8s:enc:kms:v2:{name}:".encode()
        self._service = service
        self._clock = clock
        self._metrics = metrics
        self._writing: _Writing | None = None
        self._version = ""
        self._keys: Latest[DEKSource, Cryptic] = Latest(_REMEMBERED)
        self._asking: dict[DEKSource, asyncio.Task[None]] = {}
        self._checking = asyncio.Lock()
        self._failure: Unhealthy | None = None
        self._believed_until = float("-inf")  # on the monotonic clock
        self.close = service.close

    # Values

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        """Raises Unencryptable while the service does not work."""
        writing, now = self._writing, self._clock.now()
        if writing is None:
            raise Unencryptable("got unexpected nil transformer")
        source = writing.source
        if now > writing.until:
            raise Unencryptable(
                f"encryptedDEKSource with keyID hash {quoted(hashed(source.key_id))} expired at "
                f"{format_seconds(writing.until)} (current time is {format_seconds(now)})"
            )
        self._metrics.used("to_storage", self.name, source.key_id, now)
        return self.prefix + seal(source, writing.key.encrypt(value, about))

    def decrypt(self, data: bytes, about: bytes) -> tuple[bytes, bool]:
        """Raises Undecipherable, and KeyNeeded where the service has to be asked first."""
        source, encrypted = unseal(data[len(self.prefix) :])
        writing = self._writing
        if writing is None:
            raise Undecipherable("got unexpected nil transformer")
        key = self._keys.get(source)
        if key is None:
            raise KeyNeeded(partial(self._have, source))
        self._metrics.used("from_storage", self.name, source.key_id, self._clock.now())
        stale = (source.key_id, source.kind) != (writing.source.key_id, writing.source.kind)
        return key.decrypt(encrypted, about), stale

    async def _have(self, source: DEKSource) -> None:
        """Have the key of a source; all that wait for the same share the call. Raises Undecipherable."""
        task = self._asking.get(source)
        if task is None:
            task = self._asking[source] = asyncio.get_running_loop().create_task(self._ask(source))
            task.add_done_callback(lambda task: self._asked(source, task))
        await asyncio.shield(task)

    def _asked(self, source: DEKSource, task: asyncio.Task[None]) -> None:
        del self._asking[source]
        if not task.cancelled():
            task.exception()  # whoever waited was told; maybe nobody does any more

    async def _ask(self, source: DEKSource) -> None:
        try:
            secret = await self._service.decrypt(source, str(uuid.uuid4()))
        except CallFailed as exc:
            raise Undecipherable(f"failed to decrypt DEK, error: {exc}") from exc
        self._remember(source, key_of(source.kind, secret))

    def _remember(self, source: DEKSource, key: Cryptic) -> None:
        self._keys.put(source, key)
        self._metrics.cached(self.name, len(self._keys.items()))

    # The service

    async def run(self) -> NoReturn:
        """Ask the service again and again how it is, until cancelled."""
        while True:
            await self._clock.sleep(_WELL_SECONDS if self._failure is None else _FAILED_SECONDS)
            try:
                await self.check()
            except Unhealthy as exc:
                log.error("the key service %s fails: %s", self.name, exc)

    async def check(self) -> None:
        """Raise Unhealthy unless the service works, as far as that was known a moment ago."""
        async with self._checking:
            if self._clock.monotonic() >= self._believed_until:
                self._failure = await self._looked_after()
                seconds = _BELIEVED_WELL_SECONDS if self._failure is None else _BELIEVED_FAILED_SECONDS
                self._believed_until = self._clock.monotonic() + seconds
            if self._failure is not None:
                raise self._failure

    async def _looked_after(self) -> Unhealthy | None:
        """What is wrong with the service; where nothing is, it is written with its present key from here on."""
        try:
            status = await self._service.status()
        except CallFailed as exc:
            why = "failed to perform status section of the healthz check for KMS Provider"
            return Unhealthy(f"{why} {self.name}, error: {exc}")
        errors = self._status_errors(status)
        try:
            check_key_id(status.key_id)
        except BadEnvelope as exc:
            self._metrics.invalid(self.name, status.key_id)
            errors.append(f"got invalid KMSv2 KeyID hash {quoted(hashed(status.key_id))}: {exc}")
        else:
            self._metrics.told(self.name, status.key_id, self._clock.now())
            if why := await self._follow(status.key_id):
                errors.append(why)
        return Unhealthy(f"kmsv2 Provider {self.name} is not healthy, error: {aggregated(errors)}") if errors else None

    def _status_errors(self, status: ServiceStatus) -> list[str]:
        errors = []
        if status.healthz != "ok":
            errors.append(f"got unexpected healthz status: {status.healthz}")
        if status.version not in _VERSIONS:
            errors.append(f"expected KMSv2 API version {_VERSIONS[0]}, got {status.version}")
        elif not self._version:
            self._version = status.version
        elif status.version != self._version:
            errors.append(
                "KMSv2 API version should not change after the initial status response version "
                f"{self._version}, got {status.version}"
            )
        return errors

    async def _follow(self, key_id: str) -> str:
        """Write with the service's key of this name; why that can't be, "" if it can."""
        until = self._clock.now() + _WRITABLE_SECONDS
        before = self._writing
        if before is not None and before.source.key_id == key_id:
            self._writing = replace(before, until=until)
            return ""
        seed, uid = os.urandom(SEED_BYTES), str(uuid.uuid4())
        found, failure = "", "<nil>"
        try:
            source = await self._service.encrypt(seed, uid)
            found = source.key_id
            source.check()
        except CallFailed as exc:
            failure = f"failed to encrypt DEK, error: {exc}"
        except BadEnvelope as exc:
            failure, found = str(exc), ""
        else:
            if found == key_id:
                self._writing = _Writing(ExtendedKey(seed), source, until)
                self._remember(source, self._writing.key)
                log.info("the key service %s is written with its key %s", self.name, hashed(key_id))
                return ""
        state, expires = "got unexpected nil transformer", "0001-01-01T00:00:00Z"
        if before is not None:
            state, expires = "<nil>", format_seconds(before.until)
        return (
            f'failed to rotate DEK uid="{uid}", useSeed=true, errState={state}, errGen={failure}, '
            f"statusKeyIDHash={quoted(hashed(key_id))}, encryptKeyIDHash={quoted(hashed(found))}, "
            f"stateKeyIDHash={quoted(hashed(before.source.key_id) if before else '')}, expirationTimestamp={expires}"
        )
