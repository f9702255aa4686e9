"""From config files to options: KubeletConfigurations, merged; or plain mappings of flags, as every server's.

A key is an option, or it is warned of or refused as the flag of its meaning is, unless its value says what is so here
anyway. Source: k8s.io/kubernetes/cmd/kubelet/app/server.go, pkg/kubelet/kubeletconfig/configfiles.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hyperkube_kubelet.configuration.decoding import decoded, merged
from hyperkube_kubelet.configuration.keys import Key, keys
from hyperkube_kubelet.configuration.validation import complaints
from hyperkube_kubelet.flags import foreign_flags
from hyperkube_machinery.quantity import Quantity

__all__ = ["read_configurations"]

log = logging.getLogger(__name__)

_PATHS = ("staticPodPath", "authentication.x509.clientCAFile", "tlsCertFile", "tlsPrivateKeyFile", "resolvConf")
"""Files that are looked for beside the file that names them. Source: KubeletConfigurationPathRefs"""


def read_configurations(files: Sequence[tuple[Path, Mapping[str, Any]]], fields: Container[str]) -> dict[str, Any]:
    """What the files say, the later going before, of `fields`, which the options have.

    Raises ValueError, which names the file, for what is refused, not known or can't be.
    """
    if len(files) == 1 and not {"kind", "apiVersion"} & files[0][1].keys():
        return {key.replace("-", "_"): value for key, value in files[0][1].items()}
    values = merged(_decoded(path, document, alone=len(files) == 1) for path, document in files)
    _derive(values)
    wrong = complaints(values)
    if wrong:
        raise ValueError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return dict(_options(values, fields))


def _derive(values: dict[str, Any]) -> None:
    """What follows from other keys unless it is told. Source: SetDefaults_KubeletConfiguration"""
    often = values.get("nodeStatusUpdateFrequency")
    if often is not None:
        values.setdefault("nodeStatusReportFrequency", often)
    if (values.get("maxParallelImagePulls") or 0) > 1:
        values.setdefault("serializeImagePulls", False)


def _decoded(path: Path, document: Mapping[str, Any], *, alone: bool) -> dict[str, Any]:
    try:
        values = decoded(document)
    except ValueError as exc:
        if alone:  # whoever asked says which file it was
            raise
        raise ValueError(f"{path}: {exc}") from exc
    for key in _PATHS:
        if values.get(key):
            values[key] = os.path.join(path.absolute().parent, values[key])
    return values


def _options(values: Mapping[str, Any], fields: Container[str]) -> Iterator[tuple[str, Any]]:
    for path, value in values.items():
        key = keys()[path]
        foreign = foreign_flags().get(key.flag)
        if foreign is not None:
            _treat(key, value, foreign.treatment, foreign.reason, foreign.agrees)
        elif key.field in fields:
            yield key.field, _loaded(key, value)
        else:
            _treat(key, value, "refused" if key.refused else "warned", key.refused or key.warned, key.agrees)


def _treat(key: Key, value: Any, treatment: str, reason: str, agrees: Sequence[Any]) -> None:
    if _agrees(key, value, agrees):
        return
    if treatment == "refused":
        raise ValueError(f"{key.path} is refused: {reason}")
    log.warning("config file: %s has no effect: %s", key.path, reason)


def _agrees(key: Key, value: Any, agrees: Sequence[Any]) -> bool:
    """Whether a value is among those that change nothing, which a flag has as texts."""
    if value in agrees or _text(value) in agrees:
        return True
    if key.kind == "gates":
        return all(f"{name}={_text(on)}" in agrees for name, on in value.items())
    return False


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _loaded(key: Key, value: Any) -> Any:
    """As the option takes it from a file."""
    if key.kind == "taints":
        return [f"{item['key']}={item.get('value') or ''}:{item['effect']}" for item in value]
    if key.kind == "number" and isinstance(value, float):
        return str(Quantity.parse(repr(value)))
    return value
