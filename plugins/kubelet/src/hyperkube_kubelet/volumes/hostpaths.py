"""Whether a path of the node is what a hostPath volume says it is, and making it where that may be.

Source: k8s.io/kubernetes/pkg/volume/hostpath (checkTypeInternal).
"""

from __future__ import annotations

import stat
from pathlib import Path

from hyperkube_kubelet.volumes.payload import PayloadError

__all__ = ["check_host_path"]

_KINDS = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def check_host_path(path: Path, kind: str) -> None:
    """Raises PayloadError, or OSError where a folder or file can't be made. `kind` is the volume's `type`."""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    wanted = _KINDS.get(kind.removesuffix("OrCreate"))
    if wanted is None:  # "" asks for nothing
        return
    is_one, words = wanted
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = 0
    if not is_one(mode):
        raise PayloadError(f"hostPath type check failed: {path} is not {words}")
