"""Authorities and certificates."""

from __future__ import annotations

import ssl
import stat
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hyperkube_machinery import tls

NOW = 1_790_000_000.0
DAY = 86400.0


@pytest.fixture(scope="module")
def ca() -> tls.KeyPair:
    return tls.create_ca("test-ca", now=NOW)


def _values(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[object]:
    return [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]


def test_a_client_certificate_carries_user_and_groups(ca: tls.KeyPair) -> None:
    certificate = tls.issue_client_certificate(ca, "jane", ["dev", "ops"], now=NOW).certificate
    assert _values(certificate, NameOID.COMMON_NAME) == ["jane"]
    assert _values(certificate, NameOID.ORGANIZATION_NAME) == ["dev", "ops"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_serving_certificate_names_hosts_and_addresses_once_each(ca: tls.KeyPair) -> None:
    names = ["localhost", "127.0.0.1", "::1", "localhost", "kubernetes.default.svc"]
    certificate = tls.issue_serving_certificate(ca, "server", names, now=NOW).certificate
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert found.get_values_for_type(x509.DNSName) == ["localhost", "kubernetes.default.svc"]
    assert [str(one) for one in found.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_openssl_verifies_what_was_issued_for_its_purpose_only(ca: tls.KeyPair, tmp_path: Path) -> None:
    tls.save(ca, tmp_path / "ca.crt", tmp_path / "ca.key")
    tls.save(tls.issue_client_certificate(ca, "jane", now=NOW), tmp_path / "c.crt", tmp_path / "c.key")
    for purpose, good in (("sslclient", True), ("sslserver", False)):
        command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW)), "-purpose", purpose]
        command += ["-CAfile", str(tmp_path / "ca.crt"), str(tmp_path / "c.crt")]
        assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) is good


def test_a_certificate_ends_with_its_authority(ca: tls.KeyPair) -> None:
    late = tls.issue_client_certificate(ca, "jane", now=NOW + 3500 * DAY).certificate
    assert late.not_valid_after_utc == ca.certificate.not_valid_after_utc


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_does_not_fit_a_certificate_is_refused(ca: tls.KeyPair, name: str) -> None:
    with pytest.raises(tls.CertificateError, match="cannot issue a certificate to"):
        tls.issue_client_certificate(ca, name, now=NOW)


def test_a_host_that_is_not_ascii_is_refused(ca: tls.KeyPair) -> None:
    with pytest.raises(tls.CertificateError, match="bücher"):
        tls.issue_serving_certificate(ca, "server", ["bücher.example"], now=NOW)


def test_a_pair_comes_back_from_its_files_and_the_key_is_private(ca: tls.KeyPair, tmp_path: Path) -> None:
    certificate_path, key_path = tmp_path / "ca.crt", tmp_path / "ca.key"
    tls.save(ca, certificate_path, key_path)
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    loaded = tls.load(certificate_path, key_path)
    assert loaded.certificate == ca.certificate
    assert loaded.key_pem == ca.key_pem
    issued = tls.issue_client_certificate(loaded, "jane", now=NOW).certificate
    issued.verify_directly_issued_by(ca.certificate)


class TestErrors:
    @pytest.fixture
    def paths(self, ca: tls.KeyPair, tmp_path: Path) -> tuple[Path, Path]:
        tls.save(ca, tmp_path / "a.crt", tmp_path / "a.key")
        return tmp_path / "a.crt", tmp_path / "a.key"

    def _refused(self, paths: tuple[Path, Path], named: Path, text: str) -> None:
        for use in (tls.load, tls.server_context):
            with pytest.raises(tls.CertificateError) as caught:
                use(*paths)
            assert str(caught.value).startswith(f"{named}: ")
            assert text in str(caught.value)

    def test_a_missing_file(self, paths: tuple[Path, Path]) -> None:
        paths[1].unlink()
        self._refused(paths, paths[1], "cannot read the private key (No such file or directory)")
        paths[0].unlink()
        self._refused(paths, paths[0], "cannot read the certificate (No such file or directory)")

    def test_a_file_that_holds_something_else(self, paths: tuple[Path, Path]) -> None:
        paths[1].write_bytes(b"nonsense")
        self._refused(paths, paths[1], "no private key in PEM")
        paths[0].write_bytes(b"nonsense")
        self._refused(paths, paths[0], "no certificate in PEM")

    def test_a_key_of_another_certificate(self, paths: tuple[Path, Path]) -> None:
        other = tls.create_ca("other", now=NOW)
        paths[1].write_bytes(other.key_pem)
        self._refused(paths, paths[1], f"not the key of the certificate in {paths[0]}")

    def test_a_key_with_a_passphrase(self, ca: tls.KeyPair, paths: tuple[Path, Path]) -> None:
        encrypted = ca.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
        paths[1].write_bytes(encrypted)
        self._refused(paths, paths[1], "store it without a passphrase")

    def test_a_key_that_cannot_sign(self, paths: tuple[Path, Path]) -> None:
        key = x25519.X25519PrivateKey.generate()
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self._refused(paths, paths[1], "can't sign")

    def test_a_client_ca_that_is_none(self, paths: tuple[Path, Path], tmp_path: Path) -> None:
        (tmp_path / "ca.crt").write_bytes(b"")
        with pytest.raises(tls.CertificateError, match="holds no certificate in PEM"):
            tls.server_context(*paths, client_ca_path=tmp_path / "ca.crt")

    def test_authorities_that_are_none(self) -> None:
        with pytest.raises(tls.CertificateError, match="certificate authority"):
            tls.client_context(ca_pem=b"nonsense")


