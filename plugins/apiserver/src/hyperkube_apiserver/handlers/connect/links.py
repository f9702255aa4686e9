"""Links in pages that are passed on, made to lead back through the proxy.

Source: rewriteHTML in k8s.io/apimachinery/pkg/util/proxy.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Mapping
from html import escape, unescape

__all__ = ["LONGEST_PAGE_BYTES", "rewritten_page"]

LONGEST_PAGE_BYTES = 512 << 10
"""Longer pages are passed on as they are: looking through them would hold up everybody else."""

Rewrite = Callable[[str], str]

_LINKS: Mapping[str, frozenset[str]] = {
    tag: frozenset(attributes.split())
    for tag, attributes in {
        "a": "href",
        "applet": "codebase",
        "area": "href",
        "audio": "src",
        "base": "href",
        "blockquote": "cite",
        "body": "background",
        "button": "formaction",
        "command": "icon",
        "del": "cite",
        "embed": "src",
        "form": "action",
        "frame": "longdesc src",
        "head": "profile",
        "html": "manifest",
        "iframe": "longdesc src",
        "img": "longdesc src usemap",
        "input": "src usemap formaction",
        "ins": "cite",
        "link": "href",
        "object": "classid codebase data usemap",
        "q": "cite",
        "script": "src",
        "source": "src",
        "video": "poster src",
    }.items()
}
_RAW = frozenset(("script", "style", "textarea", "title", "xmp", "noembed", "noframes"))
"""Elements whose content holds no tags."""

# None of these looks twice at a character: what only looks like a tag must cost no more than a tag.
_BEGINNING = re.compile(r"<!--|<([a-zA-Z][^\s/>]*+)")
_REST = re.compile(r"""((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
_ATTRIBUTE = re.compile(r"""([^\s=/"'>]{1,40})(\s{0,9}=\s{0,9})("[^"]*"|'[^']*'|[^\s"'>]+)""")


def rewritten_page(page: bytes, encoding: str, rewrite: Rewrite) -> bytes | None:
    """`page` with each of its links as `rewrite` has it; None for one that can't be read, or gets too long.

    `encoding` is its Content-Encoding: none, gzip or deflate.
    """
    try:
        text = _decoded(page, encoding)
    except (OSError, EOFError, zlib.error):
        return None
    if text is None:
        return None
    # Whatever its character set, tags are ASCII, and this way all else stays as it is.
    return _encoded(_rewritten(text.decode("latin-1"), rewrite).encode("latin-1", "xmlcharrefreplace"), encoding)


def _decoded(page: bytes, encoding: str) -> bytes | None:
    match encoding:
        case "":
            return page
        case "gzip":
            inflate = zlib.decompressobj(31)
        case "deflate":
            inflate = zlib.decompressobj(-15)
        case _:
            return None
    text = inflate.decompress(page, LONGEST_PAGE_BYTES)
    return text if inflate.eof else None


def _encoded(text: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(text)
    if encoding == "deflate":
        deflate = zlib.compressobj(wbits=-15)
        return deflate.compress(text) + deflate.flush()
    return text


def _rewritten(text: str, rewrite: Rewrite) -> str:
    parts: list[str] = []
    at = 0
    while beginning := _BEGINNING.search(text, at):
        if not beginning[1]:  # a comment
            closed = text.find("-->", beginning.end())
            end = closed + 3 if closed >= 0 else len(text)
            parts.append(text[at:end])
            at = end
            continue
        rest = _REST.match(text, beginning.end())
        if rest is None:  # nor does any tag behind it end
            break
        tag = beginning[1].lower()
        parts += (text[at : beginning.end()], _with_links(rest[1], _LINKS.get(tag), rewrite), ">")
        at = rest.end()
        if tag in _RAW:
            closing = re.compile(f"</{tag}", re.IGNORECASE).search(text, at)
            end = closing.start() if closing else len(text)
            parts.append(text[at:end])
            at = end
    return "".join((*parts, text[at:]))


def _with_links(attributes: str, links: frozenset[str] | None, rewrite: Rewrite) -> str:
    if not links:
        return attributes

    def changed(found: re.Match[str]) -> str:
        if found[1].lower() not in links:
            return found[0]
        value = found[3]
        inner = unescape(value[1:-1] if value[0] in "\"'" else value)
        link = rewrite(inner)
        return found[0] if link == inner else f'{found[1]}{found[2]}"{escape(link)}"'

    return _ATTRIBUTE.sub(changed, attributes)
