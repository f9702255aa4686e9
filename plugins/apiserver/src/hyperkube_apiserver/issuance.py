"""What tokens of service accounts need beside the tokens: keys, the objects they are bound to, and word of the keys.

    DIR/pki/sa.key, sa.pub      sign and verify tokens where no other key is given; made at the first start

Outsiders verify tokens by two documents, /.well-known/openid-configuration and the key set that it leads to.
Source: k8s.io/kubernetes/pkg/kubeapiserver/options (authentication), k8s.io/kubernetes/pkg/routes (openidmetadata.go),
k8s.io/kubernetes/pkg/serviceaccount (openidmetadata.go).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hyperkube_apiserver.authn.jwt import KeySet
from hyperkube_apiserver.authn.keys import SigningKey, create_key, load_public_keys, load_signing_key
from hyperkube_apiserver.call import Served
from hyperkube_apiserver.representation import decode_body
from hyperkube_apiserver.watchcache.item import Item
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.files import make_private_directory, write_durably

__all__ = ["CachedObjects", "Document", "open_keys", "openid_documents"]

log = logging.getLogger(__name__)

CONFIGURATION = "/.well-known/openid-configuration"
KEYS = "/openid/v1/jwks"
_REMEMBERED = 1024
_CHECKED = frozenset(("name", "namespace", "uid", "deletionTimestamp", "labels"))

Document = tuple[str, bytes]
"""A content type and what is of it."""


def open_keys(directory: Path, signing: Path | None, verifying: Sequence[Path]) -> tuple[SigningKey, KeySet]:
    """The key that signs tokens, and those whose tokens are believed.

    Without a file `signing` the key in `directory` signs, which is made if it is missing; it is believed beside those
    in `verifying`. With one, it is believed where `verifying` holds it or is empty, as upstream. Raises KeyFileError.
    """
    believed = [key for path in verifying for key in load_public_keys(path)]
    if signing is not None:
        key = load_signing_key(signing)
        return key, KeySet(believed or [key.public])
    key = _own_key(directory)
    return key, KeySet([key.public, *believed])


def _own_key(directory: Path) -> SigningKey:
    path = directory / "sa.key"
    if path.exists():
        return load_signing_key(path)
    make_private_directory(directory)
    key = create_key()
    write_durably(path, key.pem())
    write_durably(directory / "sa.pub", key.public.pem(), mode=0o644)
    return key


class CachedObjects:
    """Looks up what tokens are bound to in the watch caches; an object is decoded once a version."""

    def __init__(self, resources: Mapping[str, Served]) -> None:
        self._resources = resources
        self._decoded: dict[str, tuple[Item, Mapping[str, Any]]] = {}

    def find(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The little that counts of an object of the core group, as it is now; it is not to be changed."""
        served = self._resources[resource]
        key = served.kind.key(namespace, name)
        item = served.cache.get(key)
        if item is None:
            self._decoded.pop(key, None)
            return None
        known = self._decoded.get(key)
        if known is not None and known[0] is item:
            return known[1]
        if known is None and len(self._decoded) >= _REMEMBERED:
            del self._decoded[next(iter(self._decoded))]
        tree = _little_of(decode_body(item.body))
        self._decoded[key] = item, tree
        return tree

    def whole(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """All of an object of the core group, decoded for this once."""
        served = self._resources[resource]
        item = served.cache.get(served.kind.key(namespace, name))
        return decode_body(item.body) if item is not None else None


def _little_of(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    """What tokens are checked against: a whole pod would take ten kilobytes."""
    little: dict[str, Any] = {
        "metadata": {field: value for field, value in tree["metadata"].items() if field in _CHECKED}
    }
    if "token" in (tree.get("data") or {}):
        little["data"] = {"token": tree["data"]["token"]}
    return little


def openid_documents(issuer: str, keys: KeySet, *, keys_uri: str, address: str) -> dict[str, Document]:
    """What is served for outsiders, by path; nothing where `issuer` is no address that they could look it up at.

    `keys_uri` is where they find the keys if that is not this server, at `address`.
    """
    parts = urlsplit(issuer)
    if parts.scheme != "https" or parts.query or parts.fragment:
        log.warning("%s and %s are not served: the issuer %r is no plain https URL", CONFIGURATION, KEYS, issuer)
        return {}
    configuration = {
        "issuer": issuer,
        "jwks_uri": keys_uri or f"https://{address}{KEYS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in keys.keys}),
    }
    return {
        CONFIGURATION: ("application/json", encode(configuration)),
        KEYS: ("application/jwk-set+json", encode(keys.document())),
    }
