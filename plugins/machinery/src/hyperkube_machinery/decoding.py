"""Bodies to objects: what a client sent becomes a checked and normalised tree, or a refusal in the API server's words.

`decode` reads bytes, `check_tree` holds a tree against its definition, `read_object` does both. Unknown and duplicate
fields are an error, a warning or nothing, as the request's fieldValidation says; they are pruned in any case.
Source: k8s.io/apimachinery/pkg/runtime/serializer/json, k8s.io/apiserver/pkg/endpoints/handlers (create.go, rest.go).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.errors import APIError
from hyperkube_machinery.jsontext import BadJSON, has_duplicates, parse, parse_exactly
from hyperkube_machinery.protobuf import BadProtobuf, decode_message, open_envelope
from hyperkube_machinery.schema import Pairs, Schemas, Walker, WrongType
from hyperkube_machinery.schema.converted import check_conversion
from hyperkube_machinery.schema.exact import json_type, quoted, type_error

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "PROTOBUF",
    "YAML_ERRORS",
    "BadBody",
    "Decoded",
    "StrictError",
    "cannot_be_handled",
    "check_converted",
    "check_tree",
    "decode",
    "duplicate_fields",
    "judge",
    "keep_reset",
    "media_type_of",
    "parse_body",
    "parse_object",
    "read_object",
    "read_protobuf",
    "told_kind",
    "unrecognized",
]

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_ACCEPTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"

# How the API server's errors call the set of kinds that it knows.
_SCHEME = "pkg/api/legacyscheme/scheme.go:30"
_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_MAX_FINDINGS = 100


class BadBody(ValueError):
    """A body is nothing that can be read; the message is the API server's, without what stands around it."""


@dataclass(slots=True)
class Decoded:
    """A body's value."""

    tree: Any
    duplicates: list[str] = field(default_factory=list)  # `duplicate field "spec.n"`, or YAML's `line 5: key "a" …`
    exact: Any = None  # the same with `Pairs` and `Literal`, where the fast parser may have dropped something


def parse_body(body: bytes, media_type: str) -> Decoded:
    """Read a body of JSON, YAML or protobuf. Raises BadBody; 415 for another media type."""
    name = media_type_of(media_type)
    if name == JSON:
        try:
            tree = parse(body)
            if not has_duplicates(body, tree):
                return Decoded(tree)
            exact = parse_exactly(body)
        except BadJSON as error:
            raise BadBody(str(error)) from None
        return Decoded(tree, duplicate_fields(exact), exact)
    if name == YAML:
        from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # imports yaml: a tenth of a server's start

        try:
            return Decoded(*parse_yaml(body))
        except BadYAML as error:
            raise BadBody(str(error)) from None
    if name == PROTOBUF:
        return Decoded(_parse_protobuf(body))
    raise APIError.of(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {_ACCEPTED}",
    )


def _parse_protobuf(body: bytes) -> dict[str, Any]:
    """The object in a body that says itself what it is."""
    schemas = Schemas.load()
    try:
        envelope = open_envelope(body)
        definition = schemas.definition_of(envelope.api_version, envelope.kind)
        if definition is None:
            raise BadBody(_unregistered(envelope.api_version, envelope.kind))
        tree = decode_message(schemas.table, definition, envelope.raw)
    except BadProtobuf as error:
        raise BadBody(str(error)) from None
    return {"kind": envelope.kind, "apiVersion": envelope.api_version, **tree}


def read_protobuf(body: bytes) -> dict[str, Any]:
    """The object in a protobuf body that says itself what it is, as JSON shows it. Raises BadBody."""
    tree = _parse_protobuf(body)
    api_version, kind = tree["apiVersion"], tree["kind"]
    definition = Schemas.load().definition_of(api_version, kind)
    assert definition is not None  # else it were not decoded
    return _typed(Schemas.load().walker(definition).read(tree)[0], api_version, kind)


