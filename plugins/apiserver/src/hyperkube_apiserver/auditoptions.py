"""The flags of the audit log. Names, meanings and defaults are kube-apiserver's.

Source: k8s.io/apiserver/pkg/server/options/audit.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperkube_core import SettingsError, flag

__all__ = ["AuditOptions", "check_audit_options"]

_MODES = ("batch", "blocking", "blocking-strict")
_FORMATS = ("legacy", "json")
_VERSION = "audit.k8s.io/v1"
_SECTION = "Audit"


def _check_mode(plugin: str) -> Callable[[str], None]:
    def check(mode: str) -> None:
        if mode not in _MODES:
            raise ValueError(f'invalid audit {plugin} mode {mode}, allowed modes are "{",".join(_MODES)}"')

    return check


def _check_format(name: str) -> None:
    if name not in _FORMATS:
        raise ValueError(f'invalid audit log format {name}, allowed formats are "{",".join(_FORMATS)}"')


def _check_version(version: str) -> None:
    if version != _VERSION:
        raise ValueError(f'invalid group version, allowed versions are ["{_VERSION}"]')


def _mode(plugin: str, default: str) -> Any:
    return flag(
        default,
        section=_SECTION,
        check=_check_mode(plugin),
        metavar="mode",
        help="When events are kept: blocking, before a request goes on; batch, later, so that nobody waits;"
        " blocking-strict, before, and a request that cannot be told of is refused.",
    )


def _buffer_size() -> Any:
    return flag(10000, section=_SECTION, metavar="events", help="So many events wait at most, in batch mode.")


def _batch_size(default: int) -> Any:
    return flag(default, section=_SECTION, metavar="events", help="The most events of a batch, in batch mode.")


def _batch_wait(default: float) -> Any:
    return flag(
        default, section=_SECTION, kind="duration", minimum=0, help="How long a batch is waited for, in batch mode."
    )


def _throttled(*, default: bool) -> Any:
    return flag(default, section=_SECTION, help="Keep to the rates that are given, in batch mode.")


def _qps(default: float) -> Any:
    return flag(default, section=_SECTION, help="So many batches a second, in batch mode.")


def _burst(default: int) -> Any:
    return flag(default, section=_SECTION, metavar="batches", help="So many batches at once, in batch mode.")


def _truncated() -> Any:
    return flag(False, section=_SECTION, help="Cut short what is too large.")


def _batch_bytes() -> Any:
    return flag(10 << 20, section=_SECTION, metavar="bytes", help="A larger batch is split, where that is wanted.")


def _event_bytes() -> Any:
    return flag(
        100 << 10,
        section=_SECTION,
        metavar="bytes",
        help="A larger event loses what was sent and what came back, where that is wanted, and is dropped if that is"
        " not enough.",
    )


def _version() -> Any:
    return flag(_VERSION, section=_SECTION, check=_check_version, metavar="version", help="The form of the events.")


@dataclass(frozen=True, kw_only=True)  # without slots, for it is not the only base of what uses it
class AuditOptions:
    """What is told of requests, and where."""

    audit_policy_file: Path | None = flag(
        None,
        section=_SECTION,
        metavar="file",
        help="The Policy that says which requests are told of, and how much. Without it nothing is.",
    )
    audit_log_path: str = flag(
        "", section=_SECTION, metavar="file", help="The file that events are written to; - for standard output."
    )
    audit_log_maxage: int = flag(
        366, section=_SECTION, metavar="days", help="How long files that were full are kept; 0 for ever."
    )
    audit_log_maxbackup: int = flag(
        100, section=_SECTION, metavar="files", help="How many files that were full are kept; 0 for any number."
    )
    audit_log_maxsize: int = flag(
        100, section=_SECTION, metavar="megabytes", help="When a file is full and another begun; 0 for never."
    )
    audit_log_compress: bool = flag(False, section=_SECTION, help="Compress files that were full.")
    audit_log_format: str = flag(
        "json",
        section=_SECTION,
        check=_check_format,
        metavar="format",
        help="json, or legacy: a line of text an event.",
    )
    audit_log_version: str = _version()
    audit_log_mode: str = _mode("log", "blocking")
    audit_log_batch_buffer_size: int = _buffer_size()
    audit_log_batch_max_size: int = _batch_size(1)
    audit_log_batch_max_wait: float = _batch_wait(0.0)
    audit_log_batch_throttle_enable: bool = _throttled(default=False)
    audit_log_batch_throttle_qps: float = _qps(0.0)
    audit_log_batch_throttle_burst: int = _burst(0)
    audit_log_truncate_enabled: bool = _truncated()
    audit_log_truncate_max_batch_size: int = _batch_bytes()
    audit_log_truncate_max_event_size: int = _event_bytes()

    audit_webhook_config_file: Path | None = flag(
        None, section=_SECTION, metavar="file", help="The kubeconfig of the server that events are sent to."
    )
    audit_webhook_initial_backoff: float = flag(
        10.0,
        section=_SECTION,
        kind="duration",
        minimum=0,
        help="How long to wait before what could not be sent is sent again.",
    )
    audit_webhook_version: str = _version()
    audit_webhook_mode: str = _mode("webhook", "batch")
    audit_webhook_batch_buffer_size: int = _buffer_size()
    audit_webhook_batch_max_size: int = _batch_size(400)
    audit_webhook_batch_max_wait: float = _batch_wait(30.0)
    audit_webhook_batch_throttle_enable: bool = _throttled(default=True)
    audit_webhook_batch_throttle_qps: float = _qps(10.0)
    audit_webhook_batch_throttle_burst: int = _burst(15)
    audit_webhook_truncate_enabled: bool = _truncated()
    audit_webhook_truncate_max_batch_size: int = _batch_bytes()
    audit_webhook_truncate_max_event_size: int = _event_bytes()


def check_audit_options(options: AuditOptions) -> None:
    """Raise SettingsError for flags that make no sense with one another. What nothing uses is not looked at."""
    for name, why in _wrong(options):
        raise SettingsError(name, f"flag --{name}", why)


def _wrong(options: AuditOptions) -> Iterator[tuple[str, str]]:
    if options.audit_log_path:
        yield from _wrong_plugin(options, "log")
        for name in ("audit-log-maxage", "audit-log-maxbackup", "audit-log-maxsize"):
            value = getattr(options, name.replace("-", "_"))
            if value < 0:
                yield name, f"--{name} {value} can't be a negative number"
    if options.audit_webhook_config_file is not None:
        yield from _wrong_plugin(options, "webhook")


def _wrong_plugin(options: AuditOptions, plugin: str) -> Iterator[tuple[str, str]]:
    def given(name: str) -> Any:
        return getattr(options, f"audit_{plugin}_{name}")

    must = "must be a positive number"
    if given("mode") == "batch":
        checks = {"batch_buffer_size": "buffer size", "batch_max_size": "max batch size"}
        if given("batch_throttle_enable"):
            checks |= {"batch_throttle_qps": "throttle QPS", "batch_throttle_burst": "throttle burst"}
        for name, called in checks.items():
            if given(name) <= 0:
                why = f"invalid audit batch {plugin} {called} {given(name):g}, {must}"
                yield f"audit-{plugin}-{name.replace('_', '-')}", why
    event, batch = given("truncate_max_event_size"), given("truncate_max_batch_size")
    if event <= 0:
        name = f"audit-{plugin}-truncate-max-event-size"
        yield name, f"invalid audit truncate {plugin} max event size {event}, {must}"
    if batch < event:
        why = f"invalid audit truncate {plugin} max batch size {batch}, must be greater than max event size ({event})"
        yield f"audit-{plugin}-truncate-max-batch-size", why
