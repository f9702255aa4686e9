"""The refusal that a client gets.

Source: k8s.io/apiserver/pkg/endpoints/handlers/responsewriters, k8s.io/apimachinery/pkg/api/errors.NewForbidden.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hyperkube_machinery.errors import APIError, failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hyperkube_apiserver.authz.attributes import Attributes
    from hyperkube_machinery.identity import Identity

__all__ = ["forbidden", "forbidden_because", "quote", "quote_all"]

_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_ESCAPES = {
    "\a": r"\a",
    "\b": r"\b",
    "\f": r"\f",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\v": r"\v",
    "\\": r"\\",
    '"': r"\"",
}


def quote(text: str) -> str:
    """`text` as Go's %q shows it."""
    return f'"{text}"' if _PLAIN.fullmatch(text) else '"' + "".join(map(_escape, text)) + '"'


def quote_all(texts: Iterable[str]) -> str:
    """A list as Go's %q shows it."""
    return "[" + " ".join(map(quote, texts)) + "]"


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def forbidden(identity: Identity, info: Attributes, reason: str = "") -> APIError:
    """403 for what an authorizer refused; `reason` is the authorizer's."""
    message = _message(identity, info).translate(_MARKUP)
    why = f"{message}: {reason}" if reason else message
    if not info.is_resource:
        return forbidden_because("", "", "", why)
    return forbidden_because(info.group, info.resource, info.name, why)


def forbidden_because(group: str, resource: str, name: str, why: str) -> APIError:
    """403 about the resource `resource` of `group`, or about no resource where that is "", with a text of its own."""
    qualified = f"{resource}.{group}" if group else resource
    if not resource:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{qualified} is forbidden: {why}"
    else:
        message = f"{qualified} {quote(name)} is forbidden: {why}"
    told = {"name": name, "group": group, "kind": resource}
    # Clients find details in every refusal, even where there is nothing to say.
    details = {key: value for key, value in told.items() if value}
    return APIError(failure(403, "Forbidden", message, details))


def _message(identity: Identity, info: Attributes) -> str:
    user = quote(identity.name)
    if not info.is_resource:
        return f"User {user} cannot {info.verb} path {quote(info.path)}"
    resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    where = f"in the namespace {quote(info.namespace)}" if info.namespace else "at the cluster scope"
    return f"User {user} cannot {info.verb} resource {quote(resource)} in API group {quote(info.group)} {where}"
