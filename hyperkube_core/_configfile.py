"""Config files: JSON, TOML, and YAML where PyYAML is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hyperkube_core._errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def read(path: Path) -> Mapping[str, Any]:
    """The settings in the file, read as its suffix says; without a known one, as JSON or YAML. Raises SettingsError."""
    source = f"file {path}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise SettingsError("config", source, f"cannot read it: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError("config", source, "is not UTF-8 text") from exc
    suffix = path.suffix.lower()
    if suffix == ".toml":
        document = _toml(text, source)
    elif suffix in (".yaml", ".yml"):
        document = _yaml(text, source)
    elif suffix == ".json" or text.lstrip()[:1] in ("{", "["):
        document = _json(text, source)
    else:
        document = _yaml(text, source)
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError("config", source, "does not hold a mapping of settings")
    strangers = [key for key in document if not isinstance(key, str)]
    if strangers:
        raise SettingsError("config", source, f"the key {strangers[0]!r} is no text")
    return document


def dropins(folder: str) -> Sequence[Path]:
    """The files of `folder` and of the folders in it that end in `.conf`, in the order of their names.

    Raises SettingsError. Source: k8s.io/kubernetes/cmd/kubelet/app/server.go, mergeKubeletConfigurations
    """
    import os
    from pathlib import Path

    def refuse(exc: OSError) -> None:
        raise SettingsError("config-dir", f"folder {folder}", f"cannot read it: {exc.strerror or exc}") from exc

    found = [Path(where, name) for where, _, names in os.walk(folder, onerror=refuse) for name in names]
    return sorted((path for path in found if path.suffix == ".conf"), key=lambda path: path.parts)


def _json(text: str, source: str) -> Any:
    import json

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise SettingsError(key, source, f"{key!r} is set twice")
            found[key] = value
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except ValueError as exc:
        raise SettingsError("config", source, f"is not JSON: {exc}") from exc


def _toml(text: str, source: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError("config", source, f"is not TOML: {exc}") from exc


def _yaml(text: str, source: str) -> Any:
    try:
        import yaml
    except ImportError as exc:
        message = "YAML needs PyYAML, which is not installed: pip install pyyaml, or write JSON or TOML"
        raise SettingsError("config", source, message) from exc
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise SettingsError("config", source, f"is not YAML: {exc}") from exc
