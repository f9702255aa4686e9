"""The file that says which resources are encrypted, and how: an EncryptionConfiguration.

Source: k8s.io/apiserver/pkg/server/options/encryptionconfig, pkg/apis/apiserver/validation/validation_encryption.go.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_apiserver.encryption.providers import (
    AESCBCKey,
    AESGCMKey,
    Identity,
    Keyed,
    Provider,
    SecretboxKey,
    Transformer,
)
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError
from hyperkube_machinery.yamltext import BadYAML, parse_yaml

__all__ = ["Rules", "read_rules"]

Tree = dict[str, Any]

_VERSION, _KIND = "apiserver.config.k8s.io/v1", "EncryptionConfiguration"
_AES_SIZES, _BOX_SIZES = (16, 24, 32), (32,)
_KEYED: dict[str, tuple[bytes, Callable[[bytes], Any], Sequence[int], str]] = {
    "aesgcm": (b"k8s:enc:aesgcm:v1:", AESGCMKey, _AES_SIZES, "AES"),
    "aescbc": (b"k8s:enc:aescbc:v1:", AESCBCKey, _AES_SIZES, "AES"),
    "secretbox": (b"k8s:enc:secretbox:v1:", SecretboxKey, _BOX_SIZES, "Secretbox"),
}
_ALL = ("*", "*")
_WITHOUT_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_OVERLAP = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be"
    " masked"
)
_NO_PROVIDER = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
_TWO_PROVIDERS = "more than one provider specified in a single element, should split into different list elements"


@dataclass(frozen=True, slots=True)
class Rules:
    """Which resources are encrypted how, in order."""

    rules: Sequence[tuple[tuple[str, str], Transformer]]  # resource and group, of which "*" is any

    def transformer(self, group: str, resource: str) -> Transformer | None:
        """What is done with a resource; None for nothing."""
        for (wanted, wanted_group), transformer in self.rules:
            if wanted_group in ("*", group) and wanted in ("*", resource):
                return transformer
        return None


def read_rules(path: Path) -> Rules:
    """What a file says. Raises EncryptionConfigurationError."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise EncryptionConfigurationError(
            f'error reading encryption provider configuration file "{path}": {exc.strerror}'
        ) from exc
    if not text.strip():
        raise EncryptionConfigurationError(f'encryption provider configuration file "{path}" is empty')
    try:
        tree = parse_yaml(text)[0]
    except BadYAML as exc:
        raise _undecodable(path, str(exc)) from exc
    if not isinstance(tree, dict) or (tree.get("apiVersion"), tree.get("kind")) != (_VERSION, _KIND):
        raise _undecodable(path, f"it must have the apiVersion {_VERSION} and the kind {_KIND}")
    _check_fields(path, tree)
    entries = tree.get("resources") or []
    if errors := list(_errors(entries)):
        raise EncryptionConfigurationError("invalid encryption provider configuration: " + "; ".join(errors))
    return _rules(entries)


def _undecodable(path: Path, why: str) -> EncryptionConfigurationError:
    return EncryptionConfigurationError(f'error decoding encryption provider configuration file "{path}": {why}')


def _check_fields(path: Path, tree: Tree) -> None:
    """Refuse what is written where nothing of the name is, and what has another type than it should."""
    unknown = [f'unknown field "{name}"' for name in tree if name not in ("apiVersion", "kind", "resources")]
    for i, entry in enumerate(_list(path, tree, "resources", dict)):
        at = f"resources[{i}]"
        unknown += [f'unknown field "{at}.{name}"' for name in entry if name not in ("resources", "providers")]
        _list(path, entry, "resources", str)
        for j, provider in enumerate(_list(path, entry, "providers", dict)):
            for name, content in provider.items():
                here = f"{at}.providers[{j}].{name}"
                if name not in (*_KEYED, "identity", "kms"):
                    unknown.append(f'unknown field "{here}"')
                elif name in _KEYED:
                    if not isinstance(content, dict):
                        raise _undecodable(path, f"{here} must be an object")
                    unknown += [f'unknown field "{here}.{one}"' for one in content if one != "keys"]
                    for k, key in enumerate(_list(path, content, "keys", dict)):
                        unknown += [
                            f'unknown field "{here}.keys[{k}].{one}"' for one in key if one not in ("name", "secret")
                        ]
    if unknown:
        raise _undecodable(path, "strict decoding error: " + ", ".join(unknown))


