"""Paths and the operations at them, as values; and the paths of documents, which are only read.

One value serves both versions of OpenAPI: `v2` and `v3` only write it differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hyperkube_apiserver.openapi.parameters import Parameter

__all__ = [
    "OBJECTS",
    "TEXT",
    "Body",
    "Operation",
    "Path",
    "camel",
    "capitalized",
    "document_path",
    "group_path",
    "path_of",
    "root_paths",
]

TEXT = ""
"""Instead of a definition: the answer is a string."""

OBJECTS = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
"""What objects are encoded as."""

_JSON = ("application/json",)
_KEY_SET = ("application/jwk-set+json",)
_ISSUER, _KEYS = ".well-known/openid-configuration", "openid/v1/jwks"
_VERSION = "io.k8s.apimachinery.pkg.version.Info"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1"


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent with a request."""

    definition: str
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one method does at a path."""

    method: str
    identifier: str
    description: str
    tag: str
    answers: dict[int, str]  # the definition that answers with a code, or TEXT
    produces: tuple[str, ...] = OBJECTS
    consumes: tuple[str, ...] = ("*/*",)
    body: Body | None = None
    parameters: tuple[Parameter, ...] = ()  # beside those of the path
    action: str = ""
    group: str = ""
    version: str = ""
    kind: str = ""  # empty where no object is meant

    def extensions(self) -> dict[str, Any]:
        """What tells programs which verb of which kind this is."""
        if not self.action:
            return {}
        meant = {"group": self.group, "version": self.version, "kind": self.kind}
        return {"x-kubernetes-action": self.action, "x-kubernetes-group-version-kind": meant}


@dataclass(frozen=True, slots=True)
class Path:
    """A path and what can be done there."""

    path: str
    operations: tuple[Operation, ...]
    parameters: tuple[Parameter, ...] = ()  # of all its operations

    def definitions(self) -> Iterator[str]:
        """Those that its operations take and answer."""
        for operation in self.operations:
            if operation.body is not None:
                yield operation.body.definition
            yield from (answer for answer in operation.answers.values() if answer != TEXT)


def path_of(path: str, operations: Sequence[Operation], parameters: Iterable[Parameter]) -> Path:
    """A path that has `parameters`, and with them what all its operations share."""
    shared = set.intersection(*(set(operation.parameters) for operation in operations))
    left = tuple(replace(one, parameters=_sorted(set(one.parameters) - shared)) for one in operations)
    return Path(path, left, _sorted({*parameters, *shared}))


def _sorted(several: Iterable[Parameter]) -> tuple[Parameter, ...]:
    return tuple(sorted(several, key=lambda one: (one.name, one.where)))


def document_path(
    path: str, identifier: str, tag: str, definition: str, text: str, *, produces: tuple[str, ...] = OBJECTS
) -> Path:
    """The path of a document that is only read."""
    consumes = () if definition == TEXT else produces
    answers = {200: definition}
    return Path(
        path,
        (
            Operation(
                method="get",
                identifier=identifier,
                description=text,
                tag=tag,
                answers=answers,
                produces=produces,
                consumes=consumes,
            ),
        ),
    )


def root_paths() -> Iterator[tuple[str, Path]]:
    """Documents that tell of one path each, by their names in the index."""
    for path, identifier, tag, definition, text, produces in (
        ("api", "getCoreAPIVersions", "core", f"{_META}.APIVersions", "the versions of the core group", OBJECTS),
        ("apis", "getAPIVersions", "apis", f"{_META}.APIGroupList", "the API groups", OBJECTS),
        ("version", "getCodeVersion", "version", _VERSION, "the version of this server", _JSON),
        (_ISSUER, "getServiceAccountIssuerOpenIDConfiguration", "WellKnown", TEXT, "who issues tokens", _JSON),
        (_KEYS, "getServiceAccountIssuerOpenIDKeyset", "openid", TEXT, "what tokens are verified with", _KEY_SET),
    ):
        yield path, document_path(f"/{path}/", identifier, tag, definition, text, produces=produces)


def group_path(group: str) -> Path:
    """The path that tells the versions of `group`."""
    name = camel(group.removesuffix(".k8s.io"))
    identifier = f"get{capitalized(name)}APIGroup"
    return document_path(f"/apis/{group}/", identifier, name, f"{_META}.APIGroup", f"the versions of {group}")


def camel(text: str) -> str:
    """`rbac.authorization` as `rbacAuthorization`. Source: ToValidOperationID in k8s.io/apiserver."""
    first, *rest = re.split(r"[^A-Za-z0-9_]+", text)
    return first + "".join(map(capitalized, rest))


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
