"""A key management service: another process on this machine, asked over gRPC. Source: k8s.io/kms/apis/v2/api.proto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hyperkube_apiserver.encryption.kms.envelope import DEKSource
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.grpc import BadMessage, CallFailed, Channel, Code, Endpoint, Messages

__all__ = ["KeyService", "ServiceStatus", "socket_of"]

_SERVICE = "/v2.KeyManagementService/"
_UNCONNECTED = "connection error:"
_PAUSE_SECONDS = 0.1

_MESSAGES = Messages(
    """
    Annotation: key=1:string value=2:bytes
    StatusRequest:
    StatusResponse: version=1:string healthz=2:string key_id=3:string
    EncryptRequest: plaintext=1:bytes uid=2:string
    EncryptResponse: ciphertext=1:bytes key_id=2:string annotations=3:Annotation*
    DecryptRequest: ciphertext=1:bytes uid=2:string key_id=3:string annotations=4:Annotation*
    DecryptResponse: plaintext=1:bytes
    """
)

Observe = Callable[[str, float, str], None]
"""Told the method, the seconds, and what it came to."""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What a service says of itself."""

    version: str
    healthz: str
    key_id: str  # of the key that it encrypts with now


def socket_of(endpoint: str) -> Path:
    """Where a service listens, by a URL; one that begins with @ is no file."""
    path = urlsplit(endpoint).path
    return Path(f"\0{path[2:]}") if path.startswith("/@") else Path(path)


class KeyService:
    """One service. `close` it."""

    def __init__(self, endpoint: str, clock: Clock, *, timeout_seconds: float, observe: Observe) -> None:
        self._channel = Channel(Endpoint(socket_of(endpoint)), clock, user_agent="kube-apiserver")
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._observe = observe
        self.close = self._channel.close

    async def status(self) -> ServiceStatus:
        """How it is. Raises CallFailed."""
        answer = await self._ask("Status", {})
        return ServiceStatus(answer["version"], answer["healthz"], answer["key_id"])

    async def encrypt(self, plaintext: bytes, uid: str) -> DEKSource:
        """Have the service encrypt something, under a UID for its log. Raises CallFailed."""
        answer = await self._ask("Encrypt", {"plaintext": plaintext, "uid": uid})
        annotations = sorted((one["key"], one["value"]) for one in answer["annotations"])
        return DEKSource(answer["ciphertext"], answer["key_id"], tuple(annotations))

    async def decrypt(self, source: DEKSource, uid: str) -> bytes:
        """Have the service decrypt what it has encrypted. Raises CallFailed."""
        annotations = [{"key": name, "value": value} for name, value in source.annotations]
        asked = {"ciphertext": source.encrypted, "uid": uid, "key_id": source.key_id, "annotations": annotations}
        plaintext: bytes = (await self._ask("Decrypt", asked))["plaintext"]
        return plaintext

    async def _ask(self, method: str, message: Mapping[str, Any]) -> dict[str, Any]:
        began = self._clock.monotonic()
        code = Code.OK
        try:
            return await within(self._clock, self._timeout_seconds, self._answer(method, message))
        except TimeoutError:
            code = Code.DEADLINE_EXCEEDED
            raise CallFailed(code, "context deadline exceeded") from None
        except CallFailed as exc:
            code = exc.code
            raise
        finally:
            # As Go spells them: DeadlineExceeded.
            name = "OK" if code is Code.OK else code.name.title().replace("_", "")
            self._observe(f"{_SERVICE}{method}", self._clock.monotonic() - began, name)

    async def _answer(self, method: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """What it answers, once it is there: it may be starting as well."""
        data = _MESSAGES.encode(f"{method}Request", message)
        while True:
            try:
                return _MESSAGES.decode(f"{method}Response", await self._channel.call(f"{_SERVICE}{method}", data))
            except CallFailed as exc:
                if exc.code is not Code.UNAVAILABLE or not exc.message.startswith(_UNCONNECTED):
                    raise
            except BadMessage as exc:
                raise CallFailed(Code.INTERNAL, str(exc)) from exc
            await self._clock.sleep(_PAUSE_SECONDS)
