"""The query parameters of each verb, read as the API server reads them.

Unknown parameters are accepted. Booleans are true unless they say "false" or "0"; numbers that are none are refused.
Source: k8s.io/apimachinery/pkg/conversion/queryparams, meta/internalversion, meta/v1/validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.errors import APIError, FieldError

__all__ = [
    "DeleteOptions",
    "ListOptions",
    "WriteOptions",
    "delete_options",
    "flag",
    "list_options",
    "timeout_seconds",
    "write_options",
]

_Query = Mapping[str, Sequence[str]]

_INT64 = range(-(2**63), 2**63)
_INT64_DIGITS = 20  # are too many
_MANAGER_BYTES = 128


def flag(query: _Query, name: str) -> bool:
    """A boolean parameter: absent, "false" and "0" are false, anything else is true."""
    values = query.get(name)
    return bool(values) and values[0].lower() not in ("false", "0")  # type: ignore[index]


def _text(query: _Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def _optional_flag(query: _Query, name: str) -> bool | None:
    return flag(query, name) if query.get(name) else None


def _integer(query: _Query, name: str) -> int | None:
    values = query.get(name)
    if not values:
        return None
    return parse_int64(values[0])


def parse_int64(text: str) -> int:
    """A decimal number as Go's strconv.ParseInt reads it; raises the 400 that the API answers."""
    sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not (digits.isascii() and digits.isdigit()):
        raise APIError.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    digits = digits.lstrip("0")  # Python refuses to read very long numbers
    value = int(sign + (digits or "0")) if len(digits) < _INT64_DIGITS else _INT64.stop
    if value not in _INT64:
        raise APIError.bad_request(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def timeout_seconds(query: _Query) -> float | None:
    """How long the client gives the server, None or 0 for as long as it takes. Raises 400.

    Source: k8s.io/apiserver/pkg/endpoints/filters (request_deadline).
    """
    text = _text(query, "timeout")
    if not text:
        return None
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise APIError.bad_request(f"invalid timeout specified in the request URL - {exc}") from exc


def _given(**options: Any) -> dict[str, Any]:
    """The options that say something, in order."""
    return {name: value for name, value in options.items() if value not in (None, "", [], {})}


_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list, a watch or a deletion of a collection may be asked."""

    label_selector: str = ""
    field_selector: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    continue_token: str = ""
    limit: int = 0
    timeout_seconds: int | None = None
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None


_NO_LIST_OPTIONS = ListOptions()


def list_options(query: _Query, *, watch: bool) -> ListOptions:
    """The list options of a query; raises 400 for what can't be read, 422 for what doesn't go together.

    A `watch` that begins nowhere in particular is one that asks for initial events.
    """
    if not query:
        return _NO_LIST_OPTIONS
    if query.get("shardSelector", [""])[0]:
        raise APIError.not_implemented("the query parameter shardSelector")
    options = ListOptions(
        label_selector=_text(query, "labelSelector"),
        field_selector=_text(query, "fieldSelector"),
        resource_version=_text(query, "resourceVersion"),
        resource_version_match=_text(query, "resourceVersionMatch"),
        continue_token=_text(query, "continue"),
        limit=_integer(query, "limit") or 0,
        timeout_seconds=_integer(query, "timeoutSeconds"),
        allow_bookmarks=flag(query, "allowWatchBookmarks"),
        send_initial_events=_optional_flag(query, "sendInitialEvents"),
    )
    errors = _watch_errors(options) if watch else _list_errors(options)
    if errors:
        raise APIError.invalid("meta.k8s.io", "ListOptions", "", errors)
    if watch and options.send_initial_events is None and options.resource_version in ("", "0"):
        return replace(options, send_initial_events=True, resource_version_match="NotOlderThan")
    return options


def _list_errors(options: ListOptions) -> list[FieldError]:
    errors = []
    match = options.resource_version_match
    if match:
        if not options.resource_version:
            errors.append(_no_match("resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.continue_token:
            errors.append(_no_match("resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(FieldError.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", "")))
        if match == "Exact" and options.resource_version == "0":
            errors.append(_no_match('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        errors.append(FieldError.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errors


def _watch_errors(options: ListOptions) -> list[FieldError]:
    errors = []
    match = options.resource_version_match
    if options.send_initial_events is not None and match != "NotOlderThan":
        errors.append(_no_match("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match:
        if options.send_initial_events is None:
            errors.append(_no_match("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
        if match != "NotOlderThan":
            errors.append(FieldError.not_supported("resourceVersionMatch", match, ("NotOlderThan",)))
        if options.continue_token:
            errors.append(_no_match("resourceVersionMatch is forbidden when continue is provided"))
    return errors


def _no_match(detail: str) -> FieldError:
    return FieldError.forbidden("resourceVersionMatch", detail)


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a create, update or patch may be asked."""

    dry_run: bool = False
    field_manager: str = ""
    field_validation: str = "Warn"
    force: bool = False  # of an apply
    shown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)  # to admission: what was given, but for `force`