def test_a_key_that_a_user_brings_may_be_rsa_and_in_the_traditional_form(ca: tls.KeyPair, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "brought")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    begin = ca.certificate.not_valid_before_utc
    builder = builder.serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    (tmp_path / "a.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "a.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    assert tls.load(tmp_path / "a.crt", tmp_path / "a.key").certificate == certificate
    tls.server_context(tmp_path / "a.crt", tmp_path / "a.key")


def test_keys_are_p_256(ca: tls.KeyPair) -> None:
    for pair in (ca, tls.issue_client_certificate(ca, "jane", now=NOW)):
        assert isinstance(pair.key, ec.EllipticCurvePrivateKey)
        assert pair.key.curve.name == "secp256r1"


def test_validity_is_told_with_the_file_and_what_to_do(ca: tls.KeyPair) -> None:
    certificate = tls.issue_client_certificate(ca, "jane", now=NOW).certificate
    source = Path("/etc/jane.crt")
    tls.check_validity(certificate, source=source, now=NOW)
    tls.check_validity(certificate, source=source, now=NOW - 299)  # others' clocks may be behind
    with pytest.raises(
        tls.CertificateError, match=r"/etc/jane\.crt: the certificate expired on 2027-09-21 14:13 UTC; renew"
    ):
        tls.check_validity(certificate, source=source, now=NOW + 366 * DAY)
    with pytest.raises(tls.CertificateError, match=r"/etc/jane\.crt: .* valid from 2026-09-21 14:08 UTC .* clock"):
        tls.check_validity(certificate, source=source, now=NOW - DAY)


def test_a_certificate_is_renewed_when_it_must_be(ca: tls.KeyPair) -> None:
    certificate = tls.issue_serving_certificate(ca, "server", ["localhost", "10.0.0.1"], now=NOW).certificate

    def reason(*names: str, days: float = 0, authority: tls.KeyPair = ca) -> str:
        return tls.renewal_reason(certificate, authority.certificate, names, now=NOW + days * DAY)

    assert reason("localhost", "10.0.0.1") == ""
    assert reason(days=255) == ""
    assert reason(days=256) == "it expires soon"
    assert reason(days=366) == "it has expired"
    assert reason("localhost", "10.0.0.2", "example.org") == "it does not name 10.0.0.2, example.org"
    assert reason(authority=tls.create_ca("test-ca", now=NOW)) == "it was issued by another authority"
    assert reason(authority=tls.create_ca("other", now=NOW)) == "it was issued by another authority"


class TestAdmission:
    """A client that shows its certificate without a connection."""

    @pytest.fixture
    def authority(self) -> tls.KeyPair:
        return tls.create_ca("clients", now=time.time())

    @pytest.fixture
    def server(self, authority: tls.KeyPair, tmp_path: Path) -> ssl.SSLContext:
        own = tls.create_ca("servers", now=time.time())
        pair = tls.issue_serving_certificate(own, "server", ["127.0.0.1"], now=time.time())
        tls.save(pair, tmp_path / "server.crt", tmp_path / "server.key")
        (tmp_path / "clients.crt").write_bytes(authority.certificate_pem)
        return tls.server_context(
            tmp_path / "server.crt", tmp_path / "server.key", client_ca_path=tmp_path / "clients.crt"
        )

    def test_a_certificate_of_the_servers_authority_is_taken(
        self, server: ssl.SSLContext, authority: tls.KeyPair
    ) -> None:
        pair = tls.issue_client_certificate(authority, "ann", now=time.time())
        shown = tls.admit_client(server, pair.certificate_pem, pair.key_pem)
        assert shown == pair.certificate.public_bytes(serialization.Encoding.DER)

    def test_another_authoritys_is_refused_though_it_has_the_same_name(self, server: ssl.SSLContext) -> None:
        other = tls.create_ca("clients", now=time.time())
        pair = tls.issue_client_certificate(other, "ann", now=time.time())
        with pytest.raises(tls.CertificateError, match="does not take"):
            tls.admit_client(server, pair.certificate_pem, pair.key_pem)

    def test_one_that_has_ended_is_refused(self, server: ssl.SSLContext, authority: tls.KeyPair) -> None:
        pair = tls.issue_client_certificate(authority, "ann", now=time.time() - 10 * 365 * 86400)
        with pytest.raises(tls.CertificateError, match="does not take"):
            tls.admit_client(server, pair.certificate_pem, pair.key_pem)

    def test_the_certificate_of_a_server_is_no_clients(self, server: ssl.SSLContext, authority: tls.KeyPair) -> None:
        pair = tls.issue_serving_certificate(authority, "ann", ["127.0.0.1"], now=time.time())
        with pytest.raises(tls.CertificateError, match="does not take"):
            tls.admit_client(server, pair.certificate_pem, pair.key_pem)

    def test_a_certificate_without_its_key_is_refused(self, server: ssl.SSLContext, authority: tls.KeyPair) -> None:
        ann, bob = (tls.issue_client_certificate(authority, name, now=time.time()) for name in ("ann", "bob"))
        with pytest.raises(tls.CertificateError):
            tls.admit_client(server, ann.certificate_pem, bob.key_pem)
