"""The configuration that the options came to, as /configz tells it. Pure.

Source: initConfigz in k8s.io/kubernetes/cmd/kubelet/app/server.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_kubelet.configuration.keys import GROUP, KIND, Key, keys, put
from hyperkube_kubelet.flags import foreign_flags
from hyperkube_machinery.durations import format_duration

__all__ = ["shown"]


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """A KubeletConfiguration: options, by field, as they are; of the rest what is so here, or upstream's default."""
    document: dict[str, Any] = {}
    for path, key in keys().items():
        if key.field in options and key.flag not in foreign_flags():
            value = _shown(key, options[key.field])
        else:
            value = _here(key)
        if key.is_set(value):
            put(document, path, value)
    return {**document, "kind": KIND, "apiVersion": GROUP}


def _here(key: Key) -> Any:
    """The value that changes nothing, of a key that does nothing."""
    foreign = foreign_flags().get(key.flag)
    agrees = key.agrees if foreign is None else foreign.agrees
    if not agrees:
        return key.default
    match key.kind, agrees[0]:
        case "bool", str(text):
            return text == "true"
        case "int32" | "int64", str(text):
            return int(text)
        case "strings", str(text):
            return text.split(",") if text else []
        case "string" | "duration", value:
            return value
        case _, value if not isinstance(value, str):
            return value
    return key.default


def _shown(key: Key, value: Any) -> Any:
    if value is None:
        return None
    match key.kind:
        case "duration":
            return format_duration(value)
        case "int32" | "int64":
            return int(value)
        case "strings" | "integers" | "objects":
            return list(value)
        case "taints":
            return [_taint(text) for text in value]
        case "string":
            return str(value)
        case "headers":
            return {name: [text] if isinstance(text, str) else list(text) for name, text in value.items()}
    return value


def _taint(text: str) -> dict[str, str]:
    name, _, effect = text.partition(":")
    key, _, value = name.partition("=")
    return {"key": key, "value": value, "effect": effect} if value else {"key": key, "effect": effect}
