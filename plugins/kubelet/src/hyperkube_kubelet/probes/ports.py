"""Ports that probes and hooks name."""

from __future__ import annotations

from hyperkube_kubelet.podspec import Tree

__all__ = ["port_number"]


def port_number(port: int | str, container: Tree) -> int:
    """The number of a port, or of the container's port of that name. Raises ValueError in upstream's words."""
    if isinstance(port, str) and not port.isdigit():
        for declared in container.get("ports") or ():
            if declared.get("name") == port:
                return int(declared["containerPort"])
        raise ValueError(f'strconv.Atoi: parsing "{port}": invalid syntax')
    number = int(port)
    if not 0 < number < 65536:
        raise ValueError(f"invalid port number: {number}")
    return number
