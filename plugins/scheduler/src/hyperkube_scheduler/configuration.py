"""KubeSchedulerConfiguration, kubescheduler.config.k8s.io/v1: what `--config` names, read and checked.

Source: k8s.io/kubernetes/pkg/scheduler/apis/config (defaults and validation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.errors import FieldError

__all__ = [
    "DEFAULT_SCHEDULER",
    "Configuration",
    "ConfigurationError",
    "LeaderElection",
    "PluginSet",
    "ProfileSettings",
    "parse_configuration",
    "read_configuration",
    "shown",
]

DEFAULT_SCHEDULER = "default-scheduler"
_API_VERSION, _KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"
_POINTS = (
    "preEnqueue",
    "queueSort",
    "preFilter",
    "filter",
    "postFilter",
    "preScore",
    "score",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
)

Tree = Mapping[str, Any]


class ConfigurationError(Exception):
    """A configuration can't be used; the message names each field that is wrong."""


@dataclass(frozen=True, slots=True)
class PluginSet:
    """What a profile turns on and off at one extension point, or at all that a step has (`multiPoint`)."""

    enabled: tuple[tuple[str, int], ...] = ()
    """Names with weights, 0 where none is given."""
    disabled: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """How the pods of one scheduler's name are scheduled."""

    scheduler_name: str = DEFAULT_SCHEDULER
    percentage: int | None = None
    plugins: Mapping[str, PluginSet] = field(default_factory=dict)
    arguments: Mapping[str, Tree] = field(default_factory=dict)
    """By the names of steps."""
    path: str = "profiles[0]"


@dataclass(frozen=True, slots=True)
class LeaderElection:
    """What the file says of the lease; None where it doesn't. Seconds."""

    elects: bool | None = None
    lease: float | None = None
    renew: float | None = None
    retry: float | None = None
    name: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a configuration says, with upstream's defaults."""

    profiles: tuple[ProfileSettings, ...] = (ProfileSettings(),)
    percentage: int = 0
    initial_backoff: float = 1.0
    most_backoff: float = 10.0
    leader_election: LeaderElection = LeaderElection()
    kubeconfig: str = ""
    qps: float | None = None
    burst: int | None = None


def shown(configuration: Configuration, times: Mapping[str, float]) -> dict[str, Any]:
    """The configuration as an object, for whoever asks a running scheduler; `times` are those of its lease."""
    election = configuration.leader_election
    return {
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "percentageOfNodesToScore": configuration.percentage,
        "podInitialBackoffSeconds": int(configuration.initial_backoff),
        "podMaxBackoffSeconds": int(configuration.most_backoff),
        "clientConnection": {
            "kubeconfig": configuration.kubeconfig,
            "qps": configuration.qps or 0,
            "burst": configuration.burst or 0,
        },
        "leaderElection": {
            "leaderElect": election.elects is not False,
            **{name: f"{seconds:g}s" for name, seconds in times.items()},
            "resourceLock": "leases",
            "resourceName": election.name,
            "resourceNamespace": election.namespace,
        },
        "profiles": [_shown_profile(profile) for profile in configuration.profiles],
    }


def _shown_profile(profile: ProfileSettings) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "schedulerName": profile.scheduler_name,
        "plugins": {
            point: {
                "enabled": [{"name": name, "weight": weight} for name, weight in given.enabled],
                "disabled": [{"name": name} for name in sorted(given.disabled)],
            }
            for point, given in profile.plugins.items()
        },
        "pluginConfig": [{"name": name, "args": dict(args)} for name, args in profile.arguments.items()],
    }
    if profile.percentage is not None:
        shown["percentageOfNodesToScore"] = profile.percentage
    return shown


