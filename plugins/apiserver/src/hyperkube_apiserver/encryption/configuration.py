"""The file that says which resources are encrypted, and how: an EncryptionConfiguration.

Source: k8s.io/apiserver/pkg/server/options/encryptionconfig, pkg/apis/apiserver/validation/validation_encryption.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from hyperkube_apiserver.configfiles import ConfigFileError, Shape, Unreadable, read_document
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError
from hyperkube_machinery.durations import parse_duration

__all__ = ["key_bytes", "parsed", "read_entries", "timeout_of", "version_of"]

Tree = dict[str, Any]

_VERSION, _KIND = "apiserver.config.k8s.io/v1", "EncryptionConfiguration"
_KEYS: Shape = {"keys": [{"name": "text", "secret": "text"}]}
_SHAPE: dict[str, Shape] = {
    "resources": [
        {
            "resources": ["text"],
            "providers": [
                {
                    "aesgcm": _KEYS,
                    "aescbc": _KEYS,
                    "secretbox": _KEYS,
                    "identity": {},
                    "kms": {
                        "apiVersion": "text",
                        "name": "text",
                        "cachesize": "number",
                        "endpoint": "text",
                        "timeout": "text",
                    },
                }
            ],
        }
    ]
}
_SIZES: dict[str, Sequence[int]] = {"aesgcm": (16, 24, 32), "aescbc": (16, 24, 32), "secretbox": (32,)}
_SERVICE_SECONDS = "3s"
_ALL = ("*", "*")
_WITHOUT_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_OVERLAP = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be"
    " masked"
)
_NO_PROVIDER = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
_TWO_PROVIDERS = "more than one provider specified in a single element, should split into different list elements"


def read_entries(path: Path, *, reloads: bool = False) -> Sequence[Tree]:
    """What a file lists, checked; `reloads` where it is read again when it changes.

    Raises EncryptionConfigurationError.
    """
    try:
        document = read_document(path, _KIND, (_VERSION,), _SHAPE)
    except Unreadable as exc:
        raise EncryptionConfigurationError(
            f'error reading encryption provider configuration file "{path}": {exc.reason}'
        ) from exc
    except ConfigFileError as exc:
        raise EncryptionConfigurationError(
            f'error decoding encryption provider configuration file "{path}": {exc.why}'
        ) from exc
    entries = [_without_nothing(entry) for entry in document.tree.get("resources") or ()]
    if errors := _errors(entries, reloads=reloads):
        raise EncryptionConfigurationError("invalid encryption provider configuration: " + "; ".join(errors))
    return entries


def _without_nothing(entry: Tree) -> Tree:
    """An entry whose providers have no field that is null, which is as if it were not there."""
    providers = entry.get("providers") or ()
    return {
        "resources": entry.get("resources") or [],
        "providers": [{name: said for name, said in one.items() if said is not None} for one in providers],
    }


def _errors(entries: Sequence[Tree], *, reloads: bool) -> list[str]:
    if not entries:
        return ["resources: Required value: at least one resources is required"]
    errors: list[str] = []
    services: set[str] = set()
    for i, entry in enumerate(entries):
        names, providers = entry["resources"], entry["providers"]
        at, below = f"resources[{i}].resources", f"resources[{i}].providers"
        if not names:
            errors.append(f"{at}: Required value: at least one {at} is required")
        errors += _overlaps(at, names)
        for j, name in enumerate(names):
            if why := _wrong_name(name):
                errors.append(f'{at}[{j}]: Invalid value: "{name}": {why}')
        if not providers:
            errors.append(f"{below}: Required value: at least one {below} is required")
        for j, provider in enumerate(providers):
            errors += _wrong_provider(f"{below}[{j}]", provider, services, reloads=reloads)
    return errors


def _overlaps(at: str, names: Sequence[str]) -> list[str]:
    found = [parsed(name) for name in names]
    shown = "[" + ",".join(f'"{name}"' for name in names) + "]"
    errors = []
    if len(set(found)) < len(found):
        errors.append(f"{at}: Invalid value: {shown}: the same resource cannot be specified multiple times")
    distinct = set(found)
    if len(distinct) > 1 and any(
        one == _ALL or (one[0] == "*" and any(other[1] == one[1] for other in distinct - {one})) for one in distinct
    ):
        errors.append(f"{at}: Invalid value: {shown}: {_OVERLAP}")
    return errors


def _wrong_name(name: str) -> str:
    if name != name.lower():
        return "resource name should not contain capital letters"
    if name == "*":
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if name in _WITHOUT_API:
        return "resources which do not have REST API/s cannot be encrypted"
    resource, group = parsed(name)
    if group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the"
            " config file"
        )
    if group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if group == "*" and resource != "*":
        return "encrypting the same resource across groups is not supported"
    return ""


def _wrong_provider(at: str, provider: Tree, services: set[str], *, reloads: bool) -> list[str]:
    if not provider:
        return [f"{at}: Invalid value: {_NO_PROVIDER}"]
    if len(provider) > 1:
        return [f"{at}: Invalid value: {_TWO_PROVIDERS}"]
    ((kind, content),) = provider.items()
    if kind == "kms":
        errors = _wrong_service(f"{at}.kms", content, services, reloads=reloads)
        services.add(content.get("name") or "")
        return errors
    if kind == "identity":
        return []
    keys, here = content.get("keys") or [], f"{at}.{kind}.keys"
    if not keys:
        return [f"{here}: Required value: at least one keys is required"]
    return [error for k, key in enumerate(keys) for error in _wrong_key(f"{here}[{k}]", key, _SIZES[kind])]


def _wrong_service(at: str, told: Tree, services: Collection[str], *, reloads: bool) -> list[str]:
    """What is wrong with a key service, beside that it isn't of version 2."""
    errors = []
    name, version, endpoint = told.get("name") or "", version_of(told), told.get("endpoint") or ""
    if not name:
        errors.append(f"{at}.name: Required value: name is a mandatory field for a provider")
    if version != "v1" and ":" in name:
        why = f"invalid KMS provider name {name}, must not contain ':'"
        errors.append(f'{at}.name: Invalid value: "{name}": {why}')
    if (reloads or version != "v1") and name in services:
        why = f"duplicate KMS provider name {name}, names must be unique"
        errors.append(f'{at}.name: Invalid value: "{name}": {why}')
    if not timeout_of(told) > 0:
        errors.append(f'{at}.timeout: Invalid value: "{told["timeout"]}": timeout should be a positive value')
    errors += _wrong_endpoint(f"{at}.endpoint", endpoint)
    size = told.get("cachesize")
    if version != "v1" and size is not None:
        errors.append(f"{at}.cachesize: Invalid value: {size}: cachesize is not supported in v2")
    if version == "v1" and size == 0:
        why = "cachesize should be a positive value, or negative to disable"
        errors.append(f"{at}.cachesize: Invalid value: {size}: {why}")
    if version not in ("v1", "v2"):
        why = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        errors.append(f'{at}.apiVersion: Invalid value: "{version}": {why}')
    return errors


