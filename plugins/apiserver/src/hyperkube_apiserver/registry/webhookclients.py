"""Where webhooks are: a URL, or a service with a path. Source: k8s.io/apiserver/pkg/util/webhook (validation.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.gourls import URLError, parse_url
from hyperkube_machinery.names import dns1123_subdomain, port_number

__all__ = ["validate_client"]

Tree = Mapping[str, Any]

_FORM = "; desired format: https://host[/path]"


def validate_client(config: Tree, path: str) -> list[FieldError]:
    """A client configuration has a URL or a service, of which each is checked."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [FieldError.required(path, "exactly one of url or service is required")]
    if url is not None:
        return _validate_url(url, f"{path}.url")
    return _validate_service(service or {}, f"{path}.service")


def _validate_url(text: str, path: str) -> list[FieldError]:
    try:
        url = parse_url(text)
    except URLError as exc:
        return [FieldError.required(path, f"url must be a valid URL: {exc}{_FORM}")]
    errors: list[FieldError] = []
    if url.scheme != "https":
        errors.append(FieldError.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not url.host:
        errors.append(FieldError.invalid(path, url.host, f"host must be specified{_FORM}"))
    if url.user is not None:
        errors.append(FieldError.invalid(path, url.user, "user information is not permitted in the URL"))
    if url.fragment:
        errors.append(FieldError.invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errors.append(FieldError.invalid(path, url.query, "query parameters are not permitted in the URL"))
    return errors


def _validate_service(service: Tree, path: str) -> list[FieldError]:
    # Upstream hands over name and namespace the wrong way round, so that a missing one is told in the order below.
    errors = [FieldError.required(f"{path}.{field}") for field in _MISSING if not service.get(_MISSING[field])]
    port = service.get("port") or 0
    if wrong := port_number(port):
        errors.append(FieldError.invalid(f"{path}.port", port, f"port is not valid: {', '.join(wrong)}"))
    return errors + _validate_path(service.get("path") or "", f"{path}.path")


# The field that is blamed, and the one that is looked at.
_MISSING = {"name": "namespace", "namespace": "name"}


def _validate_path(text: str, path: str) -> list[FieldError]:
    if text in ("", "/"):
        return []
    if text == "//":
        return [FieldError.invalid(path, text, "segment[0] may not be empty")]
    errors = [] if text.startswith("/") else [FieldError.invalid(path, text, "must start with a '/'")]
    for index, step in enumerate(text[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(FieldError.invalid(path, text, f"segment[{index}] may not be empty"))
            continue
        errors += [FieldError.invalid(path, text, f"segment[{index}]: {wrong}") for wrong in dns1123_subdomain(step)]
    return errors
