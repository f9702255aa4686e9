"""Signed tokens: what is signed is read, and what was changed is refused."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hyperkube_apiserver.authn.jwt import KeySet, TokenError, claimed_issuer, signed
from hyperkube_apiserver.authn.keys import SigningKey, base64url, create_key

KEY, OTHER = create_key(), create_key()
RSA = SigningKey.of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
KEYS = KeySet([KEY.public, RSA.public])
CLAIMS = {"iss": "https://issuer", "sub": "system:serviceaccount:ns:sa", "aud": ["api"], "exp": 2_000_000_000}
TOKEN = signed(KEY, CLAIMS)


def parts(token: str) -> tuple[Any, Any, bytes]:
    head, payload, signature = (urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    return json.loads(head), json.loads(payload), signature


def forged(header: Any, payload: Any = CLAIMS, *, by: SigningKey = KEY) -> str:
    head = f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(payload).encode())}"
    return f"{head}.{base64url(by.sign(head.encode()))}"


@pytest.mark.parametrize("key", [KEY, RSA], ids=["ES256", "RS256"])
def test_what_was_signed_is_read(key: SigningKey) -> None:
    token = signed(key, CLAIMS)
    assert KEYS.claims(token) == CLAIMS
    assert claimed_issuer(token) == "https://issuer"
    header, payload, _ = parts(token)
    assert header == {"alg": key.public.algorithm, "kid": key.public.id}
    assert payload == CLAIMS
    assert "=" not in token


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(OTHER, CLAIMS), id="another's key"),
        pytest.param(forged({"alg": "ES256", "kid": KEY.public.id}, by=OTHER), id="another's key under the same name"),
        pytest.param(forged({"alg": "ES256", "kid": "nobody's"}), id="a name that nobody has"),
        pytest.param(forged({"alg": "ES256"}, by=OTHER), id="another's key without a name"),
        pytest.param(forged({"alg": "none", "kid": KEY.public.id}), id="no algorithm"),
        pytest.param(forged({"alg": "HS256", "kid": KEY.public.id}), id="a secret's algorithm"),
        pytest.param(forged({"alg": "RS256", "kid": KEY.public.id}), id="RSA's algorithm"),
        pytest.param(forged({"alg": "ES256", "kid": RSA.public.id}), id="an RSA key's name"),
        pytest.param(forged({"alg": ["ES256"]}), id="algorithms in a list"),
        pytest.param(forged({"kid": KEY.public.id}), id="no algorithm named"),
        pytest.param(forged({"alg": "ES256", "kid": KEY.public.id, "crit": ["exp"]}), id="something critical"),
        pytest.param(forged({"alg": "ES256", "kid": KEY.public.id}, payload=["a"]), id="claims in a list"),
        pytest.param(forged(["alg"]), id="a header in a list"),
        pytest.param(TOKEN.rpartition(".")[0] + ".", id="an empty signature"),
        pytest.param(TOKEN.rpartition(".")[0], id="no signature"),
        pytest.param(TOKEN + ".", id="a fourth part"),
        pytest.param("." + TOKEN, id="an empty header"),
        pytest.param(TOKEN + "=", id="padding"),
        pytest.param(TOKEN + "\n", id="a line's end"),
        pytest.param(TOKEN.replace("-", "+").replace("_", "/") + "+", id="another alphabet"),
        pytest.param("", id="nothing"),
        pytest.param("..", id="three times nothing"),
        pytest.param("a.b.c", id="no base64"),
        pytest.param("é.é.é", id="letters beyond ASCII"),
        pytest.param("\udcff.\udcff.\udcff", id="what can't be encoded"),
    ],
)
def test_what_no_known_key_signed_in_its_own_algorithm_is_refused(token: str) -> None:
    with pytest.raises(TokenError):
        KEYS.claims(token)


def test_a_token_without_a_key_id_is_tried_with_every_key() -> None:
    assert KEYS.claims(forged({"alg": "ES256"})) == CLAIMS
    assert KEYS.claims(forged({"alg": "RS256"}, by=RSA)) == CLAIMS


def test_key_ids_of_another_type_are_refused() -> None:
    for odd in (["x"], {"a": 1}, 7, True):
        with pytest.raises(TokenError):
            KEYS.claims(forged({"alg": "ES256", "kid": odd}))


@settings(max_examples=400)
@given(st.data())
def test_no_changed_token_is_believed(data: st.DataObject) -> None:
    """Whatever is done to the text: one character, a cut, an insertion, or parts of two tokens put together."""
    at = data.draw(st.integers(0, len(TOKEN) - 1))
    kind = data.draw(st.sampled_from(["replace", "delete", "insert", "cut", "swap"]))
    char = data.draw(st.one_of(st.sampled_from("ABab01-_.=+/ "), st.characters()))
    other = signed(KEY, {**CLAIMS, "sub": "system:serviceaccount:kube-system:admin"})
    changed = {
        "replace": TOKEN[:at] + char + TOKEN[at + 1 :],
        "delete": TOKEN[:at] + TOKEN[at + 1 :],
        "insert": TOKEN[:at] + char + TOKEN[at:],
        "cut": TOKEN[:at],
        "swap": ".".join(
            data.draw(st.sampled_from(pair)) for pair in zip(TOKEN.split("."), other.split("."), strict=True)
        ),
    }[kind]
    if changed in (TOKEN, other):
        return
    with pytest.raises(TokenError):
        KEYS.claims(changed)


@settings(max_examples=300)
@given(st.one_of(st.text(), st.text(alphabet="eyJ0aA1.-_=", max_size=200), st.binary().map(base64url)))
@example("eyJ.eyJ.eyJ")
@example("." * 3)
def test_the_parser_survives_anything(text: str) -> None:
    assert claimed_issuer(text) is None or isinstance(claimed_issuer(text), str)
    with pytest.raises(TokenError):
        KEYS.claims(text)


def test_a_key_set_holds_each_key_once() -> None:
    document = KeySet([KEY.public, RSA.public, KEY.public]).document()
    assert [key["kid"] for key in document["keys"]] == [KEY.public.id, RSA.public.id]
    assert not any("d" in key for key in document["keys"]), "no private number"


def test_a_curve_of_another_size_is_no_key() -> None:
    with pytest.raises(ValueError, match="none of P-256"):
        SigningKey.of(ec.generate_private_key(ec.SECP256K1()))
