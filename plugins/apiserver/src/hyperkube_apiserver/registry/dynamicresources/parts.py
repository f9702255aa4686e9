"""What claims, classes and slices are made of: names, selectors, configuration, taints.

Source: k8s.io/kubernetes/pkg/apis/resource/validation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.fields import checked, dns_subdomain, one_of
from hyperkube_apiserver.registry.meta import validate_label_key
from hyperkube_apiserver.registry.podspec.sources import validate_csi_driver_name
from hyperkube_machinery import names
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import FieldError

__all__ = [
    "EFFECTS",
    "required_or",
    "validate_bindings",
    "validate_configuration",
    "validate_driver",
    "validate_each",
    "validate_pool_name",
    "validate_qualified_name",
    "validate_raw",
    "validate_selectors",
    "validate_taint",
    "validate_toleration",
    "validate_uid",
]

Tree = Mapping[str, Any]
Check = Callable[[Any, str], list[FieldError]]

EFFECTS = ("NoExecute", "NoSchedule", "None")
MOST_SELECTORS = 32
MOST_CONFIGS = 32
_MOST_BINDINGS = 4
_EXPRESSION_BYTES = 10 << 10
_RAW_BYTES = 10 << 10
_IDENTIFIER_BYTES = 32
_POOL_BYTES = 253

validate_driver = validate_csi_driver_name


def validate_each(
    items: Sequence[Any], most: int | None, check: Check, path: str, key: Callable[[Any], Hashable] | None = None
) -> list[FieldError]:
    """What is wrong with each, unless there are too many; with `key`, none may have another's."""
    if most is not None and len(items) > most:
        return [FieldError.too_many(path, len(items), most)]
    errors = [error for index, item in enumerate(items) for error in check(item, f"{path}[{index}]")]
    seen: set[Hashable] = set()
    for index, item in enumerate(items if key is not None else ()):
        assert key is not None
        value = key(item)
        if value in seen:
            errors.append(FieldError.duplicate(f"{path}[{index}]", value))
        seen.add(value)
    return errors


def required_or(value: str, path: str, check: Check) -> list[FieldError]:
    return check(value, path) if value else [FieldError.required(path)]


def validate_pool_name(name: str, path: str) -> list[FieldError]:
    if not name:
        return [FieldError.required(path)]
    errors = [FieldError.too_long(path, _POOL_BYTES)] if len(name.encode()) > _POOL_BYTES else []
    for part in name.split("/"):
        errors += dns_subdomain(part, path)
    return errors


def validate_uid(uid: str, path: str) -> list[FieldError]:
    """A UUID in its normal form. Source: github.com/google/uuid, for the words."""
    if wrong := _no_uuid(uid):
        return [FieldError.invalid(path, uid, f"error validating uid: {wrong}")]
    if len(uid) != 36 or uid != uid.lower():
        form = "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"
        return [FieldError.invalid(path, uid, f"uid must be in RFC 4122 normalized form, {form}")]
    return []


def _no_uuid(text: str) -> str:
    length = len(text.encode())
    if length == 36 + 9:
        if text[:9].lower() != "urn:uuid:":
            return f'invalid urn prefix: "{text[:9]}"'
        text = text[9:]
    elif length == 36 + 2:
        if not (text.startswith("{") and text.endswith("}")):
            return "invalid bracketed UUID format"
        text = text[1:-1]
    elif length == 32:
        text = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    elif length != 36:
        return f"invalid UUID length: {length}"
    parts = text.split("-")
    if [len(part) for part in parts] != [8, 4, 4, 4, 12]:
        return "invalid UUID format"
    return "" if set("".join(parts)) <= set("0123456789abcdefABCDEF") else "invalid UUID format"


def validate_qualified_name(name: str, path: str) -> list[FieldError]:
    """An identifier, behind an optional domain and a slash. One with more slashes is taken, as upstream takes it."""
    parts = name.split("/")
    if len(parts) == 1:
        return _identifier(name, path)
    if len(parts) > 2:
        return []
    domain, own = parts
    missing = "the domain must not be empty"
    errors = validate_driver(domain, path) if domain else [FieldError.invalid(path, "", missing)]
    return errors + (_identifier(own, path) if own else [FieldError.invalid(path, "", "the name must not be empty")])


