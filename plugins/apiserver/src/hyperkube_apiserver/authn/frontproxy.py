"""Users that a proxy in front of the server has authenticated: it says in headers who they are.

It is believed for its certificate alone, which an authority for such proxies has issued; from anybody else the headers
mean nothing. Source: k8s.io/apiserver/pkg/authentication/request/{headerrequest,x509}.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hyperkube_machinery.identity import Identity

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.authorities import Authorities
    from hyperkube_machinery.serving.messages import Request

__all__ = ["FrontProxy", "FrontProxyTerms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontProxyTerms:
    """Whose headers are believed, and which; names of headers are in lower case."""

    authorities: Authorities
    allowed_names: frozenset[str] = frozenset()  # common names of proxies; without any, all that are verified
    user_headers: tuple[str, ...] = ()
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ()
    extra_prefixes: tuple[str, ...] = ()


class FrontProxy:
    """Reads who a user is from what a proxy says."""

    def __init__(self, terms: FrontProxyTerms) -> None:
        self._terms = terms

    def find(self, request: Request, common_name: str) -> Identity | None:
        """The user; None where no proxy speaks that is believed, or says nothing. The headers are taken away.

        `common_name` is that of the certificate of whoever made the connection.
        """
        terms = self._terms
        user = next((value for name in terms.user_headers if (value := _first(request, name))), "")
        if not user or not terms.authorities.vouch_for(request.connection):
            return None
        if terms.allowed_names and common_name not in terms.allowed_names:
            return None
        uid = next((value for name in terms.uid_headers if (value := _first(request, name))), "")
        groups = tuple(value for name in terms.group_headers for value in request.values(name) if value)
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in terms.extra_prefixes:
            for name in request.headers:
                if name.startswith(prefix):
                    key = unquote(name[len(prefix) :])
                    extra[key] = (*extra.get(key, ()), *request.values(name))
        self._clear(request)
        return Identity(user, uid, groups, extra).authenticated()

    def _clear(self, request: Request) -> None:
        """What comes after must not take the headers for something else, such as whom a proxied request is from."""
        terms = self._terms
        named = (*terms.user_headers, *terms.uid_headers, *terms.group_headers)
        for name in [name for name in request.headers if name in named or name.startswith(terms.extra_prefixes)]:
            del request.headers[name]


def _first(request: Request, name: str) -> str:
    values = request.values(name)
    return values[0] if values else ""
