"""Images of a real container runtime."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from hyperkube_kubelet.runtime.cri.answers import read_image, read_usage, sandbox_image
from hyperkube_kubelet.runtime.cri.client import CRIClient
from hyperkube_kubelet.runtime.cri.requests import auth_message
from hyperkube_kubelet.runtime.errors import NotFound
from hyperkube_kubelet.runtime.values import Credentials, FilesystemUsage, Image

__all__ = ["CRIImages", "Named"]

Named = Callable[[str], str]
"""Gives a reference the tag latest where it has none. Raises InvalidImageName."""


class CRIImages:
    """The part of `hyperkube_kubelet.runtime.interface.Runtime` that is of images."""

    def __init__(self, client: CRIClient, named: Named) -> None:
        self._client = client
        self._named = named
        self._sandbox_image: str | None = None  # None: it was not asked for yet

    async def told_configuration(self) -> dict[str, str]:
        """What the runtime tells of itself when it is asked for more; each has its own."""
        info: dict[str, str] = (await self._client.call("Status", {"verbose": True}))["info"]
        return info

    async def image(self, reference: str) -> Image | None:
        found = (await self._client.call("ImageStatus", {"image": {"image": self._named(reference)}}))["image"]
        return read_image(found) if found is not None else None

    async def images(self) -> list[Image]:
        found = [read_image(one) for one in (await self._client.call("ListImages"))["images"]]
        if self._sandbox_image is None:
            self._sandbox_image = sandbox_image(await self.told_configuration())
        name = self._sandbox_image
        # Not each runtime says so itself, and without it no pod can be begun.
        return [replace(one, pinned=True) if name and name in (*one.tags, *one.digests) else one for one in found]

    async def pull_image(self, reference: str, *, credentials: Credentials | None = None) -> str:
        request = {"image": {"image": self._named(reference)}, "auth": auth_message(credentials)}
        return str((await self._client.call("PullImage", request, seconds=0))["image_ref"])

    async def remove_image(self, reference: str) -> None:
        with suppress(NotFound):
            await self._client.call("RemoveImage", {"image": {"image": reference}})

    async def image_usage(self) -> FilesystemUsage:
        return read_usage((await self._client.call("ImageFsInfo"))["image_filesystems"])

    async def container_usage(self) -> FilesystemUsage:
        info = await self._client.call("ImageFsInfo")
        return read_usage(info["container_filesystems"] or info["image_filesystems"])
