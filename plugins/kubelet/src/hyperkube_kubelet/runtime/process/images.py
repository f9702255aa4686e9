"""What the process runtime needs of images, and the image that is always there: the machine itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hyperkube_kubelet.runtime.values import Credentials, FilesystemUsage, Image

__all__ = ["HOST_IMAGE", "ImageSource", "StoredImage", "host_image"]

HOST_IMAGE = "hk.local/host"
"""A container of it sees the machine's own root file system, read-only, in its pod's network."""

_HOST_ID = "sha256:" + "0" * 64


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that can be run: its root is unpacked."""

    image: Image
    root: Path | None  # None: the machine's own
    reference: str  # with the digest of its manifest


class ImageSource(Protocol):
    """Where images come from."""

    async def find(self, reference: str) -> Image | None:
        """The image that `reference` (a name, a digest or an id) means, or None. Raises InvalidImageName."""

    async def prepare(self, reference: str) -> StoredImage:
        """The image, unpacked. Raises ImageUnavailable where it isn't there or is broken, and InvalidImageName."""

    async def pull(self, reference: str, credentials: Credentials | None) -> Image:
        """The image as its registry has it now. Raises ImageUnavailable and InvalidImageName."""

    async def images(self) -> list[Image]:
        """All there are."""

    async def remove(self, reference: str) -> None:
        """Forget it; nothing happens where there is none."""

    async def usage(self) -> FilesystemUsage:
        """What they take."""


def host_image() -> StoredImage:
    """The machine itself, as an image.

    A container of an ordinary user's has that user alone. tar would fail there to give files to others, as it does
    for root, and `kubectl cp` with it.
    """
    tag = f"{HOST_IMAGE}:latest"
    env = [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]
    if os.geteuid() != 0:
        env.append(("TAR_OPTIONS", "--no-same-owner"))
    image = Image(
        id=_HOST_ID,
        tags=(tag,),
        digests=(),
        size=0,
        env=tuple(env),
        pinned=True,
    )
    return StoredImage(image, None, tag)
