"""YAML bodies as the API server reads them: YAML 1.1 in Go's dialect, made into what JSON can say.

`y`, `yes` and `on` are booleans, dates are strings, keys become strings, `1.0` becomes 1 (Go writes such a number
without its fraction), only the first document of a stream counts, and of duplicate keys the last wins.
Source: go.yaml.in/yaml/v2 (resolve.go, decode.go) and sigs.k8s.io/yaml.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import yaml

from hyperkube_machinery.jsontext import MAX_DEPTH
from hyperkube_machinery.schema.exact import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BadYAML", "means_text", "parse_yaml"]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # without libyaml ten times slower, but the same
_TAG = "tag:yaml.org,2002:"
_WORDS: dict[str, Any] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}
_NUMERIC = re.compile(r"[-+.0-9]")
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

# Upstream's guard against documents that are mostly aliases of aliases: from these counts on, this share of what is
# decoded may come from aliases in documents of up to the lower size, falling to the lower share at the higher size.
_ALIASES, _DECODED = 100, 1000
_SMALL, _LARGE = 400_000, 4_000_000
_SMALL_SHARE, _LARGE_SHARE = 0.99, 0.10


class BadYAML(ValueError):
    """A text is no YAML that JSON can say; the message is the API server's."""


def parse_yaml(body: bytes) -> tuple[Any, list[str]]:
    """The value of the first document (None if there is none), and `line 5: key "a" already set in map` for duplicates.

    Raises BadYAML.
    """
    try:
        return _Builder(yaml.parse(body, Loader=_Loader)).document()
    except yaml.reader.ReaderError as error:
        raise BadYAML(f"yaml: {error.reason}") from None
    except yaml.MarkedYAMLError as error:
        raise BadYAML(_explain(error)) from None


def _explain(error: yaml.MarkedYAMLError) -> str:
    line = 0
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.line:
            line = mark.line + isinstance(error, yaml.scanner.ScannerError)
            break
    return f"yaml: line {line}: {error.problem}" if line else f"yaml: {error.problem}"


class _Frame:
    """A collection that is being read."""

    __slots__ = ("anchor", "count", "depth", "key", "line", "value", "waits_for_key")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, line: int, count: int) -> None:
        self.value = value
        self.anchor = anchor
        self.line = line
        self.count = count  # nodes decoded before it
        self.depth = 1  # levels in it, itself included
        self.key: Any = None
        self.waits_for_key = isinstance(value, dict)


_MERGE = object()
_TOO_DEEP = "yaml: exceeded max depth of 10000"  # upstream's limit; here it is MAX_DEPTH


