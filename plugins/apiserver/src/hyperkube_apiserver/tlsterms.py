"""How flags say that TLS is to be spoken.

Source: k8s.io/component-base/cli/flag (ciphersuites_flag.go, namedcertkey_flag.go).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CIPHER_SUITES", "CURVES", "MINIMUM_VERSIONS", "NamedCertificate", "TLSTerms", "check_curves", "parse_named"]

MINIMUM_VERSIONS = {"": "TLSv1_2", "VersionTLS12": "TLSv1_2", "VersionTLS13": "TLSv1_3"}
# Go's names of the suites of TLS 1.2 that OpenSSL has too; those of TLS 1.3 can't be chosen, as in Go.
CIPHER_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
CURVES = {"23": "prime256v1", "24": "secp384r1", "25": "secp521r1", "29": "X25519"}
"""OpenSSL's names of the curves that keys are exchanged on, by their numbers in TLS, which Go's are."""
_LARGEST = (1 << 16) - 1


def check_curves(numbers: Sequence[str]) -> None:
    """Raise ValueError for what Go would refuse, and for what can't be done here."""
    for index, number in enumerate(numbers):
        if not number.isdecimal():
            raise ValueError(f'strconv.Atoi: parsing "{number}": invalid syntax')
        if not 0 < int(number) <= _LARGEST:
            raise ValueError(f"curve preference {number} is out of range (must be 1-{_LARGEST})")
        if number in numbers[:index]:
            raise ValueError(f"duplicate curve preference {number}")
        if number not in CURVES:
            raise ValueError(f"curve preference {number} is not supported by Python; there are {', '.join(CURVES)}")
    if len(numbers) > 1:
        raise ValueError("Python can be told one curve, and is given several: give one, or none for those of OpenSSL")


@dataclass(frozen=True, slots=True)
class NamedCertificate:
    """A certificate for clients that ask for a name; without `names`, those that stand in it count."""

    certificate: Path
    key: Path
    names: tuple[str, ...] = ()


def parse_named(text: str) -> NamedCertificate:
    """`CERTIFICATE,KEY` or `CERTIFICATE,KEY:NAME,NAME`. Raises ValueError."""
    pair, _, names = text.partition(":")
    files = [part.strip() for part in pair.split(",")]
    if len(files) != 2 or not all(files):
        raise ValueError(f'"{text}" is not CERTIFICATE,KEY or CERTIFICATE,KEY:NAME,NAME')
    return NamedCertificate(Path(files[0]), Path(files[1]), tuple(name.strip() for name in names.split(",") if name))


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSTerms:
    """What the contexts are made of."""

    certificate: Path
    key: Path
    own_authority: bytes  # PEM: the server's own, whose certificates name users
    client_authorities: Path | None = None  # others that do
    proxy_authorities: Path | None = None  # those of front proxies
    named: Sequence[NamedCertificate] = ()
    minimum_version: str = ""  # one of MINIMUM_VERSIONS
    cipher_suites: Sequence[str] = ()  # of CIPHER_SUITES
    curve: str = ""  # one of CURVES; "" for those that OpenSSL prefers

    @property
    def files(self) -> list[Path]:
        """Everything that is read."""
        found = [self.certificate, self.key]
        found += [file for file in (self.client_authorities, self.proxy_authorities) if file is not None]
        for one in self.named:
            found += [one.certificate, one.key]
        return found
