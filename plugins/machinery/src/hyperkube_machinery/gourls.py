"""URLs as Go reads them, which is neither how Python does nor quite what RFC 3986 says. Source: Go's net/url."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from hyperkube_machinery.goaddresses import AddressError, parse_zoned
from hyperkube_machinery.quoting import quoted

__all__ = ["URL", "URLError", "parse_request_uri", "parse_url"]


class URLError(ValueError):
    """The text is no URL; told as Go tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class URL:
    """The parts of a URL. Two that are equal are written alike."""

    scheme: str = ""  # in lower case
    opaque: str = ""  # what follows the scheme if that is no path
    host: str = ""  # with the port
    user: str | None = None  # user and password, escaped; None without an `@`
    path: str = ""  # escaped
    query: str = ""  # escaped
    fragment: str = ""

    @property
    def hostname(self) -> str:
        """The host alone, without port and brackets."""
        name = self._host_and_port[0]
        return name[1:-1] if name.startswith("[") and name.endswith("]") else name

    @property
    def port(self) -> str:
        return self._host_and_port[1]

    @property
    def _host_and_port(self) -> tuple[str, str]:
        name, colon, port = self.host.rpartition(":")
        return (name, port) if colon and _port_re.fullmatch(f":{port}") else (self.host, "")

    @property
    def parameters(self) -> dict[str, list[str]]:
        """What the query gives, unescaped; parts that can't be read are left out."""
        found: dict[str, list[str]] = {}
        for part in self.query.split("&"):
            if not part or ";" in part:
                continue
            key, _, value = part.partition("=")
            try:
                key, value = (_unescape(one.replace("+", " ")) for one in (key, value))
            except URLError:
                continue
            found.setdefault(key, []).append(value)
        return found


_control_re = re.compile(r"[\x00-\x1f\x7f]")
_scheme_re = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_bad_escape_re = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_ascii_escape_re = re.compile(r"%(?!25)[0-7].")
_not_host_re = re.compile("[^A-Za-z0-9_.~!$&'()*+,;=:\\[\\]<>\"\x80-\U0010ffff%-]")
_user_re = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")
_port_re = re.compile("(:[0-9]*)?")
_path_re = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@/\[\]%-]*")
_USER_SAFE = "$&+,;="
_PATH_SAFE = "$&+,/:;=@~"


def parse_url(text: str) -> URL:
    """The parts of `text`, which may be relative. Raises URLError."""
    before, _, fragment = text.partition("#")
    try:
        url = _parsed(before)
    except URLError as exc:
        raise URLError(f"parse {quoted(before)}: {exc}") from None
    try:
        return replace(url, fragment=_unescape(fragment))
    except URLError as exc:
        raise URLError(f"parse {quoted(text)}: {exc}") from None


def parse_request_uri(text: str) -> URL:
    """The parts of an absolute URL or path without a fragment. Raises URLError."""
    try:
        return _parsed(text, as_request=True)
    except URLError as exc:
        raise URLError(f"parse {quoted(text)}: {exc}") from None


def _parsed(text: str, *, as_request: bool = False) -> URL:
    if _control_re.search(text):
        raise URLError("net/url: invalid control character in URL")
    if as_request and not text:
        raise URLError("empty url")
    scheme, rest, query = _split(text)
    if not rest.startswith("/"):
        if scheme:
            return URL(scheme=scheme, opaque=rest, query=query)
        if as_request and text != "*":
            raise URLError("invalid URI for request")
        if ":" in rest.partition("/")[0]:
            raise URLError("first path segment in URL cannot contain colon")
    user, host = None, ""
    if rest.startswith("//") and (scheme or not (as_request or rest.startswith("///"))):
        authority, slash, path = rest[2:].partition("/")
        user, host = _authority(authority)
        rest = slash + path
    return URL(scheme=scheme, host=host, user=user, path=_escaped_path(rest), query=query)


def _escaped_path(text: str) -> str:
    """A path as it was written if that was escaped, else escaped."""
    path = _unescape(text)
    return text if _path_re.fullmatch(text) else quote(path, safe=_PATH_SAFE)


def _split(text: str) -> tuple[str, str, str]:
    """Scheme, what follows it, and the query."""
    if text.startswith(":"):
        raise URLError("missing protocol scheme")
    match = _scheme_re.match(text)
    rest, _, query = (text[match.end() :] if match else text).partition("?")
    return match[0][:-1].lower() if match else "", rest, query


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
    bracket = text.rfind("[")
    if bracket > 0:
        raise URLError("invalid IP-literal")
    if bracket == 0:
        return _bracketed(text)
    _name, colon, port = text.partition(":")
    _check_port(colon + port)
    return _unescape_host(text)


def _bracketed(text: str) -> str:
    """An IPv6 address in brackets, perhaps with a port."""
    literal, closing, port = text[1:].rpartition("]")
    if not closing:
        raise URLError("missing ']' in host")
    _check_port(port)
    name, percent, zone = literal.partition("%25")
    address = _unescape_host(name) + (_unescape(percent + zone) if percent else "")
    try:
        found, _ = parse_zoned(address)
    except AddressError as exc:
        raise URLError(f"invalid host: {exc}") from None
    if found.version == 4:
        raise URLError("invalid IP-literal")
    return f"[{address}]{port}"


def _check_port(text: str) -> None:
    if not _port_re.fullmatch(text):
        raise URLError(f"invalid port {quoted(text)} after host")


def _unescape_host(text: str) -> str:
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
