"""The table as the kernel tells it, as a value. Pure.

Source: linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from hyperkube_proxy.backends.nftables.encoding import HOOKS, SUBSYSTEM, TYPES
from hyperkube_proxy.backends.nftables.expressions import NUMBERS
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Hook, Key, Rule, Set
from hyperkube_proxy.netlink import Message, attributes, each_attribute

__all__ = ["read_chains", "read_elements", "read_sets"]

_ANONYMOUS = 1
_NAMES = {number: name for name, number in TYPES.items()}
_PROTOCOLS = {number: name for name, number in NUMBERS.items()}
_WORDS = {0: "drop", -3: "jump", -4: "goto"}
_NEW_CHAIN, _NEW_RULE, _NEW_SET = SUBSYSTEM | 3, SUBSYSTEM | 6, SUBSYSTEM | 9


def _told(messages: Iterable[Message], kind: int, table: str) -> Iterator[dict[int, bytes]]:
    for message in messages:
        found = attributes(message.body[4:])
        if message.kind == kind and _text(found[1]) == table:
            yield found


def read_chains(chains: Iterable[Message], rules: Iterable[Message], table: str) -> dict[str, Chain]:
    """Rules are told in other words than they were made with: of each there is the comment."""
    hooks = {_text(found[3]): _hook(found) for found in _told(chains, _NEW_CHAIN, table)}
    each: dict[str, list[Rule]] = {name: [] for name in hooks}
    for found in _told(rules, _NEW_RULE, table):
        each.setdefault(_text(found[2]), []).append(Rule((), _comment(found.get(7, b""))))
    return {name: Chain(tuple(its_rules), hooks.get(name)) for name, its_rules in each.items()}


def _hook(chain: dict[int, bytes]) -> Hook | None:
    if 4 not in chain:
        return None
    told = attributes(chain[4])
    return Hook(_text(chain[7]), HOOKS[_number(told[1])], _signed(told[2]))


def read_sets(sets: Iterable[Message], table: str) -> dict[str, Set]:
    """Those that have a name. One whose keys are of types that aren't used here has no types."""
    return {
        _text(found[2]): Set(
            _types(_number(found[4])),
            verdicts=6 in found,
            timeout_seconds=struct.unpack("!Q", found[11])[0] // 1000 if 11 in found else 0,
        )
        for found in _told(sets, _NEW_SET, table)
        if not _number(found.get(3, b"")) & _ANONYMOUS
    }


def read_elements(kind: Set, messages: Iterable[Message]) -> dict[Key, Element]:
    """What is in a set of a kind."""
    return {
        _key(kind.key, attributes(told[1])[1]): Element(_verdict(told.get(2)), _comment(told.get(6, b"")))
        for message in messages
        for _, element in each_attribute(attributes(message.body[4:]).get(3, b""))
        for told in (attributes(element),)
    }


def _types(number: int) -> tuple[str, ...]:
    found: list[str] = []
    while number:
        found.append(_NAMES.get(number & 63, ""))
        number >>= 6
    return tuple(reversed(found)) if all(found) else ()


def _key(types: Sequence[str], data: bytes) -> Key:
    parts, at = [], 0
    for kind in types:
        size = 16 if kind == "ipv6_addr" else 4
        parts.append(_part(kind, data[at : at + size]))
        at += size
    return tuple(parts)


def _part(kind: str, data: bytes) -> str:
    match kind:
        case "ipv4_addr":
            return socket.inet_ntoa(data)
        case "ipv6_addr":
            return socket.inet_ntop(socket.AF_INET6, data)
        case "inet_proto":
            return _PROTOCOLS.get(data[0], str(data[0]))
    return str(int.from_bytes(data[:2], "big"))


def _verdict(data: bytes | None) -> str:
    if data is None:
        return ""
    told = attributes(attributes(data)[2])
    code = _signed(told[1])
    word = _WORDS.get(code, str(code))
    return f"{word} {_text(told[2])}" if 2 in told else word


def _comment(notes: bytes) -> str:
    """The text among what the kernel keeps for nft."""
    at = 0
    while at + 2 <= len(notes):
        kind, length = notes[at], notes[at + 1]
        if kind == 0:
            return _text(notes[at + 2 : at + 2 + length])
        at += 2 + length
    return ""


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)
