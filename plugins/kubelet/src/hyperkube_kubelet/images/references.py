"""Names of images. Source: github.com/distribution/reference."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hyperkube_kubelet.images.errors import InvalidReference
from hyperkube_kubelet.runtime.errors import InvalidImageName

__all__ = ["Reference", "is_image_id", "parse_reference", "with_tag"]

_DEFAULT_DOMAIN = "docker.io"
_LEGACY_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_DEFAULT_TAG = "latest"
_MOST_CHARACTERS = 255

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in full."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """docker.io/library/busybox"""
        return f"{self.domain}/{self.path}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """What `text` means: without a domain docker.io, without a tag and a digest the tag latest.

    Raises InvalidReference.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _invalid(text, "invalid reference format")
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        name, tag = rest, ""
    elif not _TAG.fullmatch(tag):
        raise _invalid(text, "invalid reference format")
    domain, path = _split(name)
    if not _PATH.fullmatch(path):
        if _PATH.fullmatch(path.lower()):
            raise _invalid(text, f"invalid reference format: repository name ({path}) must be lowercase")
        raise _invalid(text, "invalid reference format")
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(text, "invalid reference format")
    if len(path) > _MOST_CHARACTERS:
        raise _invalid(text, f"repository name must not be more than {_MOST_CHARACTERS} characters")
    if not tag and not digest:
        tag = _DEFAULT_TAG
    return Reference(domain, path, tag, digest)


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        first, rest = _DEFAULT_DOMAIN, name
    if first == _LEGACY_DOMAIN:
        first = _DEFAULT_DOMAIN
    if first == _DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest


def _invalid(text: str, why: str) -> InvalidReference:
    return InvalidReference(f'couldn\'t parse image name "{text}": {why}')


def is_image_id(text: str) -> bool:
    """Whether it can be the digest of an image's configuration, with or without sha256: before it."""
    return _ID.fullmatch(text) is not None


def with_tag(reference: str) -> str:
    """`reference` as it is, with the tag latest where it has neither tag nor digest. Raises InvalidImageName."""
    if is_image_id(reference):
        return reference
    try:
        parsed = parse_reference(reference)
    except InvalidReference as exc:
        raise InvalidImageName(str(exc)) from exc
    named = ":" in reference.rpartition("/")[2]
    return reference if named or parsed.digest else f"{reference}:{_DEFAULT_TAG}"
