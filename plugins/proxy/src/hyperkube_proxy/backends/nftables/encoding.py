"""What is done to a table, as messages to the kernel; and what such a message says. Pure.

Source: linux/netfilter/nf_tables.h; comments and the order of bytes as libnftnl keeps them (udata.h).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice

from hyperkube_proxy.backends.nftables.expressions import OwnSet, headers, packed, verdict
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Key, Rule, Set
from hyperkube_proxy.model import Family
from hyperkube_proxy.netlink import APPEND, CREATE, Message, attribute, attributes, nested, number, text

__all__ = ["HOOKS", "SUBSYSTEM", "TYPES", "Encoder", "described"]

SUBSYSTEM = 10 << 8
"""Of a message's kind: nftables."""

TYPES = {"integer": 4, "ipv4_addr": 7, "ipv6_addr": 8, "inet_proto": 12, "inet_service": 13}
"""The numbers that nft knows types by; the kernel keeps them for it."""

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")

_SIZES = {"integer": 4, "ipv4_addr": 4, "ipv6_addr": 16, "inet_proto": 4, "inet_service": 4}
_LENGTHS = {**_SIZES, "inet_proto": 1, "inet_service": 2}  # of a key that is one of these alone
_VERDICTS = 0xFFFFFF00
_ANONYMOUS, _CONSTANT, _INTERVALS, _MAP, _TIMEOUT, _DYNAMIC = 1, 2, 4, 8, 16, 32
_NEGATED = 1
_HOST_ORDER, _NETWORK_ORDER = 1, 2
_ELEMENTS_AT_ONCE = 500
"""Of one message: an attribute holds 64 KiB, and one of IPv6 takes up to 90 bytes."""

_VERBS = {
    0: "add table", 2: "delete table", 3: "add chain", 5: "delete chain", 6: "add a rule to", 8: "flush chain",
    9: "add set", 11: "delete set", 12: "add elements to", 14: "delete elements of",
}  # fmt: skip
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _DELETE_CHAIN, _NEW_RULE, _DELETE_RULE = 0, 2, 3, 5, 6, 8
_NEW_SET, _DELETE_SET, _NEW_ELEMENTS, _DELETE_ELEMENTS = 9, 11, 12, 14

_own_numbers = count(1)  # tell the sets of rules apart within a transaction


