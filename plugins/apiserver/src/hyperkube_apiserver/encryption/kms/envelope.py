"""What is written of a value: it, encrypted, and beside it how to come by the key.

Source: k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2 (envelope.go, v2/api.proto), encrypt/aes
(aes_extended_nonce.go).
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable
from dataclasses import dataclass

from hyperkube_apiserver.encryption.providers import AESGCMKey, Cryptic, Undecipherable
from hyperkube_machinery.errors import FieldError, aggregated
from hyperkube_machinery.grpc.messages import BadMessage, Messages
from hyperkube_machinery.names import dns1123_subdomain

__all__ = ["SEED_BYTES", "BadEnvelope", "DEKSource", "ExtendedKey", "check_key_id", "key_of", "seal", "unseal"]

KEY, SEED = 0, 1
"""What a source is, decrypted: the key itself, or what a key is made of for each value."""
SEED_BYTES = 32
_INFO = 32
_LONGEST_KEY_ID = _LARGEST_SOURCE = 1024
_LARGEST_ANNOTATIONS = 32 * 1024

# On the wire a mapping is a list of pairs, and the values of this one are no text.
_MESSAGES = Messages(
    """
    Annotation: key=1:string value=2:bytes
    EncryptedObject: data=1:bytes key_id=2:string source=3:bytes annotations=4:Annotation* type=5:int
    """
)


class BadEnvelope(ValueError):
    """Something is no envelope; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class DEKSource:
    """What a key is made of, as the service has encrypted it."""

    encrypted: bytes
    key_id: str  # of the service's key
    annotations: tuple[tuple[str, bytes], ...] = ()
    kind: int = SEED

    def check(self) -> None:
        """Raise BadEnvelope for what can't be written."""
        if self.kind not in (KEY, SEED):
            raise BadEnvelope(f"unknown encryptedDEKSourceType: {self.kind}")
        size = len(self.encrypted)
        if not size:
            raise BadEnvelope("failed to validate encrypted DEK source: encrypted DEK source is empty")
        if size > _LARGEST_SOURCE:
            why = f"encrypted DEK source is {size} bytes, which exceeds the max size of {_LARGEST_SOURCE}"
            raise BadEnvelope(f"failed to validate encrypted DEK source: {why}")
        try:
            check_key_id(self.key_id)
        except BadEnvelope as exc:
            raise BadEnvelope(f"failed to validate key id: {exc}") from exc
        if errors := [*_annotation_errors(self.annotations)]:
            raise BadEnvelope(f"failed to validate annotations: {aggregated(errors)}")


def check_key_id(key_id: str) -> None:
    """Raise BadEnvelope unless it can name a key."""
    size = len(key_id.encode("utf-8", "surrogateescape"))
    if not size:
        raise BadEnvelope("keyID is empty")
    if size > _LONGEST_KEY_ID:
        raise BadEnvelope(f"keyID is {size} bytes, which exceeds the max size of {_LONGEST_KEY_ID}")


def _annotation_errors(annotations: Iterable[tuple[str, bytes]]) -> Iterable[str]:
    total = 0
    for name, value in annotations:
        if wrong := _domain_error(name):
            yield str(wrong)
        total += len(name.encode("utf-8", "surrogateescape")) + len(value)
    if total > _LARGEST_ANNOTATIONS:
        yield f"total size of annotations is {total}, which exceeds the max size of {_LARGEST_ANNOTATIONS}"


def _domain_error(name: str) -> FieldError | None:
    if not name:
        return FieldError.required("annotations")
    if why := dns1123_subdomain(name):
        return FieldError.invalid("annotations", name, why[0])
    if "." not in name:
        return FieldError.invalid(
            "annotations", name, "should be a domain with at least two segments separated by dots"
        )
    return None


class ExtendedKey:
    """Makes a key of a seed for each value, so that no number of writes wears it out."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        info = os.urandom(_INFO)
        return info + self._key(info).encrypt(value, about)

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        """Raises Undecipherable."""
        if len(data) < _INFO:
            raise Undecipherable("the stored data was shorter than the required size")
        return self._key(data[:_INFO]).decrypt(data[_INFO:], about)

    def _key(self, info: bytes) -> AESGCMKey:
        # All of HKDF-Expand (RFC 5869) for as many bytes as the digest has.
        return AESGCMKey(hmac.digest(self._seed, info + b"\x01", "sha256"))


def key_of(kind: int, secret: bytes) -> Cryptic:
    """The key of a decrypted source. Raises Undecipherable."""
    if kind == SEED:
        if len(secret) < SEED_BYTES:
            raise Undecipherable(f"invalid seed length {len(secret)} used for key generation")
        return ExtendedKey(secret)
    try:
        return AESGCMKey(secret)
    except ValueError:
        raise Undecipherable(f"crypto/aes: invalid key size {len(secret)}") from None


def seal(source: DEKSource, data: bytes) -> bytes:
    """The envelope of encrypted data."""
    annotations = [{"key": name, "value": value} for name, value in source.annotations]
    tree = {"data": data, "key_id": source.key_id, "source": source.encrypted, "annotations": annotations}
    return _MESSAGES.encode("EncryptedObject", {**tree, "type": source.kind})


def unseal(envelope: bytes) -> tuple[DEKSource, bytes]:
    """What is in an envelope. Raises Undecipherable."""
    try:
        tree = _MESSAGES.decode("EncryptedObject", envelope)
        annotations = sorted((one["key"], one["value"]) for one in tree["annotations"])
        source = DEKSource(tree["source"], tree["key_id"], tuple(annotations), tree["type"])
        if not tree["data"]:
            raise BadEnvelope("encrypted data is empty")
        source.check()
    except (BadMessage, BadEnvelope) as exc:
        raise Undecipherable(str(exc)) from exc
    return source, tree["data"]