def read_configuration(path: Path) -> Configuration:
    """Raises ConfigurationError."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"cannot read {path} ({exc.strerror})") from exc
    from hyperkube_machinery.yamltext import BadYAML, parse_yaml  # takes a tenth of the server's start

    try:
        tree, duplicates = parse_yaml(data)
    except BadYAML as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc
    if duplicates:
        raise ConfigurationError(f"{path}: {'; '.join(duplicates)}")
    try:
        return parse_configuration(tree)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc


def parse_configuration(tree: object) -> Configuration:
    """The configuration in a document. Raises ConfigurationError."""
    if not isinstance(tree, dict) or (tree.get("apiVersion"), tree.get("kind")) != (_API_VERSION, _KIND):
        raise ConfigurationError(f"it is no {_KIND} of {_API_VERSION}")
    reader = _Reader()
    found = reader.configuration(tree)
    if reader.errors:
        raise ConfigurationError("; ".join(f"{one.field}: {one.message}" for one in reader.errors))
    return found


class _Reader:
    """Reads on after a mistake, so that all are told at once."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def configuration(self, tree: Tree) -> Configuration:
        self._fields(
            tree,
            "",
            "apiVersion kind parallelism leaderElection clientConnection healthzBindAddress metricsBindAddress"
            " enableProfiling enableContentionProfiling percentageOfNodesToScore podInitialBackoffSeconds"
            " podMaxBackoffSeconds profiles extenders delayCacheUntilActive",
        )
        if tree.get("extenders"):
            self.errors.append(FieldError.forbidden("extenders", "no extender is asked here: remove them"))
        if self._integer(tree, "parallelism", 16) <= 0:
            self._invalid("parallelism", tree["parallelism"], "should be an integer value greater than zero")
        initial = self._integer(tree, "podInitialBackoffSeconds", 1)
        most = self._integer(tree, "podMaxBackoffSeconds", 10)
        if initial <= 0:
            self._invalid("podInitialBackoffSeconds", initial, "must be greater than 0")
        if most < initial:
            self._invalid("podMaxBackoffSeconds", most, "must be greater than or equal to PodInitialBackoffSeconds")
        connection = self._object(tree, "clientConnection")
        self._fields(connection, "clientConnection.", "kubeconfig acceptContentTypes contentType qps burst")
        return Configuration(
            profiles=self._profiles(tree),
            percentage=self._percentage(tree, "") or 0,
            initial_backoff=float(initial),
            most_backoff=float(most),
            leader_election=self._election(self._object(tree, "leaderElection")),
            kubeconfig=connection.get("kubeconfig") or "",
            qps=connection.get("qps") or None,
            burst=connection.get("burst") or None,
        )

    def _election(self, tree: Tree) -> LeaderElection:
        path = "leaderElection."
        self._fields(
            tree,
            path,
            "leaderElect leaseDuration renewDeadline retryPeriod resourceLock resourceName resourceNamespace",
        )
        if tree.get("resourceLock", "leases") not in ("", "leases"):
            self._invalid(f"{path}resourceLock", tree["resourceLock"], 'resourceLock value must be "leases"')
        return LeaderElection(
            elects=tree.get("leaderElect"),
            lease=self._duration(tree, path, "leaseDuration"),
            renew=self._duration(tree, path, "renewDeadline"),
            retry=self._duration(tree, path, "retryPeriod"),
            name=tree.get("resourceName") or None,
            namespace=tree.get("resourceNamespace") or None,
        )

    def _profiles(self, tree: Tree) -> tuple[ProfileSettings, ...]:
        listed = tree.get("profiles") or [{}]
        profiles: list[ProfileSettings] = []
        for index, one in enumerate(listed):
            path = f"profiles[{index}]"
            if not isinstance(one, dict):
                self._invalid(path, one, "must be an object")
                continue
            self._fields(one, f"{path}.", "schedulerName percentageOfNodesToScore plugins pluginConfig")
            name = one.get("schedulerName") or (DEFAULT_SCHEDULER if len(listed) == 1 else "")
            if not name:
                self.errors.append(FieldError.required(f"{path}.schedulerName"))
            elif any(name == other.scheduler_name for other in profiles):
                self.errors.append(FieldError.duplicate(f"{path}.schedulerName", name))
            profiles.append(
                ProfileSettings(
                    name,
                    self._percentage(one, f"{path}."),
                    self._plugins(self._object(one, "plugins", f"{path}."), f"{path}.plugins."),
                    self._arguments(one.get("pluginConfig") or (), f"{path}.pluginConfig"),
                    path,
                )
            )
        sorts = {profile.plugins.get("queueSort", PluginSet()) for profile in profiles}
        if len(sorts) > 1:
            self._invalid("profiles[1].plugins.queueSort", {}, "must be the same for all profiles")
        return tuple(profiles)

    def _plugins(self, tree: Tree, path: str) -> dict[str, PluginSet]:
        self._fields(tree, path, f"multiPoint {' '.join(_POINTS)}")
        return {
            point: self._plugin_set(self._object(tree, point, path), f"{path}{point}.")
            for point in ("multiPoint", *_POINTS)
            if tree.get(point)
        }

    def _plugin_set(self, tree: Tree, path: str) -> PluginSet:
        self._fields(tree, path, "enabled disabled")
        enabled = [(one.get("name") or "", one.get("weight") or 0) for one in tree.get("enabled") or ()]
        seen: set[str] = set()
        for index, (name, _) in enumerate(enabled):
            if name in seen:
                self.errors.append(FieldError.duplicate(f"{path}enabled[{index}].name", name))
            seen.add(name)
        return PluginSet(tuple(enabled), frozenset(one.get("name") or "" for one in tree.get("disabled") or ()))

    def _arguments(self, listed: Sequence[Tree], path: str) -> dict[str, Tree]:
        found: dict[str, Tree] = {}
        for index, one in enumerate(listed):
            self._fields(one, f"{path}[{index}].", "name args")
            name = one.get("name") or ""
            if name in found:
                self.errors.append(FieldError.duplicate(f"{path}[{index}]", name))
            found[name] = one.get("args") or {}
        return found

    def _percentage(self, tree: Tree, path: str) -> int | None:
        value = tree.get("percentageOfNodesToScore")
        if value is None:
            return None
        if not isinstance(value, int) or not 0 <= value <= 100:
            self._invalid(f"{path}percentageOfNodesToScore", value, "not in valid range [0-100]")
            return None
        return value

    def _integer(self, tree: Tree, name: str, default: int) -> int:
        value = tree.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            self._invalid(name, value, "must be an integer")
            return default
        return value

    def _duration(self, tree: Tree, path: str, name: str) -> float | None:
        text = tree.get(name)
        if not text:
            return None
        try:
            return parse_duration(str(text))
        except ValueError as exc:
            self._invalid(f"{path}{name}", text, str(exc))
            return None

    def _object(self, tree: Tree, name: str, path: str = "") -> Tree:
        value = tree.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._invalid(f"{path}{name}", value, "must be an object")
            return {}
        return value

    def _fields(self, tree: Tree, path: str, known: str) -> None:
        for name in tree:
            if name not in known.split():
                self.errors.append(FieldError.forbidden(f"{path}{name}", "there is no such field"))

    def _invalid(self, path: str, value: object, detail: str) -> None:
        self.errors.append(FieldError.invalid(path, value, detail))
