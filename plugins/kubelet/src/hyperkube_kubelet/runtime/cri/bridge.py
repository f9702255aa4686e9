"""A network for pods where nobody else has configured one: a bridge, addresses of the node's range, masquerading.

The runtime tells where its CNI configuration and its plugins are; there it finds the file that is written here, and
lets go of it as soon as another is put before it, as network add-ons do.
Source: containernetworking/plugins (bridge, host-local, portmap), containernetworking/cni's SPEC.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Places", "bridge_name", "conflist", "places_of", "settle"]

FILE = "99-hk-bridge.conflist"
"""Behind all others, of which runtimes take the first."""

_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_ENDINGS = (".conf", ".conflist", ".json")
_DEFAULT_CONFIGURATION, _DEFAULT_PLUGINS = Path("/etc/cni/net.d"), Path("/opt/cni/bin")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a runtime looks."""

    configuration: Path
    plugins: tuple[Path, ...]


def places_of(told: Mapping[str, str]) -> Places:
    """What a runtime's verbose status says of it, or the places that CNI itself names."""
    try:
        cni = json.loads(told["config"])["cni"]
        plugins = cni.get("binDirs") or [cni["binDir"]]
        return Places(Path(cni["confDir"]), tuple(map(Path, plugins)))
    except (KeyError, TypeError, ValueError):
        return Places(_DEFAULT_CONFIGURATION, (_DEFAULT_PLUGINS,))


def settle(told: Mapping[str, str], ranges: Sequence[str], addresses: Path) -> str:
    """Let the runtime that says `told` of itself have a network, unless somebody has given it one.

    `ranges` are those of the pods' addresses. Returns why there can be none, and what to do; "" where there can.
    """
    places = places_of(told)
    if _others(places):
        return ""
    missing = _missing_plugins(places)
    if missing:
        where = ", ".join(map(str, places.plugins))
        return (
            f"the CNI plugins {', '.join(missing)} are not in {where}: install them (Debian has them in the package"
            " containernetworking-plugins, in /usr/lib/cni), or have the runtime look where they are"
        )
    if not ranges:
        return (
            "no range of addresses is known for pods: it comes from the node's podCIDR, which"
            " kube-controller-manager gives it with --allocate-node-cidrs, or from --pod-cidr"
        )
    try:
        _write(places, conflist(ranges, addresses))
    except OSError as exc:
        return f"a CNI configuration can't be written: {exc}"
    return ""


def _others(places: Places) -> list[str]:
    """The configurations there that are not ours."""
    try:
        names = [entry.name for entry in places.configuration.iterdir()]
    except OSError:
        return []
    return sorted(name for name in names if name.endswith(_ENDINGS) and name != FILE)


def _missing_plugins(places: Places) -> list[str]:
    return [name for name in _PLUGINS if not any((folder / name).exists() for folder in places.plugins)]


def bridge_name(ranges: Iterable[str]) -> str:
    """Of the interface; two nodes on one machine, whose ranges differ, have two."""
    return f"hk{zlib.crc32(','.join(ranges).encode()):08x}"


def conflist(ranges: Sequence[str], addresses: Path) -> dict[str, Any]:
    """The configuration; `addresses` is the folder that tells which are given away. Raises ValueError for no ranges."""
    networks = [ip_network(text, strict=False) for text in ranges]
    name = bridge_name(ranges)
    everywhere = {4: "0.0.0.0/0", 6: "::/0"}
    bridge = {
        "type": "bridge",
        "bridge": name,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(addresses),
            "ranges": [[{"subnet": str(network)}] for network in networks],
            "routes": [{"dst": everywhere[version]} for version in sorted({network.version for network in networks})],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": name, "plugins": [bridge, portmap]}


def _write(places: Places, document: Mapping[str, Any]) -> None:
    """Let the runtime find the configuration; nothing happens where it has it. Raises OSError."""
    file = places.configuration / FILE
    text = json.dumps(document, indent=2) + "\n"
    try:
        if file.read_text() == text:
            return
    except FileNotFoundError:
        pass
    places.configuration.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".tmp")  # no ending that is looked for, until it is whole
    unfinished.write_text(text)
    unfinished.rename(file)