def _identifier(name: str, path: str) -> list[FieldError]:
    errors = [FieldError.too_long(path, _IDENTIFIER_BYTES)] if len(name.encode()) > _IDENTIFIER_BYTES else []
    return errors + checked(names.c_identifier, name, path)


def validate_selectors(selectors: Sequence[Tree], path: str) -> list[FieldError]:
    """Expressions that select devices."""
    return validate_each(selectors, MOST_SELECTORS, _validate_selector, path)


def _validate_selector(selector: Tree, path: str) -> list[FieldError]:
    if (cel := selector.get("cel")) is None:
        return [FieldError.required(f"{path}.cel")]
    text, path = cel.get("expression") or "", f"{path}.cel.expression"
    if len(text.encode()) > _EXPRESSION_BYTES:
        return [FieldError.too_long(path, _EXPRESSION_BYTES)]
    from hyperkube_apiserver.registry.dynamicresources.selectors import validate_expression  # few have any

    return validate_expression(text, path)


def validate_configuration(config: Tree, path: str, *, stored: bool = False) -> list[FieldError]:
    """Parameters for a driver; those that are stored already may be long."""
    if (opaque := config.get("opaque")) is None:
        return [FieldError.required(f"{path}.opaque")]
    errors = validate_driver(opaque.get("driver") or "", f"{path}.opaque.driver")
    return errors + validate_raw(opaque.get("parameters"), f"{path}.opaque.parameters", stored=stored)


def validate_raw(value: Any, path: str, *, stored: bool = False) -> list[FieldError]:
    """A JSON object that is not too long."""
    if value is None:
        return [FieldError.required(path)]
    if not stored and len(encode(value)) > _RAW_BYTES:
        return [FieldError.too_long(path, _RAW_BYTES)]
    if not isinstance(value, dict):
        return [FieldError.invalid(path, "<value omitted>", "must be a valid JSON object")]
    return []


def validate_bindings(device: Tree, path: str) -> list[FieldError]:
    """Conditions that a binding to a device waits for, and those that end the waiting."""
    wanted, failing = device.get("bindingConditions") or [], device.get("bindingFailureConditions") or []
    errors = validate_each(wanted, _MOST_BINDINGS, validate_label_key, f"{path}.bindingConditions")
    errors += validate_each(failing, _MOST_BINDINGS, validate_label_key, f"{path}.bindingFailureConditions")
    errors += _duplicates(wanted, f"{path}.bindingConditions")
    errors += _duplicates(failing, f"{path}.bindingFailureConditions")
    for index, condition in enumerate(failing):
        if condition in wanted:
            text = "bindingFailureConditions must not overlap with bindingConditions"
            errors.append(FieldError.invalid(f"{path}.bindingFailureConditions[{index}]", condition, text))
    if failing and not wanted:
        text = "bindingConditions are required to use bindingFailureConditions"
        errors.append(FieldError.invalid(f"{path}.bindingConditions", None, text))
    if wanted and not failing:
        text = "bindingFailureConditions are required to use bindingConditions"
        errors.append(FieldError.invalid(f"{path}.bindingFailureConditions", None, text))
    return errors


def _duplicates(values: Sequence[str], path: str) -> list[FieldError]:
    return [
        FieldError.duplicate(f"{path}[{index}]", value) for index, value in enumerate(values) if value in values[:index]
    ]


def validate_taint(taint: Tree, path: str) -> list[FieldError]:
    errors = validate_label_key(taint.get("key") or "", f"{path}.key")
    errors += checked(names.label_value, taint.get("value") or "", f"{path}.value")
    return errors + one_of(taint.get("effect") or "", EFFECTS, f"{path}.effect", required=True)


def validate_toleration(toleration: Tree, path: str) -> list[FieldError]:
    key, value, operator = (toleration.get(field) or "" for field in ("key", "value", "operator"))
    errors = validate_label_key(key, f"{path}.key") if key else []
    if operator == "Exists":
        if value:
            errors.append(FieldError.invalid(f"{path}.value", value, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        errors += checked(names.label_value, value, f"{path}.value")
    else:
        errors += one_of(operator, ("Equal", "Exists"), f"{path}.operator", required=True)
    if effect := toleration.get("effect"):
        errors += one_of(effect, EFFECTS, f"{path}.effect")
    return errors
