"""What the machine's own files say that pods are told."""

from __future__ import annotations

from pathlib import Path

from hyperkube_kubelet.runtime.values import DNS

__all__ = ["node_dns", "parse_resolv_conf"]


def node_dns(path: Path = Path("/etc/resolv.conf")) -> DNS:
    """The machine's name servers."""
    try:
        return parse_resolv_conf(path.read_text(errors="replace"))
    except OSError:
        return DNS()


def parse_resolv_conf(text: str) -> DNS:
    """Read resolv.conf(5); of several search lists the last counts."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = tuple(words[1:])
        elif words[0] == "options":
            options += words[1:]
    return DNS(tuple(servers), searches, tuple(options))
