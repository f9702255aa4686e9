"""TLS as flags tell of it: the least version and the cipher suites, by the names that Go has for them. Pure.

Source: k8s.io/component-base/cli/flag/ciphersuites_flag.go, crypto/tls.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence

__all__ = ["VERSIONS", "apply_terms", "check_suites"]

VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "": ssl.TLSVersion.TLSv1_2,
    # Whatever is older than 1.2 is not spoken here, however little is asked for.
    "VersionTLS10": ssl.TLSVersion.TLSv1_2,
    "VersionTLS11": ssl.TLSVersion.TLSv1_2,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}

_ALWAYS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Of TLS 1.3, which Go doesn't let anybody choose among."""
_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
}
_ABSENT = re.compile(r"TLS_(ECDHE_)?(ECDSA|RSA)_WITH_(3DES_EDE_CBC_SHA|RC4_128_SHA)")
"""What OpenSSL has no more."""


def check_suites(names: Sequence[str]) -> None:
    """Raise ValueError for what is no suite, and where none of those that are named can be had."""
    for name in names:
        if name not in _ALWAYS and not _openssl(name) and not _ABSENT.fullmatch(name):
            raise ValueError(f"Cipher suite {name} not supported or doesn't exist")
    if names and not any(name in _ALWAYS or _openssl(name) for name in names):
        raise ValueError("none of these cipher suites can be had here")


def _openssl(name: str) -> str:
    return _SUITES.get(name) or _SUITES.get(f"{name}_SHA256", "")  # the two of ChaCha20 have an older name


def apply_terms(context: ssl.SSLContext, version: str, suites: Sequence[str]) -> None:
    """Let `context` speak no less than `version`, and below TLS 1.3 these suites alone, if any are named."""
    context.minimum_version = VERSIONS[version]
    if not suites:
        return
    chosen = [found for name in suites if (found := _openssl(name))]
    if chosen:
        context.set_ciphers(":".join(chosen))
    else:  # suites of TLS 1.3 alone
        context.minimum_version = ssl.TLSVersion.TLSv1_3
