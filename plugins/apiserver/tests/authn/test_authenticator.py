"""Who a request is from: certificates, tokens, neither, and both of which one is wrong."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.authn import (
    Authenticator,
    Identity,
    StaticTokens,
    identify,
    ignored_credentials_warning,
)
from hyperkube_apiserver.authn.authenticator import Anonymity
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
RECORDED = json.loads((Path(__file__).parent / "data" / "authorization.json").read_text())


def sender(authenticator: Authenticator, request: Request) -> Identity:
    """Who sent `request`, which nobody else has to be asked about."""
    found = authenticator.authenticate(request)
    assert isinstance(found, Identity)
    return found


class FixedClock:
    def __init__(self, now: datetime = NOW) -> None:
        self.at = now

    def now(self) -> float:
        return self.at.timestamp()

    def monotonic(self) -> float:
        raise AssertionError("certificates go by the time of day")

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("authentication doesn't wait")


class FakeConnection:
    def __init__(self, certificate: bytes | None = None) -> None:
        self.peer_certificate = certificate
        self.peer_chain = () if certificate is None else (certificate,)
        self.peer_address = "127.0.0.1"
        self.state: dict[str, Any] = {}


def certificate(
    *names: tuple[x509.ObjectIdentifier, str],
    usages: list[x509.ObjectIdentifier] | None = None,
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=1),
) -> bytes:
    """A certificate (DER) whose subject is `names`, for clients unless `usages` says otherwise."""
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if usages is None:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def request(certificate: bytes | None = None, authorization: str | None = None) -> Request:
    headers = {} if authorization is None else {"authorization": authorization}
    return Request("GET", "/", "", headers, b"", FakeConnection(certificate))


JOE = certificate((NameOID.COMMON_NAME, "joe"), (NameOID.ORGANIZATION_NAME, "dev"), (NameOID.ORGANIZATION_NAME, "ops"))


def socket_request(*protocols: str, **headers: str) -> Request:
    sent = {"connection": "keep-alive, Upgrade", "upgrade": "WebSocket", **headers}
    sent["sec-websocket-protocol"] = ", ".join(protocols)
    return Request("GET", "/", "", sent, b"", FakeConnection())


def protocol(token: str) -> str:
    return "base64url.bearer.authorization.k8s.io." + urlsafe_b64encode(token.encode()).decode().rstrip("=")


@pytest.fixture
def authenticator() -> Authenticator:
    tokens = StaticTokens({"good": Identity("tina", "7", ("qa",)), "a,b": Identity("comma")})
    return Authenticator(clock=FixedClock(), tokens=tokens)


def test_a_certificate_names_the_user_and_its_organizations_are_groups(authenticator: Authenticator) -> None:
    identity = sender(authenticator, request(JOE))
    assert (identity.name, identity.uid) == ("joe", "")
    assert identity.groups == ("dev", "ops", "system:authenticated")
    (credential,) = identity.extra["authentication.kubernetes.io/credential-id"]
    assert credential.startswith("X509SHA256=")
    assert len(credential) == len("X509SHA256=") + 64


def test_a_socket_may_offer_its_token_as_a_protocol(authenticator: Authenticator) -> None:
    offer = socket_request("v5.channel.k8s.io", protocol("good"), "v4.channel.k8s.io")
    assert sender(authenticator, offer).name == "tina"
    assert offer.headers["sec-websocket-protocol"] == "v5.channel.k8s.io,v4.channel.k8s.io", "nobody chooses the token"


@pytest.mark.parametrize(
    "protocols",
    [
        (protocol("bad"), "v5.channel.k8s.io"),
        (protocol("good"),),
        (protocol("good"), protocol("good"), "v5.channel.k8s.io"),
        (protocol("good") + "=", "v5.channel.k8s.io"),
        (protocol("good") + "+", "v5.channel.k8s.io"),
        ("base64url.bearer.authorization.k8s.io._w", "v5.channel.k8s.io"),
    ],
)
def test_a_wrong_token_among_the_protocols_is_refused(authenticator: Authenticator, protocols: tuple[str, ...]) -> None:
    with pytest.raises(APIError):
        sender(authenticator, socket_request(*protocols))


def test_protocols_are_tokens_on_sockets_alone(authenticator: Authenticator) -> None:
    offer = protocol("good"), "v5.channel.k8s.io"
    assert sender(authenticator, socket_request("v5.channel.k8s.io")).name == "system:anonymous"
    assert sender(authenticator, socket_request(*offer, upgrade="h2c")).name == "system:anonymous"
    assert sender(authenticator, socket_request(*offer, connection="close")).name == "system:anonymous"
    assert sender(authenticator, socket_request(protocol(""), "x")).name == "system:anonymous"
    both = socket_request(*offer, authorization="Bearer bad")
    assert sender(authenticator, both).name == "tina", "one that is right suffices"


def test_a_certificate_may_carry_the_uid_of_its_user(authenticator: Authenticator) -> None:
    assert sender(authenticator, request(certificate((NameOID.COMMON_NAME, "joe"), (UID, "u-1")))).uid == "u-1"


def test_a_certificate_is_parsed_once_a_connection(authenticator: Authenticator) -> None:
    connection = FakeConnection(JOE)
    first = sender(authenticator, Request("GET", "/", "", {}, b"", connection))
    assert sender(authenticator, Request("GET", "/", "", {}, b"", connection)) is first


@pytest.mark.parametrize(
    "bad",
    [
        certificate((NameOID.COMMON_NAME, "joe"), begins=NOW - timedelta(days=2), ends=NOW - timedelta(seconds=1)),
        certificate((NameOID.COMMON_NAME, "joe"), begins=NOW + timedelta(seconds=1)),
        certificate((NameOID.COMMON_NAME, "joe"), usages=[ExtendedKeyUsageOID.SERVER_AUTH]),
        certificate((NameOID.COMMON_NAME, "joe"), (UID, "a"), (UID, "b")),
        b"not a certificate",
    ],
    ids=["expired", "not yet valid", "for servers", "two uids", "garbage"],
)
def test_a_certificate_that_does_not_count_is_refused(authenticator: Authenticator, bad: bytes) -> None:
    with pytest.raises(APIError) as refused:
        sender(authenticator, request(bad))
    assert refused.value.status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }


@pytest.mark.parametrize("usages", [[], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]], ids=["none", "any"])
def test_a_certificate_for_any_use_is_one_for_clients(
    authenticator: Authenticator, usages: list[x509.ObjectIdentifier]
) -> None:
    assert sender(authenticator, request(certificate((NameOID.COMMON_NAME, "joe"), usages=usages))).name == "joe"


def test_a_certificate_expires_while_its_connection_lives() -> None:
    clock = FixedClock()
    authenticator = Authenticator(clock=clock)
    connection = FakeConnection(JOE)
    sender(authenticator, Request("GET", "/", "", {}, b"", connection))
    clock.at += timedelta(days=2)
    with pytest.raises(APIError):
        sender(authenticator, Request("GET", "/", "", {}, b"", connection))


def test_a_certificate_without_a_common_name_leaves_its_holder_anonymous(authenticator: Authenticator) -> None:
    nameless = certificate((NameOID.ORGANIZATION_NAME, "system:masters"))
    assert sender(authenticator, request(nameless)) == Identity("system:anonymous", "", ("system:unauthenticated",))


def test_a_token_stands_for_its_user(authenticator: Authenticator) -> None:
    identity = sender(authenticator, request(authorization="Bearer good"))
    assert identity == Identity("tina", "7", ("qa", "system:authenticated"))


@pytest.mark.parametrize("header", ["bearer good", "BEARER good", "  Bearer good  ", "Bearer good trailing"])
def test_the_scheme_is_read_leniently(authenticator: Authenticator, header: str) -> None:
    assert sender(authenticator, request(authorization=header)).name == "tina"


@pytest.mark.parametrize("case", RECORDED, ids=[case["authorization"] or "empty" for case in RECORDED])
def test_headers_are_refused_or_anonymous_as_recorded(authenticator: Authenticator, case: dict[str, Any]) -> None:
    asked = request(authorization=case["authorization"])
    if case["status"] == 401:
        with pytest.raises(APIError) as refused:
            sender(authenticator, asked)
        assert refused.value.code == 401
    else:
        assert sender(authenticator, asked).name == "system:anonymous"


def test_a_good_certificate_makes_up_for_a_bad_token(authenticator: Authenticator) -> None:
    assert sender(authenticator, request(JOE, "Bearer bad")).name == "joe"


def test_a_good_token_makes_up_for_a_bad_certificate(authenticator: Authenticator) -> None:
    expired = certificate((NameOID.COMMON_NAME, "joe"), begins=NOW - timedelta(days=2), ends=NOW - timedelta(days=1))
    assert sender(authenticator, request(expired, "Bearer good")).name == "tina"


def test_a_certificate_goes_before_a_token(authenticator: Authenticator) -> None:
    assert sender(authenticator, request(JOE, "Bearer good")).name == "joe"


def test_nobody_is_anonymous_where_that_is_switched_off() -> None:
    authenticator = Authenticator(clock=FixedClock(), anonymity=Anonymity(False))
    with pytest.raises(APIError) as refused:
        sender(authenticator, request())
    assert refused.value.code == 401
    assert sender(authenticator, request(JOE)).name == "joe"


@pytest.mark.parametrize("groups", [("system:authenticated",), ("system:unauthenticated",)])
def test_groups_that_say_who_is_authenticated_are_kept(groups: tuple[str, ...]) -> None:
    assert Identity("x", groups=groups).authenticated().groups == groups


@pytest.mark.parametrize(
    ("header", "warned"), [("Bearer  good", True), ("Bearer good", False), ("Bearer ", False), ("Basic  x", False)]
)
def test_a_doubled_space_is_warned_of(authenticator: Authenticator, header: str, warned: bool) -> None:
    assert bool(ignored_credentials_warning({"authorization": header})) is warned
    if warned:
        assert sender(authenticator, request(authorization=header)).name == "system:anonymous"


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(JOE) - 1), st.integers(0, 255)), max_size=3), st.integers(0, len(JOE)))
def test_a_certificate_in_any_shape_is_read_or_refused(changes: list[tuple[int, int]], length: int) -> None:
    shaped = bytearray(JOE)
    for at, value in changes:
        shaped[at] = value
    for der in (bytes(shaped), bytes(shaped[:length])):
        found = identify(der)
        assert found.identity is None or not found.refused


@settings(max_examples=300)
@given(st.text())
def test_an_authorization_header_in_any_shape_is_refused_or_anonymous(header: str) -> None:
    authenticator = Authenticator(clock=FixedClock(), tokens=StaticTokens({"good": Identity("tina")}))
    try:
        found = sender(authenticator, request(authorization=header)).name
    except APIError as error:
        found = error.reason
    assert found in ("system:anonymous", "Unauthorized", "tina")
    ignored_credentials_warning({"authorization": header})