_NO_WRITE_OPTIONS = WriteOptions()


def write_options(query: _Query, kind: str, *, applies: bool = False) -> WriteOptions:
    """The write options of a query; `kind` is CreateOptions, UpdateOptions or PatchOptions, which errors name.

    A patch that `applies` a configuration must say for whom, and may be forced.
    """
    if not query and not applies:
        return _NO_WRITE_OPTIONS
    manager, validation = _text(query, "fieldManager"), _text(query, "fieldValidation")
    dry_run = list(query.get("dryRun", ()))
    errors = []
    force = _optional_flag(query, "force") if kind == "PatchOptions" else None
    if applies and not manager:
        errors.append(FieldError.required("fieldManager", "is required for apply patch"))
    if force is not None and not applies:
        errors.append(FieldError.forbidden("force", "may not be specified for non-apply patch"))
    if len(manager.encode()) > _MANAGER_BYTES:
        errors.append(FieldError.too_long("fieldManager", _MANAGER_BYTES))
    at = 0
    for character in manager:
        if not (character.isprintable() and (character == " " or not character.isspace())):
            shown = f"U+{ord(character):04X}"
            errors.append(FieldError.invalid("fieldManager", manager, f"invalid character {shown} (at position {at})"))
        at += len(character.encode())
    errors += _dry_run_errors(dry_run)
    if validation not in ("", "Ignore", "Warn", "Strict"):
        errors.append(FieldError.not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if errors:
        raise APIError.invalid("meta.k8s.io", kind, "", errors)
    return WriteOptions(
        dry_run=bool(dry_run),
        field_manager=manager,
        field_validation=validation or "Warn",
        force=bool(force),
        shown=_given(dryRun=dry_run, fieldManager=manager, fieldValidation=validation),
    )


def _dry_run_errors(dry_run: Sequence[Any]) -> list[FieldError]:
    if all(value == "All" for value in dry_run):
        return []
    return [FieldError.not_supported("dryRun", list(dry_run), ("All",))]


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """What a deletion may be asked, in its body or, where it has none, in its query."""

    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    uid: str | None = None  # precondition
    resource_version: str | None = None  # precondition
    dry_run: bool = False
    warnings: tuple[str, ...] = field(default=())
    shown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)  # to admission: what was given


_NO_DELETE_OPTIONS = DeleteOptions()


def delete_options(query: _Query, body: Mapping[str, Any] | None) -> DeleteOptions:
    """Read the options of a deletion from `body`, decoded and type-checked, or else from the query."""
    if body is None:
        if not query:
            return _NO_DELETE_OPTIONS
        return _checked(
            grace=_integer(query, "gracePeriodSeconds"),
            policy=query["propagationPolicy"][0] if query.get("propagationPolicy") else None,
            orphan=_optional_flag(query, "orphanDependents"),
            uid=None,
            version=None,
            dry_run=list(query.get("dryRun", ())),
        )
    preconditions = body.get("preconditions") or {}
    return _checked(
        grace=body.get("gracePeriodSeconds"),
        policy=body.get("propagationPolicy"),
        orphan=body.get("orphanDependents"),
        uid=preconditions.get("uid"),
        version=preconditions.get("resourceVersion"),
        dry_run=list(body.get("dryRun") or ()),
    )


def _checked(
    *,
    grace: int | None,
    policy: str | None,
    orphan: bool | None,
    uid: str | None,
    version: str | None,
    dry_run: list[str],
) -> DeleteOptions:
    errors = []
    if orphan is not None and policy is not None:
        errors.append(
            FieldError.invalid(
                "propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"
            )
        )
    if policy is not None and policy not in ("Foreground", "Background", "Orphan"):
        errors.append(
            FieldError.not_supported("propagationPolicy", policy, ("Foreground", "Background", "Orphan", "nil"))
        )
    errors += _dry_run_errors(dry_run)
    if errors:
        raise APIError.invalid("meta.k8s.io", "DeleteOptions", "", errors)
    return DeleteOptions(
        # A negative period is read as the shortest one that is still graceful.
        grace_period_seconds=1 if grace is not None and grace < 0 else grace,
        propagation_policy=policy,
        orphan_dependents=orphan,
        uid=uid,
        resource_version=version,
        dry_run=bool(dry_run),
        shown=_given(
            gracePeriodSeconds=grace,
            preconditions=_given(uid=uid, resourceVersion=version),
            orphanDependents=orphan,
            propagationPolicy=policy,
            dryRun=dry_run,
        ),
    )
