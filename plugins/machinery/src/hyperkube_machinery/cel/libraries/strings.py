"""More of strings: `charAt`, `split`, `replace`, `format` … Source: cel-go's ext/strings.go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_machinery.cel import costs
from hyperkube_machinery.cel.arithmetic import INT_MAX
from hyperkube_machinery.cel.bounds import STRING_FACTOR, CallEstimate, Size
from hyperkube_machinery.cel.errors import EvaluationError
from hyperkube_machinery.cel.libraries.formatting import PLAIN, US_ENGLISH, Style, format_text
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.models import SizedNode
from hyperkube_machinery.cel.texts import show
from hyperkube_machinery.cel.types import DYN, INT, STRING, Type, list_of

__all__ = ["strings"]

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029"
_SPACE += "\u202f\u205f\u3000"
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_ESCAPES = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if start < 0:
        raise _out_of_range(start)
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    if not part:
        return len(text) if start is None else start
    if start is None:
        return text.rfind(part)
    if start < 0:
        raise _out_of_range(start)
    return -1 if start >= len(text) else text.rfind(part, 0, start + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count if count >= 0 else -1)


def _replaced_size(text: str, old: str, new: str, count: int = INT_MAX) -> int:
    """How long the text gets."""
    found = len(text) + 1 if not old else text.count(old)
    return len(text) + min(found, count if count >= 0 else found) * (len(new) - len(old))


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    if end is not None and end > len(text):
        raise _out_of_range(end)
    return text[start:end]


def _join(items: list[Any], separator: str = "") -> str:
    for item in items:
        if item.__class__ is not str:
            raise EvaluationError(f"join: invalid input: {show(item)}")
    return separator.join(items)


def _joined_size(items: Any, separator: str = "") -> int:
    return sum(len(item) for item in items if item.__class__ is str) + len(separator) * len(items)


def _quote(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def _estimate_quote(_: SizedNode | None, arguments: Sequence[SizedNode]) -> CallEstimate:
    size = costs.size_or_unknown(arguments[0])
    longest = (size * Size.exactly(2) + Size.exactly(2)).max
    return CallEstimate(size.by_factor(STRING_FACTOR), Size(size.min + 2, longest))


def _estimate_format(target: SizedNode | None, _: Any) -> CallEstimate | None:
    return None if target is None else CallEstimate(costs.size_or_unknown(target).by_factor(STRING_FACTOR))


def _member(id: str, arguments: tuple[Type, ...], result: Type, implementation: Any, **more: Any) -> Overload:
    return Overload(id, arguments, result, implementation, member=True, **more)


_S, _I = STRING, INT

_FIRST = (
    Function("charAt", _member("string_char_at_int", (_S, _I), _S, _char_at)),
    Function(
        "indexOf",
        _member("string_index_of_string", (_S, _S), _I, _index_of),
        _member("string_index_of_string_int", (_S, _S, _I), _I, _index_of),
    ),
    Function(
        "lastIndexOf",
        _member("string_last_index_of_string", (_S, _S), _I, _last_index_of),
        _member("string_last_index_of_string_int", (_S, _S, _I), _I, _last_index_of),
    ),
    Function("lowerAscii", _member("string_lower_ascii", (_S,), _S, lambda text: text.translate(_LOWER))),
    Function(
        "replace",
        _member("string_replace_string_string", (_S, _S, _S), _S, _replace, work=_replaced_size),
        _member("string_replace_string_string_int", (_S, _S, _S, _I), _S, _replace, work=_replaced_size),
    ),
    Function(
        "split",
        _member("string_split_string", (_S, _S), list_of(_S), _split),
        _member("string_split_string_int", (_S, _S, _I), list_of(_S), _split),
    ),
    Function(
        "substring",
        _member("string_substring_int", (_S, _I), _S, _substring),
        _member("string_substring_int_int", (_S, _I, _I), _S, _substring),
    ),
    Function("trim", _member("string_trim", (_S,), _S, lambda text: text.strip(_SPACE))),
    Function("upperAscii", _member("string_upper_ascii", (_S,), _S, lambda text: text.translate(_UPPER))),
    Function(
        "join",
        _member("list_join", (list_of(_S),), _S, _join, work=_joined_size),
        _member("list_join_string", (list_of(_S), _S), _S, _join, work=_joined_size),
    ),
)
_QUOTE = Function(
    "strings.quote", Overload("strings_quote", (_S,), _S, _quote, cost=costs.first, estimate=_estimate_quote)
)
_REVERSE = Function("reverse", _member("string_reverse", (_S,), _S, lambda text: text[::-1]))


def _format(style: Style) -> Function:
    return Function(
        "format",
        _member(
            "string_format",
            (_S, list_of(DYN)),
            _S,
            lambda text, arguments: format_text(text, arguments, style),
            cost=costs.first,
            estimate=_estimate_format,
        ),
    )


def strings(version: int) -> Library:
    """The library as of its version: 1 brought `format` and `quote`, 3 `reverse`, 4 plain numbers in `format`."""
    functions = [*_FIRST]
    if version >= 1:
        functions += [_format(PLAIN if version >= 4 else US_ENGLISH), _QUOTE]
    if version >= 3:
        functions.append(_REVERSE)
    return Library(name="cel.lib.ext.strings", functions=functions)
