"""What a pod spec says when it does not say it.

Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go and its generated callers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hyperkube_apiserver.registry.podspec.images import pull_policy
from hyperkube_machinery.quantity import Quantity

__all__ = [
    "all_containers",
    "default_claim_spec",
    "default_pod_spec",
    "default_resource_list",
    "default_resources",
    "default_volume_source",
    "fill",
]

Tree = dict[str, Any]

_MODE = 0o644


def fill(obj: Tree, **values: Any) -> None:
    """Set what is absent, null or the empty text, which Go's defaults take for unset."""
    for name, value in values.items():
        if obj.get(name) in (None, ""):
            obj[name] = value


def all_containers(spec: Tree) -> Iterator[Tree]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def default_pod_spec(spec: Tree) -> None:
    fill(
        spec,
        dnsPolicy="ClusterFirst",
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
    )
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        # The second is the first's old name; the API always shows both.
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in all_containers(spec):
        _default_container(container)
    default_resource_list(spec.get("overhead"))
    default_resources(spec.get("resources"))


def default_resources(resources: Tree | None) -> None:
    if resources:
        default_resource_list(resources.get("limits"))
        default_resource_list(resources.get("requests"))


def default_resource_list(amounts: dict[str, str] | None) -> None:
    """Round up to thousandths: nothing smaller is counted."""
    if not amounts:
        return
    for name, text in amounts.items():
        if text.endswith(("n", "u")):  # the only canonical forms with more than three decimals
            amount = Quantity.parse(text)
            amounts[name] = str(Quantity(amount.milli * 1_000_000, amount.notation))


def _default_container(container: Tree) -> None:
    fill(
        container,
        imagePullPolicy=pull_policy(container.get("image") or ""),
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
    )
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        _default_field(source)
        if (file := source.get("fileKeyRef")) is not None:
            fill(file, optional=False)
    default_resources(container.get("resources"))
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(field)) is not None:
            _default_probe(probe)
    lifecycle = container.get("lifecycle") or {}
    for field in ("postStart", "preStop"):
        _default_http(lifecycle.get(field) or {})


def _default_probe(probe: Tree) -> None:
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(field):
            probe[field] = value
    _default_http(probe)
    if (grpc := probe.get("grpc")) is not None and grpc.get("service") is None:
        grpc["service"] = ""


def _default_http(handler: Tree) -> None:
    if (action := handler.get("httpGet")) is not None:
        fill(action, path="/", scheme="HTTP")


def _default_field(source: Tree) -> None:
    if (field := source.get("fieldRef")) is not None:
        fill(field, apiVersion="v1")


def _default_volume(volume: Tree) -> None:
    sources = [name for name in volume if name != "name" and volume[name] is not None]
    if not sources:
        volume["emptyDir"] = {}
    for name in sources:
        if name in _SOURCES:
            _SOURCES[name](volume[name])


def _default_items(source: Tree) -> None:
    for item in source.get("items") or ():
        _default_field(item)


def _default_downward(source: Tree) -> None:
    fill(source, defaultMode=_MODE)
    _default_items(source)


def _default_projected(source: Tree) -> None:
    fill(source, defaultMode=_MODE)
    for part in source.get("sources") or ():
        _default_items(part.get("downwardAPI") or {})
        if (token := part.get("serviceAccountToken")) is not None:
            fill(token, expirationSeconds=3600)


def _default_ephemeral(source: Tree) -> None:
    if (template := source.get("volumeClaimTemplate")) is not None:
        default_claim_spec(template.setdefault("spec", {}))


def default_claim_spec(spec: Tree) -> None:
    fill(spec, volumeMode="Filesystem")
    default_resources(spec.get("resources"))


def _default_host_path(source: Tree) -> None:
    if source.get("type") is None:
        source["type"] = ""


_SOURCES: dict[str, Callable[[Tree], None]] = {
    "hostPath": _default_host_path,
    "secret": lambda source: fill(source, defaultMode=_MODE),
    "configMap": lambda source: fill(source, defaultMode=_MODE),
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "ephemeral": _default_ephemeral,
    "iscsi": lambda source: fill(source, iscsiInterface="default"),
    "rbd": lambda source: fill(source, pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "azureDisk": lambda source: fill(source, cachingMode="ReadWrite", fsType="ext4", readOnly=False, kind="Shared"),
    "scaleIO": lambda source: fill(source, storageMode="ThinProvisioned", fsType="xfs"),
    "image": lambda source: fill(source, pullPolicy=pull_policy(source.get("reference") or "")),
}


def default_volume_source(source: Tree) -> None:
    """Defaults of a persistent volume's source, which stands in its spec."""
    for name in ("hostPath", "iscsi", "rbd", "azureDisk", "scaleIO"):
        if source.get(name) is not None:
            _SOURCES[name](source[name])
