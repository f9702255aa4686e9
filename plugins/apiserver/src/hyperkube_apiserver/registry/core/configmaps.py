"""Config maps and secrets: data under keys that become file names.

Source: k8s.io/kubernetes/pkg/registry/core/{configmap,secret}, ValidateConfigMap, ValidateSecret.
"""

from __future__ import annotations

import base64

from hyperkube_apiserver.registry.fields import checked
from hyperkube_apiserver.registry.meta import immutable
from hyperkube_apiserver.registry.podspec.defaults import fill
from hyperkube_apiserver.registry.strategy import Strategy, Tree, WriteContext
from hyperkube_machinery import meta
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.jsontext import BadJSON, parse
from hyperkube_machinery.names import config_map_key

__all__ = ["ConfigMaps", "Secrets"]

_LIMIT_BYTES = 1024 * 1024


def _decoded_size(text: str) -> int:
    return len(text) * 3 // 4 - text[-2:].count("=")


def _validate_frozen(obj: Tree, old: Tree, *fields: str) -> list[FieldError]:
    """An immutable object stays immutable and keeps `fields`."""
    if not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    errors = [] if obj.get("immutable") else [FieldError.forbidden("immutable", why)]
    return errors + [
        FieldError.forbidden(field, why) for field in fields if (obj.get(field) or {}) != (old.get(field) or {})
    ]


class ConfigMaps(Strategy):
    revalidates_meta = True

    def validate_object(self, obj: Tree) -> list[FieldError]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        errors: list[FieldError] = []
        for key in data:
            errors += checked(config_map_key, key, f"data[{key}]")
            if key in binary:
                errors.append(FieldError.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in binary:
            errors += checked(config_map_key, key, f"binaryData[{key}]")
        size = sum(len(value.encode()) for value in data.values()) + sum(map(_decoded_size, binary.values()))
        if size > _LIMIT_BYTES:
            # The whole object is meant, by an empty key.
            errors.append(FieldError.too_long("[]", _LIMIT_BYTES))
        return errors

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        return _validate_frozen(obj, old, "data", "binaryData") + self.validate_object(obj)


class Secrets(Strategy):
    revalidates_meta = True

    def default(self, obj: Tree) -> None:
        fill(obj, type="Opaque")
        texts = obj.pop("stringData", None)
        if texts:
            added = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
            obj["data"] = {**(obj.get("data") or {}), **added}

    def prepare_for_update(self, obj: Tree, old: Tree, context: WriteContext) -> None:
        super().prepare_for_update(obj, old, context)
        if not obj.get("type") and old.get("type"):
            obj["type"] = old["type"]

    def validate_object(self, obj: Tree) -> list[FieldError]:
        data = obj.get("data") or {}
        errors = [error for key in data for error in checked(config_map_key, key, f"data[{key}]")]
        if sum(map(_decoded_size, data.values())) > _LIMIT_BYTES:
            errors.append(FieldError.too_long("data", _LIMIT_BYTES))
        return errors + _validate_type(obj, data)

    def validate_object_update(self, obj: Tree, old: Tree) -> list[FieldError]:
        errors = immutable("type", obj.get("type") or "", old.get("type") or "")
        return errors + _validate_frozen(obj, old, "data") + self.validate_object(obj)

    def warnings(self, obj: Tree, old: Tree | None = None) -> list[str]:
        return _tls_warnings(obj.get("data") or {}) if obj.get("type") == "kubernetes.io/tls" else []


def _tls_warnings(data: Tree) -> list[str]:
    """What is odd about the certificate and key of a TLS secret."""
    from hyperkube_apiserver.registry.core.keypairs import key_pair_complaint  # its library loads slowly

    complaint = key_pair_complaint(*(base64.b64decode(data.get(name) or "") for name in ("tls.crt", "tls.key")))
    return [complaint] if complaint else []


def _validate_type(obj: Tree, data: Tree) -> list[FieldError]:
    """The keys that a secret of its type must have."""

    def missing(*keys: str) -> list[FieldError]:
        return [FieldError.required(f"data[{key}]") for key in keys if key not in data]

    match obj.get("type") or "":
        case "kubernetes.io/service-account-token":
            key = "kubernetes.io/service-account.name"
            return [] if meta.annotations_of(obj).get(key) else [FieldError.required(f"metadata.annotations[{key}]")]
        case "kubernetes.io/dockercfg":
            return missing(".dockercfg") or _validate_json(".dockercfg", data)
        case "kubernetes.io/dockerconfigjson":
            return missing(".dockerconfigjson") or _validate_json(".dockerconfigjson", data)
        case "kubernetes.io/basic-auth":
            absent = missing("username", "password")
            return absent if len(absent) == 2 else []
        case "kubernetes.io/ssh-auth":
            return [] if data.get("ssh-privatekey") else [FieldError.required("data[ssh-privatekey]")]
        case "kubernetes.io/tls":
            return missing("tls.crt", "tls.key")
    return []


def _validate_json(key: str, data: Tree) -> list[FieldError]:
    """The value holds a JSON object; the complaint never shows it."""
    why = ""
    try:
        value = parse(base64.b64decode(data[key]))
    except BadJSON as exc:
        why = str(exc)
    else:
        if value is None or isinstance(value, dict):
            return []
        names = {bool: "bool", str: "string", list: "array", int: "number", float: "number"}
        why = f"json: cannot unmarshal {names[type(value)]} into Go value of type map[string]interface {{}}"
    return [FieldError.invalid(f"data[{key}]", "<secret contents redacted>", why)]