def _list(path: Path, tree: Tree, name: str, type_: type) -> list[Any]:
    found = tree.get(name) or []
    if not isinstance(found, list) or not all(isinstance(item, type_) for item in found):
        raise _undecodable(path, f'"{name}" must be a list of {"objects" if type_ is dict else "strings"}')
    return found


def _errors(entries: Sequence[Tree]) -> list[str]:
    if not entries:
        return ["resources: Required value: at least one resources is required"]
    errors: list[str] = []
    for i, entry in enumerate(entries):
        names, providers = entry.get("resources") or [], entry.get("providers") or []
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
            errors += _wrong_provider(f"{below}[{j}]", provider)
    return errors


def _overlaps(at: str, names: Sequence[str]) -> list[str]:
    parsed = [_parsed(name) for name in names]
    shown = "[" + ",".join(f'"{name}"' for name in names) + "]"
    errors = []
    if len(set(parsed)) < len(parsed):
        errors.append(f"{at}: Invalid value: {shown}: the same resource cannot be specified multiple times")
    distinct = set(parsed)
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
    resource, group = _parsed(name)
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


def _wrong_provider(at: str, provider: Tree) -> list[str]:
    if not provider:
        return [f"{at}: Invalid value: {_NO_PROVIDER}"]
    if len(provider) > 1:
        return [f"{at}: Invalid value: {_TWO_PROVIDERS}"]
    ((name, content),) = provider.items()
    if name == "kms":
        return [f"{at}.kms: Invalid value: no key management service is spoken to here; use aesgcm or secretbox"]
    if name == "identity":
        return []
    keys, here = (content or {}).get("keys") or [], f"{at}.{name}.keys"
    if not keys:
        return [f"{here}: Required value: at least one keys is required"]
    return [error for k, key in enumerate(keys) for error in _wrong_key(f"{here}[{k}]", key, _KEYED[name][2])]


def _wrong_key(at: str, key: Tree, sizes: Sequence[int]) -> list[str]:
    errors = []
    if not key.get("name"):
        errors.append(f"{at}.name: Required value: name is a mandatory field for a key")
    if not key.get("secret"):
        return [*errors, f"{at}.secret: Required value: secret is a mandatory field for a key"]
    secret = _decoded(key["secret"])
    if secret is None:
        return [*errors, f'{at}.secret: Invalid value: "REDACTED": secrets must be base64 encoded']
    if len(secret) not in sizes:
        expected = "[" + " ".join(map(str, sizes)) + "]"
        why = f"secret is not of the expected length, got {len(secret)}, expected one of {expected}"
        errors.append(f'{at}.secret: Invalid value: "REDACTED": {why}')
    return errors


def _decoded(text: object) -> bytes | None:
    try:
        return base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        return None


def _parsed(name: str) -> tuple[str, str]:
    """The resource and its group; "*." is all of the core group."""
    resource, _, group = name.partition(".")
    return resource, group


def _rules(entries: Sequence[Tree]) -> Rules:
    rules: list[tuple[tuple[str, str], Transformer]] = []
    for entry in entries:
        transformer = Transformer([_provider(one) for one in entry["providers"]])
        for name in entry["resources"]:
            resource, group = _parsed(name)
            for masking in (("*", group), _ALL):
                if any(rule == masking for rule, _ in rules):
                    shown = "*." + masking[1]
                    raise EncryptionConfigurationError(f'resource "{name}" is masked by earlier rule "{shown}"')
            rules.append(((resource, group), transformer))
    return Rules(rules)


def _provider(provider: Tree) -> Provider:
    ((name, content),) = provider.items()
    if name == "identity":
        return Identity()
    prefix, make, _, words = _KEYED[name]
    keys = []
    for key in content["keys"]:
        secret = _decoded(key["secret"])
        assert secret is not None  # it was checked
        try:
            keys.append((f"{key['name']}:".encode(), make(secret)))
        except ImportError as exc:
            raise EncryptionConfigurationError(
                f"{name} needs PyNaCl: install hyperkube-apiserver[{name}], or use aesgcm"
            ) from exc
    return Keyed(prefix, keys, words)
