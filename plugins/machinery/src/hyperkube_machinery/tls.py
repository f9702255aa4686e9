"""A certificate authority, its certificates, and the TLS contexts that use them.

Keys are ECDSA P-256: they are made in well under a millisecond, where RSA takes a tenth of a second or more.

What a server here can't do as upstream: kube-apiserver takes whatever certificate a client shows and has its
authenticators refuse it (401). Python's ssl either verifies during the handshake or asks for no certificate, so that a
certificate of another CA, or an expired one, ends the connection in its handshake; the server's log tells why. No
certificate at all is fine in both. Nobody gets further than with upstream.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hyperkube_machinery.files import PRIVATE_FILE, write_durably

__all__ = [
    "CertificateError",
    "KeyPair",
    "PrivateKey",
    "admit_client",
    "check_validity",
    "client_context",
    "create_ca",
    "issue_client_certificate",
    "issue_serving_certificate",
    "load",
    "load_certificates",
    "names_extension",
    "renewal_reason",
    "save",
    "server_context",
]

Certificate: TypeAlias = x509.Certificate
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# Source: k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4/defaults.go
_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)

_BACKDATED = timedelta(minutes=5)
"""For clients whose clock is behind ours."""

_RENEWED_AT = 0.7
"""The part of its life after which a certificate is renewed, so that a year's has more than three months to spare."""

_LONGEST_NAME = 64  # RFC 5280, ub-common-name and ub-organization-name
_PUBLIC_FILE = 0o644


class CertificateError(Exception):
    """A certificate or key can't be used; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its private key."""

    certificate: Certificate
    key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def create_ca(common_name: str, *, now: float) -> KeyPair:
    """A self-signed authority for ten years from `now` (seconds since the epoch)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common_name, ())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(subject, key.public_key(), now, _CA_LIFE)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    return KeyPair(builder.sign(key, hashes.SHA256()), key)


def issue_serving_certificate(ca: KeyPair, common_name: str, names: Iterable[str], *, now: float) -> KeyPair:
    """For a server that clients reach by `names`: DNS names and IP addresses."""
    return _issue(ca, _name(common_name, ()), ExtendedKeyUsageOID.SERVER_AUTH, names_extension(names), now)


def issue_client_certificate(ca: KeyPair, user: str, groups: Sequence[str] = (), *, now: float) -> KeyPair:
    """For a client that the API server takes for `user`, a member of `groups`."""
    return _issue(ca, _name(user, groups), ExtendedKeyUsageOID.CLIENT_AUTH, None, now)


def _issue(
    ca: KeyPair,
    subject: x509.Name,
    usage: x509.ObjectIdentifier,
    alternatives: x509.SubjectAlternativeName | None,
    now: float,
) -> KeyPair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(subject, key.public_key(), now, _LEAF_LIFE, latest=ca.certificate.not_valid_after_utc)
        .issuer_name(ca.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
    )
    if alternatives is not None:
        builder = builder.add_extension(alternatives, critical=False)
    return KeyPair(builder.sign(ca.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: float,
    life: timedelta,
    *,
    latest: datetime | None = None,
) -> x509.CertificateBuilder:
    begin = datetime.fromtimestamp(int(now), UTC)
    end = begin + life
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _BACKDATED)
        .not_valid_after(end if latest is None else min(end, latest))
    )


def _name(common_name: str, organizations: Sequence[str]) -> x509.Name:
    for name in (common_name, *organizations):
        if not 0 < len(name) <= _LONGEST_NAME:
            raise CertificateError(
                f"cannot issue a certificate to {name!r}: a name in it has 1 to {_LONGEST_NAME} characters"
            )
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def names_extension(names: Iterable[str]) -> x509.SubjectAlternativeName:
    """DNS names and IP addresses, as certificates and requests for them have them. Raises CertificateError."""
    return x509.SubjectAlternativeName([_general_name(name) for name in dict.fromkeys(names)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as exc:
        raise CertificateError(f"{name!r} can't stand in a certificate: it must be ASCII ({exc})") from exc


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def save(pair: KeyPair, certificate_path: Path, key_path: Path) -> None:
    """Write both files; the key first, so that no certificate is ever there without one."""
    write_durably(key_path, pair.key_pem, mode=PRIVATE_FILE)
    write_durably(certificate_path, pair.certificate_pem, mode=_PUBLIC_FILE)


def load(certificate_path: Path, key_path: Path) -> KeyPair:
    """Read what `save` wrote, or what a user brought; the first certificate of a chain is the one that counts."""
    certificate = load_certificates(certificate_path)[0]
    pem = _read(key_path, "private key")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as exc:
        raise CertificateError(f"{key_path}: the private key is encrypted; store it without a passphrase") from exc
    except ValueError as exc:
        raise CertificateError(f"{key_path}: holds no private key in PEM that can be read") from exc
    if not isinstance(key, PrivateKey):
        raise CertificateError(f"{key_path}: a {type(key).__name__} can't sign; use an ECDSA, RSA or Ed25519 key")
    if key.public_key() != certificate.public_key():
        raise CertificateError(
            f"{key_path}: this is not the key of the certificate in {certificate_path}; "
            "give the two that belong together, or remove both if they were made here, and they are made again"
        )
    return KeyPair(certificate, key)


def load_certificates(path: Path) -> list[Certificate]:
    """Read one certificate or many, such as a pool of authorities."""
    pem = _read(path, "certificate")
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as exc:
        raise CertificateError(f"{path}: holds no certificate in PEM that can be read") from exc


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise CertificateError(f"{path}: cannot read the {what} ({exc.strerror})") from exc


def check_validity(certificate: Certificate, *, source: Path, now: float) -> None:
    """Raise CertificateError unless `certificate`, read from `source`, is valid at `now` (seconds since the epoch)."""
    at = datetime.fromtimestamp(now, UTC)
    if at > certificate.not_valid_after_utc:
        raise CertificateError(
            f"{source}: the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
        )
    if at < certificate.not_valid_before_utc:
        raise CertificateError(
            f"{source}: the certificate is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only; "
            "check this machine's clock"
        )


def renewal_reason(certificate: Certificate, ca: Certificate, names: Iterable[str] = (), *, now: float) -> str:
    """Why a certificate should be issued anew by `ca`, to serve as `names`; empty while it is good."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return "it was issued by another authority"
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    at = datetime.fromtimestamp(now, UTC)
    if at > end:
        return "it has expired"
    if at >= begin + (end - begin) * _RENEWED_AT:
        return "it expires soon"
    missing = [name for name in names if _general_name(name) not in _alternatives(certificate)]
    return f"it does not name {', '.join(missing)}" if missing else ""


