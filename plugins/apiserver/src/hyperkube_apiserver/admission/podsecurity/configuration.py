"""The defaults and exemptions of a cluster. Source: k8s.io/pod-security-admission/admission/api."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hyperkube_apiserver.admission.configuration import ConfigurationError, check_fields
from hyperkube_apiserver.admission.podsecurity.levels import (
    MODES,
    Exemptions,
    LevelVersion,
    PodSecurityConfiguration,
    Policy,
    parse_level,
    parse_version,
)
from hyperkube_machinery.errors import FieldError, aggregated
from hyperkube_machinery.names import dns1123_label, dns1123_subdomain

__all__ = ["read_configuration"]

_KIND = "PodSecurityConfiguration"
_GROUP = "pod-security.admission.config.k8s.io"
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1", f"{_GROUP}/v1alpha1")


def read_configuration(told: Any) -> PodSecurityConfiguration:
    """Read what a file says. Raises ConfigurationError, with all that is wrong."""
    if not isinstance(told, dict) or told.get("kind") != _KIND or told.get("apiVersion") not in _VERSIONS:
        raise ConfigurationError(f"PodSecurity: its configuration is no {_KIND} of {' or '.join(_VERSIONS)}")
    check_fields("PodSecurity", told, ("kind", "apiVersion", "defaults", "exemptions"))
    defaults, exemptions = (_part(told, name) for name in ("defaults", "exemptions"))
    check_fields("PodSecurity: defaults", defaults, [*MODES, *(f"{mode}-version" for mode in MODES)])
    check_fields("PodSecurity: exemptions", exemptions, ("usernames", "namespaces", "runtimeClasses"))
    errors = [*_level_errors(defaults), *_exemption_errors(exemptions)]
    if errors:
        raise ConfigurationError(f"PodSecurity: {aggregated(map(str, errors))}")
    policy = Policy(
        **{
            mode: LevelVersion(
                parse_level(defaults.get(mode) or "privileged"),
                parse_version(defaults.get(f"{mode}-version") or "latest"),
            )
            for mode in MODES
        }
    )
    names = {name: frozenset(exemptions.get(name) or ()) for name in ("usernames", "namespaces", "runtimeClasses")}
    return PodSecurityConfiguration(
        policy, Exemptions(names["usernames"], names["namespaces"], names["runtimeClasses"])
    )


def _part(told: dict[str, Any], name: str) -> dict[str, Any]:
    part = told.get(name) or {}
    if not isinstance(part, dict):
        raise ConfigurationError(f"PodSecurity: {name}: must be an object")
    return part


def _level_errors(defaults: dict[str, Any]) -> Iterator[FieldError]:
    for mode in ("enforce", "warn", "audit"):
        readers: tuple[tuple[str, Callable[[str], object]], ...] = (
            (mode, parse_level),
            (f"{mode}-version", parse_version),
        )
        for name, parse in readers:
            if value := defaults.get(name):
                try:
                    parse(str(value))
                except ValueError as exc:
                    yield FieldError.invalid(f"defaults.{name}", value, str(exc))


def _exemption_errors(exemptions: dict[str, Any]) -> Iterator[FieldError]:
    checks: tuple[tuple[str, Callable[[str], list[str]]], ...] = (
        ("namespaces", dns1123_label),
        ("runtimeClasses", dns1123_subdomain),
        ("usernames", lambda name: [] if name else ["username must not be empty"]),
    )
    for name, check in checks:
        seen = set()
        for index, value in enumerate(exemptions.get(name) or ()):
            path = f"exemptions.{name}[{index}]"
            if wrong := check(str(value)):
                yield FieldError.invalid(path, value, ", ".join(wrong))
            elif value in seen:
                yield FieldError.duplicate(path, value)
            seen.add(value)
