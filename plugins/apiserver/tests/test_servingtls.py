"""How the server speaks TLS, by what flags say and files hold."""

from __future__ import annotations

import logging
import os
import ssl
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from hyperkube_apiserver.servingtls import ServingTLS
from hyperkube_apiserver.tlsterms import CURVES, NamedCertificate, TLSTerms, parse_named
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.tls import CertificateError, create_ca, issue_serving_certificate, save

NOW = SystemClock().now()
OWN, USERS, OTHERS = (create_ca(name, now=NOW) for name in ("own", "users", "others"))


def write(folder: Path, name: str, *names: str) -> tuple[Path, Path]:
    pair = issue_serving_certificate(OWN, name, names, now=NOW)
    files = folder / f"{name}.crt", folder / f"{name}.key"
    save(pair, *files)
    return files


@pytest.fixture
def terms(tmp_path: Path) -> TLSTerms:
    certificate, key = write(tmp_path, "server", "localhost")
    users = tmp_path / "users.crt"
    users.write_bytes(USERS.certificate_pem)
    return TLSTerms(certificate=certificate, key=key, own_authority=OWN.certificate_pem, client_authorities=users)


def changed(terms: TLSTerms, **changes: object) -> TLSTerms:
    return replace(terms, **changes)  # type: ignore[arg-type]


def shown(tls: ServingTLS, name: str) -> str:
    """The common name of the certificate that a client gets who asks for `name`."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=name)
    server = tls.context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    found = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
    return str(found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def trusted(tls: ServingTLS) -> int:
    return len(tls.current.get_ca_certs())


def replace_file(path: Path, content: bytes) -> None:
    """As whoever renews files does, so that nobody sees half of one."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def test_names_have_certificates_of_their_own(terms: TLSTerms, tmp_path: Path) -> None:
    named = NamedCertificate(*write(tmp_path, "named", "a.example", "*.wild.example"))
    given = NamedCertificate(*write(tmp_path, "given", "c.example"), ("b.example",))
    tls = ServingTLS(changed(terms, named=(named, given)))
    expected = {
        "a.example": "named",
        "A.Example": "named",
        "x.wild.example": "named",
        "x.y.wild.example": "server",
        "b.example": "given",
        "c.example": "server",
        "localhost": "server",
    }
    assert {name: shown(tls, name) for name in expected} == expected


def test_what_changes_on_disk_is_taken_over(terms: TLSTerms, tmp_path: Path) -> None:
    tls = ServingTLS(terms)
    assert (trusted(tls), shown(tls, "x")) == (2, "server")
    certificate, key = write(tmp_path, "renewed", "localhost")
    replace_file(terms.key, key.read_bytes())
    replace_file(terms.certificate, certificate.read_bytes())
    assert terms.client_authorities is not None
    replace_file(terms.client_authorities, USERS.certificate_pem + OTHERS.certificate_pem)
    tls.look()
    assert (trusted(tls), shown(tls, "x")) == (3, "renewed")


def test_what_cannot_be_used_is_told_and_what_was_there_stays(
    terms: TLSTerms, caplog: pytest.LogCaptureFixture
) -> None:
    tls = ServingTLS(terms)
    assert terms.client_authorities is not None
    replace_file(terms.client_authorities, b"nothing")
    with caplog.at_level(logging.ERROR):
        tls.look()
        tls.look()
    assert len(caplog.records) == 1, "it is told once"
    assert str(terms.client_authorities) in caplog.text
    assert (trusted(tls), shown(tls, "x")) == (2, "server")


def test_authorities_of_users_and_of_proxies_are_told_apart(terms: TLSTerms, tmp_path: Path) -> None:
    proxies = tmp_path / "proxies.crt"
    proxies.write_bytes(OTHERS.certificate_pem)
    tls = ServingTLS(changed(terms, proxy_authorities=proxies))
    assert trusted(tls) == 3
    assert tls.proxy_pem.strip() == OTHERS.certificate_pem.strip()
    assert OTHERS.certificate_pem not in tls.client_pem


def test_a_bad_file_keeps_a_server_from_starting(terms: TLSTerms, tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="missing"):
        ServingTLS(changed(terms, client_authorities=tmp_path / "missing.crt"))


@pytest.mark.parametrize(
    ("suites", "expected", "least"),
    [
        (
            ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",),
            {"ECDHE-ECDSA-AES128-GCM-SHA256"},
            ssl.TLSVersion.TLSv1_2,
        ),
        (
            ("TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
            {"ECDHE-RSA-AES256-GCM-SHA384"},
            ssl.TLSVersion.TLSv1_2,
        ),
        (("TLS_AES_256_GCM_SHA384",), None, ssl.TLSVersion.TLSv1_3),
    ],
)
def test_cipher_suites_are_those_that_are_named(
    terms: TLSTerms, suites: tuple[str, ...], expected: set[str] | None, least: ssl.TLSVersion
) -> None:
    context = ServingTLS(changed(terms, cipher_suites=suites)).current
    assert context.minimum_version == least
    found = {one["name"] for one in context.get_ciphers() if one["protocol"] != "TLSv1.3"}
    assert expected is None or found == expected


def shakes_hands(server: ssl.SSLContext, curve: str) -> bool:
    """Whether a client that knows one curve alone is understood."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    client.set_ecdh_curve(curve)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    try:
        for end in ends * 3:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLError:
        return False
    return True


def knows(curve: str) -> bool:
    """Whether Python's TLS can be told of a curve; early patches of 3.11 know some alone."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ecdh_curve(curve)
    except ssl.SSLError:
        return False
    return True


@pytest.mark.parametrize("curve", CURVES)
def test_keys_are_exchanged_on_the_curve_that_is_named(terms: TLSTerms, curve: str) -> None:
    named = changed(terms, curve=curve)
    if knows(CURVES[curve]):
        context = ServingTLS(named).current
        known = [other for other in CURVES if knows(CURVES[other])]
        assert [other for other in known if shakes_hands(context, CURVES[other])] == [curve]
    else:
        with pytest.raises(CertificateError, match="this machine's TLS does not have the curve asked for"):
            _ = ServingTLS(named).current


def test_the_oldest_version_is_the_one_that_is_named(terms: TLSTerms) -> None:
    assert ServingTLS(terms).current.minimum_version == ssl.TLSVersion.TLSv1_2
    newest = ServingTLS(changed(terms, minimum_version="VersionTLS13")).current
    assert newest.minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.crt,a.key", NamedCertificate(Path("a.crt"), Path("a.key"))),
        ("a.crt, a.key:x.example,*.y", NamedCertificate(Path("a.crt"), Path("a.key"), ("x.example", "*.y"))),
        ("a.crt", None),
        ("a.crt,", None),
        ("", None),
    ],
)
def test_a_named_certificate_is_read(text: str, expected: NamedCertificate | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="is not CERTIFICATE,KEY"):
            parse_named(text)
    else:
        assert parse_named(text) == expected
