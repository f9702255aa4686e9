"""The table as `nft -j list table` tells it, as a value. Pure.

Source: libnftables-json(5).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hyperkube_proxy.backends.nftables.naming import AFFINITY_PREFIX
from hyperkube_proxy.backends.nftables.ruleset import Chain, Element, Key, Rule, Ruleset, Set

__all__ = ["read_back"]


def read_back(listing: bytes) -> Ruleset:
    """What is in the kernel. Raises ValueError for what nft doesn't write.

    Rules and definitions of sets are told in other words than they were made with: of a rule there is the comment, of a
    set that it is there, of a base chain its hook.
    """
    found = Ruleset()
    rules: dict[str, list[Rule]] = {}
    for entry in json.loads(listing)["nftables"]:
        if "chain" in entry:
            chain = entry["chain"]
            rules[chain["name"]] = []
            hook = f"type {chain['type']} hook {chain['hook']} priority {chain['prio']} ;" if "hook" in chain else ""
            found.chains[chain["name"]] = Chain(hook=hook)
        elif "rule" in entry:
            rules[entry["rule"]["chain"]].append(Rule("", entry["rule"].get("comment", "")))
        elif "set" in entry or "map" in entry:
            kind = "set" if "set" in entry else "map"
            name = entry[kind]["name"]
            found.sets[name] = Set(kind, "")
            if not name.startswith(AFFINITY_PREFIX):
                found.elements[name] = dict(_elements(entry[kind].get("elem", ())))
    for name, its_rules in rules.items():
        found.chains[name] = Chain(tuple(its_rules), found.chains[name].hook)
    return found


def _elements(listed: Any) -> Iterator[tuple[Key, Element]]:
    for item in listed:
        # An element of a map is a pair, and what has a comment is wrapped once more.
        key, value = item if isinstance(item, list) else (item, None)
        comment = ""
        if isinstance(key, dict) and "elem" in key:
            comment = key["elem"].get("comment", "")
            key = key["elem"]["val"]
        parts = key["concat"] if isinstance(key, dict) else [key]
        yield tuple(str(part) for part in parts), Element(_verdict(value), comment)


def _verdict(value: Any) -> str:
    if not value:
        return ""
    (verb, details), *_ = value.items()
    return f"{verb} {details['target']}" if details else str(verb)
