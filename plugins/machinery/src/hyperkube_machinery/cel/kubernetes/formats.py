"""Formats by name: `format.dns1123Label().validate(self.name).hasValue()`.

Source: k8s.io/apiserver/pkg/cel/library/format.go, k8s.io/kube-openapi/pkg/validation/strfmt.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from hyperkube_machinery import names
from hyperkube_machinery.cel.kubernetes import typenames
from hyperkube_machinery.cel.library import Function, Library, Overload
from hyperkube_machinery.cel.types import STRING, Type, list_of, optional_of
from hyperkube_machinery.cel.values import ABSENT, Optional
from hyperkube_machinery.gourls import URLError, parse_request_uri

__all__ = ["FORMATS", "NamedFormat"]

_uuid_re = re.compile("[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_date_re = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_time_re = re.compile("([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))")


@dataclass(frozen=True, slots=True)
class NamedFormat:
    """A format of texts. It is equal to the one of the same name."""

    name: str
    check: Callable[[str], list[str]]  # what is wrong with a text
    pattern_size: int  # code points of its pattern, or of one that would do the same: what matching is priced by

    cel_type: ClassVar[Type] = typenames.FORMAT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedFormat) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def validate(self, text: str) -> Optional:
        wrong = self.check(text)
        return Optional(wrong) if wrong else ABSENT


def _uri(text: str) -> list[str]:
    try:
        parse_request_uri(text)
    except URLError as exc:
        return [str(exc)]
    return []


def _asks(holds: Callable[[str], object], message: str) -> Callable[[str], list[str]]:
    def check(text: str) -> list[str]:
        try:
            return [] if holds(text) else [message]
        except (ValueError, binascii.Error):
            return [message]

    return check


def _is_base64(text: str) -> bool:
    return bool(text) and b64decode(text, validate=True) is not None


def _is_date(text: str) -> bool:
    return _date_re.fullmatch(text) is not None and bool(date.fromisoformat(text))


def _is_datetime(text: str) -> bool:
    day, separator, time = text.lower().partition("t")
    match = _time_re.fullmatch(time)
    if not separator or len(text) < 4 or match is None or not _is_date(day):
        return False
    hours, minutes, seconds = map(int, match.groups()[:3])
    return hours < 24 and minutes < 60 and seconds < 60


def _prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    return lambda text: check(names.mask_trailing_dash(text))


_FORMATS = {
    "dns1123Label": NamedFormat("DNS1123Label", names.dns1123_label, 30),
    "dns1123Subdomain": NamedFormat("DNS1123Subdomain", names.dns1123_subdomain, 60),
    "dns1035Label": NamedFormat("DNS1035Label", names.dns1035_label, 30),
    "qualifiedName": NamedFormat("QualifiedName", names.qualified_name, 60),
    "dns1123LabelPrefix": NamedFormat("DNS1123LabelPrefix", _prefix(names.dns1123_label), 30),
    "dns1123SubdomainPrefix": NamedFormat("DNS1123SubdomainPrefix", _prefix(names.dns1123_subdomain), 60),
    "dns1035LabelPrefix": NamedFormat("DNS1035LabelPrefix", _prefix(names.dns1035_label), 30),
    "labelValue": NamedFormat("LabelValue", names.label_value, 40),
    "uri": NamedFormat("URI", _uri, 1103),
    "uuid": NamedFormat("uuid", _asks(_uuid_re.fullmatch, "does not match the UUID format"), 70),
    "byte": NamedFormat("byte", _asks(_is_base64, "invalid base64"), 84),
    "date": NamedFormat("date", _asks(_is_date, "invalid date"), 71),
    "datetime": NamedFormat("datetime", _asks(_is_datetime, "invalid datetime"), 71),
}


def _named(name: str) -> Optional:
    found = _FORMATS.get(name)
    return ABSENT if found is None else Optional(found)


def _constant(found: NamedFormat) -> Callable[[], NamedFormat]:
    return lambda: found


_F = typenames.FORMAT

FORMATS = Library(
    name="kubernetes.format",
    types={_F.name: _F},
    functions=(
        Function(
            "validate",
            Overload("format-validate", (_F, STRING), optional_of(list_of(STRING)), NamedFormat.validate, member=True),
        ),
        Function("format.named", Overload("format-named", (STRING,), optional_of(_F), _named)),
        *(
            Function(f"format.{name}", Overload(f"format.{name}", (), _F, _constant(found)))
            for name, found in _FORMATS.items()
        ),
    ),
)
