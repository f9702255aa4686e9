"""Path elements: one step from a value to a part of it, as the text that FieldsV1 uses for keys.

    f:spec                       the field or map entry of this name
    k:{"port":80,"protocol":"TCP"}   the list item with these keys, sorted by name
    v:"example.com/finalizer"    the list item that equals this value
    i:0                          the list item at this index

Texts are canonical, so that equal elements are equal texts.
Source: sigs.k8s.io/structured-merge-diff/v6/fieldpath (serialize-pe.go, element.go).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson

from hyperkube_machinery.encoding import encode, encode_sorted

__all__ = ["BadElement", "go_json", "of_field", "of_keys", "of_value", "read_element", "shown", "sort_key"]

_HTML = re.compile("[<>&\u2028\u2029]")
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class BadElement(ValueError):
    """A text is no path element."""


def of_field(name: str) -> str:
    return f"f:{name}"


def of_value(value: Any) -> str:
    return f"v:{go_json(value)}"


def of_keys(keys: Iterable[tuple[str, Any]]) -> str:
    """`keys` are pairs of name and value, sorted by name."""
    return "k:{" + ",".join([f"{go_json(name)}:{go_json(value)}" for name, value in keys]) + "}"


def go_json(value: Any) -> str:
    """As Go writes it, who spells out what could end a script in a page of HTML."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return format(Decimal(repr(value)), ".0f")
    text = encode_sorted(value).decode()
    return _HTML.sub(lambda found: _ESCAPES[found.group()], text) if _HTML.search(text) else text


def read_element(text: str) -> str | None:
    """The canonical form of an element that a client wrote; None for a kind of element that is not known.

    Raises BadElement.
    """
    if len(text) < 2:
        raise BadElement("key must be 2 characters long:")
    if text[1] != ":":
        raise BadElement(f"missing colon: {text}")
    kind, rest = text[0], text[2:]
    if kind == "f":
        return text
    if kind == "i":
        if not re.fullmatch(r"[-+]?[0-9]+", rest):
            raise BadElement(f'strconv.Atoi: parsing "{rest}": invalid syntax')
        return f"i:{int(rest)}"
    if kind not in ("k", "v"):
        return None
    value = _parsed(rest)
    if kind == "v":
        return of_value(value)
    if not isinstance(value, dict):
        raise BadElement(f"no keys: {text}")
    return of_keys(sorted(value.items()))


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadElement(str(error)) from None


def sort_key(element: str) -> tuple[Any, ...]:
    """Names come before keys, these before values, these before indexes."""
    kind, rest = element[0], element[2:]
    if kind == "f":
        return (0, rest)
    if kind == "k":
        return (1, *((name, *_rank(value)) for name, value in orjson.loads(rest).items()))
    if kind == "v":
        return (2, *_rank(orjson.loads(rest)))
    return (3, int(rest))


def _rank(value: Any) -> tuple[int, Any]:
    """Values of different types have an order too: numbers, texts, booleans, and the rest by its text."""
    if isinstance(value, bool):
        return (2, value)
    if isinstance(value, int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else (3, go_json(value))


def shown(element: str) -> str:
    """As messages write it: `.spec`, `[port=80,protocol="TCP"]`, `[="a"]`, `[0]`."""
    kind, rest = element[0], element[2:]
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        return "[" + ",".join(f"{name}={_shown(value)}" for name, value in orjson.loads(rest).items()) + "]"
    return f"[={_shown(orjson.loads(rest))}]" if kind == "v" else f"[{rest}]"


def _shown(value: Any) -> str:
    return encode(value).decode()
