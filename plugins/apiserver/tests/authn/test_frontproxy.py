"""Proxies that say in headers who their clients are, and whose certificates name users."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from hyperkube_apiserver.authn import Authenticator, Identity
from hyperkube_apiserver.authn.authorities import Authorities
from hyperkube_apiserver.authn.frontproxy import FrontProxy, FrontProxyTerms
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.serving.messages import Request
from hyperkube_machinery.tls import KeyPair, create_ca, issue_client_certificate

NOW = SystemClock().now()
USERS, PROXIES = create_ca("users", now=NOW), create_ca("proxies", now=NOW)
JOE = issue_client_certificate(USERS, "joe", ("dev",), now=NOW)
PROXY = issue_client_certificate(PROXIES, "front", now=NOW)
OTHER_PROXY = issue_client_certificate(PROXIES, "other", now=NOW)
HEADERS = {
    "x-remote-user": "tina",
    "x-remote-uid": "7",
    "x-remote-group": "ops, admins",
    "x-remote-extra-acme.io%2fscopes": "a",
    "accept": "*/*",
}


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


class Connection:
    def __init__(self, pair: KeyPair | None, ca: KeyPair | None = None) -> None:
        self.peer_certificate = None if pair is None else der(pair.certificate)
        self.peer_chain = () if pair is None or ca is None else (der(pair.certificate), der(ca.certificate))
        self.peer_address = "127.0.0.1"
        self.state: dict[str, Any] = {}


@pytest.fixture
def authenticator() -> Authenticator:
    terms = FrontProxyTerms(
        authorities=Authorities([PROXIES.certificate]),
        allowed_names=frozenset(("front",)),
        user_headers=("x-remote-user",),
        uid_headers=("x-remote-uid",),
        group_headers=("x-remote-group",),
        extra_prefixes=("x-remote-extra-",),
    )
    return Authenticator(clock=SystemClock(), proxy=FrontProxy(terms), users=Authorities([USERS.certificate]))


def request(pair: KeyPair | None, ca: KeyPair | None = None, **headers: str) -> Request:
    return Request("GET", "/", "", {**HEADERS, **headers}, b"", Connection(pair, ca))


@pytest.mark.parametrize("ca", [PROXIES, None], ids=["by its chain", "by its signature"])
def test_a_proxy_says_who_a_user_is_and_its_headers_go_no_further(
    authenticator: Authenticator, ca: KeyPair | None
) -> None:
    asked = request(PROXY, ca)
    groups = ("ops, admins", "system:authenticated")
    assert authenticator.authenticate(asked) == Identity("tina", "7", groups, {"acme.io/scopes": ("a",)})
    assert asked.headers == {"accept": "*/*"}


def test_a_header_that_comes_twice_has_two_values(authenticator: Authenticator) -> None:
    asked = request(PROXY)
    asked.repeated = {"x-remote-group": ["ops", "admins"]}
    found = authenticator.authenticate(asked)
    assert isinstance(found, Identity)
    assert found.groups[:2] == ("ops", "admins")


def test_a_users_certificate_is_the_users_whatever_headers_say(authenticator: Authenticator) -> None:
    found = authenticator.authenticate(request(JOE, USERS))
    assert isinstance(found, Identity)
    assert (found.name, found.groups) == ("joe", ("dev", "system:authenticated"))


def test_without_a_certificate_headers_say_nothing(authenticator: Authenticator) -> None:
    found = authenticator.authenticate(request(None))
    assert isinstance(found, Identity)
    assert found.name == "system:anonymous"


@pytest.mark.parametrize(
    ("pair", "ca", "headers"),
    [
        (OTHER_PROXY, PROXIES, {}),
        (PROXY, PROXIES, {"x-remote-user": ""}),
        (PROXY, PROXIES, {"authorization": "Bearer wrong", "x-remote-user": ""}),
    ],
    ids=["a name that isn't allowed", "no user", "no user and a wrong token"],
)
def test_a_proxy_is_nobody_itself(
    authenticator: Authenticator, pair: KeyPair, ca: KeyPair, headers: dict[str, str]
) -> None:
    with pytest.raises(APIError) as caught:
        authenticator.authenticate(request(pair, ca, **headers))
    assert caught.value.code == 401


def test_without_such_an_authority_nobodys_headers_are_read() -> None:
    found = Authenticator(clock=SystemClock()).authenticate(request(JOE, USERS))
    assert isinstance(found, Identity)
    assert found.name == "joe"


def test_authorities_may_change_while_a_connection_lasts() -> None:
    authorities, connection = Authorities([PROXIES.certificate]), Connection(JOE, USERS)
    assert not authorities.vouch_for(connection)
    authorities.replace([USERS.certificate])
    assert authorities.vouch_for(connection)
    authorities.replace([])
    assert not authorities.vouch_for(connection)


def test_a_certificate_that_only_says_who_issued_it_is_vouched_for_by_nobody() -> None:
    impostor = create_ca("users", now=NOW)  # of the same name
    forged = issue_client_certificate(impostor, "joe", now=NOW)
    assert not Authorities([USERS.certificate]).vouch_for(Connection(forged))
