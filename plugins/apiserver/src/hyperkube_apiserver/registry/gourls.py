"""URLs as Go reads them, which is neither how Python does nor quite what RFC 3986 says. Source: Go's net/url."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from hyperkube_machinery.quoting import quoted

__all__ = ["URL", "URLError", "parse_url"]


class URLError(ValueError):
    """The text is no URL; told as Go tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class URL:
    """The parts of a URL that checks look at."""

    scheme: str = ""  # in lower case
    host: str = ""  # with the port
    user: str | None = None  # user and password, escaped; None without an `@`
    query: str = ""
    fragment: str = ""


_control_re = re.compile(r"[\x00-\x1f\x7f]")
_scheme_re = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_bad_escape_re = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_ascii_escape_re = re.compile(r"%(?!25)[0-7].")
_not_host_re = re.compile("[^A-Za-z0-9_.~!$&'()*+,;=:\\[\\]<>\"\x80-\U0010ffff%-]")
_user_re = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_port_re = re.compile("(:[0-9]*)?")
_USER_SAFE = "$&+,;="


def parse_url(text: str) -> URL:
    """The parts of `text`. Raises URLError."""
    before, _, fragment = text.partition("#")
    try:
        scheme, rest, query = _split(before)
        user, host = None, ""
        if rest.startswith("//") and (scheme or not rest.startswith("///")):
            authority, slash, path = rest[2:].partition("/")
            user, host = _authority(authority)
            rest = slash + path
        if rest.startswith("/") or not scheme:  # anything else is opaque
            _unescape(rest)
    except URLError as exc:
        raise URLError(f"parse {quoted(before)}: {exc}") from None
    try:
        fragment = _unescape(fragment)
    except URLError as exc:
        raise URLError(f"parse {quoted(text)}: {exc}") from None
    return URL(scheme=scheme, host=host, user=user, query=query, fragment=fragment)


def _split(text: str) -> tuple[str, str, str]:
    """Scheme, what follows it, and the query."""
    if _control_re.search(text):
        raise URLError("net/url: invalid control character in URL")
    if text.startswith(":"):
        raise URLError("missing protocol scheme")
    match = _scheme_re.match(text)
    scheme = match[0][:-1].lower() if match else ""
    rest, _, query = (text[match.end() :] if match else text).partition("?")
    if not scheme and not rest.startswith("/") and ":" in rest.partition("/")[0]:
        raise URLError("first path segment in URL cannot contain colon")
    return scheme, rest, query


def _authority(text: str) -> tuple[str | None, str]:
    user, at, host = text.rpartition("@")
    host = _host(host)
    if not at:
        return None, host
    if not _user_re.fullmatch(user):
        raise URLError("net/url: invalid userinfo")
    parts = (quote(_unescape(part), safe=_USER_SAFE) for part in user.split(":", 1))
    return ":".join(parts), host


def _host(text: str) -> str:
    if text.startswith("["):
        address, bracket, port = text.rpartition("]")
        if not bracket:
            raise URLError("missing ']' in host")
        zone = address.partition("%25")[2]
    else:
        name, colon, port = text.rpartition(":")
        port, address, zone = (colon + port, name, "") if colon else ("", text, "")
    if not _port_re.fullmatch(port):
        raise URLError(f"invalid port {quoted(port)} after host")
    if zone:
        return _unescape(text)
    if escape := _ascii_escape_re.search(text):
        raise URLError(f"invalid URL escape {quoted(escape[0])}")
    decoded = _unescape(text)
    if wrong := _not_host_re.search(text):
        raise URLError(f"invalid character {quoted(wrong[0])} in host name")
    return decoded


def _unescape(text: str) -> str:
    if wrong := _bad_escape_re.search(text):
        raise URLError(f"invalid URL escape {quoted(wrong[0])}")
    return unquote(text)