class Encoder:
    """Makes messages for one table."""

    def __init__(self, family: Family, table: str) -> None:
        self._header = struct.pack("!BBH", headers(family).number, 0, 0)
        self._table = text(1, table)
        self._name = table

    def _message(self, kind: int, *inside: bytes, flags: int = 0) -> Message:
        return Message(SUBSYSTEM | kind, b"".join((self._header, self._table, *inside)), flags)

    def get(self, kind: int, *inside: bytes) -> Message:
        """Asks for what there is of a kind in the table."""
        return self._message(kind, *inside)

    def add_table(self) -> Message:
        return self._message(_NEW_TABLE, number(2, 0), attribute(6, _note(0, "rules for kube-proxy")), flags=CREATE)

    def delete_table(self) -> Message:
        return self._message(_DELETE_TABLE)

    def add_chain(self, name: str, chain: Chain) -> Message:
        inside = [text(3, name)]
        if chain.hook is not None:
            inside.append(nested(4, number(1, HOOKS.index(chain.hook.at)), number(2, chain.hook.priority)))
            inside.append(text(7, chain.hook.type))
        return self._message(_NEW_CHAIN, *inside, flags=CREATE)

    def delete_chain(self, name: str) -> Message:
        return self._message(_DELETE_CHAIN, text(3, name))

    def flush_chain(self, name: str) -> Message:
        return self._message(_DELETE_RULE, text(2, name))

    def add_rule(self, chain: str, rule: Rule) -> Iterator[Message]:
        """The rule, and before it the sets of its own."""
        expressions = []
        for expression in rule.expressions:
            if isinstance(expression, OwnSet):
                name, its_number = f"__{'map' if expression.data else 'set'}%d", next(_own_numbers) & 0xFFFFFFFF
                yield from self._own_set(expression, name, its_number)
                expressions.append(_lookup(expression, name, its_number))
            else:
                expressions.append(expression)
        row = nested(4, *expressions)
        yield self._message(_NEW_RULE, text(2, chain), row, attribute(7, _note(0, rule.comment)), flags=CREATE | APPEND)

    def _own_set(self, own: OwnSet, name: str, its_number: int) -> Iterator[Message]:
        flags = _ANONYMOUS | _CONSTANT | (_INTERVALS if own.intervals else 0)
        size = nested(9, number(1, len(own.elements)))
        yield self._set(name, own.key, own.data, flags, its_number, size)
        elements = (_element(key, data) for key, data in own.elements)
        yield from self._elements(_NEW_ELEMENTS, name, elements, CREATE, number(4, its_number))

    def add_set(self, name: str, wanted: Set) -> Message:
        flags, more = 0, b""
        if wanted.timeout_seconds:
            flags = _TIMEOUT | _DYNAMIC
            more = attribute(11, struct.pack("!Q", 1000 * wanted.timeout_seconds))
        data = ("verdict",) if wanted.verdicts else ()
        return self._set(name, wanted.key, data, flags, next(_own_numbers) & 0xFFFFFFFF, more)

    def _set(
        self, name: str, key: Sequence[str], data: Sequence[str], flags: int, its_number: int, more: bytes
    ) -> Message:
        inside = [text(2, name), number(3, flags | (_MAP if data else 0)), number(4, type_number(key))]
        inside += [number(5, _length(key)), number(10, its_number), more]
        order = 0 if len(key) > 1 else _HOST_ORDER if key[0] == "integer" else _NETWORK_ORDER
        notes = _word(0, order)
        if data:
            verdicts = data == ("verdict",)
            inside += [
                number(6, _VERDICTS if verdicts else type_number(data)),
                number(7, 0 if verdicts else _length(data)),
            ]
            notes += _word(1, 0)
        return self._message(_NEW_SET, *inside, attribute(13, notes), flags=CREATE)

    def delete_set(self, name: str) -> Message:
        return self._message(_DELETE_SET, text(2, name))

    def add_elements(self, name: str, kind: Set, elements: Iterable[tuple[Key, Element]]) -> Iterator[Message]:
        encoded = (_element(packed(kind.key, key), _data(element), element.comment) for key, element in elements)
        return self._elements(_NEW_ELEMENTS, name, encoded, CREATE)

    def delete_elements(self, name: str, kind: Set, keys: Iterable[Key]) -> Iterator[Message]:
        return self._elements(_DELETE_ELEMENTS, name, (_element(packed(kind.key, key)) for key in keys), 0)

    def _elements(
        self, kind: int, name: str, elements: Iterable[bytes], flags: int, more: bytes = b""
    ) -> Iterator[Message]:
        rest = iter(elements)
        while some := tuple(islice(rest, _ELEMENTS_AT_ONCE)):
            yield self._message(kind, text(2, name), more, nested(3, *some), flags=flags)


def type_number(types: Sequence[str]) -> int:
    """Six bits for each part."""
    found = 0
    for kind in types:
        found = found << 6 | TYPES[kind]
    return found


def _length(types: Sequence[str]) -> int:
    return sum(_SIZES[kind] for kind in types) if len(types) > 1 else _LENGTHS[types[0]]


def _lookup(own: OwnSet, name: str, its_number: int) -> bytes:
    inside = [number(2, 1)]
    if own.data:
        inside.append(number(3, 0 if own.data == ("verdict",) else 1))
    inside += [text(1, name), number(4, its_number)]
    if own.negated:
        inside.append(number(5, _NEGATED))
    return nested(1, text(1, "lookup"), nested(2, *inside))


def _element(key: bytes, data: bytes = b"", comment: str = "") -> bytes:
    """`data` is the attribute of a verdict or value, or of flags."""
    inside = [nested(1, attribute(1, key))]
    if data:
        inside.append(data if attributes(data).keys() == {3} else nested(2, data))
    if comment:
        inside.append(attribute(6, _note(0, comment)))
    return nested(1, *inside)


def _data(element: Element) -> bytes:
    word, _, target = element.value.partition(" ")
    return verdict(word, target) if word else b""


def _note(kind: int, words: str) -> bytes:
    """Of what the kernel keeps for nft: a text."""
    value = words.encode()[:250] + b"\0"
    return bytes([kind, len(value)]) + value


def _word(kind: int, value: int) -> bytes:
    return bytes([kind, 4]) + struct.pack("=I", value)


def described(message: Message | None, code: int) -> str:
    """What was refused, and why, for people."""
    why = errno.errorcode.get(code, str(code))
    if message is None:
        return why
    found = attributes(message.body[4:])
    name = found.get(3, b"") if message.kind & 0xFF in (_NEW_CHAIN, _DELETE_CHAIN) else found.get(2, b"")
    verb = _VERBS.get(message.kind & 0xFF, f"message {message.kind & 0xFF}")
    return f"{verb} {name.rstrip(bytes(1)).decode(errors='replace')}".rstrip() + f": {why}"
