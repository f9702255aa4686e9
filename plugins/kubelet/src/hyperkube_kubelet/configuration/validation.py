"""What can't be of a KubeletConfiguration, in upstream's words. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/apis/config/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hyperkube_kubelet.configuration.keys import keys
from hyperkube_machinery.durations import parse_duration
from hyperkube_machinery.names import label_value, qualified_name
from hyperkube_machinery.quoting import quoted

__all__ = ["complaints"]

Values = Mapping[str, Any]

_PREFIX = "invalid configuration: "
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_RESERVED = ("system-reserved", "kube-reserved")
_ENFORCEMENTS = (
    "pods",
    "system-reserved",
    "system-reserved-compressible",
    "kube-reserved",
    "kube-reserved-compressible",
    "none",
)


def complaints(given: Values) -> list[str]:
    """All that is wrong with `given`, beside which upstream's defaults stand."""
    values = {path: given.get(path, key.default) for path, key in keys().items()}
    found: list[str] = []
    for check in _CHECKS:
        found += check(values)
    return [f"{_PREFIX}{text}" if not text.startswith("invalid ") else text for text in found]


def _named(path: str) -> str:
    flag = keys()[path].flag
    return f"{path} (--{flag})" if flag else path


def _numbers(values: Values) -> Iterator[str]:
    for path, least, most in _RANGES:
        value = values[path]
        if value is not None and not least <= value <= most:
            yield f"{_named(path)} {value} must be between {least} and {most}, inclusive"
    for path in _NOT_NEGATIVE:
        if (values[path] or 0) < 0:
            yield f"{_named(path)} {values[path]} must not be a negative number"
    if values["healthzPort"] and not 0 < values["healthzPort"] < 1 << 16:
        yield f"{_named('healthzPort')} {values['healthzPort']} must be between 1 and 65535, inclusive"
    if values["nodeLeaseDurationSeconds"] <= 0:
        yield "nodeLeaseDurationSeconds must be greater than 0"
    if values["nodeStatusMaxImages"] < -1:
        yield f"{_named('nodeStatusMaxImages')} {values['nodeStatusMaxImages']} must be -1 or greater"
    if values["containerLogMaxWorkers"] < 1:
        yield "containerLogMaxWorkers must be greater than or equal to 1"
    if values["containerLogMaxFiles"] <= 1:
        yield "containerLogMaxFiles must be greater than 1"
    factor = values["memoryThrottlingFactor"]
    if not 0 < factor <= 1:
        yield f"memoryThrottlingFactor {factor} must be greater than 0 and less than or equal to 1.0"


_RANGES = (
    ("imageGCHighThresholdPercent", 0, 100),
    ("imageGCLowThresholdPercent", 0, 100),
    ("iptablesDropBit", 0, 31),
    ("iptablesMasqueradeBit", 0, 31),
    ("oomScoreAdj", -1000, 1000),
    ("port", 1, 65535),
    ("readOnlyPort", 0, 65535),
)
_NOT_NEGATIVE = (
    "eventBurst",
    "eventRecordQPS",
    "kubeAPIBurst",
    "kubeAPIQPS",
    "maxOpenFiles",
    "maxPods",
    "podsPerCore",
    "registryBurst",
    "registryPullQPS",
)


def _durations(values: Values) -> Iterator[str]:
    seconds = {path: parse_duration(values[path]) for path in _DURATIONS}
    if not 0.001 <= seconds["cpuCFSQuotaPeriod"] <= 1:
        yield f"{_named('cpuCFSQuotaPeriod')} {values['cpuCFSQuotaPeriod']} must be between 1ms and 1sec, inclusive"
    if seconds["containerLogMonitorInterval"] < 3:
        yield "containerLogMonitorInterval must be a positive time duration greater than or equal to 3s"
    for path in ("imageMinimumGCAge", "imageMaximumGCAge"):
        if seconds[path] < 0:
            yield f"{path} {values[path]} must not be negative"
    if 0 < seconds["imageMaximumGCAge"] <= seconds["imageMinimumGCAge"]:
        yield (
            f"imageMaximumGCAge {values['imageMaximumGCAge']} must be greater than"
            f" imageMinimumGCAge {values['imageMinimumGCAge']}"
        )
    whole, critical = seconds["shutdownGracePeriod"], seconds["shutdownGracePeriodCriticalPods"]
    if critical > whole:
        yield (
            f"shutdownGracePeriodCriticalPods {values['shutdownGracePeriodCriticalPods']} must be <="
            f" shutdownGracePeriod {values['shutdownGracePeriod']}"
        )
    for path in ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods"):
        if seconds[path] < 0 or 0 < seconds[path] < 1:
            yield f"{path} {values[path]} must be either zero or otherwise >= 1 sec"
    if values["shutdownGracePeriodByPodPriority"] and (whole > 0 or critical > 0):
        yield "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time"
    if not 1 <= seconds["crashLoopBackOff.maxContainerRestartPeriod"] <= 300:
        got = f"{seconds['crashLoopBackOff.maxContainerRestartPeriod']:g}"
        yield f"CrashLoopBackOff.MaxContainerRestartPeriod (got: {got} seconds) must be set between 1s and 300s"


