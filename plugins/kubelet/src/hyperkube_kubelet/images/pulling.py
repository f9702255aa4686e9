"""Pulling images from registries into the node's store."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from hyperkube_kubelet.images.archives import Found
from hyperkube_kubelet.images.distribution import Repository
from hyperkube_kubelet.images.downloads import Downloads
from hyperkube_kubelet.images.errors import (
    BrokenArchive,
    ImageError,
    InvalidRegistries,
    PullFailed,
    Unreachable,
    WrongPlatform,
)
from hyperkube_kubelet.images.manifests import (
    MOST_NESTED,
    Manifest,
    chosen,
    machine_platform,
    manifest_of,
)
from hyperkube_kubelet.images.references import Reference, parse_reference
from hyperkube_kubelet.images.registries import Registries
from hyperkube_kubelet.images.store import Entry, ImageStore
from hyperkube_kubelet.runtime.values import Credentials
from hyperkube_machinery.clock import Clock

__all__ = ["ImagePuller"]

_MOST_CONFIG = 16 << 20


class ImagePuller:
    """Fetches images for one store."""

    def __init__(self, store: ImageStore, registries: Registries, clock: Clock) -> None:
        self._store, self._registries, self._clock = store, registries, clock
        self._downloads = Downloads(store.folder / "downloads", clock)

    async def pull(self, text: str, credentials: Credentials | None = None) -> Entry:
        """Have the image that `text` names as its registry has it now.

        Layers that are here already are not fetched again. Raises InvalidReference, PullFailed and OSError.
        """
        reference = parse_reference(text)
        begin = f'failed to pull and unpack image "{reference}"'
        try:
            repository, top, document = await self._resolve(reference, credentials)
        except (PullFailed, InvalidRegistries) as exc:
            kind = type(exc) if isinstance(exc, PullFailed) else PullFailed
            where = f"{reference}: " if str(exc) == "not found" else ""
            raise kind(f'{begin}: failed to resolve reference "{reference}": {where}{exc}') from exc
        try:
            manifest = await self._manifest(repository, top, json.loads(document))
            return await self._have(repository, manifest, reference, index="" if top == manifest.digest else top)
        except PullFailed as exc:
            raise type(exc)(f"{begin}: {exc}") from exc
        except WrongPlatform as exc:
            raise PullFailed(f"{begin}: no match for platform in manifest: {exc}") from exc
        except (ImageError, ValueError) as exc:
            raise PullFailed(f"{begin}: {exc}") from exc

    async def _resolve(self, reference: Reference, credentials: Credentials | None) -> tuple[Repository, str, bytes]:
        """Where the image is, its digest, and its topmost document."""
        failure: PullFailed | None = None
        for endpoint in self._registries.endpoints(reference.domain):
            # What a mirror asks for is not what its registry's users know.
            own = None if endpoint.namespace else credentials
            repository = Repository(self._registries, endpoint, reference.path, own, self._clock)
            try:
                body, told = await repository.manifest(reference.digest or reference.tag)
            except PullFailed as exc:
                failure = exc
                continue
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            wanted = reference.digest or (told if told.startswith("sha256:") else digest)
            if digest != wanted:
                failure = PullFailed(f"unexpected digest {digest} of a manifest, expected {wanted}")
                continue
            return repository, digest, body
        assert failure is not None  # there is at least the registry itself
        raise failure

    async def _manifest(self, repository: Repository, digest: str, document: Any) -> Manifest:
        """The manifest for this machine, by way of indexes."""
        for _ in range(MOST_NESTED):
            if not isinstance(document, dict):
                raise BrokenArchive(f"manifest {digest} is no object")
            following = chosen(document, machine_platform())
            if following is None:
                return manifest_of(digest, document)
            body, _ = await repository.manifest(following.digest)
            digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
            if digest != following.digest:
                raise BrokenArchive(f"unexpected digest {digest} of a manifest, expected {following.digest}")
            document = json.loads(body)
        raise BrokenArchive(f"its indexes are nested deeper than {MOST_NESTED} levels")

    async def _have(self, repository: Repository, manifest: Manifest, reference: Reference, *, index: str) -> Entry:
        downloads, config = self._downloads, manifest.config
        if config.size > _MOST_CONFIG:
            raise BrokenArchive(f"its configuration is longer than {_MOST_CONFIG} bytes")
        await downloads.fetch(repository, config)
        with downloads.open(config.digest) as file:
            document = json.load(file)
        if not isinstance(document, dict):
            raise BrokenArchive(f"its configuration {config.digest} is no object")
        found = Found(manifest, document, (), tuple(layer.digest for layer in manifest.layers), index)
        blobs = [config.digest]
        if not self._store.has_root(found):
            layers = {layer.digest: layer for layer in manifest.layers}
            blobs += layers
            try:
                async with asyncio.TaskGroup() as group:
                    for layer in layers.values():
                        group.create_task(downloads.fetch(repository, layer))
            except BaseExceptionGroup as exc:
                raise _first(exc) from exc
        entry = await asyncio.to_thread(self._store.add, downloads, found, reference, now=self._clock.now())
        downloads.discard(blobs)
        return entry


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to tell of several failures: one that another try wouldn't mend, if there is one."""
    failures = sorted(group.exceptions, key=lambda exc: isinstance(exc, Unreachable))
    return failures[0]
