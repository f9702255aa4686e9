"""Manifests, indexes and configurations of images, as documents.

Source: the OCI image format specification, and Docker's image manifest version 2, schema 2, which is the same but for
media types.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hyperkube_kubelet.images.errors import BrokenArchive, WrongPlatform
from hyperkube_kubelet.runtime.values import Image

__all__ = [
    "MOST_NESTED",
    "Descriptor",
    "Manifest",
    "choose",
    "chosen",
    "descriptor_of",
    "image_of",
    "machine_platform",
    "manifest_of",
]

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "arm64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
MOST_NESTED = 4
"""How deep indexes of indexes are followed."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Where something is, by its content."""

    media_type: str
    digest: str
    size: int
    platform: tuple[str, str, str] | None = None  # system, architecture, variant
    names: tuple[str, ...] = ()  # from annotations


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an image is made of."""

    digest: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


def machine_platform() -> tuple[str, str, str]:
    """System, architecture and variant of this machine, as images name them."""
    machine = platform.machine()
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return "linux", architecture, variant


def descriptor_of(document: Any) -> Descriptor:
    """Raises BrokenArchive."""
    if not isinstance(document, dict):
        raise BrokenArchive("a descriptor is no object")
    digest = document.get("digest")
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise BrokenArchive(f"a descriptor has the digest {digest!r}, which is no sha256")
    size = document.get("size")
    where = document.get("platform")
    found = None
    if isinstance(where, dict):
        found = (str(where.get("os", "")), str(where.get("architecture", "")), str(where.get("variant", "")))
    annotations = document.get("annotations") or {}
    names = [annotations.get(key) for key in ("io.containerd.image.name", "org.opencontainers.image.ref.name")]
    return Descriptor(
        str(document.get("mediaType", "")),
        digest,
        size if isinstance(size, int) else -1,
        found,
        tuple(name for name in names if isinstance(name, str) and name),
    )


def manifest_of(digest: str, document: dict[str, Any]) -> Manifest:
    """Raises BrokenArchive."""
    layers = document.get("layers")
    if document.get("schemaVersion") != 2 or not isinstance(layers, list) or "config" not in document:
        raise BrokenArchive(f"manifest {digest} is not one of version 2")
    return Manifest(digest, descriptor_of(document["config"]), tuple(descriptor_of(layer) for layer in layers))


def choose(
    descriptor: Descriptor, read: Callable[[Descriptor], dict[str, Any]], wanted: tuple[str, str, str]
) -> Manifest:
    """The manifest for the platform `wanted` behind a descriptor, by way of indexes that are `read`.

    Raises WrongPlatform where there is none, and BrokenArchive.
    """
    for _ in range(MOST_NESTED):
        document = read(descriptor)
        following = chosen(document, wanted)
        if following is None:
            return manifest_of(descriptor.digest, document)
        descriptor = following
    raise BrokenArchive(f"its indexes are nested deeper than {MOST_NESTED} levels")


def chosen(document: dict[str, Any], wanted: tuple[str, str, str]) -> Descriptor | None:
    """What an index has for the platform `wanted`; None where the document is no index.

    Raises WrongPlatform and BrokenArchive.
    """
    if not isinstance(document.get("manifests"), list):
        return None
    choices = [descriptor_of(item) for item in document["manifests"]]
    fitting = [item for item in choices if item.platform is None or _fits(item.platform, wanted)]
    if not fitting:
        offered = ", ".join(_spelled(item.platform) for item in choices if item.platform) or "nothing"
        raise WrongPlatform(f"it is made for {offered}, and this machine is {_spelled(wanted)}")
    return max(fitting, key=lambda item: (item.platform is not None, item.platform == wanted))


def _fits(offered: tuple[str, str, str], wanted: tuple[str, str, str]) -> bool:
    system, architecture, variant = offered
    return (system, architecture) == wanted[:2] and (not variant or not wanted[2] or variant <= wanted[2])


def _spelled(where: tuple[str, str, str]) -> str:
    return "/".join(part for part in where if part)


def image_of(
    config_digest: str,
    config: dict[str, Any],
    *,
    tags: tuple[str, ...],
    digests: tuple[str, ...],
    size: int,
) -> Image:
    """An image as its configuration describes it."""
    own = config.get("config") or {}
    return Image(
        id=config_digest,
        tags=tags,
        digests=digests,
        size=size,
        user=str(own.get("User") or ""),
        entrypoint=_texts(own.get("Entrypoint")),
        command=_texts(own.get("Cmd")),
        env=tuple((name, value) for name, _, value in (text.partition("=") for text in _texts(own.get("Env")))),
        working_dir=str(own.get("WorkingDir") or ""),
        exposed_ports=tuple(sorted(own.get("ExposedPorts") or {})),
        stop_signal=str(own.get("StopSignal") or ""),
        volumes=tuple(sorted(own.get("Volumes") or {})),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
