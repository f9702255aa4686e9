"""URLs in expressions: `url("https://example.com:80/").getPort()`.

Source: k8s.io/apiserver/pkg/cel/library/urls.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import BOOL, STRING, Type, list_of, map_of
from hyperkube_machinery.gourls import URL, URLError, parse_request_uri, parse_url

__all__ = ["URLS", "URLValue"]


@dataclass(frozen=True, slots=True)
class URLValue:
    url: URL

    cel_type: ClassVar[Type] = typenames.URL


def _url(text: str) -> URLValue:
    try:
        absolute = parse_request_uri(text)  # which takes fragments for a part of the path, and knows no `//host`
        return URLValue(parse_url(text) if "#" in text or text.startswith("//") else absolute)
    except URLError as exc:
        raise EvaluationError(f"URL parse error during conversion from string: {exc}") from None


def _is_url(text: str) -> bool:
    try:
        parse_request_uri(text)
    except URLError:
        return False
    return True


_U = typenames.URL

URLS = Library(
    name="kubernetes.urls",
    types={_U.name: _U},
    functions=(
        Function("url", Overload("string_to_url", (STRING,), _U, _url)),
        Function("getScheme", Overload("url_get_scheme", (_U,), STRING, lambda one: one.url.scheme, member=True)),
        Function("getHost", Overload("url_get_host", (_U,), STRING, lambda one: one.url.host, member=True)),
        Function("getHostname", Overload("url_get_hostname", (_U,), STRING, lambda one: one.url.hostname, member=True)),
        Function("getPort", Overload("url_get_port", (_U,), STRING, lambda one: one.url.port, member=True)),
        Function(
            "getEscapedPath", Overload("url_get_escaped_path", (_U,), STRING, lambda one: one.url.path, member=True)
        ),
        Function(
            "getQuery",
            Overload(
                "url_get_query", (_U,), map_of(STRING, list_of(STRING)), lambda one: one.url.parameters, member=True
            ),
        ),
        Function("isURL", Overload("is_url_string", (STRING,), BOOL, _is_url)),
    ),
)
