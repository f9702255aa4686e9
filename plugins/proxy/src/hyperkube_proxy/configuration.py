"""KubeProxyConfiguration: read into the words of the options, and told in its own. Nothing of it is kept.

`configuration.json` has a row for each key: its type in Go's words (`*` where a zero is a value and not its absence),
upstream's default, and one of

    flag      the key is treated as the flag of this name is: an option, warned of or refused
    option    a field of the options that upstream has no flag for
    warned, refused   the reason; `agrees` has the values that say what is so here anyway

`modes` are those that the key is for, where it isn't for all. Source: k8s.io/kube-proxy/config/v1alpha1.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_core import SettingsError
from hyperkube_machinery.durations import format_duration, parse_duration
from hyperkube_machinery.packaged import read_packaged
from hyperkube_machinery.yamloutput import to_yaml
from hyperkube_proxy.flags import foreign_flags

if TYPE_CHECKING:
    from hyperkube_proxy.options import Options

__all__ = ["FLAGS_BESIDE", "KIND", "VERSION", "Key", "keys", "shown", "translate", "write_configuration"]

log = logging.getLogger(__name__)

KIND = "KubeProxyConfiguration"
VERSION = "kubeproxy.config.k8s.io/v1alpha1"

FLAGS_BESIDE = frozenset({"cleanup", "hostname-override", "init-only", "master", "write-config-to"})
"""Of kube-proxy's flags those that count beside a configuration file; the file goes before all others.
Source: k8s.io/kubernetes/cmd/kube-proxy/app/options.go (Complete)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key, called by its path: `nftables.syncPeriod`."""

    path: str
    type: str
    default: Any = None
    flag: str = ""
    option: str = ""
    warned: str = ""
    refused: str = ""
    agrees: tuple[Any, ...] = ()
    modes: tuple[str, ...] | None = None  # None: all

    @property
    def field(self) -> str:
        """The field of the options that it may be."""
        return self.option or self.flag.replace("-", "_")

    @property
    def kind(self) -> str:
        return self.type.removeprefix("*")

    def is_set(self, value: Any) -> bool:
        """Whether a value counts: a zero is no value where Go can't tell it from none."""
        return value is not None and (self.type.startswith("*") or value not in (0, "", "0", "0s", False, {}, []))


@cache
def keys() -> Mapping[str, Key]:
    """All, by their path, in upstream's order."""
    rows = json.loads(read_packaged("hyperkube_proxy", "configuration.json"))["keys"]
    return {path: _key(path, row) for path, row in rows.items()}


def _key(path: str, row: Mapping[str, Any]) -> Key:
    lists = {name: tuple(row[name]) for name in ("agrees", "modes") if name in row}
    return Key(path=path, **{**row, **lists})


@cache
def _folders() -> frozenset[str]:
    parts = (path.split(".") for path in keys())
    return frozenset(".".join(path[:length]) for path in parts for length in range(1, len(path)))


def translate(document: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their names. Raises ValueError for a key that can't be done, or is no such value, telling which.

    A key that there isn't is warned of, and so is one that does nothing here: upstream goes on as well.
    """
    if document.get("apiVersion") != VERSION:
        raise ValueError(f'apiVersion: "{document.get("apiVersion")}" is not {VERSION}')
    values = {key.path: (key, value) for key, value in _leaves(document, "")}
    mode = values["mode"][1] if "mode" in values else ""
    return {
        field: value
        for key, given in values.values()
        if key.modes is None or mode in key.modes
        for field, value in _options(key, given)
    }


def _leaves(document: Mapping[str, Any], above: str) -> Iterator[tuple[Key, Any]]:
    for name, value in document.items():
        path = f"{above}{name}"
        key = keys().get(path)
        if key is not None:
            if value is not None:
                _check(key, value)
            if key.is_set(value):
                yield key, value
        elif path in _folders():
            if value is not None and not isinstance(value, Mapping):
                raise ValueError(f"{path}: must be a mapping")
            yield from _leaves(value or {}, f"{path}.")
        elif path not in ("apiVersion", "kind"):
            log.warning("config file: there is no field %s: it has no effect", path)


def _check(key: Key, value: Any) -> None:
    fits, words = _TYPES[key.kind]
    if not fits(value):
        raise ValueError(f"{key.path}: must be {words}, and is {value!r}")


def _is_duration(value: Any) -> bool:
    try:
        parse_duration(value)
    except (TypeError, ValueError, AttributeError):
        return False
    return isinstance(value, str)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_gates(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(on, bool) for on in value.values())


_TYPES: dict[str, tuple[Any, str]] = {
    "any": (lambda value: True, "anything"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "duration": (_is_duration, "a duration such as 30s"),
    "gates": (_is_gates, "a mapping of names to true or false"),
    "int32": (_is_integer, "a number"),
    "number": (lambda value: _is_integer(value) or isinstance(value, float), "a number"),
    "string": (lambda value: isinstance(value, str), "a string"),
    "strings": (_is_strings, "a list of strings"),
}


def _options(key: Key, value: Any) -> Iterator[tuple[str, Any]]:
    foreign = foreign_flags().get(key.flag)
    if foreign is not None:
        _treat(key, value, foreign.treatment, foreign.reason, foreign.agrees)
    elif key.field:
        yield key.field, str(value) if isinstance(value, float) else value
    else:
        _treat(key, value, "refused" if key.refused else "warned", key.refused or key.warned, key.agrees)


def _treat(key: Key, value: Any, treatment: str, reason: str, agrees: Sequence[Any]) -> None:
    if value == key.default or value in agrees or _text(value) in agrees:
        return
    if treatment == "refused":
        raise ValueError(f"{key.path} is refused: {reason}")
    log.warning("config file: %s has no effect: %s", key.path, reason)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """The KubeProxyConfiguration that options, by field, came to; of what does nothing here upstream's default."""
    document: dict[str, Any] = {"apiVersion": VERSION, "kind": KIND}
    for path, key in keys().items():
        value = key.default
        if key.field in options and (key.modes is None or options["proxy_mode"] in key.modes):
            value = _shown(key, options[key.field])
        if value is not None:
            _put(document, path, value)
    return document


def _shown(key: Key, value: Any) -> Any:
    if value is None:
        return None
    match key.kind:
        case "duration":
            return format_duration(value)
        case "strings":
            return list(value)
        case "string":
            return str(value)
    return value


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        document = document.setdefault(name, {})
    document[last] = value


def write_configuration(options: Options, file: Path) -> None:
    """Write what the settings came to. Raises SettingsError where that can't be done."""
    try:
        file.write_text(to_yaml(shown(dataclasses.asdict(options))))
    except OSError as exc:
        name = "write-config-to"
        raise SettingsError(name, f"flag --{name}", f"cannot write {file}: {exc.strerror}") from exc
    log.info("wrote %s", file)
