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
    """Read resolv.conf(5) as upstream does; of several search lists the last counts.

    Source: k8s.io/kubernetes/pkg/kubelet/network/dns (parseResolvConf).
    """
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        match words[0], words[1:]:
            case "nameserver", [server, *_]:
                servers.append(server)
            case "search", names:
                searches = tuple(name.removesuffix(".") for name in names if name != ".")
            case "options", names:
                options |= {name.partition(":")[0]: name for name in names}
    return DNS(tuple(servers), searches, tuple(options.values()))
