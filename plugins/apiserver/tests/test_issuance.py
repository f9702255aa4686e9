"""Keys and documents for tokens of service accounts."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from hyperkube_apiserver.authn import KeyFileError, KeySet
from hyperkube_apiserver.authn.keys import create_key
from hyperkube_apiserver.issuance import CachedObjects, open_keys, openid_documents
from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.watchcache.item import Item

CONFIGURATION, JWKS = "/.well-known/openid-configuration", "/openid/v1/jwks"


def test_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    key, keys = open_keys(directory, None, [])
    assert [one.id for one in keys.keys] == [key.public.id]
    assert stat.S_IMODE((directory / "sa.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    again, _ = open_keys(directory, None, [])
    assert again.public.id == key.public.id


def test_the_public_half_is_written_for_others(tmp_path: Path) -> None:
    key, _ = open_keys(tmp_path, None, [])
    other = create_key()
    (tmp_path / "signing.key").write_bytes(other.pem())
    signing, keys = open_keys(tmp_path, tmp_path / "signing.key", [tmp_path / "sa.pub", tmp_path / "signing.key"])
    assert signing.public.id == other.public.id
    assert {one.id for one in keys.keys} == {key.public.id, other.public.id}


def test_a_key_that_is_given_leaves_no_key_of_the_servers_own(tmp_path: Path) -> None:
    key = create_key()
    path = tmp_path / "given.key"
    path.write_bytes(key.pem())
    signing, keys = open_keys(tmp_path / "pki", path, [])
    assert [one.id for one in keys.keys] == [signing.public.id] == [key.public.id]
    assert not (tmp_path / "pki").exists()


def test_keys_that_are_believed_come_beside_the_servers_own(tmp_path: Path) -> None:
    old = create_key()
    path = tmp_path / "old.pub"
    path.write_bytes(old.public.pem())
    key, keys = open_keys(tmp_path / "pki", None, [path])
    assert {one.id for one in keys.keys} == {key.public.id, old.public.id}


def test_a_key_that_was_spoilt_is_not_replaced_behind_its_clients_back(tmp_path: Path) -> None:
    open_keys(tmp_path, None, [])
    (tmp_path / "sa.key").write_text("spoilt")
    with pytest.raises(KeyFileError, match=r"sa\.key"):
        open_keys(tmp_path, None, [])


KEYS = KeySet([create_key().public])


def test_the_configuration_leads_to_the_keys() -> None:
    documents = openid_documents("https://issuer/x", KEYS, keys_uri="", address="127.0.0.1:6443")
    content_type, body = documents[CONFIGURATION]
    assert content_type == "application/json"
    assert json.loads(body) == {
        "issuer": "https://issuer/x",
        "jwks_uri": "https://127.0.0.1:6443/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }
    content_type, body = documents[JWKS]
    assert content_type == "application/jwk-set+json"
    assert json.loads(body) == KEYS.document()


def test_the_keys_may_lie_elsewhere() -> None:
    documents = openid_documents("https://issuer", KEYS, keys_uri="https://keys/here", address="a")
    assert json.loads(documents[CONFIGURATION][1])["jwks_uri"] == "https://keys/here"


@pytest.mark.parametrize("issuer", ["api", "http://issuer", "https://issuer?a=b", "https://issuer#a"])
def test_an_issuer_that_is_no_plain_address_is_told_to_nobody(issuer: str, caplog: pytest.LogCaptureFixture) -> None:
    assert openid_documents(issuer, KEYS, keys_uri="", address="a") == {}
    assert "are not served" in caplog.text


def test_objects_are_decoded_once_a_version() -> None:
    cache, objects = _cached()
    first = objects.find("secrets", "ns", "s")
    assert first == {"metadata": {"name": "s"}}
    assert objects.find("secrets", "ns", "s") is first
    cache.body = b'"metadata":{"name":"t"}}'
    assert objects.find("secrets", "ns", "s") == {"metadata": {"name": "t"}}
    cache.body = b'"metadata":{"name":"t","managedFields":[{}]},"data":{"token":"dA==","ca.crt":"Yw=="},"type":"x"}'
    assert objects.find("secrets", "ns", "s") == {"metadata": {"name": "t"}, "data": {"token": "dA=="}}, "no more"
    cache.body = None
    assert objects.find("secrets", "ns", "s") is None


class _Cache:
    """A cache of one object, whose item is another one whenever its body is."""

    body: bytes | None = b'"metadata":{"name":"s"}}'

    def __init__(self) -> None:
        self._item: Item | None = None

    def get(self, key: str) -> Item | None:
        if self.body is None:
            return None
        if self._item is None or self._item.body is not self.body:
            self._item = Item(key, "ns", "s", 1, self.body, {}, {})
        return self._item


def _cached() -> tuple[_Cache, CachedObjects]:
    cache = _Cache()
    served = SimpleNamespace(kind=load_kinds()["", "v1", "secrets"], cache=cache)
    return cache, CachedObjects({"secrets": served})  # type: ignore[dict-item]
