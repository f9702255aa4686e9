"""Finds the node's reaper, or starts one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import hyperkube_kubelet
from hyperkube_kubelet.runtime.errors import RuntimeUnavailable
from hyperkube_machinery.files import make_private_directory
from hyperkube_machinery.podnetwork import search_path

__all__ = ["Settings", "start_reaper"]

_PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1));"
    " from hyperkube_kubelet.runtime.process.reaper.main import main; sys.exit(main(sys.argv))"
)
_LOG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a node's pods are run. They count for a reaper when it starts; one that runs keeps what it has."""

    root_dir: Path  # of the kubelet
    hidden: tuple[Path, ...] = ()  # what else containers of the machine's own root don't see
    isolation: Literal["auto", "none"] = "auto"
    network: Literal["auto", "namespace", "loopback", "host"] = "auto"
    pod_cidr: str = "10.244.0.0/24"
    grace_seconds: float = 60.0  # how long pods outlive the last kubelet
    log_bytes: int = 10 << 20  # of a container's log before a new file is begun
    log_files: int = 5  # of a container, the current one with them

    @property
    def folder(self) -> Path:
        """What the reaper keeps."""
        return self.root_dir / "runtime"

    @property
    def socket(self) -> Path:
        """Where the reaper answers the kubelet."""
        return self.folder / "reaper.sock"

    @property
    def network_socket(self) -> Path:
        """Where it answers whoever speaks to the pods' network."""
        return self.root_dir / "network.sock"


async def start_reaper(settings: Settings) -> None:
    """Start a reaper that answers when this returns; nothing happens where one has the folder already.

    Raises RuntimeUnavailable with its words.
    """
    if sys.platform != "linux":
        raise RuntimeUnavailable("the process runtime runs on Linux alone: use --container-runtime=hollow")
    make_private_directory(settings.root_dir)
    make_private_directory(settings.folder)
    if not sys.executable:
        raise RuntimeUnavailable("the pods' reaper can't be started: this Python doesn't know its own program")
    path = settings.folder / "reaper.log"
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        place = str(Path(hyperkube_kubelet.__file__).parent.parent)
        # By the standard library, which lets a child have no other descriptors: uvloop's keeps the report's end open.
        started = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _PROGRAM, place, json.dumps(_document(settings))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={"PATH": search_path()},
            start_new_session=True,
            check=False,
        )
    except OSError as exc:
        raise RuntimeUnavailable(f"the pods' reaper can't be started: {exc}") from exc
    finally:
        os.close(log)
    try:
        running = json.loads(started.stdout)["running"]
    except (ValueError, KeyError):
        running = False
    if not running:
        raise RuntimeUnavailable(f"the pods' reaper didn't start; {path} says why")


def _document(settings: Settings) -> dict[str, object]:
    return {
        "folder": str(settings.folder),
        "network_socket": str(settings.network_socket),
        "isolation": settings.isolation,
        "network": settings.network,
        "pod_cidr": settings.pod_cidr,
        "loopback_cidr": loopback_cidr(settings.root_dir),
        "grace_seconds": settings.grace_seconds,
        "log_bytes": settings.log_bytes,
        "log_files": settings.log_files,
    }


def loopback_cidr(root_dir: Path) -> str:
    """Addresses 127.x.y.z for the pods of one node, likely none that another node of this machine has."""
    number = int.from_bytes(hashlib.sha256(os.fsencode(root_dir.resolve())).digest()[:2], "big")
    second, third = divmod(number, 256)
    return f"127.{max(1, second)}.{third}.0/24"