def _wrong_endpoint(at: str, endpoint: str) -> list[str]:
    if not endpoint:
        return [f'{at}: Invalid value: "": endpoint is a mandatory field for a kms']
    scheme = endpoint.partition(":")[0] if ":" in endpoint else ""
    if scheme != "unix":
        why = f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        return [f'{at}: Invalid value: "{endpoint}": {why}']
    return []


def version_of(service: Tree) -> str:
    """Which version of the API a key service speaks."""
    return service.get("apiVersion") or "v1"


def timeout_of(service: Tree) -> float:
    """How many seconds a key service has for an answer; 0 for what is no duration."""
    try:
        return parse_duration(service.get("timeout") or _SERVICE_SECONDS)
    except ValueError:
        return 0.0


def _wrong_key(at: str, key: Tree, sizes: Sequence[int]) -> list[str]:
    errors = []
    if not key.get("name"):
        errors.append(f"{at}.name: Required value: name is a mandatory field for a key")
    if not key.get("secret"):
        return [*errors, f"{at}.secret: Required value: secret is a mandatory field for a key"]
    secret = key_bytes(key["secret"])
    if secret is None:
        return [*errors, f'{at}.secret: Invalid value: "REDACTED": secrets must be base64 encoded']
    if len(secret) not in sizes:
        expected = "[" + " ".join(map(str, sizes)) + "]"
        why = f"secret is not of the expected length, got {len(secret)}, expected one of {expected}"
        errors.append(f'{at}.secret: Invalid value: "REDACTED": {why}')
    return errors


def key_bytes(secret: str) -> bytes | None:
    """The key that a text stands for; None for what is no base64."""
    try:
        return base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return None


def parsed(name: str) -> tuple[str, str]:
    """The resource and its group; "*." is all of the core group."""
    resource, _, group = name.partition(".")
    return resource, group
