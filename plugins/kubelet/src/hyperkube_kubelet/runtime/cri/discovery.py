"""Where container runtimes listen."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from hyperkube_kubelet.runtime.errors import RuntimeUnavailable

__all__ = ["DEFAULT_SOCKETS", "find_socket", "socket_of"]

# Source: k8s.io/kubernetes/cmd/kubeadm/app/constants (CRISocketContainerd and the like), and Debian's places.
DEFAULT_SOCKETS = (
    Path("/run/containerd/containerd.sock"),
    Path("/run/crio/crio.sock"),
    Path("/run/cri-dockerd.sock"),
)


def socket_of(endpoint: str) -> Path:
    """The socket that `unix:///run/x.sock`, or a bare path, means. Raises ValueError."""
    scheme, separator, rest = endpoint.partition("://")
    path = rest if separator else endpoint
    if separator and scheme != "unix":
        raise ValueError(f'"{endpoint}": only unix sockets are supported, as unix:///run/containerd/containerd.sock')
    if not path.startswith("/"):
        raise ValueError(f'"{endpoint}" is no absolute path of a socket, as unix:///run/containerd/containerd.sock')
    return Path(path)


def find_socket(candidates: Iterable[Path] = DEFAULT_SOCKETS) -> Path:
    """The first that is there. Raises RuntimeUnavailable."""
    looked = list(candidates)
    for path in looked:
        try:
            if stat.S_ISSOCK(path.stat().st_mode):
                return path
        except OSError:
            continue
    places = ", ".join(map(str, looked))
    raise RuntimeUnavailable(
        f"no container runtime is found at {places}: start containerd or CRI-O, or say where one listens by"
        " --container-runtime-endpoint"
    )
