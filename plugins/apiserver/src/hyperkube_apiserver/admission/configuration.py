"""What a file tells admission plugins.

Source: k8s.io/apiserver/pkg/admission/config.go, k8s.io/apiserver/pkg/apis/apiserver.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperkube_machinery.errors import FieldError

if TYPE_CHECKING:
    from hyperkube_apiserver.configfiles import Shape

__all__ = ["ConfigurationError", "check_fields", "check_static_manifests", "read_configurations"]

_KIND = "AdmissionConfiguration"
_VERSIONS = ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")
_BARE = {"podNodeSelectorPluginConfig": "PodNodeSelector", "imagePolicy": "ImagePolicyWebhook"}
"""What a file of the time before there was a kind for it holds, and the plugin that it is for."""
_SHAPE: dict[str, Shape] = {
    "kind": "text",
    "apiVersion": "text",
    "plugins": [{"name": "text", "path": "text", "configuration": "any"}],
}


class ConfigurationError(ValueError):
    """The file can't be read, or asks for what isn't done."""


def read_configurations(path: Path) -> Mapping[str, Any]:
    """The configurations in a file, by plugin. Raises ConfigurationError."""
    from hyperkube_apiserver.configfiles import ConfigFileError, Unreadable, as_kind, check_strict  # few are given one

    try:
        tree = _read(path)
        if "kind" not in tree and "apiVersion" not in tree:
            found = {plugin: tree for field, plugin in _BARE.items() if field in tree}
            if found:
                return found
        check_strict(path, as_kind(path, tree, _KIND, _VERSIONS), [], _SHAPE)
        configurations: dict[str, Any] = {}
        for index, plugin in enumerate(tree.get("plugins") or ()):
            if not (name := plugin.get("name")):
                raise ConfigFileError(path, str(FieldError.required(f"plugins[{index}].name")))
            if name not in configurations:  # the first one counts
                configurations[name] = _configuration(plugin, path.parent)
    except Unreadable as exc:
        raise ConfigurationError(f"unable to read {exc.path}: {exc.reason}") from exc
    except ConfigFileError as exc:
        raise ConfigurationError(str(exc)) from exc
    return configurations


def check_fields(path: str, tree: Mapping[str, Any], known: Collection[str]) -> None:
    """Raise ConfigurationError for a field that means nothing: what was meant would not be done."""
    for field in tree:
        if field not in known:
            raise ConfigurationError(f'{path}: unknown field "{field}"; there are {", ".join(known)}')


def check_static_manifests(path: str, tree: Mapping[str, Any]) -> None:
    """Raise ConfigurationError where policies or webhooks are to be read from files, which nobody does unless asked."""
    if tree.get("staticManifestsDir"):
        why = "requires the ManifestBasedAdmissionControlConfig feature gate to be enabled, which there is not here"
        raise ConfigurationError(f"{path}: staticManifestsDir: Forbidden: staticManifestsDir {why}")


def _configuration(plugin: Mapping[str, Any], folder: Path) -> Any:
    if plugin.get("configuration") is not None:
        return plugin["configuration"]
    return _read(folder / plugin["path"]) if plugin.get("path") else None


def _read(path: Path) -> dict[str, Any]:
    """The object in a file. Raises ConfigFileError."""
    from hyperkube_apiserver.configfiles import ConfigFileError, check_strict, read_tree

    tree, doubled = read_tree(path)
    if not isinstance(tree, dict):
        raise ConfigFileError(path, "it holds no object")
    check_strict(path, tree, doubled)
    return tree
