"""The node's images on disk.

    index.json       what there is: a file that is replaced as a whole
    lock             held while it is changed
    roots/CHAIN      the unpacked root file system of all images with the same layers
    new/             what is being unpacked
    downloads/       what is on its way from registries

Whoever reads it sees what was there before a load or removal, or all of it. Several processes may use it at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from hyperkube_kubelet.images.archives import Found, open_archive
from hyperkube_kubelet.images.errors import BrokenArchive, ImageInUse, InvalidReference, UnknownImage, WrongPlatform
from hyperkube_kubelet.images.layers import apply_layer
from hyperkube_kubelet.images.manifests import image_of, machine_platform
from hyperkube_kubelet.images.references import Reference, is_image_id, parse_reference
from hyperkube_kubelet.runtime.values import FilesystemUsage, Image
from hyperkube_machinery.files import make_private_directory, write_durably

__all__ = ["Blobs", "Entry", "ImageStore"]

_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """An image as the index knows it."""

    manifest: str  # its digest
    config_digest: str
    config: dict[str, Any]
    chain: str  # what its root is named by
    size: int  # of the unpacked root
    inodes: int
    names: tuple[str, ...] = ()  # with tags, in full
    repositories: tuple[str, ...] = ()  # that it is known by its digest in
    loaded_at: float = field(default=0.0)
    indexes: tuple[str, ...] = ()  # with digests, in full: what it is known by in registries that list it in an index

    @property
    def digests(self) -> tuple[str, ...]:
        """What it is known by, in full: docker.io/library/busybox@sha256:…"""
        return (*self.indexes, *(f"{repository}@{self.manifest}" for repository in self.repositories))

    @property
    def image(self) -> Image:
        digests = self.digests
        return image_of(self.config_digest, self.config, tags=self.names, digests=digests, size=self.size)

    @property
    def reference(self) -> str:
        """What a container's status shows as its imageID."""
        return self.digests[0] if self.digests else self.config_digest


class Blobs(Protocol):
    """Where layers are read from."""

    def open(self, name: str, /) -> IO[bytes]:
        """Raises BrokenArchive and OSError."""


