"""Names of signers of certificates. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateSignerName)."""

from __future__ import annotations

from collections.abc import Callable

from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain

__all__ = ["validate_signer_name"]

_LONGEST_DOMAIN = 253
_LONGEST_NAME = 253 + 253 + 63 + 1 + 1


def validate_signer_name(name: str, path: str) -> list[FieldError]:
    """`name` is a domain and a path, as in example.com/signer."""
    if not name:
        return [FieldError.required(path)]
    domain, *rest = name.split("/")
    if len(rest) != 1:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [FieldError.invalid(path, name, text)]
    errors: list[FieldError] = []
    if len(domain) > _LONGEST_DOMAIN:
        errors.append(FieldError.too_long(path, _LONGEST_DOMAIN))
    errors += _validate_labels(domain, dns1123_label, path)
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        errors.append(FieldError.invalid(path, domain, text))
    errors += _validate_labels(rest[0], dns1123_subdomain, path)
    if len(name) > _LONGEST_NAME:
        errors.append(FieldError.too_long(path, _LONGEST_NAME))
    return errors


def _validate_labels(segment: str, check: Callable[[str], list[str]], path: str) -> list[FieldError]:
    """What is wrong with the first label that is wrong."""
    for label in segment.split("."):
        if wrong := check(label):
            return [FieldError.invalid(path, segment, f'validating label "{label}": {text}') for text in wrong]
    return []
