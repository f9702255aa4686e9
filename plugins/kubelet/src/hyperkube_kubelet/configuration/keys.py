"""Every key of a KubeletConfiguration, and what becomes of it.

`configuration.json` has a row for each: its type in Go's words (`*` where a zero is a value and not its absence),
upstream's default, and one of

    flag      the key is treated as the flag of this name is: an option, warned of or refused
    option    a field of the options that upstream has no flag for
    warned, refused   the reason; `agrees` has the values that say what is so here anyway

Source: k8s.io/kubelet/config/v1beta1/types.go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hyperkube_machinery.packaged import read_packaged

__all__ = ["GROUP", "KIND", "Key", "folders", "keys", "put"]

GROUP = "kubelet.config.k8s.io/v1beta1"
KIND = "KubeletConfiguration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, called by its path: `authentication.x509.clientCAFile`."""

    path: str
    type: str
    default: Any = None
    flag: str = ""
    option: str = ""
    warned: str = ""
    refused: str = ""
    agrees: tuple[Any, ...] = ()

    @property
    def field(self) -> str:
        """The field of the options that it may be."""
        return self.option or self.flag.replace("-", "_")

    @property
    def kind(self) -> str:
        return self.type.removeprefix("*")

    def is_set(self, value: Any) -> bool:
        """Whether a value counts: a zero is no value where Go can't tell it from none."""
        return value is not None and (self.type.startswith("*") or value not in (0, "", "0s", False, {}))


@cache
def keys() -> Mapping[str, Key]:
    """All, by their path, in upstream's order."""
    rows = json.loads(read_packaged("hyperkube_kubelet", "configuration.json"))["keys"]
    return {path: Key(path=path, **{**row, "agrees": tuple(row.get("agrees", ()))}) for path, row in rows.items()}


@cache
def folders() -> frozenset[str]:
    """The paths that other keys are below: `authentication`, `authentication.x509`."""
    parts = (path.split(".") for path in keys())
    return frozenset(".".join(path[:length]) for path in parts for length in range(1, len(path)))


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set what `path` names in a document of nested mappings."""
    *above, last = path.split(".")
    for name in above:
        document = document.setdefault(name, {})
    document[last] = value
