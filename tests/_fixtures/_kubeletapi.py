"""Asking a kubelet for what it tells, without the API server between."""

from __future__ import annotations

import json
import re
import ssl
from typing import Any

from hyperkube_machinery.exchange import Peer, exchange

Tree = dict[str, Any]
Samples = dict[tuple[tuple[str, str], ...], float]

OPEN = ("--anonymous-auth=true", "--authorization-mode=AlwaysAllow")
"""Flags of a kubelet that anybody on the machine may ask."""


async def told(node: Tree, path: str) -> str:
    """What the kubelet of a node's object answers."""
    (address,) = (one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    answer = await exchange(Peer(address, port, trusting), "GET", path, [("Host", address)])
    try:
        text = (await answer.body(1 << 24)).decode()
        assert answer.status == 200, f"{path}: {answer.status} {text}"
        return text
    finally:
        answer.close()


async def summary(node: Tree) -> Tree:
    found: Tree = json.loads(await told(node, "/stats/summary"))
    return found


def samples(text: str, name: str) -> Samples:
    """The values of a series, by their labels."""
    found: Samples = {}
    for line in text.splitlines():
        match = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)(?: \d+)?", line)
        if match:
            labels = tuple(sorted(re.findall(r'(\w+)="([^"]*)"', match[1] or "")))
            found[labels] = float(match[2])
    return found


def of(found: Samples, **labels: str) -> float:
    """The only value with these labels."""
    (value,) = (value for key, value in found.items() if labels.items() <= dict(key).items())
    return value
