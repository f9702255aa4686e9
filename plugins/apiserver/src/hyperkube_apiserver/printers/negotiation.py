"""Which representation of an answer a client accepts.

Two looks are taken at `Accept`, as upstream takes them: the route's, which knows whole media types only, and the
handler's, which knows parameters and so Tables and metadata. Each refuses in its own words.
Source: k8s.io/apiserver/pkg/endpoints/handlers/negotiation, github.com/munnerz/goautoneg, go-restful's routes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from hyperkube_machinery.errors import APIError, failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hyperkube_apiserver.kinds import Kind

__all__ = [
    "JSON",
    "PROTOBUF",
    "YAML",
    "Clause",
    "Form",
    "Representation",
    "check_form",
    "error_media_type",
    "negotiate",
    "negotiate_document",
    "parse_accept",
]

_JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_NAMED = (_JSON, YAML, PROTOBUF)
_NAMED_STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_META_VERSIONS = ("v1", "v1beta1")


class Form(Enum):
    """What becomes of an object before it is encoded."""

    OBJECT = ""
    TABLE = "Table"
    METADATA = "PartialObjectMetadata"
    METADATA_LIST = "PartialObjectMetadataList"


@dataclass(frozen=True, slots=True)
class Representation:
    """What to answer with."""

    media_type: str  # application/json, application/yaml, application/vnd.kubernetes.protobuf
    form: Form = Form.OBJECT
    version: str = "v1"  # of meta.k8s.io, for every form but OBJECT: v1, v1beta1
    pretty: bool = False  # asked for by the media type; the query and the user agent may ask as well


JSON = Representation(_JSON)


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that a client accepts."""

    type: str
    subtype: str
    quality: float
    parameters: Mapping[str, str]


def negotiate(header: str, *, lists: bool = False, watch: bool = False, routed: bool = True) -> Representation:
    """What to answer a resource's request with. `lists` on collections, `watch` where a stream is asked for.

    Custom resources are not `routed` at upstream: their handler alone looks. Raises APIError 406.
    """
    if header == _JSON or header == "*/*" or not header:
        return JSON
    return _negotiate(header, lists, watch, routed)


@lru_cache(maxsize=256)
def negotiate_document(header: str, *, routed: bool) -> str:
    """The media type to answer with for a document of discovery, which has no other form. Raises APIError 406.

    Upstream's aggregator answers for some of them itself, without a route.
    """
    if routed:
        _require_route(header, _NAMED)
    found = next((one for one in _acceptable(parse_accept(header)) if one.form is Form.OBJECT), None)
    if found is None:
        raise _none_of(_NAMED)
    return found.media_type


@lru_cache(maxsize=1024)
def _negotiate(header: str, lists: bool, watch: bool, routed: bool) -> Representation:
    if routed:
        _require_route(header, _NAMED + _NAMED_STREAMS if lists else _NAMED)
    found = next(filter(_offered if routed else _offered_of_custom, _acceptable(parse_accept(header))), None)
    if found is None:
        raise _none_of(_NAMED)
    if watch and found.media_type == YAML:
        raise _none_of(_NAMED_STREAMS)
    return found


def _require_route(header: str, offered: tuple[str, ...]) -> None:
    """Refuse what no route offers, which go by whole media types. Raises APIError 406."""
    whole = {clause.partition(";")[0].strip() for clause in header.split(",")}
    if header and "*/*" not in whole and whole.isdisjoint(_NAMED):
        message = "406: Not Acceptable\n\nAvailable representations: " + ", ".join(offered)
        raise APIError(failure(406, "NotAcceptable", message, {}))


def _offered(found: Representation) -> bool:
    """Whether objects can be shown so: there is no message for a table."""
    return found.media_type != PROTOBUF or found.form is not Form.TABLE


def _offered_of_custom(found: Representation) -> bool:
    """The same of custom resources, which have no messages but for their metadata."""
    return found.media_type != PROTOBUF or found.form in (Form.METADATA, Form.METADATA_LIST)