class _Builder:
    """Makes a value of the events of a document."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self.events = events
        self.duplicates: list[str] = []
        self.anchors: dict[str, tuple[Any, int, int]] = {}  # a value, how many nodes it has, and how many levels
        self.open: set[str] = set()
        self.stack: list[_Frame] = []
        self.result: Any = None
        self.decoded = 0
        self.from_aliases = 0

    def document(self) -> tuple[Any, list[str]]:
        for event in self.events:
            if isinstance(event, yaml.ScalarEvent):
                self._count(1)
                value = self._scalar(event)
                if event.anchor:
                    self.anchors[event.anchor] = (value, 1, 0)
                self._add(value, _line(event), is_plain=event.implicit[0])
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._begin(event)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                frame = self.stack.pop()
                if frame.anchor:
                    self.open.discard(frame.anchor)
                    self.anchors[frame.anchor] = (frame.value, self.decoded - frame.count, frame.depth)
                self._deepen(frame.depth)
                self._add(frame.value, frame.line)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentEndEvent):
                break
        return self.result, self.duplicates

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise BadYAML(_TOO_DEEP)
        if self.stack and self.stack[-1].waits_for_key:
            raise BadYAML("yaml: invalid map key")
        value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        if event.anchor:
            self.open.add(event.anchor)
        self.stack.append(_Frame(value, event.anchor, _line(event), self.decoded))
        self._count(1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if event.anchor in self.open:
            raise BadYAML(f"yaml: anchor '{event.anchor}' value contains itself")
        if event.anchor not in self.anchors:
            raise BadYAML(f"yaml: unknown anchor '{event.anchor}' referenced")
        value, nodes, depth = self.anchors[event.anchor]
        if len(self.stack) + depth > MAX_DEPTH:
            raise BadYAML(_TOO_DEEP)
        self.from_aliases += nodes
        self._count(nodes + 1)
        self._deepen(depth)
        self._add(deepcopy(value), _line(event))  # what shares a list here would share its changes later

    def _deepen(self, depth: int) -> None:
        """Note that the collection being read holds one of `depth` levels."""
        if self.stack:
            self.stack[-1].depth = max(self.stack[-1].depth, depth + 1)

    def _count(self, nodes: int) -> None:
        self.decoded += nodes
        if self.from_aliases <= _ALIASES or self.decoded <= _DECODED:
            return
        over = min(max(self.decoded - _SMALL, 0), _LARGE - _SMALL) / (_LARGE - _SMALL)
        if self.from_aliases / self.decoded > _SMALL_SHARE - (_SMALL_SHARE - _LARGE_SHARE) * over:
            raise BadYAML("yaml: document contains excessive aliasing")

    def _add(self, value: Any, line: int, *, is_plain: bool = False) -> None:
        """Put a value that began on `line` where it belongs."""
        if not self.stack:
            self.result = value
            return
        frame = self.stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.waits_for_key:
            frame.key = _MERGE if is_plain and value == "<<" else _key(value)
            frame.waits_for_key = False
        else:
            frame.waits_for_key = True
            if frame.key is _MERGE:
                self._merge(value, frame.value, line)
            else:
                self._set(frame.value, frame.key, value, line)

    def _set(self, into: dict[str, Any], key: str, value: Any, line: int) -> None:
        if key in into:
            self.duplicates.append(f"line {line}: key {quoted(key)} already set in map")
        into[key] = value

    def _merge(self, value: Any, into: dict[str, Any], line: int) -> None:
        for source in reversed(value) if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                raise BadYAML("yaml: map merge requires map or sequence of maps as the value")
            for key, item in source.items():
                self._set(into, key, item, line)

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        tag = event.tag or ""
        text: str = event.value
        if tag == f"{_TAG}binary":
            try:
                return b64decode(text, validate=False).decode("utf-8", "replace")
            except ValueError:  # of letters beyond ASCII too
                raise BadYAML("yaml: !!binary value contains invalid base64 data") from None
        if (not tag and not event.implicit[0]) or tag in {"!", f"{_TAG}str"}:
            return text
        kind = tag.removeprefix(_TAG)
        if tag and kind not in {"bool", "int", "float", "null", "timestamp"}:
            return text
        value = _resolve(text)
        found = _KINDS[type(value)]
        if tag and kind != "timestamp" and kind != found:
            if (kind, found) == ("float", "int"):
                return value
            raise BadYAML(f"yaml: cannot decode !!{found} `{text}` as a !!{kind}")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadYAML(f"json: unsupported value: {_GO_NAMES.get(value, 'NaN')}")
        return value


def _line(event: yaml.Event) -> int:
    """Counted from one."""
    return event.start_mark.line + 1 if event.start_mark is not None else 0


def _key(value: Any) -> str:
    """A key as the string that JSON needs."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.7g}"
    if value is None:
        raise BadYAML("unsupported map key of type: %!s(<nil>), key: <nil>")
    raise BadYAML("yaml: invalid map key")


_KINDS = {str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}
_GO_NAMES = {math.inf: "+Inf", -math.inf: "-Inf"}


def _resolve(text: str) -> Any:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if not _NUMERIC.match(text):
        return text
    number = text.replace("_", "")
    if text[0] != "." and len(number) < 100 and _INTEGER.fullmatch(number):
        value = _integer(number)
        if -(2**63) <= value < 2**64:
            return value
    if _FLOAT.fullmatch(text if text[0] == "." else number):
        fraction = float(number)
        if math.isinf(fraction):  # what Go can't parse as a number is text
            return text
        return int(fraction) if fraction.is_integer() and abs(fraction) < 1e21 else fraction
    return text


def means_text(text: str) -> bool:
    """Whether a plain scalar is nothing but the text that it shows."""
    return text != "<<" and isinstance(_resolve(text), str)


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if len(digits) > 1 and digits[0] == "0" and digits[1] not in "xob":
        return sign * int(digits, 8)
    return sign * int(digits, 0)
