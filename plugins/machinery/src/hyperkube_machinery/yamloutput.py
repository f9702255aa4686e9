"""Trees as the YAML that the API server writes: keys in a natural order, and quotes where Go's dialect needs them.

Source: go.yaml.in/yaml/v2 (encode.go, sorter.go) and sigs.k8s.io/yaml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any

import yaml

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.yamltext import means_text

__all__ = ["to_yaml"]

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_PLAIN = (True, False)
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"([Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})?)?"
)
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


def to_yaml(value: Any) -> str:
    """`value`, made of what JSON can say, as one document."""
    events = (
        yaml.StreamStartEvent(),
        yaml.DocumentStartEvent(explicit=False),
        *_events(value),
        yaml.DocumentEndEvent(explicit=False),
        yaml.StreamEndEvent(),
    )
    text: str = yaml.emit(events, Dumper=_Dumper, allow_unicode=True)
    return text.removesuffix("...\n")


def _events(value: Any) -> Iterator[yaml.Event]:
    if isinstance(value, dict):
        yield yaml.MappingStartEvent(None, None, True, flow_style=not value)
        for key in sorted(value, key=_natural):
            yield _text(key)
            yield from _events(value[key])
        yield yaml.MappingEndEvent()
    elif isinstance(value, list):
        yield yaml.SequenceStartEvent(None, None, True, flow_style=not value)
        for item in value:
            yield from _events(item)
        yield yaml.SequenceEndEvent()
    elif isinstance(value, str):
        yield _text(value)
    else:
        yield yaml.ScalarEvent(None, None, _PLAIN, encode(value).decode())


def _text(text: str) -> yaml.Event:
    if "\n" in text:
        style = "|"
    elif means_text(text) and not _TIMESTAMP.fullmatch(text) and not _BASE_60.fullmatch(text):
        style = ""
    else:
        style = '"'
    return yaml.ScalarEvent(None, None, (True, True), text, style=style)


def _compare(one: str, other: str) -> int:
    """Numbers in keys count by their worth, and anything but a letter comes before letters."""
    at = next((index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if at is None:
        return len(one) - len(other)
    a, b = one[at], other[at]
    if a.isalpha() or b.isalpha():
        return ord(a) - ord(b) if a.isalpha() and b.isalpha() else (-1 if b.isalpha() else 1)
    if "0" in (a, b):  # behind other digits a zero is one more digit, and else it leads
        before = re.search("[0-9]*$", one[:at])
        lead = "1" if before is not None and before[0].strip("0") else ""
    else:
        lead = ""
    digits = [re.match("[0-9]*", text[at:]) for text in (one, other)]
    first, second = (match[0] if match is not None else "" for match in digits)
    worth = [int(lead + text or "0") if len(text) < 100 else 0 for text in (first, second)]
    return worth[0] - worth[1] or len(first) - len(second) or ord(a) - ord(b)


_natural = cmp_to_key(_compare)