def _none_of(accepted: tuple[str, ...]) -> APIError:
    return APIError.of(406, "NotAcceptable", "only the following media types are accepted: " + ", ".join(accepted))


def check_form(form: Form, kind: Kind, *, lists: bool) -> None:
    """Refuse (APIError 406) the metadata of one object for a list, and that of a list for one object."""
    if form is Form.METADATA and lists:
        told, name = "a list", kind.list_kind
    elif form is Form.METADATA_LIST and not lists:
        told, name = "not a list", kind.resource.kind
    else:
        return
    # The message names the Go type: of upstream's internal version, or that of all custom resources.
    package = kind.resource.group.partition(".")[0] or "core"
    if not kind.definition:
        package, name = "unstructured", "UnstructuredList" if lists else "Unstructured"
    raise APIError.of(
        406, "NotAcceptable", f"you requested {form.value}, but the requested object is {told} (*{package}.{name})"
    )


@lru_cache(maxsize=256)
def error_media_type(header: str) -> str:
    """The media type of a refusal, which is always had in some form."""
    plain = (one.media_type for one in _acceptable(parse_accept(header)) if one.form is Form.OBJECT)
    return next(plain, _JSON)


def _acceptable(clauses: tuple[Clause, ...]) -> Iterator[Representation]:
    """What the clauses allow, best first."""
    for clause in clauses:
        for media_type in _NAMED:
            subtype = media_type.removeprefix("application/")
            if clause.type not in ("application", "*") or clause.subtype not in (subtype, "*"):
                continue
            if clause.type == "*" and clause.subtype != "*":
                continue
            found = _with_parameters(media_type, clause.parameters)
            if found is not None:
                yield found


def _with_parameters(media_type: str, parameters: Mapping[str, str]) -> Representation | None:
    if parameters.get("stream", "watch") not in ("", "watch"):
        return None
    if parameters.get("stream") and media_type == YAML:
        return None  # there are no streams of YAML
    if parameters.get("sv"):
        return None
    pretty = parameters.get("pretty") == "1"
    if not parameters.keys() & {"as", "g", "v"}:
        return Representation(media_type, pretty=pretty)
    version = parameters.get("v", "")
    if parameters.get("g") != "meta.k8s.io" or version not in _META_VERSIONS:
        return None
    try:
        form = Form(parameters.get("as", ""))
    except ValueError:
        return None
    return Representation(media_type, form, version, pretty) if form is not Form.OBJECT else None


@lru_cache(maxsize=256)
def parse_accept(header: str) -> tuple[Clause, ...]:
    """The clauses of an `Accept` header, best first; malformed ones are left out. None accepts JSON."""
    if not header:
        return (Clause("application", "json", 1.0, {}),)
    clauses: list[Clause] = []
    for part in header.split(","):
        clause = _clause(part.strip())
        if clause is None:
            continue
        # Upstream's order is not transitive, so that it depends on the sort: this is the insertion sort it uses.
        at = len(clauses)
        while at and _before(clause, clauses[at - 1]):
            at -= 1
        clauses.insert(at, clause)
    return tuple(clauses)


def _before(one: Clause, other: Clause) -> bool:
    return (
        one.quality > other.quality
        or (one.type != "*" and other.type == "*")
        or (one.subtype != "*" and other.subtype == "*")
    )


def _clause(part: str) -> Clause | None:
    media_type, *pairs = part.split(";")
    main, *rest = (piece.strip() for piece in media_type.split("/"))
    if not rest or rest == [""]:
        if main != "*":
            return None
        rest = ["*"]
    if len(rest) > 1 and rest[1:] != [""]:
        return None
    quality = 1.0
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not value or "=" in value:
            continue
        if name.strip() == "q":
            quality = _quality(value)
        else:
            parameters[name.strip()] = value.strip()
    return Clause(main, rest[0], quality, parameters)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
