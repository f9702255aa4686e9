"""The names of a claim's requests, which other parts of it refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hyperkube_apiserver.registry.dynamicresources.parts import validate_each
from hyperkube_apiserver.registry.fields import dns_label
from hyperkube_machinery.errors import FieldError

__all__ = ["MOST_REQUESTS", "RequestNames"]

MOST_REQUESTS = 32
_UNKNOWN = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


class RequestNames:
    """Requests, and the alternatives that each has."""

    def __init__(self, requests: Sequence[Mapping[str, Any]]) -> None:
        self._names = {
            request.get("name") or "": {one.get("name") or "" for one in request.get("firstAvailable") or ()}
            for request in requests
        }

    def validate(self, names: Sequence[str], path: str) -> list[FieldError]:
        """What is wrong with a list of names, each of a request or of one of its alternatives."""
        return validate_each(names, MOST_REQUESTS, self.validate_one, path, str)

    def validate_one(self, name: str, path: str) -> list[FieldError]:
        parts = name.split("/")
        if len(parts) > 2:
            return [FieldError.invalid(path, name, _UNKNOWN)]
        errors = [error for part in parts for error in dns_label(part, path)]
        known = parts[0] in self._names and (len(parts) == 1 or parts[1] in self._names[parts[0]])
        return errors if known else [*errors, FieldError.invalid(path, name, _UNKNOWN)]