def _unregistered(group_version: str, kind: str) -> str:
    return f'no kind "{kind}" is registered for version "{group_version}" in scheme "{_SCHEME}"'


def media_type_of(header: str) -> str:
    """The type in a Content-Type header, without parameters; none means JSON."""
    return header.partition(";")[0].strip().lower() or JSON


def decode(body: bytes, media_type: str) -> dict[str, Any]:
    """The object in a body, of whatever kind; {} for none. Raises APIError 400 or 415."""
    try:
        return parse_object(body, media_type_of(media_type)).tree  # type: ignore[no-any-return]
    except BadBody as error:
        raise APIError.bad_request(str(error)) from None


def parse_object(body: bytes, media: str) -> Decoded:
    """A body that holds an object, or none; raises BadBody in the words for one whose kind can't be seen.

    `media` is a media type without parameters.
    """
    try:
        decoded = parse_body(body, media)
    except BadBody as error:
        raise BadBody(_PARSE_ERROR + str(error)) if media == JSON else error from None
    if decoded.tree is None:
        decoded.tree = {}
    elif not isinstance(decoded.tree, dict):
        raise BadBody(_PARSE_ERROR + type_error(json_type(decoded.tree), _TYPE_META))
    return decoded


def read_object(
    body: bytes, media_type: str, walker: Walker, *, group_version: str, kind: str, field_validation: str
) -> tuple[dict[str, Any], list[str]]:
    """The object in a body, normalised, with apiVersion and kind filled in, and the texts of warnings.

    `group_version` ("apps/v1") and `kind` are what the path calls for; a body may leave them out, not contradict them.
    `field_validation` is Strict, Warn or Ignore. Raises APIError 400 or 415.
    """
    media = media_type_of(media_type)
    if media == PROTOBUF:
        return _read_protobuf(body, walker, group_version, kind), []
    is_yaml = media == YAML
    try:
        decoded = parse_object(body, media)
    except BadBody as error:
        raise unrecognized(kind, str(error), body) from None
    tree, exact = decoded.tree, decoded.exact
    if tree.get("apiVersion") != group_version or tree.get("kind") != kind:
        _check_kind(tree if exact is None else exact, body, group_version, kind)
    try:
        if exact is not None:
            normal, findings = walker.read(exact)
        elif is_yaml:
            normal, findings = walker.read(tree)
        else:
            # How a number was written matters to what is told of it, and only the document says.
            normal, findings = walker.read(tree, again=lambda: parse_exactly(body) or {})
    except WrongType as error:
        raise cannot_be_handled(kind, group_version, kind, str(error)) from None
    yaml_warnings = decoded.duplicates if is_yaml else []
    if yaml_warnings and field_validation == "Strict":
        findings = [YAML_ERRORS + "\n  ".join(["", *yaml_warnings]), *findings]
    elif yaml_warnings:
        findings = [*yaml_warnings, *findings]
    keep_reset(tree, normal)
    warnings = judge(findings, group_version, kind, field_validation)
    return _typed(normal, group_version, kind), warnings


def _typed(tree: dict[str, Any], group_version: str, kind: str) -> dict[str, Any]:
    """`tree` beginning with its kind and apiVersion."""
    if next(iter(tree), "") != "kind" or "apiVersion" not in tree:
        return {"kind": kind, "apiVersion": group_version, **tree}
    tree["kind"] = kind
    tree["apiVersion"] = group_version
    return tree


def _read_protobuf(body: bytes, walker: Walker, group_version: str, kind: str) -> dict[str, Any]:
    try:
        envelope = open_envelope(body)
    except BadProtobuf as error:
        raise unrecognized(kind, str(error), body) from None
    _check_kind({"apiVersion": envelope.api_version, "kind": envelope.kind}, body, group_version, kind)
    try:
        tree = decode_message(Schemas.load().table, walker.definition, envelope.raw)
        normal, _ = walker.read(tree)
    except (BadProtobuf, WrongType) as error:
        raise cannot_be_handled(kind, group_version, kind, str(error)) from None
    return _typed(normal, group_version, kind)


