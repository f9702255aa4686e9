"""The addresses of this machine. Source: proc(5); the kernel's net/ipv4/fib_trie.c."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["host_addresses", "read_fib_trie"]


def host_addresses() -> set[str]:
    """All addresses that the kernel takes for its own; none where it doesn't tell."""
    found: set[str] = set()
    with suppress(OSError):
        found.update(read_fib_trie(Path("/proc/net/fib_trie").read_text()))
    with suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.add(str(ipaddress.ip_address(bytes.fromhex(line.split()[0]))))
    return found


def read_fib_trie(text: str) -> Iterator[str]:
    """The addresses of IPv4: leaves of the routing table, each followed by `/32 host LOCAL`."""
    leaf = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            leaf = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            yield leaf
