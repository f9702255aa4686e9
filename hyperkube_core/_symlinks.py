"""`hk --make-symlinks`: a soft link for each server, by which it is called under its own name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hyperkube_core._errors import HyperkubeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hyperkube_core._registry import Listed


def make_symlinks(program: Sequence[str], servers: Iterable[Listed], folder: str, say: Callable[[str], None]) -> None:
    """Link each server's own name in `folder` to the launcher `program`; alpha servers and other names get none.

    A link that is right already stays. What cannot be made is said, and the others are made; then HyperkubeError.
    """
    target = program[-1]
    if not os.path.isfile(target):
        raise HyperkubeError(
            f"cannot create symlinks to {' '.join(program)!r}, which is no file: call the installed command"
        )
    if not os.path.isdir(folder):
        raise HyperkubeError(f"cannot create symlinks in {folder}: there is no such folder")
    failed = False
    for item in servers:
        if item.server is None or item.server.alpha or item.name != item.server.name:
            continue
        link = os.path.join(folder, item.name)
        if os.path.islink(link) and os.path.realpath(link) == os.path.realpath(target):
            continue
        try:
            os.symlink(target, link)
        except OSError as exc:
            say(f"{link}: {exc.strerror or exc}\n")
            failed = True
    if failed:
        raise HyperkubeError("Error creating one or more symlinks.")
