"""What a file tells admission plugins.

Source: k8s.io/apiserver/pkg/admission/config.go, k8s.io/apiserver/pkg/apis/apiserver.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

__all__ = ["ConfigurationError", "check_fields", "read_configurations"]

_KIND = "AdmissionConfiguration"
_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")
_BARE = {"podNodeSelectorPluginConfig": "PodNodeSelector", "imagePolicy": "ImagePolicyWebhook"}
"""What a file of the time before there was a kind for it holds, and the plugin that it is for."""


class ConfigurationError(ValueError):
    """The file can't be read, or asks for what isn't done."""


def read_configurations(path: Path) -> Mapping[str, Any]:
    """The configurations in a file, by plugin. Raises ConfigurationError."""
    tree = _read(path)
    if "kind" not in tree and "apiVersion" not in tree:
        found = {plugin: tree for field, plugin in _BARE.items() if field in tree}
        if found:
            return found
    if tree.get("kind") != _KIND or tree.get("apiVersion") not in _VERSIONS:
        raise ConfigurationError(f"{path} is no {_KIND} of {' or '.join(_VERSIONS)}")
    configurations: dict[str, Any] = {}
    for plugin in tree.get("plugins") or ():
        name = plugin.get("name") if isinstance(plugin, dict) else None
        if not isinstance(name, str):
            raise ConfigurationError(f"{path} has a plugin without a name")
        if name not in configurations:  # the first one counts
            configurations[name] = _configuration(plugin, path.parent)
    return configurations


def check_fields(path: str, tree: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise ConfigurationError for a field that means nothing: what was meant would not be done."""
    for field in tree:
        if field not in known:
            raise ConfigurationError(f'{path}: unknown field "{field}"; there are {", ".join(known)}')


def _configuration(plugin: Mapping[str, Any], folder: Path) -> Any:
    if plugin.get("configuration") is not None:
        return plugin["configuration"]
    return _read(folder / plugin["path"]) if plugin.get("path") else None


def _read(path: Path) -> dict[str, Any]:
    from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # takes a tenth of the server's start

    try:
        tree, doubled = parse_yaml(path.read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"unable to read {path}: {exc.strerror}") from exc
    except BadYAML as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc
    if doubled:
        raise ConfigurationError(f"{path}: {doubled[0]}")
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{path} holds no object")
    return tree
