"""`hk --make-symlinks`: a soft link for each server, by which it is called under its own name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hyperkube_core._errors import HyperkubeError

if TYPE_CHECKING:
    from hyperkube_core._launcher import HyperKube


def make_symlinks(launcher: HyperKube, folder: str) -> None:
    """Link each server's own name in `folder` to the launcher; alpha servers and other names get none.

    A link that is right already stays. What cannot be made is said, and the others are made; then HyperkubeError.
    """
    target = launcher.program[-1]
    if not os.path.isfile(target):
        raise HyperkubeError(
            f"cannot create symlinks to {' '.join(launcher.program)!r}: call the installed command {launcher.name!r}"
        )
    if not os.path.isdir(folder):
        raise HyperkubeError(f"cannot create symlinks in {folder}: there is no such folder")
    failed = False
    for item in launcher.servers():
        if item.server is None or item.server.alpha or item.name != item.server.name:
            continue
        link = os.path.join(folder, item.name)
        if os.path.islink(link) and os.path.realpath(link) == os.path.realpath(target):
            continue
        try:
            os.symlink(target, link)
        except OSError as exc:
            launcher.print(f"{link}: {exc.strerror or exc}\n", error=True)
            failed = True
    if failed:
        raise HyperkubeError("Error creating one or more symlinks.")