def check_tree(
    tree: dict[str, Any],
    walker: Walker,
    *,
    group_version: str,
    kind: str,
    field_validation: str,
    duplicates: Sequence[str] = (),
) -> list[str]:
    """Hold a tree that was made here, by a patch for one, against its definition.

    It is normalised in place, and the warnings are returned. `duplicates` are findings of the patch itself, which stand
    before those of the tree. Raises WrongType for what can't be decoded or is another kind, StrictError for findings
    under Strict: a patch words both around the patched object, which is then as it was.
    """
    if not isinstance(tree, dict):
        raise WrongType(_PARSE_ERROR + type_error(json_type(tree), _TYPE_META))
    if tree.get("apiVersion") != group_version or tree.get("kind") != kind:
        why = _unfit(tree, *told_kind(tree, group_version, kind), group_version, kind)
        if why:
            raise WrongType(why)
    normal, findings = walker.read(tree)
    keep_reset(tree, normal)
    return _settle(tree, _typed(normal, group_version, kind), [*duplicates, *findings], field_validation)


def check_converted(
    tree: dict[str, Any], walker: Walker, *, field_validation: str, duplicates: Sequence[str] = ()
) -> list[str]:
    """The same for a tree that a strategic merge patch made: upstream converts it without going through JSON.

    So errors are worded otherwise, unknown fields come in the order of the alphabet, and kind and apiVersion stay what
    they are.
    """
    check_conversion(Schemas.load().table, walker.definition, tree)
    normal, findings = walker.read(tree)
    keep_reset(tree, normal)
    return _settle(tree, normal, [*duplicates, *sorted(findings)], field_validation)


def keep_reset(tree: dict[str, Any], normal: dict[str, Any]) -> None:
    """Leave in `normal` the one empty list that says something: who sends no owners asks to forget them."""
    metadata = tree.get("metadata")
    if metadata and metadata.get("managedFields") == []:
        normal["metadata"]["managedFields"] = []


def _settle(tree: dict[str, Any], normal: dict[str, Any], findings: list[str], field_validation: str) -> list[str]:
    """Make `tree` what it should be, unless findings forbid it."""
    if findings and field_validation == "Strict":
        raise StrictError(findings)
    tree.clear()
    tree.update(normal)
    return [] if field_validation == "Ignore" else findings


class StrictError(ValueError):
    """Unknown or duplicate fields under fieldValidation=Strict; the message is the API server's."""

    def __init__(self, findings: Sequence[str]) -> None:
        super().__init__("strict decoding error: " + ", ".join(findings))
        self.findings = list(findings)


_PARSE_ERROR = "couldn't get version/kind; json parse error: "
YAML_ERRORS = "yaml: unmarshal errors:"


def judge(findings: list[str], group_version: str, kind: str, field_validation: str) -> list[str]:
    """The warnings that findings come to; raises 400 where there may be none."""
    if not findings or field_validation == "Ignore":
        return []
    if field_validation == "Strict":
        raise cannot_be_handled(kind, group_version, kind, str(StrictError(findings)))
    return findings


def unrecognized(kind: str, why: str, body: bytes) -> APIError:
    """The refusal of a body that does not even tell what it is."""
    return APIError.bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})"
    )


def cannot_be_handled(sent_kind: str, sent_version: str, kind: str, why: str) -> APIError:
    """The refusal of a body that can't be read as the kind that the path calls for."""
    version = sent_version.rpartition("/")[2]
    return APIError.bad_request(f'{sent_kind} in version "{version}" cannot be handled as a {kind}: {why}')


def _summary(body: bytes) -> str:
    """The beginning of a body, as errors show it: thirty bytes, in hexadecimal unless an object begins there."""
    if not body:
        return "<empty>"
    shown = body[:30].decode("utf-8", "replace") if body[:1] == b"{" else body[:30].hex()
    return f"{shown} ..." if len(body) > 30 else shown


