"""Nodes of the process runtime for tests: with and without namespaces, of root and of an ordinary user."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.images.registries import Registries
from hyperkube_kubelet.images.source import NodeImages, image_folder
from hyperkube_kubelet.images.store import ImageStore
from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_kubelet.runtime.process import runtime as runtime_module
from hyperkube_kubelet.runtime.process import starting
from hyperkube_kubelet.runtime.process.runtime import ProcessRuntime, process_runtime
from hyperkube_kubelet.runtime.process.starting import Settings
from hyperkube_machinery.agents import AgentUnavailable
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.podnetwork import AgentNetwork

__all__ = ["MODES", "Node", "descendants", "node_of_mode"]

_PR_SET_DUMPABLE = 4

UID = 64123
"""An ordinary user's, whom nobody has."""

MODES = ("own", "user", "plain")
"""own: whoever runs the tests, with namespaces. user: an ordinary user, with namespaces, where root runs the tests.
plain: without namespaces."""


class Node:
    """A folder, and the kubelets that come and go there."""

    def __init__(self, root: Path, mode: str, **settings: Any) -> None:
        self.root = root
        self.mode = mode
        isolation = "none" if mode == "plain" else "auto"
        self.settings = Settings(root_dir=root, **{"isolation": isolation, **settings})

    @asynccontextmanager
    async def kubelet(self) -> AsyncIterator[ProcessRuntime]:
        """A runtime as a kubelet has it; pods go on behind the block."""
        async with process_runtime(
            self.settings, NodeImages(self.root, Registries(), SystemClock()), SystemClock()
        ) as runtime:
            yield runtime

    async def end(self) -> None:
        """End the node; nothing happens where it has ended."""
        with suppress(AgentUnavailable, RuntimeUnavailable):
            await AgentNetwork(self.settings.network_socket).end(0)

    def load(self, archive: Path) -> None:
        """Load an image, as the node's user would have."""
        ImageStore(image_folder(self.root)).load(archive, now=1.0)
        self._hand_over()

    def logs(self, name: str = "logs") -> Path:
        """A folder for logs that the reaper may write to."""
        folder = self.root / "logs" / name
        folder.mkdir(parents=True, exist_ok=True)
        self._hand_over()
        return folder

    def _hand_over(self) -> None:
        if self.mode == "user":
            for folder, folders, files in os.walk(self.root):
                for name in (*folders, *files):
                    os.chown(os.path.join(folder, name), UID, UID, follow_symlinks=False)

    def reaper(self) -> int:
        """The reaper's process."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.settings.socket))
            return int(struct.unpack("iii", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


@contextmanager
def node_of_mode(mode: str, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[Node]:
    if sys.platform != "linux":
        pytest.skip("the process runtime runs on Linux alone")
    root = Path(tempfile.mkdtemp(prefix="hk-node-", dir="/var/tmp"))  # below a folder that every user may enter
    if mode == "user":
        if os.geteuid() != 0:
            pytest.skip("whoever runs the tests is an ordinary user already")
        os.chown(root, UID, UID)
        monkeypatch.setattr(runtime_module, "start_reaper", start_as_user)
    try:
        yield Node(root, mode, **settings)
    finally:
        shutil.rmtree(root)


async def start_as_user(settings: Settings) -> None:
    """Start a reaper as `UID`, who may not be able to execute this Python: by a fork alone."""
    settings.folder.mkdir(exist_ok=True)
    os.chown(settings.folder, UID, UID)
    _fork_reaper(json.dumps(starting._document(settings)), settings.folder)


def _fork_reaper(document: str, folder: Path) -> None:
    from hyperkube_kubelet.runtime.process.reaper import main as reaper  # which is for Linux alone

    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        gc.freeze()  # what is collected later would close descriptors of the same numbers
        with suppress(BaseException):
            os.setgroups([])
            os.setresgid(UID, UID, UID)
            os.setresuid(UID, UID, UID)
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as executing a program would
            os.dup2(os.open(folder / "reaper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.dup2(writing, 1)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            os._exit(reaper.main(["reaper", document]))
        os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        said = report.read()
    os.waitpid(pid, 0)
    assert json.loads(said)["running"]


def descendants(pid: int) -> set[int]:
    """The living processes below `pid`."""
    from hyperkube_kubelet.runtime.process.reaper import processes

    return set(processes.all_below(pid))
