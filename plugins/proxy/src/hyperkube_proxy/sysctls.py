"""How the machine's kernel tracks connections. Source: k8s.io/kubernetes/pkg/proxy/conntrack (sysctls.go)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from hyperkube_proxy.options import Options

__all__ = ["FOLDER", "HASH_SIZE", "processors", "set_sysctls", "wanted"]

log = logging.getLogger(__name__)

FOLDER = Path("/proc/sys/net/netfilter")
HASH_SIZE = Path("/sys/module/nf_conntrack/parameters/hashsize")

_MAXIMUM = "nf_conntrack_max"
_AT_MOST = 1 << 20  # however many processors there are: each tracked connection takes memory


def wanted(options: Options, processors: int) -> dict[str, int]:
    """Values by the names of their files; what is to be left as it is is not there."""
    found = {
        "nf_conntrack_tcp_timeout_established": int(options.conntrack_tcp_timeout_established),
        "nf_conntrack_tcp_timeout_close_wait": int(options.conntrack_tcp_timeout_close_wait),
        "nf_conntrack_tcp_be_liberal": int(options.conntrack_tcp_be_liberal),
        "nf_conntrack_udp_timeout": int(options.conntrack_udp_timeout),
        "nf_conntrack_udp_timeout_stream": int(options.conntrack_udp_timeout_stream),
    }
    if options.conntrack_max_per_core:
        scaled = options.conntrack_max_per_core * processors
        found[_MAXIMUM] = _AT_MOST if scaled > _AT_MOST else max(scaled, options.conntrack_min)
    return {name: value for name, value in found.items() if value > 0}


def set_sysctls(values: Mapping[str, int], folder: Path = FOLDER, hash_size: Path = HASH_SIZE) -> None:
    """Set what isn't so yet. What may not be set is told of, once for all."""
    forbidden = [f"{name}={value} ({why})" for name, value, why in _set(values, folder, hash_size)]
    if forbidden:
        log.warning("the kernel's tracking of connections is left as it is: cannot set %s", ", ".join(forbidden))


def _set(values: Mapping[str, int], folder: Path, hash_size: Path) -> Iterator[tuple[str, int, str]]:
    for name, value in values.items():
        try:
            if int((folder / name).read_text()) != value:
                log.info("setting %s to %d", name, value)
                (folder / name).write_text(str(value))
            if name == _MAXIMUM and int(hash_size.read_text()) < value // 4:
                log.info("setting the size of the table of connections to %d", value // 4)
                hash_size.write_text(str(value // 4))
        except (OSError, ValueError) as exc:
            yield name, value, (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


def processors() -> int:
    """How many the machine has."""
    return os.cpu_count() or 1
