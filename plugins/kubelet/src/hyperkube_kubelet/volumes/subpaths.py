"""The part of a volume that a container sees, which must be within the volume whatever links lie there.

Source: the promises of k8s.io/kubernetes/pkg/volume/util/subpath.
"""

from __future__ import annotations

import os
from pathlib import Path

from hyperkube_kubelet.volumes.payload import PayloadError

__all__ = ["within"]

_MODE = 0o750


def within(volume: Path, part: str, *, makes: bool) -> Path:
    """Where `part` of `volume` is, links resolved; a folder is made there with `makes` if nothing is.

    Raises PayloadError if it would lie outside.
    """
    base = Path(os.path.realpath(volume))
    wanted = Path(os.path.realpath(base / part))
    if not wanted.is_relative_to(base):
        raise PayloadError(f"failed to prepare subPath: {part!r} leads out of its volume")
    if makes and not wanted.exists():
        # Resolved before, so that no part of it is a link; with the volume's mode, so that whoever writes there can.
        mode = base.stat().st_mode & 0o7777 if base.is_dir() else _MODE
        missing = [
            folder for folder in (wanted, *wanted.parents) if folder.is_relative_to(base) and not folder.exists()
        ]
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
    return wanted
