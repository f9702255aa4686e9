"""References to container images, as far as defaults depend on them.

Source: github.com/distribution/reference, k8s.io/kubernetes/pkg/util/parsers.
"""

from __future__ import annotations

import re

__all__ = ["pull_policy"]

_COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_REFERENCE = re.compile(
    rf"(?P<name>{_DOMAIN}/{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def pull_policy(reference: str) -> str:
    """What imagePullPolicy is without being said: `Always` for the tag latest, given or implied."""
    return "Always" if _tag(reference) == "latest" else "IfNotPresent"


def _tag(reference: str) -> str:
    """The tag meant; empty for digests, and for what is no reference."""
    if re.fullmatch("[a-f0-9]{64}", reference):
        return ""
    first, slash, rest = reference.partition("/")
    if not slash or not (re.search("[.:]", first) or first == "localhost" or first.lower() != first):
        first, rest = "docker.io", reference
    if first in ("docker.io", "index.docker.io") and "/" not in rest:
        rest = f"library/{rest}"
    found = _REFERENCE.fullmatch(f"{first}/{rest}")
    if found is None or len(found["name"]) > 255:
        return ""
    tag, digest = found["tag"] or "", found["digest"] or ""
    if digest:
        algorithm, _, value = digest.partition(":")
        if len(value) != _DIGEST_LENGTHS.get(algorithm, 0) or value != value.lower():
            return ""
        return tag
    return tag or "latest"
