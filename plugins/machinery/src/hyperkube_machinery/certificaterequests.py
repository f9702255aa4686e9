"""Requests for certificates (PKCS #10): made, read, checked against what a signer gives out, and signed.

Source: k8s.io/kubernetes/pkg/apis/certificates/helpers.go, pkg/controller/certificates/authority,
k8s.io/client-go/util/certificate/csr.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hyperkube_machinery.identity import NODES
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.tls import KeyPair, PrivateKey, names_extension

__all__ = [
    "KUBELET_CLIENT",
    "KUBELET_SERVING",
    "BadRequest",
    "CertificateRequest",
    "made_request",
    "read_request",
    "sign",
]

KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"

_BACKDATED_SECONDS = 300.0
_SHORT_SECONDS = 8 * 3600.0
"""A life below it is not shortened by what it is backdated."""

_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


class BadRequest(ValueError):
    """What is asked for can't be given; the message says why."""


class CertificateRequest:
    """A request that was read."""

    def __init__(self, request: x509.CertificateSigningRequest) -> None:
        self.request = request
        subject = request.subject
        names = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        self.common_name = names[-1] if names else ""
        self.organizations = [str(one.value) for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        try:
            self.alternatives = list(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            self.alternatives = []

    def check_kubelet_client(self, usages: Collection[str]) -> None:
        """Raise BadRequest unless it is a kubelet's, to show itself to the API server with."""
        self._check_node()
        for kind, name in (
            (x509.DNSName, "DNS"),
            (x509.RFC822Name, "Email"),
            (x509.IPAddress, "IP"),
            (x509.UniformResourceIdentifier, "URI"),
        ):
            if self._has(kind):
                raise BadRequest(f"{name} subjectAltNames are not allowed")
        self._check_name()
        _check_usages(usages, "client auth")

    def check_kubelet_serving(self, usages: Collection[str]) -> None:
        """Raise BadRequest unless it is a kubelet's, to serve its API with."""
        self._check_node()
        if not self._has(x509.DNSName) and not self._has(x509.IPAddress):
            raise BadRequest("DNS or IP subjectAltName is required")
        for kind, name in ((x509.RFC822Name, "Email"), (x509.UniformResourceIdentifier, "URI")):
            if self._has(kind):
                raise BadRequest(f"{name} subjectAltNames are not allowed")
        _check_usages(usages, "server auth")
        self._check_name()

    def _has(self, kind: type[x509.GeneralName]) -> bool:
        return any(isinstance(name, kind) for name in self.alternatives)

    def _check_node(self) -> None:
        if self.organizations != [NODES]:
            raise BadRequest("subject organization is not system:nodes")

    def _check_name(self) -> None:
        if not self.common_name.startswith("system:node:"):
            raise BadRequest("subject common name does not begin with system:node:")


def _check_usages(usages: Collection[str], purpose: str) -> None:
    needed = {"digital signature", purpose}
    if set(usages) not in (needed, {*needed, "key encipherment"}):
        raise BadRequest(f"usages did not match [{' '.join(sorted({*needed, 'key encipherment'}))}]")


def read_request(pem: bytes) -> CertificateRequest:
    """Raises BadRequest for what is none."""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise BadRequest("PEM block type must be CERTIFICATE REQUEST")
    try:
        return CertificateRequest(x509.load_pem_x509_csr(pem))
    except ValueError as exc:
        raise BadRequest(str(exc)) from exc


def made_request(key: PrivateKey, common_name: str, organizations: Sequence[str], names: Iterable[str] = ()) -> bytes:
    """A request (PEM) for whoever has `key`, with DNS names and IP addresses among `names`."""
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if alternatives := list(names):
        builder = builder.add_extension(names_extension(alternatives), critical=False)
    return builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.PEM)


def sign(ca: KeyPair, asked: CertificateRequest, usages: Sequence[str], *, seconds: float, now: float) -> bytes:
    """The certificate (PEM) for a request, good for so long, but no longer than the authority's own.

    Names are taken over as they are asked for: whoever approved the request has looked at them. Raises BadRequest.
    """
    request, authority = asked.request, ca.certificate
    if not request.is_signature_valid:
        raise BadRequest("unable to verify certificate request signature")
    end = now + (seconds if seconds < _SHORT_SECONDS else seconds - _BACKDATED_SECONDS)
    last = authority.not_valid_after_utc.timestamp()
    if now >= last:
        raise BadRequest(f"refusing to sign a certificate that expired in the past: NotAfter={_time(last)}")
    unknown = [usage for usage in usages if usage not in _KEY_USAGES and usage not in _EXTENDED_USAGES]
    if unknown:
        raise BadRequest(f"unrecognized usage values: [{' '.join(map(quoted, unknown))}]")
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(now - _BACKDATED_SECONDS))
        .not_valid_after(_time(min(end, last)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_authority_key(authority), critical=False)
    )
    if any(usage in _KEY_USAGES for usage in usages):
        builder = builder.add_extension(_key_usage(usages), critical=True)
    extended = {_EXTENDED_USAGES[usage] for usage in usages if usage in _EXTENDED_USAGES}
    if extended:
        ordered = sorted(extended, key=lambda oid: oid.dotted_string)
        builder = builder.add_extension(x509.ExtendedKeyUsage(ordered), critical=False)
    if asked.alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(asked.alternatives), critical=False)
    try:
        made = builder.sign(ca.key, _digest(ca.key))
    except ValueError as exc:
        raise BadRequest(f"failed to sign certificate: {exc}") from exc
    return made.public_bytes(serialization.Encoding.PEM)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _digest(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()
    return hashes.SHA256()


def _authority_key(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        # Only keys that can sign are ever an authority's.
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    wanted = {_KEY_USAGES[usage] for usage in usages if usage in _KEY_USAGES}
    agreement = "key_agreement" in wanted  # without it, the last two have no meaning and can't be written
    return x509.KeyUsage(
        digital_signature="digital_signature" in wanted,
        content_commitment="content_commitment" in wanted,
        key_encipherment="key_encipherment" in wanted,
        data_encipherment="data_encipherment" in wanted,
        key_agreement=agreement,
        key_cert_sign="key_cert_sign" in wanted,
        crl_sign="crl_sign" in wanted,
        encipher_only=agreement and "encipher_only" in wanted,
        decipher_only=agreement and "decipher_only" in wanted,
    )