class ImageStore:
    """The images in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read_at: tuple[int, int] = (0, 0)
        self._entries: dict[str, Entry] = {}

    # Reading

    def entries(self) -> list[Entry]:
        """All images, by their manifests."""
        try:
            status = (self.folder / "index.json").stat()
        except FileNotFoundError:
            return []
        version = (status.st_ino, status.st_mtime_ns)
        if version != self._read_at:
            self._entries = self._read()
            self._read_at = version
        return list(self._entries.values())

    def _read(self) -> dict[str, Entry]:
        path = self.folder / "index.json"
        try:
            document = json.loads(path.read_bytes())
            if document["format"] > _FORMAT:
                raise BrokenArchive(f"{path} was written by a newer version of hk: upgrade this one")
            items = [_entry(item) for item in document["images"]]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as exc:
            raise BrokenArchive(f"{path} is damaged ({exc}): remove it and load the images again") from exc
        return {item.manifest: item for item in items}

    def find(self, text: str) -> Entry | None:
        """The image that a name, a digest or an id means, or None. Raises InvalidReference."""
        if is_image_id(text):
            wanted = "sha256:" + text.removeprefix("sha256:")
            return next((entry for entry in self.entries() if entry.config_digest == wanted), None)
        reference = parse_reference(text)
        for entry in self.entries():
            if reference.digest:
                if f"{reference.repository}@{reference.digest}" in entry.digests:
                    return entry
            elif str(reference) in entry.names:
                return entry
        return None

    def root(self, entry: Entry) -> Path:
        """Its unpacked root file system."""
        return self.folder / "roots" / entry.chain

    def usage(self) -> FilesystemUsage:
        roots = {entry.chain: entry for entry in self.entries()}.values()
        return FilesystemUsage(self.folder, sum(entry.size for entry in roots), sum(entry.inodes for entry in roots))

    # Changing

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one that changes anything, from a root's unpacking to its entry, for the length of the block."""
        make_private_directory(self.folder)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            shutil.rmtree(self.folder / "new", ignore_errors=True)  # what somebody who was killed has left
            yield

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Entry]]:
        """Give the entries, which are written when the block ends well; whoever calls holds the lock."""
        entries = self._read()
        yield entries
        document = {"format": _FORMAT, "images": [asdict(entry) for entry in entries.values()]}
        write_durably(self.folder / "index.json", json.dumps(document).encode())

    def load(self, path: Path, names: Sequence[str] = (), *, now: float) -> list[Entry]:
        """Load all images of an archive, under `names` where they are given (then it must hold one image).

        Raises ImageError, and OSError where something can't be read or written.
        """
        wanted = [parse_reference(name) for name in names]
        loaded: list[Entry] = []
        with open_archive(path) as archive:
            found = archive.images(machine_platform())
            if not found:
                raise BrokenArchive(f"{path} holds no image")
            if wanted and len(found) > 1:
                raise InvalidReference(f"{path} holds {len(found)} images: no one name can be given to all of them")
            for image in found:
                references = wanted or [parse_reference(name) for name in image.names]
                with self._locked():
                    loaded.append(self._load(archive, image, references, now))
        return loaded

    def has_root(self, found: Found) -> bool:
        """Whether its layers are unpacked already. Raises BrokenArchive."""
        return (self.folder / "roots" / _chain(_diff_ids(found))).is_dir()

    def add(self, blobs: Blobs, found: Found, reference: Reference, *, now: float) -> Entry:
        """Have an image whose layers are in `blobs`, under one name. Raises ImageError and OSError."""
        with self._locked():
            return self._load(blobs, found, [reference], now)

    def _load(self, archive: Blobs, found: Found, references: list[Reference], now: float) -> Entry:
        _check_platform(found)
        diff_ids = _diff_ids(found)
        chain = _chain(diff_ids)
        size, inodes = self._unpack(archive, found, diff_ids, chain)
        with self._changing() as entries:
            old = entries.get(found.manifest.digest)
            names = [str(reference) for reference in references if reference.tag]
            repositories = [reference.repository for reference in references]
            indexes = [f"{repository}@{found.index}" for repository in repositories if found.index]
            entry = Entry(
                manifest=found.manifest.digest,
                config_digest=found.manifest.config.digest,
                config=found.config,
                chain=chain,
                size=size,
                inodes=inodes,
                names=tuple(dict.fromkeys([*(old.names if old else ()), *names])),
                repositories=tuple(dict.fromkeys([*(old.repositories if old else ()), *repositories])),
                loaded_at=now,
                indexes=tuple(dict.fromkeys([*indexes, *(old.indexes if old else ())])),
            )
            for digest, other in list(entries.items()):  # a name means one image
                kept = tuple(name for name in other.names if name not in names)
                entries[digest] = Entry(**{**_fields(other), "names": kept})
            entries[entry.manifest] = entry
        return entry

    def _unpack(self, archive: Blobs, found: Found, diff_ids: list[str], chain: str) -> tuple[int, int]:
        """Have the root of these layers, and return what it takes, in bytes and inodes."""
        root = self.folder / "roots" / chain
        if not root.is_dir():
            fresh = self.folder / "new" / secrets.token_hex(8)
            fresh.mkdir(parents=True)
            (self.folder / "roots").mkdir(exist_ok=True)
            try:
                fresh.chmod(0o755)
                for layer, name, diff_id in zip(found.manifest.layers, found.layers, diff_ids, strict=True):
                    with archive.open(name) as content:
                        apply_layer(content, fresh, digest=layer.digest, diff_id=diff_id, owners=os.geteuid() == 0)
                fresh.rename(root)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return _measure(root)

    def remove(self, text: str, *, in_use: Collection[Path] = ()) -> Entry:
        """Take a name away, and with the last one, or by its id, the image itself.

        Raises UnknownImage, ImageInUse where a container runs from a root in `in_use`, and InvalidReference.
        """
        with self._locked():
            found = self.find(text)
            if found is None:
                raise UnknownImage(f"there is no image {text!r} here")
            return self._remove(found, text, in_use)

    def _remove(self, found: Entry, text: str, in_use: Collection[Path]) -> Entry:
        with self._changing() as entries:
            entry = entries[found.manifest]
            name = "" if is_image_id(text) else str(parse_reference(text))
            left = tuple(other for other in entry.names if other != name) if name in entry.names else ()
            if left:
                entries[entry.manifest] = Entry(**{**_fields(entry), "names": left})
                return entry
            shared = any(other.chain == entry.chain for other in entries.values() if other is not entry)
            root = self.root(entry)
            if not shared and root in in_use:
                raise ImageInUse(f"image {text!r} can't be removed: a container runs from it")
            del entries[entry.manifest]
        if not shared:
            gone = self.folder / "new" / secrets.token_hex(8)
            gone.parent.mkdir(exist_ok=True)
            root.rename(gone)
            shutil.rmtree(gone)
        return entry


def _entry(item: dict[str, Any]) -> Entry:
    """An entry as it was written."""
    fields: dict[str, Any] = {name: tuple(held) if isinstance(held, list) else held for name, held in item.items()}
    return Entry(**fields)


def _fields(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


def _check_platform(found: Found) -> None:
    wanted = machine_platform()
    offered = (str(found.config.get("os", "linux")), str(found.config.get("architecture", wanted[1])))
    if offered != wanted[:2]:
        raise WrongPlatform(f"it is made for {'/'.join(offered)}, and this machine is {'/'.join(wanted[:2])}")


def _diff_ids(found: Found) -> list[str]:
    rootfs = found.config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(found.manifest.layers):
        raise BrokenArchive(f"the configuration of {found.manifest.digest} doesn't fit its layers")
    return [str(item) for item in diff_ids]


def _chain(diff_ids: list[str]) -> str:
    """A name for what layers make together. Source: the OCI image specification's ChainID."""
    chain = ""
    for diff_id in diff_ids:
        chain = diff_id if not chain else "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
    return hashlib.sha256(chain.encode()).hexdigest()


def _measure(root: Path) -> tuple[int, int]:
    size = inodes = 0
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(folder, name))
            size += status.st_blocks * 512
            inodes += 1
    return size, inodes