def _check_kind(tree: dict[str, Any] | Pairs, body: bytes, group_version: str, kind: str) -> None:
    """Refuse a body whose apiVersion and kind are not what the path calls for."""
    try:
        sent_version, sent_kind = told_kind(tree, group_version, kind)
    except WrongType as error:
        raise unrecognized(kind, str(error), body) from None
    why = _unfit(tree, sent_version, sent_kind, group_version, kind)
    if why:
        raise cannot_be_handled(sent_kind, sent_version, kind, why)
    if sent_version != group_version:
        raise APIError.bad_request(
            f"the API version in the data ({sent_version}) does not match the expected API version ({group_version})"
        )


def told_kind(tree: dict[str, Any] | Pairs, group_version: str, kind: str) -> tuple[str, str]:
    """What a body says it is, completed by what is expected where it says nothing. Raises WrongType."""
    sent = {"apiversion": "", "kind": ""}
    wrong = ""
    for key, value in tree.items() if isinstance(tree, dict) else tree:
        folded = key.lower()  # here, and only here, Go ignores case
        if folded not in sent or value is None:
            continue
        if isinstance(value, str):
            sent[folded] = value
        elif not wrong:
            name = "apiVersion" if folded == "apiversion" else folded
            wrong = _PARSE_ERROR + type_error(json_type(value), "string", "", [name])
    if wrong:
        raise WrongType(wrong)
    if sent["apiversion"].count("/") > 1:
        raise WrongType(f"unexpected GroupVersion string: {sent['apiversion']}")
    return _complete(sent["apiversion"], group_version), sent["kind"] or kind


def _unfit(tree: dict[str, Any] | Pairs, sent_version: str, sent_kind: str, group_version: str, kind: str) -> str:
    """Why the kind that was sent can't become the kind that is expected; "" if it can."""
    if (sent_version, sent_kind) == (group_version, kind):
        return ""
    definition = Schemas.load().definition_of(sent_version, sent_kind)
    if definition is None:
        return _unregistered(sent_version, sent_kind)
    try:
        Schemas.load().walker(definition).read(tree)  # upstream decodes it as what it says it is
    except WrongType as error:
        return str(error)
    if _internal(sent_version, sent_kind) != _internal(group_version, kind):
        sent_type = f"{sent_version.rpartition('/')[2]}.{sent_kind}"
        return f"converting ({sent_type}) to ({_internal(group_version, kind)}): unknown conversion"
    return ""


def _complete(sent: str, expected: str) -> str:
    """The group and version that a body means, where it leaves out one or both."""
    group, _, version = sent.rpartition("/")
    expected_group, _, expected_version = expected.rpartition("/")
    if not version and (not group or group == expected_group):
        group, version = expected_group, expected_version
    return f"{group}/{version}" if group else version


def _internal(group_version: str, kind: str) -> str:
    """The Go type that all versions of a kind share: core.Pod, rbac.Role. Both kinds of Event are one."""
    group = group_version.rpartition("/")[0].partition(".")[0]
    return f"{'core' if group in {'', 'events'} else group}.{kind}"


def duplicate_fields(value: Any, path: str = "") -> list[str]:
    """`duplicate field "spec.n"` for a value of no known type, read with `Pairs`, in the order of the document."""
    found: dict[str, None] = {}
    _find_duplicates(value, path, found)
    return list(found)[:_MAX_FINDINGS]


def _find_duplicates(value: Any, path: str, found: dict[str, None]) -> None:
    if isinstance(value, Pairs):
        seen: set[str] = set()
        for key, item in value:
            here = f"{path}.{key}" if path else key
            if key in seen:
                found[f"duplicate field {quoted(here)}"] = None
            seen.add(key)
            _find_duplicates(item, here, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _find_duplicates(item, f"{path}[{index}]", found)
