"""Users who show a client certificate: the common name is the user, each organization a group.

That the certificate is signed by the client CA was checked by TLS before; what is left is whether it may be used now,
and for this. Source: k8s.io/apiserver/pkg/authentication/request/x509.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hyperkube_machinery.identity import Identity

__all__ = ["CertificateIdentity", "identify"]

_UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")  # a user's uid in a subject, registered for Kubernetes
_FOR_CLIENTS = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})
_CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"


@dataclass(frozen=True, slots=True)
class CertificateIdentity:
    """What one certificate says, parsed once a connection."""

    identity: Identity | None  # None: it names nobody, so other credentials count
    refused: str = ""  # why it is no credential at any time; "" if it is one
    not_before: float = 0.0  # seconds since the epoch
    not_after: float = 0.0

    def acceptable(self, now: float) -> bool:
        """Whether the certificate is a credential at `now` (seconds since the epoch)."""
        return not self.refused and self.not_before <= now <= self.not_after


def identify(der: bytes) -> CertificateIdentity:
    """Read a certificate. Never raises: what can't be read is refused, with the reason."""
    try:
        with warnings.catch_warnings():
            # What a later release will refuse, such as a serial number of 0, clients' certificates may have till then.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            certificate = x509.load_der_x509_certificate(der)
        return _identify(certificate, der)
    # KeyError: cryptography before 49, for a type of text that it doesn't know in a name.
    except (ValueError, KeyError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        return CertificateIdentity(None, refused=f"cannot read the certificate: {exc}")


def _identify(certificate: x509.Certificate, der: bytes) -> CertificateIdentity:
    not_before = certificate.not_valid_before_utc.timestamp()
    not_after = certificate.not_valid_after_utc.timestamp()
    if not _meant_for_clients(certificate):
        return CertificateIdentity(None, "its key usage is not for clients", not_before, not_after)
    names = _texts(certificate.subject, NameOID.COMMON_NAME)
    if not names or not names[-1]:
        return CertificateIdentity(None, "", not_before, not_after)
    uids = _texts(certificate.subject, _UID)
    if len(uids) > 1 or uids == [""]:
        return CertificateIdentity(None, "its subject has more than one uid or an empty one", not_before, not_after)
    identity = Identity(
        names[-1],
        uids[0] if uids else "",
        tuple(_texts(certificate.subject, NameOID.ORGANIZATION_NAME)),
        {_CREDENTIAL_ID: (f"X509SHA256={sha256(der).hexdigest()}",)},
    )
    return CertificateIdentity(identity.authenticated(), "", not_before, not_after)


def _meant_for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True  # without the extension a key may be used for anything
    return any(usage in _FOR_CLIENTS for usage in usages)


def _texts(subject: x509.Name, oid: x509.ObjectIdentifier) -> list[str]:
    values = (attribute.value for attribute in subject.get_attributes_for_oid(oid))
    return [value if isinstance(value, str) else value.decode("utf-8", "replace") for value in values]
