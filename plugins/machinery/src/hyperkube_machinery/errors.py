"""Errors as the Kubernetes API tells them.

Every refusal is an `APIError` that knows its `Status` object. Texts are the wording of the API server, which clients
match on. Source: k8s.io/apimachinery/pkg/api/errors, k8s.io/apimachinery/pkg/util/validation/field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hyperkube_machinery.encoding import encode
from hyperkube_machinery.quoting import quoted
from hyperkube_machinery.resources import Resource

__all__ = ["APIError", "FieldError", "aggregated", "failure"]


def aggregated(messages: Iterable[str]) -> str:
    """Several error texts as one; a single one stands for itself. Source: apimachinery/pkg/util/errors.Aggregate."""
    unique = list(dict.fromkeys(messages))
    return unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"


def failure(code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> dict[str, Any]:
    """A `Status` object that tells of a failure; an empty reason is left out, as the API leaves it out."""
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    status["code"] = code
    return status


def _subject(resource: Resource | None, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if resource is not None:
        if resource.group:
            details["group"] = resource.group
        details["kind"] = resource.resource
    return details


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field. Source: field.Error."""

    reason: str  # FieldValueInvalid, FieldValueRequired, …: what stands in a cause
    field: str  # spec.containers[0].name
    detail: str = ""
    bad_value: Any = None
    shows_value: bool = True

    @property
    def message(self) -> str:
        """The text of a cause: `Invalid value: "x": must be …`."""
        word = _WORDS[self.reason]
        if not self.shows_value:
            return f"{word}: {self.detail}" if self.detail else word
        shown = f"{word}: {_show(self.bad_value)}"
        return f"{shown}: {self.detail}" if self.detail else shown

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    @property
    def cause(self) -> dict[str, str]:
        return {"reason": self.reason, "message": self.message, "field": self.field}

    @classmethod
    def invalid(cls, field: str, value: Any, detail: str) -> FieldError:
        return cls("FieldValueInvalid", field, detail, value)

    @classmethod
    def required(cls, field: str, detail: str = "") -> FieldError:
        return cls("FieldValueRequired", field, detail, shows_value=False)

    @classmethod
    def forbidden(cls, field: str, detail: str) -> FieldError:
        return cls("FieldValueForbidden", field, detail, shows_value=False)

    @classmethod
    def duplicate(cls, field: str, value: Any) -> FieldError:
        return cls("FieldValueDuplicate", field, "", value)

    @classmethod
    def not_found(cls, field: str, value: Any) -> FieldError:
        return cls("FieldValueNotFound", field, "", value)

    @classmethod
    def not_supported(cls, field: str, value: Any, allowed: Iterable[str]) -> FieldError:
        """`value` is none of `allowed`, which are listed in the order given."""
        listed = ", ".join(map(quoted, allowed))
        return cls("FieldValueNotSupported", field, f"supported values: {listed}" if listed else "", value)

    @classmethod
    def too_long(cls, field: str, limit: int) -> FieldError:
        return cls("FieldValueTooLong", field, f"may not be more than {_counted(limit, 'byte')}", shows_value=False)

    @classmethod
    def too_many(cls, field: str, count: int, limit: int) -> FieldError:
        return cls("FieldValueTooMany", field, f"must have at most {_counted(limit, 'item')}", count)

    @classmethod
    def type_invalid(cls, field: str, value: Any, detail: str) -> FieldError:
        return cls("FieldValueTypeInvalid", field, detail, value)

    @classmethod
    def internal(cls, field: str, detail: str) -> FieldError:
        return cls("InternalError", field, detail, shows_value=False)


_WORDS = {
    "FieldValueInvalid": "Invalid value",
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotFound": "Not found",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}


_FIXED_DIGITS = 6
"""Numbers with more before the point are shown with an exponent."""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _show_number(number: float) -> str:
    """As Go prints it (%v), in the fewest digits that mean it. Source: strconv.FormatFloat."""
    exact = Decimal(repr(number))
    if not exact.is_finite() or exact == 0 or -4 <= exact.adjusted() < _FIXED_DIGITS:
        return format(exact, "f").removesuffix(".0")
    digits, _, exponent = f"{exact.normalize():e}".partition("e")
    return f"{digits}e{int(exponent):+03d}"


def _show(value: Any) -> str:
    """A text as Go quotes it, anything else as its JSON, safe to stand in HTML."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float):
        return _show_number(value)
    return encode(value).decode().translate(_HTML)


_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


class APIError(Exception):
    """A refusal, with the HTTP status `code` and the `Status` object that tells of it."""

    def __init__(self, status: dict[str, Any], *, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status["message"])
        self.status = status
        self.headers = tuple(headers)

    @property
    def code(self) -> int:
        return int(self.status["code"])

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))

    @classmethod
    def of(cls, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> APIError:
        return cls(failure(code, reason, message, details))

    @classmethod
    def bad_request(cls, message: str) -> APIError:
        return cls.of(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls) -> APIError:
        return cls.of(401, "Unauthorized", "Unauthorized")

    @classmethod
    def not_found(cls, resource: Resource, name: str) -> APIError:
        return cls.of(404, "NotFound", f'{resource.qualified} "{name}" not found', _subject(resource, name))

    @classmethod
    def no_such_path(cls) -> APIError:
        """For a resource that is not served."""
        return cls.of(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def method_not_allowed(cls) -> APIError:
        """For a method that a served resource does not have."""
        return cls.of(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})

    @classmethod
    def already_exists(cls, resource: Resource, name: str) -> APIError:
        return cls.of(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _subject(resource, name))

    @classmethod
    def conflict(cls, resource: Resource, name: str, why: str) -> APIError:
        return cls.of(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}',
            _subject(resource, name),
        )

    @classmethod
    def expired(cls, message: str) -> APIError:
        return cls.of(410, "Expired", message)

    @classmethod
    def too_large(cls, message: str) -> APIError:
        return cls.of(413, "RequestEntityTooLarge", message)

    @classmethod
    def invalid(cls, group: str, kind: str, name: str, errors: Sequence[FieldError]) -> APIError:
        """422 with a cause for each error. `kind` is the object's kind, not its resource."""
        details: dict[str, Any] = {}
        if name:
            details["name"] = name
        if group:
            details["group"] = group
        if kind:
            details["kind"] = kind
        details["causes"] = [error.cause for error in errors]
        texts = list(dict.fromkeys(f"{error.field}: {error.message}" for error in errors))
        told = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
        qualified = f"{kind}.{group}" if group else kind
        return cls.of(422, "Invalid", f'{qualified} "{name}" is invalid: {told}', details)

    @classmethod
    def internal(cls, message: str) -> APIError:
        return cls.of(
            500,
            "InternalError",
            f"Internal error occurred: {message}",
            {"causes": [{"message": message}]},
        )

    @classmethod
    def not_implemented(cls, what: str) -> APIError:
        """For what the API acts on and this server does not: refused, never ignored."""
        return cls.of(501, "NotImplemented", f"{what} is not supported by this server yet")
