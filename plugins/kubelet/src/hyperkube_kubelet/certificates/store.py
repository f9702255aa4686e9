"""Certificates with their keys in a folder: one file each, and a link to the one that counts.

    kubelet-client-2026-11-22-15-04-05.pem    certificate and key
    kubelet-client-current.pem                a link to the latest

A reader sees the one before or the next, whenever the kubelet is killed. Source: k8s.io/client-go/util/certificate
(certificate_store.go).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hyperkube_machinery.files import make_private_directory, sync_directory, write_durably
from hyperkube_machinery.tls import PrivateKey

__all__ = ["BadPair", "Pair", "PairStore", "key_pem"]


class BadPair(ValueError):
    """A certificate and a key that can't be used together; the message says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, its intermediates behind it, and its key."""

    pem: bytes  # all of it, the key last
    certificate: x509.Certificate
    key: PrivateKey

    @classmethod
    def of(cls, pem: bytes) -> Pair:
        """Raises BadPair."""
        try:
            certificate = x509.load_pem_x509_certificates(pem)[0]
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as exc:
            raise BadPair(f"it holds no certificate with its key: {exc}") from exc
        if not isinstance(key, PrivateKey):
            raise BadPair(f"a {type(key).__name__} can't sign")
        if key.public_key() != certificate.public_key():
            raise BadPair("the key is not the certificate's")
        return cls(pem, certificate, key)

    @classmethod
    def made(cls, certificate_pem: bytes, key: PrivateKey) -> Pair:
        """Raises BadPair."""
        return cls.of(certificate_pem.rstrip(b"\n") + b"\n" + key_pem(key))

    @property
    def begins(self) -> float:
        """Seconds since the epoch."""
        return self.certificate.not_valid_before_utc.timestamp()

    @property
    def ends(self) -> float:
        """Seconds since the epoch."""
        return self.certificate.not_valid_after_utc.timestamp()


def key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


class PairStore:
    """The certificates of one purpose."""

    def __init__(self, folder: Path, name: str) -> None:
        """`name` begins those of its files: `kubelet-client`, `kubelet-server`."""
        self.folder = folder
        self._name = name
        self.current = folder / f"{name}-current.pem"

    def load(self) -> Pair | None:
        """The one that counts; None where there is none, or what is there is of no use."""
        try:
            return Pair.of(self.current.read_bytes())
        except (OSError, BadPair):
            return None

    def update(self, certificate_pem: bytes, key: PrivateKey, *, now: float) -> Pair:
        """Let another one count from now on. Raises BadPair and OSError."""
        pair = Pair.made(certificate_pem, key)
        make_private_directory(self.folder)
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(now))
        path = self.folder / f"{self._name}-{stamp}.pem"
        write_durably(path, pair.pem)
        updated = self.folder / f"{self._name}-updated.pem"
        updated.unlink(missing_ok=True)
        updated.symlink_to(path.absolute())
        os.replace(updated, self.current)
        sync_directory(self.folder)
        return pair
