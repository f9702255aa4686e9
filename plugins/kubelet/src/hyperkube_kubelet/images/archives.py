"""Archives of images: OCI image layouts, and what `docker save` writes, as tar files that may be compressed."""

from __future__ import annotations

import hashlib
import json
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hyperkube_kubelet.images.errors import BrokenArchive
from hyperkube_kubelet.images.manifests import Descriptor, Manifest, choose, descriptor_of

__all__ = ["Archive", "Found", "open_archive"]

_MOST_DOCUMENT = 16 << 20
_MOST_LINKS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """An image in an archive, or in a registry."""

    manifest: Manifest
    config: dict[str, Any]
    names: tuple[str, ...]  # as the archive has them
    layers: tuple[str, ...]  # what they are to be opened by: names of the archive's members, or digests
    index: str = ""  # the digest that a registry has it under, where that is not its manifest's


class Archive:
    """An archive that is open for reading."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._members = {posixpath.normpath(member.name): member for member in tar.getmembers()}

    def images(self, wanted: tuple[str, str, str]) -> list[Found]:
        """The images for the platform `wanted`. Raises BrokenArchive and WrongPlatform."""
        if "index.json" in self._members:
            return list(self._of_layout(wanted))
        if "manifest.json" in self._members:
            return list(self._of_docker())
        raise BrokenArchive("it holds neither index.json nor manifest.json: it is no archive of images")

    def open(self, name: str) -> IO[bytes]:
        """A member's content. Raises BrokenArchive."""
        member = self._members.get(name)
        for _ in range(_MOST_LINKS):
            if member is None:
                raise BrokenArchive(f"it lacks {name}")
            if member.isfile():
                content = self._tar.extractfile(member)
                assert content is not None
                return content
            target = (
                member.linkname if member.islnk() else posixpath.join(posixpath.dirname(member.name), member.linkname)
            )
            member = self._members.get(posixpath.normpath(target))
        raise BrokenArchive(f"{name} in it is no file")

    def _document(self, name: str, digest: str = "") -> Any:
        with self.open(name) as file:
            data = file.read(_MOST_DOCUMENT + 1)
        if len(data) > _MOST_DOCUMENT:
            raise BrokenArchive(f"{name} in it is longer than {_MOST_DOCUMENT} bytes")
        if digest and f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise BrokenArchive(f"{name} in it has been changed: it is not what its digest says")
        try:
            return json.loads(data)
        except ValueError as exc:
            raise BrokenArchive(f"{name} in it is no JSON: {exc}") from exc

    def _blob(self, descriptor: Descriptor) -> dict[str, Any]:
        document = self._document(_blob_name(descriptor.digest), descriptor.digest)
        if not isinstance(document, dict):
            raise BrokenArchive(f"blob {descriptor.digest} in it is no object")
        return document

    def _of_layout(self, wanted: tuple[str, str, str]) -> Iterator[Found]:
        index = self._document("index.json")
        if not isinstance(index, dict) or not isinstance(index.get("manifests"), list):
            raise BrokenArchive("index.json in it lists no manifests")
        names: dict[str, list[str]] = {}
        manifests: dict[str, Manifest] = {}
        for item in index["manifests"]:
            descriptor = descriptor_of(item)
            manifest = choose(descriptor, self._blob, wanted)
            manifests[manifest.digest] = manifest
            names.setdefault(manifest.digest, []).extend(descriptor.names[:1])
        for digest, manifest in manifests.items():
            config = self._blob(manifest.config)
            layers = tuple(_blob_name(layer.digest) for layer in manifest.layers)
            yield Found(manifest, config, tuple(dict.fromkeys(names[digest])), layers)

    def _of_docker(self) -> Iterator[Found]:
        documents = self._document("manifest.json")
        if not isinstance(documents, list):
            raise BrokenArchive("manifest.json in it is no list")
        for document in documents:
            try:
                path, layers = posixpath.normpath(document["Config"]), [*map(posixpath.normpath, document["Layers"])]
                names = tuple(map(str, document.get("RepoTags") or ()))
            except (TypeError, KeyError, AttributeError) as exc:
                raise BrokenArchive(f"manifest.json in it is not what docker save writes: {exc!r}") from exc
            config = self._document(path)
            if not isinstance(config, dict):
                raise BrokenArchive(f"{path} in it is no object")
            yield Found(self._manifest_of_docker(path, layers), config, names, tuple(layers))

    def _manifest_of_docker(self, config: str, layers: list[str]) -> Manifest:
        """There is no manifest, so one is made: of the same files it is always the same."""
        described = [self._described(name) for name in (config, *layers)]
        document = {
            "schemaVersion": 2,
            "config": {"digest": described[0].digest, "size": described[0].size},
            "layers": [{"digest": layer.digest, "size": layer.size} for layer in described[1:]],
        }
        digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        return Manifest(f"sha256:{digest}", described[0], tuple(described[1:]))

    def _described(self, name: str) -> Descriptor:
        digest, size = hashlib.sha256(), 0
        with self.open(name) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                size += len(piece)
        return Descriptor("", f"sha256:{digest.hexdigest()}", size)


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive for the length of the block. Raises BrokenArchive, and OSError where it can't be read."""
    try:
        tar = tarfile.open(path, "r:*")  # noqa: SIM115  closed below
    except (tarfile.TarError, EOFError) as exc:
        raise BrokenArchive("it is no tar archive, compressed or not") from exc
    try:
        with tar:
            yield Archive(tar)
    except (tarfile.TarError, EOFError, zlib.error) as exc:
        raise BrokenArchive(f"it is damaged: {exc}") from exc
