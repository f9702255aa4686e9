"""Which programs are asked for credentials of registries: CredentialProviderConfig.

Source: k8s.io/kubernetes/pkg/credentialprovider/plugin/config.go and k8s.io/kubelet/config/v1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.yamltext import BadYAML, parse_yaml

__all__ = ["Provider", "TokenAttributes", "check_programs", "read_providers"]

_KIND = "CredentialProviderConfig"
_CONFIG_VERSIONS = tuple(f"kubelet.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
V1 = "credentialprovider.kubelet.k8s.io/v1"
VERSIONS = (V1, f"{V1}alpha1", f"{V1}beta1")
_CACHE_TYPES = ("ServiceAccount", "Token")
_FIELDS = frozenset(["name", "matchImages", "defaultCacheDuration", "apiVersion", "args", "env", "tokenAttributes"])

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TokenAttributes:
    """That a program is given a token of the pod's service account, and which."""

    audience: str
    cache_type: str
    required: bool  # whether it is asked only for pods with a service account
    required_annotations: tuple[str, ...] = ()
    optional_annotations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """A program that knows credentials."""

    name: str
    version: str  # of what it is told and answers
    match_images: tuple[str, ...]
    cache_seconds: float  # where its answer doesn't say
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    token: TokenAttributes | None = None


def read_providers(path: Path) -> list[Provider]:
    """Of a file, or of the files of a folder in the order of their names. Raises ValueError and OSError."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".yaml", ".yml") and file.is_file())
        if not files:
            raise ValueError(f'no configuration files found in directory "{path}"')
    found: list[Provider] = []
    for file in files:
        try:
            document, doubled = parse_yaml(file.read_bytes())
            if doubled:
                raise ValueError(doubled[0])
            found += [_provider(one) for one in _listed(document)]
        except (BadYAML, ValueError) as exc:
            raise ValueError(f'error decoding config "{file}": {exc}') from exc
    names = [provider.name for provider in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f'duplicate provider name "{twice}" found in configuration file(s)')
    if not found:
        raise ValueError("providers: Required value: at least 1 item in plugins is required")
    return found


def check_programs(providers: Iterable[Provider], folder: Path) -> None:
    """Raises ValueError for one that is not in `folder`."""
    if not folder.is_dir():
        raise ValueError(f"plugin binary directory {folder} did not exist")
    for provider in providers:
        if not os.access(folder / provider.name, os.X_OK):
            raise ValueError(f"plugin binary executable {folder / provider.name} did not exist")


def _listed(document: Any) -> Sequence[Tree]:
    if not isinstance(document, Mapping) or document.get("kind") != _KIND:
        raise ValueError(f"it is no {_KIND}")
    if document.get("apiVersion") not in _CONFIG_VERSIONS:
        raise ValueError(f"it is of {document.get('apiVersion')}, not of {' or '.join(_CONFIG_VERSIONS)}")
    listed = document.get("providers") or []
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        raise ValueError("providers is no list of providers")
    return listed


def _provider(given: Tree) -> Provider:
    if wrong := next(_errors(given), None):
        raise ValueError(f"providers.{wrong}")
    token = given.get("tokenAttributes")
    return Provider(
        name=given["name"],
        version=given["apiVersion"],
        match_images=tuple(given["matchImages"]),
        cache_seconds=parse_duration(given["defaultCacheDuration"]),
        args=tuple(map(str, given.get("args") or ())),
        env=tuple((one["name"], str(one.get("value") or "")) for one in given.get("env") or ()),
        token=_token(token) if token else None,
    )


def _token(given: Tree) -> TokenAttributes:
    return TokenAttributes(
        given["serviceAccountTokenAudience"],
        given["cacheType"],
        bool(given["requireServiceAccount"]),
        tuple(given.get("requiredServiceAccountAnnotationKeys") or ()),
        tuple(given.get("optionalServiceAccountAnnotationKeys") or ()),
    )


def _errors(given: Tree) -> Iterator[str]:
    """What is wrong, in upstream's words."""
    yield from (f"{name}: unknown field" for name in given if name not in _FIELDS)
    name, version = given.get("name") or "", given.get("apiVersion") or ""
    if not name or "/" in name or " " in name or name in (".", ".."):
        yield f"name: Invalid value: \"{name}\": provider name cannot be empty, . or .., or contain '/' or spaces"
    if not version:
        yield "apiVersion: Required value"
    elif version not in VERSIONS:
        supported = ", ".join(f'"{one}"' for one in VERSIONS)
        yield f'apiVersion: Unsupported value: "{version}": supported values: {supported}'
    if not given.get("matchImages"):
        yield "matchImages: Required value: at least 1 item in matchImages is required"
    duration = given.get("defaultCacheDuration")
    if duration is None:
        yield "defaultCacheDuration: Required value"
    elif parse_duration(str(duration)) < 0:
        yield f'defaultCacheDuration: Invalid value: "{duration}": must be greater than or equal to 0'
    if token := given.get("tokenAttributes"):
        yield from (f"tokenAttributes.{wrong}" for wrong in _token_errors(token))
        if version != V1:
            yield f"tokenAttributes: Forbidden: tokenAttributes is only supported for {V1} API version"


def _token_errors(token: Tree) -> Iterator[str]:
    if not token.get("serviceAccountTokenAudience"):
        yield "serviceAccountTokenAudience: Required value"
    if token.get("requireServiceAccount") is None:
        yield "requireServiceAccount: Required value"
    required = token.get("requiredServiceAccountAnnotationKeys") or ()
    optional = token.get("optionalServiceAccountAnnotationKeys") or ()
    if token.get("requireServiceAccount") is False and required:
        yield (
            "requiredServiceAccountAnnotationKeys: Forbidden: requireServiceAccount cannot be false when"
            " requiredServiceAccountAnnotationKeys is set"
        )
    if both := sorted(set(required) & set(optional)):
        yield f"Invalid value: {both}: annotation keys cannot be both required and optional"
    if token.get("cacheType") not in _CACHE_TYPES:
        supported = ", ".join(f'"{one}"' for one in _CACHE_TYPES)
        yield f'cacheType: Unsupported value: "{token.get("cacheType") or ""}": supported values: {supported}'
