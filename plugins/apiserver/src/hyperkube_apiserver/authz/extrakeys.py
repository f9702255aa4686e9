"""Keys of what is said of users besides: paths behind a domain. Source: validation.IsDomainPrefixedPath."""

from __future__ import annotations

import re

from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_subdomain, regex_error

__all__ = ["extra_key_errors"]

_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def extra_key_errors(field: str, key: str) -> list[FieldError]:
    """What is wrong with `key`, which stands in `field`."""
    if not key:
        return [FieldError.required(field)]
    domain, _, path = key.partition("/")
    if not domain or not path:
        return [FieldError.invalid(field, key, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    errors = [FieldError.invalid(field, domain, detail) for detail in dns1123_subdomain(domain)]
    if not _PATH.fullmatch(path):
        errors.append(FieldError.invalid(field, path, regex_error("Invalid path", _PATH.pattern)))
    return errors
