"""How a value is written so that only who has the key can read it.

    written   k8s:enc:aesgcm:v1:NAME-OF-THE-KEY:…

What is laid out behind that is upstream's, so that either reads what the other has written.
Source: k8s.io/apiserver/pkg/storage/value (transformer.go, encrypt/aes, encrypt/secretbox, encrypt/identity).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.padding import PKCS7

__all__ = [
    "AESCBCKey",
    "AESGCMKey",
    "Identity",
    "KeyNeeded",
    "Keyed",
    "Provider",
    "SecretboxKey",
    "Transformer",
    "Undecipherable",
    "Unencryptable",
]

_ENCRYPTED = b"k8s:enc:"
_BLOCK = 16
_NONCE = 12
_BOX_NONCE = 24


class Undecipherable(ValueError):
    """A stored value can't be read with what there is; the message is upstream's."""


class Unencryptable(ValueError):
    """Nothing can be written as it must be; the message is upstream's."""


class KeyNeeded(Exception):
    """Somebody else has to be asked for a key before a value can be read."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        """`fetch` has the key, or raises Undecipherable."""
        super().__init__("a key is needed")
        self.fetch = fetch


class Cryptic(Protocol):
    """One key of one way to encrypt."""

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        """`about` is bound to what is written: it can be read with the same alone, where the way allows that."""

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        """Raises Undecipherable."""


class AESGCMKey:
    """AES-GCM with a random nonce, which allows of some thousand million writes with a key."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(secret)

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, value, about)

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        if len(data) < _NONCE:
            raise Undecipherable("the stored data was shorter than the required size")
        try:
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], about)
        except InvalidTag:
            raise Undecipherable("cipher: message authentication failed") from None


class AESCBCKey:
    """AES-CBC, which does not find out what was changed; for what was written so before."""

    def __init__(self, secret: bytes) -> None:
        self._algorithm = algorithms.AES(secret)

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        vector, padder = os.urandom(_BLOCK), PKCS7(8 * _BLOCK).padder()
        encryptor = Cipher(self._algorithm, modes.CBC(vector)).encryptor()
        padded = padder.update(value) + padder.finalize()
        return vector + encryptor.update(padded) + encryptor.finalize()

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        if len(data) < _BLOCK:
            raise Undecipherable("the stored data was shorter than the required size")
        vector, rest = data[:_BLOCK], data[_BLOCK:]
        if len(rest) % _BLOCK:
            raise Undecipherable("the stored data is not a multiple of the block size")
        decryptor = Cipher(self._algorithm, modes.CBC(vector)).decryptor()
        unpadder = PKCS7(8 * _BLOCK).unpadder()
        try:
            return unpadder.update(decryptor.update(rest) + decryptor.finalize()) + unpadder.finalize()
        except ValueError:
            raise Undecipherable("invalid padding on input") from None


class SecretboxKey:
    """XSalsa20 and Poly1305, of libsodium, which is installed for it."""

    def __init__(self, secret: bytes) -> None:
        """Raises ImportError where PyNaCl is not installed."""
        from nacl.secret import SecretBox

        self._box = SecretBox(secret)

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        return bytes(self._box.encrypt(value, os.urandom(_BOX_NONCE)))

    def decrypt(self, data: bytes, about: bytes) -> bytes:
        from nacl.exceptions import CryptoError

        try:
            return bytes(self._box.decrypt(data))
        except (CryptoError, ValueError):
            raise Undecipherable("output array was not large enough for encryption") from None


class Provider(Protocol):
    """One way to write values, and what it reads."""

    @property
    def prefix(self) -> bytes:
        """What that which it has written begins with."""

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        """Raises Unencryptable."""

    def decrypt(self, data: bytes, about: bytes) -> tuple[bytes, bool]:
        """The value, and whether it would be written otherwise now. Raises Undecipherable and KeyNeeded."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Values as they are."""

    prefix: bytes = b""

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        return value

    def decrypt(self, data: bytes, about: bytes) -> tuple[bytes, bool]:
        if data.startswith(_ENCRYPTED):
            raise Undecipherable("identity transformer tried to read encrypted data")
        return data, False


@dataclass(frozen=True, slots=True)
class Keyed:
    """Several keys, of which the first writes and all read."""

    prefix: bytes  # k8s:enc:aesgcm:v1:
    keys: Sequence[tuple[bytes, Cryptic]]  # by their names, with a colon behind
    words: str = "AES"

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        name, key = self.keys[0]
        return self.prefix + name + key.encrypt(value, about)

    def decrypt(self, data: bytes, about: bytes) -> tuple[bytes, bool]:
        rest = data[len(self.prefix) :]
        failure: Undecipherable | None = None
        for number, (name, key) in enumerate(self.keys):
            if not rest.startswith(name):
                continue
            try:
                return key.decrypt(rest[len(name) :], about), number > 0
            except Undecipherable as exc:  # another key may have the same name
                failure = failure or exc
        raise failure or Undecipherable(f"no matching key was found for the provided {self.words} transformer")


@dataclass(frozen=True, slots=True)
class Transformer:
    """The providers of a resource, of which the first writes and all read."""

    providers: Sequence[Provider]

    def encrypt(self, value: bytes, about: bytes) -> bytes:
        return self.providers[0].encrypt(value, about)

    def decrypt(self, data: bytes, about: bytes) -> tuple[bytes, bool]:
        """The value, and whether it would be written otherwise now. Raises Undecipherable and KeyNeeded."""
        failure: Undecipherable | None = None
        for number, provider in enumerate(self.providers):
            if not data.startswith(provider.prefix):
                continue
            try:
                value, stale = provider.decrypt(data, about)
            except Undecipherable as exc:
                failure = failure or exc
                continue
            return value, stale or number > 0
        raise failure or Undecipherable("no matching prefix found")
