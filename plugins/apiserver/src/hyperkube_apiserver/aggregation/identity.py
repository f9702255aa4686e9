"""Headers that tell another server in whose name it is asked.

Source: k8s.io/client-go/transport (SetAuthProxyHeaders), k8s.io/apiserver/pkg/authentication/request/headerrequest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hyperkube_apiserver.authn import MASTERS, Identity

__all__ = ["AGGREGATOR", "identity_headers", "is_identity_header"]

AGGREGATOR = Identity("system:kube-aggregator", groups=(MASTERS,))
"""As whom this server asks for itself: the other one must let it."""

_USER, _UID, _GROUP, _EXTRA = "x-remote-user", "x-remote-uid", "x-remote-group", "x-remote-extra-"
_LEGAL = frozenset(b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""What a header's name may be made of (RFC 9110, token), but for the percent sign, which escapes all else."""


def identity_headers(identity: Identity) -> list[tuple[str, str]]:
    """What says that a request is `identity`'s."""
    headers = [("X-Remote-User", identity.name)]
    if identity.uid:
        headers.append(("X-Remote-Uid", identity.uid))
    headers += [("X-Remote-Group", group) for group in identity.groups]
    for key, values in identity.extra.items():
        headers += [(f"X-Remote-Extra-{_escaped(key)}", value) for value in values]
    return headers


def is_identity_header(name: str) -> bool:
    """Whether a header, in lower case, would say in whose name a request is: a client's own must not get through."""
    return name in (_USER, _UID, _GROUP) or name.startswith(_EXTRA)


def without_claims(headers: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Headers of a client without those that claim to be somebody."""
    return ((name, value) for name, value in headers if not is_identity_header(name.lower()))


def _escaped(key: str) -> str:
    return "".join(chr(byte) if byte in _LEGAL else f"%{byte:02X}" for byte in key.encode())
