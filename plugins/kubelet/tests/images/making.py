"""Archives of images that tests make, good ones and bad ones."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hyperkube_kubelet.images.manifests import machine_platform

__all__ = ["Layer", "Layout", "digest_of", "docker_save", "layer"]

_ARCHITECTURE = machine_platform()[1]
Layer = bytes


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(*entries: tuple[str, Any]) -> Layer:
    """A layer of entries by their names.

    Files (bytes), folders (None), links ("-> target"), hard links ("= target"), or what a function makes of the entry.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = 0o644, 1_000_000_000
            data = b""
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, bytes):
                data = content
                entry.size = len(data)
            elif callable(content):
                content(entry)
            elif content.startswith("-> "):
                entry.type, entry.linkname = tarfile.SYMTYPE, content[3:]
            elif content.startswith("= "):
                entry.type, entry.linkname = tarfile.LNKTYPE, content[2:]
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Layout:
    """An OCI image layout that images are put into."""

    def __init__(self) -> None:
        self.members: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.manifests: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str = "") -> dict[str, Any]:
        digest = digest_of(data)
        self.members[f"blobs/sha256/{digest[7:]}"] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def image(
        self,
        *layers: Layer,
        compress: Callable[[bytes], bytes] = bytes,
        architecture: str = _ARCHITECTURE,
        config: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Put an image in and return its descriptor."""
        document = {
            "architecture": architecture,
            "os": "linux",
            "config": config or {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(item) for item in layers]},
        }
        manifest = {
            "schemaVersion": 2,
            "config": self.blob(json.dumps(document).encode()),
            "layers": [self.blob(compress(item)) for item in layers],
        }
        return self.blob(json.dumps(manifest).encode())

    def name(self, descriptor: dict[str, Any], *names: str, platform: dict[str, str] | None = None) -> None:
        """List an image, once for each of its names."""
        for name in names or ("",):
            entry = dict(descriptor)
            if name:
                entry["annotations"] = {"io.containerd.image.name": name}
            if platform:
                entry["platform"] = platform
            self.manifests.append(entry)

    def write(self, path: Path, *, mode: str = "w") -> Path:
        index = json.dumps({"schemaVersion": 2, "manifests": self.manifests}).encode()
        _write(path, {**self.members, "index.json": index}, mode)
        return path


def docker_save(path: Path, names: Sequence[str], *layers: Layer) -> Path:
    """What `docker save` wrote before it knew OCI's layout."""
    config = json.dumps(
        {
            "architecture": _ARCHITECTURE,
            "os": "linux",
            "config": {"Entrypoint": ["/bin/app"], "Cmd": None, "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(item) for item in layers]},
        }
    ).encode()
    config_name = f"{digest_of(config)[7:]}.json"
    members = {config_name: config}
    paths = []
    for index, item in enumerate(layers):
        paths.append(f"{index}/layer.tar")
        members[paths[-1]] = item
    members["manifest.json"] = json.dumps([{"Config": config_name, "RepoTags": [*names], "Layers": paths}]).encode()
    _write(path, members, "w")
    return path


def _write(path: Path, members: dict[str, bytes], mode: str) -> None:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
