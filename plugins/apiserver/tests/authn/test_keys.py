"""Keys of tokens: what files may hold, and that each signs and verifies in its own algorithm."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from hyperkube_apiserver.authn.keys import (
    KeyFileError,
    PublicKey,
    SigningKey,
    create_key,
    load_public_keys,
    load_signing_key,
)
from hyperkube_machinery import tls

RSA = SigningKey.of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
KEYS = {
    "RS256": RSA,
    "ES256": create_key(),
    "ES384": SigningKey.of(ec.generate_private_key(ec.SECP384R1())),
    "ES512": SigningKey.of(ec.generate_private_key(ec.SECP521R1())),
}


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_key_verifies_what_it_signed_and_nothing_else(algorithm: str) -> None:
    key = KEYS[algorithm]
    signature = key.sign(b"text")
    assert key.public.algorithm == algorithm
    assert key.public.verifies(signature, b"text")
    assert not key.public.verifies(signature, b"test")
    assert not key.public.verifies(signature[:-1], b"text")
    assert not key.public.verifies(b"", b"text")
    assert not any(other.public.verifies(signature, b"text") for name, other in KEYS.items() if name != algorithm)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_web_key_holds_the_public_numbers(algorithm: str) -> None:
    key = KEYS[algorithm].public
    told = key.jwk()

    def number(field: str) -> int:
        return int.from_bytes(urlsafe_b64decode(told[field] + "=="), "big")

    assert (told["use"], told["alg"], told["kid"]) == ("sig", algorithm, key.id)
    if isinstance(key.key, rsa.RSAPublicKey):
        assert told["kty"] == "RSA"
        public = key.key.public_numbers()
        assert (number("n"), number("e")) == (public.n, public.e)
    else:
        assert (told["kty"], told["crv"]) == ("EC", {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm])
        point = key.key.public_numbers()
        assert (number("x"), number("y")) == (point.x, point.y)
    assert json.dumps(told).isascii()


def test_a_key_is_called_as_upstream_calls_it() -> None:
    """By the digest of its DER; kube-apiserver calls this key so."""
    pem = (
        b"-----BEGIN PUBLIC KEY-----\n"
        b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEH6cuzP8XuD5wal6wf9M6xDljTOPL\n"
        b"X2i8uIp/C/ASqiIGUeeKQtX0/IR3qCXyThP/dbCiHrF3v1cuhBOHY8CLVg==\n"
        b"-----END PUBLIC KEY-----\n"
    )
    key = serialization.load_pem_public_key(pem)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert PublicKey.of(key).id == "SoABiieYuNx4UdqYvZRVeuC6SihxgLrhLy9peHMHpTc"


def test_a_file_may_hold_public_keys_private_keys_and_certificates(tmp_path: Path) -> None:
    certificate = tls.create_ca("ca", now=1_700_000_000)
    old = ec.generate_private_key(ec.SECP256R1())
    sec1 = old.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path = tmp_path / "keys.pem"
    path.write_bytes(b"a word before\n" + RSA.public.pem() + sec1 + certificate.certificate_pem + KEYS["ES384"].pem())
    found = [key.id for key in load_public_keys(path)]
    assert found == [
        RSA.public.id,
        SigningKey.of(old).public.id,
        SigningKey.of(certificate.key).public.id,  # type: ignore[arg-type]
        KEYS["ES384"].public.id,
    ]
    assert load_signing_key(path).public.id == SigningKey.of(old).public.id


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it holds no RSA or ECDSA"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "can't be used"),
        (
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "neither RSA nor ECDSA",
        ),
        (
            create_key().key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            ),
            "can't be used",
        ),
        (
            ec.generate_private_key(ec.SECP256K1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            "none of P-256, P-384 and P-521",
        ),
    ],
    ids=["nothing", "no key", "Ed25519", "encrypted", "secp256k1"],
)
def test_a_file_that_holds_no_usable_key_is_an_error_that_names_it(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "sa.key"
    path.write_bytes(content)
    for load in (load_signing_key, load_public_keys):
        with pytest.raises(KeyFileError, match=r"key file '.*sa\.key'") as caught:
            load(path)
        assert message in str(caught.value)


def test_a_certificate_of_another_kind_of_key_and_a_missing_file_are_errors(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    ca = tls.create_ca("ca", now=1_700_000_000)
    begin = ca.certificate.not_valid_before_utc
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(ca.certificate.not_valid_after_utc)
        .sign(ca.key, hashes.SHA256())
    )
    path = tmp_path / "c.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(KeyFileError, match="neither RSA nor ECDSA"):
        load_public_keys(path)
    with pytest.raises(KeyFileError, match="cannot read it: No such file"):
        load_signing_key(tmp_path / "none")