def _alternatives(certificate: Certificate) -> list[x509.GeneralName]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []


def server_context(certificate_path: Path, key_path: Path, *, client_ca_path: Path | None = None) -> ssl.SSLContext:
    """For a server; with `client_ca_path`, clients may show a certificate of one of its authorities.

    `load_cert_chain` on the result lets connections from then on see a renewed certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    # A resumed session would bring an identity that nobody verified again; clients of the API keep connections.
    context.num_tickets = 0
    _load_chain(context, certificate_path, key_path)
    if client_ca_path is not None:
        load_certificates(client_ca_path)  # for its errors, which name the file
        context.load_verify_locations(client_ca_path)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def client_context(
    *,
    ca_pem: bytes | None = None,
    certificate_pem: bytes = b"",
    key_pem: bytes = b"",
    trusts_anybody: bool = False,
) -> ssl.SSLContext:
    """For a client that trusts `ca_pem`, or the system's authorities, and shows its certificate where it has one."""
    try:
        if trusts_anybody:  # without the system's authorities, whose certificates take long to read
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = ssl.create_default_context(cadata=None if ca_pem is None else ca_pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as exc:
        raise CertificateError(
            f"the certificate authority holds no certificate in PEM that can be read ({exc})"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if certificate_pem:
        from tempfile import TemporaryDirectory  # an import that few clients need

        # ssl reads keys from files alone.
        with TemporaryDirectory(prefix="hk-") as folder:
            certificate_path, key_path = Path(folder, "client.crt"), Path(folder, "client.key")
            certificate_path.write_bytes(certificate_pem)
            key_path.touch(PRIVATE_FILE)
            key_path.write_bytes(key_pem)
            _load_chain(context, certificate_path, key_path)
    return context


def admit_client(server: ssl.SSLContext, certificate_pem: bytes, key_pem: bytes) -> bytes:
    """The certificate (DER) that a client shows `server` in a handshake, which is held here, without a connection.

    Raises CertificateError where the server would end the handshake, and for a certificate that isn't the key's.
    """
    client = client_context(certificate_pem=certificate_pem, key_pem=key_pem, trusts_anybody=True)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asked = client.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    try:
        # Each waits for the other's message; a handshake has three of them.
        for side in (asked, answering, asked, answering):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        shown = answering.getpeercert(binary_form=True)
    except (ssl.SSLError, ValueError) as exc:  # ValueError: the handshake isn't done
        raise CertificateError(f"the server does not take the client's certificate ({exc})") from exc
    if shown is None:
        raise CertificateError("the server asks its clients for no certificate: it has no client CA")
    return shown


def _load_chain(context: ssl.SSLContext, certificate_path: Path, key_path: Path) -> None:
    load(certificate_path, key_path)  # for its errors, which name the file; ssl's don't
    try:
        context.load_cert_chain(certificate_path, key_path)
    except ssl.SSLError as exc:
        raise CertificateError(f"{certificate_path}, {key_path}: cannot be used for TLS ({exc.reason})") from exc
