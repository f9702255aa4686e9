"""A container where no namespaces may be had: a process of the machine that is told of its files by its environment.

It gets a copy of the image in a folder of its own, which HK_ROOT names, with links in place of its volumes. Its program
is looked for there first. What it opens by an absolute path is the machine's, nevertheless.
"""

from __future__ import annotations

import os

from hyperkube_kubelet.runtime.process.reaper.trees import copy_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["adapt"]


def adapt(run: dict[str, Any], folder: str) -> dict[str, Any]:
    """Make the container's folder and return how its program is to be run instead."""
    root = os.path.join(folder, "copy")
    image = run["root"]["kind"] != "host"
    if not os.path.isdir(root):
        if image:
            copy_tree(run["root"]["lower"], root, root=root)
        else:
            os.makedirs(root, 0o700)
        for mount in run["mounts"]:
            _link(root, mount)
    env = dict(run["env"])
    env["HK_ROOT"] = root
    argv, executable = run["argv"], ""
    cwd = run["cwd"]
    if image:
        folders = env.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":")
        env["PATH"] = ":".join(root + path for path in folders if path.startswith("/"))
        cwd = root + cwd
        os.makedirs(cwd, 0o755, exist_ok=True)
        if argv[0].startswith("/"):
            executable = root + argv[0]
    return {**run, "argv": argv, "env": list(env.items()), "cwd": cwd, "executable": executable}


def _link(root: str, mount: dict[str, Any]) -> None:
    """Put a link to a volume where it would be mounted, unless the image has something there."""
    path = root + os.path.normpath(mount["target"])
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        if os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path):
            os.rmdir(path)
        os.symlink(mount["source"], path)
    except OSError:
        pass  # the volume is where it is; the environment can't tell more
