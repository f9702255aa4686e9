"""An audit log by flags. Source: k8s.io/apiserver/pkg/server/options/audit.go (ApplyTo)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hyperkube_apiserver.audit.auditor import AuditLog, AuditMetrics
from hyperkube_apiserver.audit.logfile import LogFile, Retention, StandardOutput
from hyperkube_apiserver.audit.policy import PolicyError, read_policy
from hyperkube_apiserver.audit.sinks import Batches, Both, Buffered, Lenient, LogSink, Sink, Truncated, Writer
from hyperkube_apiserver.audit.webhook import WebhookSink
from hyperkube_apiserver.audit.writing import Aside
from hyperkube_apiserver.auditoptions import AuditOptions
from hyperkube_core import SettingsError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.kubeconfig import KubeconfigError
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.tls import CertificateError

__all__ = ["open_audit"]


def open_audit(options: AuditOptions, clock: Clock, registry: Registry) -> AuditLog | None:
    """The audit log that is asked for, None if nothing is kept of it. Raises SettingsError, which names the flag."""
    path = options.audit_policy_file
    if path is None:
        return None
    try:
        policy = read_policy(path)
    except PolicyError as exc:
        name = "audit-policy-file"
        raise SettingsError(name, f"flag --{name}", f"loading audit policy file: {exc}") from exc
    metrics = AuditMetrics(registry)
    sinks = []
    if options.audit_log_path:
        sinks.append(_log(options, clock, metrics))
    if options.audit_webhook_config_file is not None:
        sinks.append(_webhook(options, options.audit_webhook_config_file, clock, metrics))
    if not sinks:
        return None
    return AuditLog(policy, sinks[0] if len(sinks) == 1 else Both(sinks), metrics, clock)


def _log(options: AuditOptions, clock: Clock, metrics: AuditMetrics) -> Sink:
    legacy = options.audit_log_format == "legacy"
    sink: Sink = LogSink(_writer(options, clock), metrics.failed, legacy=legacy)
    return _wrapped(sink, options, "log", clock, metrics)


def _writer(options: AuditOptions, clock: Clock) -> Writer:
    if options.audit_log_path == "-":
        return Aside(StandardOutput())
    retention = Retention(
        megabytes=options.audit_log_maxsize,
        days=options.audit_log_maxage,
        files=options.audit_log_maxbackup,
        compress=options.audit_log_compress,
    )
    try:
        return Aside(LogFile(Path(options.audit_log_path), retention, clock))
    except OSError as exc:
        name = "audit-log-path"
        raise SettingsError(name, f"flag --{name}", f"{options.audit_log_path}: {exc.strerror}") from exc


def _webhook(options: AuditOptions, path: Path, clock: Clock, metrics: AuditMetrics) -> Sink:
    pause = options.audit_webhook_initial_backoff
    try:
        sink = WebhookSink(path, clock, metrics.failed, first_pause_seconds=pause)
    except (KubeconfigError, CertificateError) as exc:
        name = "audit-webhook-config-file"
        raise SettingsError(name, f"flag --{name}", f"initializing audit webhook: {exc}") from exc
    return _wrapped(sink, options, "webhook", clock, metrics)


def _wrapped(sink: Sink, options: AuditOptions, plugin: str, clock: Clock, metrics: AuditMetrics) -> Sink:
    """A sink as its mode wants it, behind what cuts events short."""

    def given(name: str) -> Any:
        return getattr(options, f"audit_{plugin}_{name}")

    if given("mode") == "blocking":
        sink = Lenient(sink)
    elif given("mode") == "batch":
        batches = Batches(
            buffer_size=given("batch_buffer_size"),
            size=given("batch_max_size"),
            wait_seconds=given("batch_max_wait"),
            throttle=given("batch_throttle_enable"),
            qps=given("batch_throttle_qps"),
            burst=given("batch_throttle_burst"),
            at_once=plugin == "webhook",
        )
        sink = Buffered(sink, batches, clock, metrics.failed)
    if given("truncate_enabled"):
        event, batch = given("truncate_max_event_size"), given("truncate_max_batch_size")
        sink = Truncated(sink, metrics.failed, event_bytes=event, batch_bytes=batch)
    return sink
