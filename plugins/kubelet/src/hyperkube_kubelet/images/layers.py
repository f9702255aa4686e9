"""Applies the layers of an image to a folder. Layers may be hostile: nothing that one says leads out of the folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
from importlib import import_module
from pathlib import Path
from typing import IO, Any, cast

from hyperkube_kubelet.images.errors import BrokenArchive

__all__ = ["apply_layer"]

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_RESERVED = ".wh..wh."
_MOST_LINKS = 40
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_PIECE = 1 << 20


def apply_layer(layer: IO[bytes], root: Path, *, digest: str, diff_id: str, owners: bool) -> None:
    """Apply a layer to the folder `root`, and check that it is what its digests say.

    `digest` is of the layer as it is, "" for one that is known to be right; `diff_id` of its tar. `owners`: give files
    to whom the layer says, which takes root. Raises BrokenArchive.
    """
    raw = _Hashed(layer)
    plain = _Hashed(_decompressed(raw))
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|") as tar:
            _Folder(root, owners=owners).apply(tar)
        plain.drain()
        raw.drain()
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, UnicodeError) as exc:
        raise BrokenArchive(f"layer {digest or diff_id} is damaged: {exc}") from exc
    for wanted, found in ((digest, raw.digest), (diff_id, plain.digest)):
        if wanted and wanted != found:
            raise BrokenArchive(f"a layer has been changed: it should be {wanted} and is {found}")


def _decompressed(raw: _Hashed) -> Any:
    head = raw.peek(4)
    if head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=cast("IO[bytes]", raw))
    if head.startswith(_ZSTD):
        try:
            zstd = import_module("compression.zstd")  # Python 3.14 and later
        except ImportError as exc:
            raise BrokenArchive(
                "a layer is compressed with zstd, which Python reads from 3.14 on: save the image with gzip or none"
            ) from exc
        return zstd.ZstdFile(raw)
    return raw


class _Hashed:
    """A stream that knows the digest of what was read from it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._ahead = b""

    def peek(self, size: int) -> bytes:
        self._ahead = self._stream.read(size)
        return self._ahead

    def read(self, size: int = -1) -> bytes:
        ahead, self._ahead = self._ahead, b""
        if ahead and 0 <= size < len(ahead):
            ahead, self._ahead = ahead[:size], ahead[size:]
        data: bytes = ahead
        if size != len(ahead):
            data += self._stream.read(size if size < 0 else size - len(ahead))
        self._hash.update(data)
        return data

    def drain(self) -> None:
        """Read what is left."""
        while self.read(_PIECE):
            pass

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class _Folder:
    """A root file system that layers are applied to; nobody else changes it meanwhile."""

    def __init__(self, root: Path, *, owners: bool) -> None:
        self._root = str(root)
        self._owners = owners
        self._added: set[str] = set()  # by this layer
        self._times: list[tuple[str, float]] = []

    def apply(self, tar: tarfile.TarFile) -> None:
        for member in tar:
            parts = _parts(member.name)
            if not parts:
                self._finish(self._root, member)
                continue
            parent = self._resolve(parts[:-1])
            name = parts[-1]
            if name == _OPAQUE:
                self._empty(parent)
            elif name.startswith(_RESERVED):
                continue  # a note of some builder's
            elif name.startswith(_WHITEOUT):
                self._remove(os.path.join(parent, name.removeprefix(_WHITEOUT)), within=parent)
            else:
                self._add(tar, member, os.path.join(parent, name))
        for path, when in reversed(self._times):  # folders' last, since what is put into them changes theirs
            os.utime(path, (when, when), follow_symlinks=False)

    def _resolve(self, parts: list[str], links: int = 0) -> str:
        """The folder that `parts` lead to with the root as the top, as a path without links; made where missing."""
        path = self._root
        for index, part in enumerate(parts):
            if part == "..":
                path = path if path == self._root else os.path.dirname(path)
                continue
            following = os.path.join(path, part)
            try:
                mode = os.lstat(following).st_mode
            except FileNotFoundError:
                os.mkdir(following, 0o755)
                path = following
                continue
            if stat.S_ISLNK(mode):
                if links >= _MOST_LINKS:
                    raise BrokenArchive(f"a layer has too many links in {'/'.join(parts)}")
                target = os.readlink(following)
                before = [] if target.startswith("/") else self._relative(path)
                words = [word for word in target.split("/") if word not in ("", ".")]
                return self._resolve([*before, *words, *parts[index + 1 :]], links + 1)
            if not stat.S_ISDIR(mode):
                raise BrokenArchive(f"a layer has something below {'/'.join(parts[: index + 1])}, which is a file")
            path = following
        return path

    def _relative(self, path: str) -> list[str]:
        return [part for part in os.path.relpath(path, self._root).split("/") if part != "."]

    def _empty(self, folder: str) -> None:
        """Remove what earlier layers put into a folder."""
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if not any(added == path or added.startswith(f"{path}/") for added in self._added):
                self._remove(path, within=folder)

    def _remove(self, path: str, *, within: str) -> None:
        if os.path.dirname(path) != within or os.path.basename(path) in ("", ".", ".."):
            raise BrokenArchive(f"a layer removes {os.path.basename(path)!r}, which is no name")
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
        if not (member.isdir() and os.path.isdir(path) and not os.path.islink(path)):
            self._remove(path, within=os.path.dirname(path))
        if member.isdir():
            os.makedirs(path, 0o755, exist_ok=True)
        elif member.issym():
            os.symlink(member.linkname, path)
        elif member.islnk():
            parts = _parts(member.linkname)
            if not parts:
                raise BrokenArchive(f"{member.name} in a layer is a link to nothing")
            source = os.path.join(self._resolve(parts[:-1]), parts[-1])
            try:
                os.link(source, path, follow_symlinks=False)
            except OSError as exc:
                raise BrokenArchive(f"{member.name} in a layer is a link to {member.linkname}: {exc.strerror}") from exc
        elif member.isfile():
            content = tar.extractfile(member)
            assert content is not None
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                shutil.copyfileobj(content, file, _PIECE)
        elif member.isfifo():
            os.mkfifo(path, 0o600)
        else:
            return  # devices are the runtime's to give
        self._added.add(path)
        if not member.islnk():
            self._finish(path, member)

    def _finish(self, path: str, member: tarfile.TarInfo) -> None:
        """Owner, mode and time of what was added."""
        if self._owners:
            os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            # Whoever unpacks must be able to go on; the owner can do no harm to itself.
            os.chmod(path, stat.S_IMODE(member.mode) | (0o700 if member.isdir() and not self._owners else 0))
        if 0 <= member.mtime < 1 << 40:
            self._times.append((path, member.mtime))


def _parts(name: str) -> list[str]:
    """The names in a path. Raises BrokenArchive for one that leads upwards."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise BrokenArchive(f"a layer has {name!r}, which leads out of it")
    return parts
