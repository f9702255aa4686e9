"""Parts of nodes that are checked by themselves: sources of configuration, features, swap and old annotations.

Source: validateNodeConfigSourceSpec and its neighbours in k8s.io/kubernetes/pkg/apis/core/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.fields import checked, dns_label, dns_subdomain, positive
from hyperkube_apiserver.registry.internal import as_internal
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import config_map_key

__all__ = ["validate_config_source", "validate_config_status", "validate_declared_features", "validate_swap"]

Tree = Mapping[str, Any]

_LONGEST_FEATURE = 253
_FEATURE = "[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*"
_FEATURE_RULE = (
    "must start with an UpperCamelCase segment, with subsequent segments separated by '/' "
    "(e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
)


def validate_config_source(source: Tree | None, path: str, *, assigned: bool = False) -> Iterator[FieldError]:
    """A reference to a config map; to a certain version of it, once it is `assigned`."""
    if source is None:
        return
    reference, at = source.get("configMap"), f"{path}.configMap"
    if reference is None:
        shown = as_internal(source, "NodeConfigSource")
        yield FieldError.invalid(path, shown, "exactly one reference subfield must be non-nil")
        return
    for field in ("uid", "resourceVersion"):
        given = bool(reference.get(field))
        if assigned and not given:
            yield FieldError.required(f"{at}.{field}")
        elif given and not assigned:
            yield FieldError.forbidden(f"{at}.{field}", f"{field} must not be set in spec")
    for field, check in (("namespace", dns_label), ("name", dns_subdomain), ("kubeletConfigKey", _config_map_key)):
        if value := reference.get(field):
            yield from check(value, f"{at}.{field}")
        else:
            yield FieldError.required(f"{at}.{field}")


def _config_map_key(key: str, path: str) -> list[FieldError]:
    return checked(config_map_key, key, path)


def validate_config_status(status: Tree | None, path: str) -> Iterator[FieldError]:
    for field in ("assigned", "active", "lastKnownGood"):
        yield from validate_config_source((status or {}).get(field), f"{path}.{field}", assigned=True)


def validate_declared_features(features: Sequence[str], path: str) -> Iterator[FieldError]:
    """Names in order, none twice."""
    for index, name in enumerate(features):
        if len(name.encode()) > _LONGEST_FEATURE:
            text = f'invalid feature name "{name}": must be no more than {_LONGEST_FEATURE} characters'
            yield FieldError.invalid(f"{path}[{index}]", name, text)
        elif not re.fullmatch(_FEATURE, name):
            yield FieldError.invalid(f"{path}[{index}]", name, f'invalid feature name "{name}": {_FEATURE_RULE}')
        if index and features[index - 1] == name:
            yield FieldError.duplicate(f"{path}[{index}]", name)
        elif index and features[index - 1] > name:
            yield FieldError.invalid(f"{path}[{index}]", name, "list must be sorted alphabetically")


def validate_swap(status: Tree) -> list[FieldError]:
    capacity = ((status.get("nodeInfo") or {}).get("swap") or {}).get("capacity")
    return positive(capacity, "metadata.nodeSwapStatus.capacity")  # the path is upstream's