_DURATIONS = (
    "cpuCFSQuotaPeriod",
    "containerLogMonitorInterval",
    "imageMinimumGCAge",
    "imageMaximumGCAge",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
    "crashLoopBackOff.maxContainerRestartPeriod",
)


def _images(values: Values) -> Iterator[str]:
    high, low = values["imageGCHighThresholdPercent"], values["imageGCLowThresholdPercent"]
    if low >= high:
        yield (
            f"{_named('imageGCLowThresholdPercent')} {low} must be less than"
            f" {_named('imageGCHighThresholdPercent')} {high}"
        )
    most = values["maxParallelImagePulls"]
    if most is not None and most < 1:
        yield f"maxParallelImagePulls {most} must be a positive number"


def _words(values: Values) -> Iterator[str]:
    for path, words in _ONE_OF.items():
        value = values[path]
        if value not in words:
            listed = " ".join(map(quoted, words))
            yield f"{_named(path)} {quoted(value)} must be one of: [{listed}]"
    for path, words in _OPTIONS.items():
        value = values[path]
        if value not in words:
            listed = f"{', '.join(map(quoted, words[:-1]))} or {quoted(words[-1])}"
            yield f"option {quoted(value)} specified for {_named(path)}. Valid options are {listed}"


_ONE_OF = {
    "topologyManagerPolicy": ("none", "best-effort", "restricted", "single-numa-node"),
    "topologyManagerScope": ("container", "pod"),
}
_OPTIONS = {
    "hairpinMode": ("none", "hairpin-veth", "promiscuous-bridge"),
    "imagePullCredentialsVerificationPolicy": (
        "NeverVerify",
        "NeverVerifyPreloadedImages",
        "NeverVerifyAllowlistedImages",
        "AlwaysVerify",
    ),
    "memoryReservationPolicy": ("None", "TieredReservation"),
}


def _groups(values: Values) -> Iterator[str]:
    """Control groups, and what is set aside."""
    if values["systemCgroups"] and not values["cgroupRoot"]:
        yield "systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not specified"
    if values["reservedSystemCPUs"] and (values["systemReservedCgroup"] or values["kubeReservedCgroup"]):
        yield (
            "can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup (--system-reserved-cgroup)"
            " or kubeReservedCgroup (--kube-reserved-cgroup)"
        )
    behavior = values["memorySwap.swapBehavior"] or ""
    if behavior not in ("", "NoSwap", "LimitedSwap"):
        yield f'memorySwap.swapBehavior {quoted(behavior)} must be one of: "", "LimitedSwap" or "NoSwap"'
    where, wanted = "enforceNodeAllocatable (--enforce-node-allocatable)", values["enforceNodeAllocatable"] or []
    for name in _RESERVED:
        if name in wanted and f"{name}-compressible" in wanted:
            yield f"both {quoted(name)} and {quoted(name + '-compressible')} cannot be specified together in {where}"
    for index, name in enumerate(wanted):
        yield from _enforcement(name, wanted[:index], wanted, values, where)


def _enforcement(name: str, before: list[str], wanted: list[str], values: Values, where: str) -> Iterator[str]:
    if name in before:
        yield f"duplicated enforcements {quoted(name)} in {where}"
        return
    if name == "none":
        if len(wanted) > 1:
            yield f'{where} may not contain additional enforcements when "none" is specified'
        return
    if name not in _ENFORCEMENTS:
        listed = f"{', '.join(map(quoted, _ENFORCEMENTS[:-1]))} or {quoted(_ENFORCEMENTS[-1])}"
        yield f"option {quoted(name)} specified for {where}. Valid options are {listed}"
        return
    base = name.removesuffix("-compressible")
    group = {"system-reserved": "systemReservedCgroup", "kube-reserved": "kubeReservedCgroup"}.get(base, "")
    if group and not values[group]:
        yield (
            f"{_named(group)} must be specified when {quoted(base)} or {quoted(base + '-compressible')} included in"
            f" {where}"
        )
    if not values["cgroupsPerQOS"]:
        yield f"cgroupsPerQOS (--cgroups-per-qos) must be set to true when {quoted(name)} contained in {where}"


def _logs(values: Values) -> Iterator[str]:
    if values["enableSystemLogQuery"] and not values["enableSystemLogHandler"]:
        yield "enableSystemLogHandler is required for enableSystemLogQuery"
    path = values["podLogsDir"]
    if not path.startswith("/"):
        yield f"pod logs path {quoted(path)} must be absolute path"
    if "//" in path or any(part in (".", "..") for part in path.split("/")) or (path != "/" and path.endswith("/")):
        yield f"pod logs path {quoted(path)} must be normalized"
    if not path.isascii():
        yield f"pod logs path {quoted(path)} mut contains ASCII characters only"


def _node(values: Values) -> Iterator[str]:
    if values["runOnce"]:
        yield "runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set"
    for taint in values["registerWithTaints"] or ():
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        if qualified_name(key) or label_value(value) or effect not in _TAINT_EFFECTS:
            text = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
            yield f"invalid taint: {text}"
        if taint.get("timeAdded") is not None:
            yield "taint.TimeAdded is not nil"


_CHECKS: tuple[Callable[[Values], Iterator[str]], ...] = (_numbers, _images, _durations, _node, _words, _groups, _logs)
