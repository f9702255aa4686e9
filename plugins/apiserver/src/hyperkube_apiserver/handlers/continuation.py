"""Tokens by which a list goes on: the key that it came to, below that of its collection, and at which revision.

Clients may keep them, and hand them to another server; so their form is upstream's, as are the words of what is wrong.
Source: k8s.io/apiserver/pkg/storage (continue).
"""

from __future__ import annotations

import base64
import posixpath
import string
from typing import Any

from hyperkube_machinery.jsontext import parse
from hyperkube_machinery.schema.exact import json_type

__all__ = ["decode_token", "encode_token"]

_VERSION = "meta.k8s.io/v1"
_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(0x20), ord('"'), ord("\\"))}
_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")
_FIELDS = {"v": (str, "string"), "rv": (int, "int64"), "start": (str, "string")}
_INVALID = "continue key is not valid"


def encode_token(last_key: str, prefix: str, revision: int) -> str:
    """The token of a list that goes on behind `last_key`; revision -1 is whatever there is then."""
    # Written out by hand, because a list makes no call of the encoder; anything may stand in the names of roles.
    start = last_key[len(prefix) :].translate(_ESCAPED)
    text = f'{{"v":"{_VERSION}","rv":{revision},"start":"{start}\\u0000"}}'
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode_token(token: str, prefix: str) -> tuple[str, int]:
    """The key that the next page follows, and the revision; raises ValueError in the API's words."""
    try:
        decoded = parse(_decoded(token))
        _check_types(decoded)
    except ValueError as exc:
        raise ValueError(f"{_INVALID}: {exc}") from exc
    version, revision, start = ((decoded or {}).get(name) for name in _FIELDS)
    if version != _VERSION:
        raise ValueError(f"{_INVALID}: server does not recognize this encoded version {version or ''}")
    if not revision:
        raise ValueError(f"{_INVALID}: incorrect encoded start resourceVersion (version {_VERSION})")
    if not start:
        raise ValueError(f"{_INVALID}: encoded start key empty (version {_VERSION})")
    key = start if start.startswith("/") else "/" + start
    if posixpath.normpath(key) != key:  # a key must not climb out of its collection
        raise ValueError(f"{_INVALID}: {start}")
    return prefix + key[1:].removesuffix("\0"), revision


def _decoded(token: str) -> bytes:
    wrong = next((index for index, char in enumerate(token) if char not in _ALPHABET), None)
    if wrong is None and len(token) % 4 == 1:
        wrong = len(token) - 1
    if wrong is not None:
        raise ValueError(f"illegal base64 data at input byte {len(token[:wrong].encode())}")
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def _check_types(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, dict):
        raise ValueError(f"json: cannot unmarshal {json_type(value)} into Go value of type storage.continueToken")
    for name, field in value.items():
        wanted, go_type = _FIELDS.get(name, (object, ""))
        if field is None or _is(field, wanted):
            continue
        is_number = wanted is int and _is(field, int | float)
        shown = f"number {field}" if is_number else json_type(field)
        raise ValueError(f"json: cannot unmarshal {shown} into Go struct field continueToken.{name} of type {go_type}")


def _is(field: Any, wanted: Any) -> bool:
    if isinstance(field, bool):
        return wanted is object
    return isinstance(field, wanted) and (wanted is not int or -(2**63) <= field < 2**63)
