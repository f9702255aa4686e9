"""The part of a volume that a container sees, which must be within the volume whatever links lie there.

Source: the promises of k8s.io/kubernetes/pkg/volume/util/subpath.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from hyperkube_kubelet.volumes.payload import PayloadError

__all__ = ["within"]


def within(volume: Path, part: str, *, makes: bool) -> Path:
    """Where `part` of `volume` is, links resolved; a folder is made there with `makes` if nothing is.

    Raises PayloadError if it would lie outside.
    """
    base = Path(os.path.realpath(volume))
    wanted = Path(os.path.realpath(base / part))
    if not wanted.is_relative_to(base):
        raise PayloadError(f"failed to prepare subPath: {part!r} leads out of its volume")
    if makes and not wanted.exists():
        _make(base, wanted.relative_to(base).parts)
    return wanted


def _make(base: Path, parts: Sequence[str]) -> None:
    """Make folders with the volume's mode, so that whoever writes there can, one in the other by descriptors.

    Whoever writes in the volume may put links in their place meanwhile: OSError is raised for one.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(base, flags)
    try:
        mode = stat.S_IMODE(os.fstat(folder).st_mode)
        for part in parts:
            made = True
            try:
                os.mkdir(part, dir_fd=folder)
            except FileExistsError:
                made = False
            following = os.open(part, flags, dir_fd=folder)
            os.close(folder)
            folder = following
            if made:
                os.fchmod(folder, mode)
    finally:
        os.close(folder)
