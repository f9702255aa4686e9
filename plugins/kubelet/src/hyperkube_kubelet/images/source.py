"""The images that the process runtime runs: those in the store, and the machine itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperkube_kubelet.images.errors import ImageError, InvalidReference
from hyperkube_kubelet.images.pulling import ImagePuller
from hyperkube_kubelet.images.references import is_image_id, parse_reference
from hyperkube_kubelet.images.registries import Registries
from hyperkube_kubelet.images.store import Entry, ImageStore
from hyperkube_kubelet.runtime.errors import ImageUnavailable, InvalidImageName, RuntimeFailure
from hyperkube_kubelet.runtime.process.images import HOST_IMAGE, StoredImage, host_image
from hyperkube_kubelet.runtime.values import Credentials, FilesystemUsage, Image
from hyperkube_machinery.clock import Clock

__all__ = ["NodeImages", "image_folder", "roots_in_use"]


def image_folder(root_dir: Path) -> Path:
    """Where a kubelet keeps its images."""
    return root_dir / "images"


def roots_in_use(root_dir: Path) -> set[Path]:
    """The roots that a kubelet's containers run from, or are about to."""
    found = set()
    for path in (root_dir / "runtime" / "containers").glob("*/record.json"):
        try:
            record = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue  # it is gone, or was never finished
        if record["state"] in ("created", "running") and "lower" in record["run"]["root"]:
            found.add(Path(record["run"]["root"]["lower"]))
    return found


class NodeImages:
    """Fits `hyperkube_kubelet.runtime.process.images.ImageSource`."""

    def __init__(self, root_dir: Path, registries: Registries, clock: Clock) -> None:
        self._root_dir = root_dir
        self.store = ImageStore(image_folder(root_dir))
        self._puller = ImagePuller(self.store, registries, clock)

    async def find(self, reference: str) -> Image | None:
        if _is_host(reference):
            return host_image().image
        entry = self._find(reference)
        return entry.image if entry is not None else None

    def _find(self, reference: str) -> Entry | None:
        try:
            with _readable():
                return self.store.find(reference)
        except InvalidReference as exc:
            raise InvalidImageName(str(exc)) from exc

    async def prepare(self, reference: str) -> StoredImage:
        if _is_host(reference):
            return host_image()
        entry = self._find(reference)
        if entry is None:
            raise ImageUnavailable(
                f'image "{reference}" is not on this node any more: it is pulled again, or loaded from an archive by'
                ' "image load FILE"'
            )
        root = self.store.root(entry)
        if not root.is_dir():
            raise ImageUnavailable(f'image "{reference}" is damaged: remove it and load it again')
        return StoredImage(entry.image, root, entry.reference)

    async def pull(self, reference: str, credentials: Credentials | None) -> Image:
        if _is_host(reference):
            return host_image().image
        try:
            return (await self._puller.pull(reference, credentials)).image
        except InvalidReference as exc:
            raise InvalidImageName(str(exc)) from exc
        except (ImageError, OSError) as exc:
            raise ImageUnavailable(str(exc)) from exc

    async def images(self) -> list[Image]:
        with _readable():
            return [host_image().image, *(entry.image for entry in self.store.entries())]

    async def remove(self, reference: str) -> None:
        if _is_host(reference) or self._find(reference) is None:
            return
        try:
            await asyncio.to_thread(self.store.remove, reference, in_use=roots_in_use(self._root_dir))
        except (ImageError, OSError) as exc:
            raise RuntimeFailure(str(exc)) from exc

    async def usage(self) -> FilesystemUsage:
        with _readable():
            return self.store.usage()


def _is_host(reference: str) -> bool:
    if is_image_id(reference):
        return reference == host_image().image.id
    try:
        parsed = parse_reference(reference)
    except InvalidReference:
        return False
    return parsed.repository == HOST_IMAGE and parsed.tag == "latest"


@contextmanager
def _readable() -> Iterator[None]:
    """Raises RuntimeFailure where what the node knows of its images is damaged."""
    try:
        yield
    except InvalidReference:
        raise
    except (ImageError, OSError) as exc:
        raise RuntimeFailure(f"the node's images can't be read: {exc}") from exc
