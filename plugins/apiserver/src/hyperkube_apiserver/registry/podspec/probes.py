"""Probes and lifecycle hooks. Source: validateHandler, validateProbe, validateLifecycle in core validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.registry.fields import checked, invalid_each, nonnegative, one_of, port_number
from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import http_header_name, port_name

__all__ = ["validate_lifecycle", "validate_port_or_name", "validate_probes"]

Tree = Mapping[str, Any]

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_LINUX_SIGNALS = frozenset(
    {
        *(
            "SIGABRT",
            "SIGALRM",
            "SIGBUS",
            "SIGCHLD",
            "SIGCLD",
            "SIGCONT",
            "SIGFPE",
            "SIGHUP",
            "SIGILL",
            "SIGINT",
            "SIGIO",
        ),
        *("SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP"),
        *("SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM"),
        *("SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMAX"),
        *(f"SIGRTMIN+{number}" for number in range(1, 16)),
        *(f"SIGRTMAX-{number}" for number in range(1, 15)),
    }
)


def validate_probes(container: Tree, grace_seconds: int | None, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe, at = container.get(field), f"{path}.{field}"
        if probe is None:
            continue
        errors += _validate_handler(probe, grace_seconds, at)
        for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
            errors += nonnegative(probe.get(name), f"{at}.{name}")
        grace = probe.get("terminationGracePeriodSeconds")
        if grace is not None and grace <= 0:
            errors.append(FieldError.invalid(f"{at}.terminationGracePeriodSeconds", grace, "must be greater than 0"))
        if field == "readinessProbe":
            if grace is not None:
                text = "must not be set for readinessProbes"
                errors.append(FieldError.invalid(f"{at}.terminationGracePeriodSeconds", grace, text))
        elif probe.get("successThreshold") != 1:
            threshold = probe.get("successThreshold") or 0
            errors.append(FieldError.invalid(f"{at}.successThreshold", threshold, "must be 1"))
    return errors


def validate_lifecycle(
    lifecycle: Tree | None, grace_seconds: int | None, os: Tree | None, path: str
) -> list[FieldError]:
    if lifecycle is None:
        return []
    errors: list[FieldError] = []
    for field in ("postStart", "preStop"):
        if (handler := lifecycle.get(field)) is not None:
            errors += _validate_handler(handler, grace_seconds, f"{path}.{field}")
    signal = lifecycle.get("stopSignal")
    if signal is None:
        return errors
    if os is None:
        text = "may not be set for containers with empty `spec.os.name`"
        return [*errors, FieldError.forbidden(f"{path}.stopSignal", text)]
    allowed = {"linux": _LINUX_SIGNALS, "windows": frozenset({"SIGKILL", "SIGTERM"})}.get(os.get("name") or "")
    return errors if allowed is None else errors + one_of(signal, allowed, f"{path}.stopSignal")


def _validate_handler(handler: Tree, grace_seconds: int | None, path: str) -> list[FieldError]:
    given = [name for name in _HANDLERS if handler.get(name) is not None]
    if not given:
        return [FieldError.required(path, "must specify a handler type")]
    more = [FieldError.forbidden(f"{path}.{name}", "may not specify more than 1 handler type") for name in given[1:]]
    action, at = handler[given[0]], f"{path}.{given[0]}"
    return _validate_action(given[0], action, grace_seconds, at) + more


def _validate_action(kind: str, action: Tree, grace_seconds: int | None, path: str) -> list[FieldError]:
    match kind:
        case "exec":
            return [] if action.get("command") else [FieldError.required(f"{path}.command")]
        case "httpGet":
            errors = validate_port_or_name(action.get("port"), f"{path}.port")
            errors += one_of(action.get("scheme") or "", ("HTTP", "HTTPS"), f"{path}.scheme")
            for header in action.get("httpHeaders") or ():
                errors += checked(http_header_name, header.get("name") or "", f"{path}.httpHeaders")
            return errors
        case "sleep":
            seconds = action.get("seconds") or 0
            if grace_seconds is None or 0 <= seconds <= grace_seconds:
                return []
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})"
            return [FieldError.invalid(path, seconds, text)]
    return validate_port_or_name(action.get("port"), f"{path}.port")


def validate_port_or_name(port: int | str | None, path: str) -> list[FieldError]:
    if isinstance(port, str):
        return invalid_each(path, port, port_name(port))
    return port_number(port or 0, path)
