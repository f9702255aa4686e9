"""What it costs to read a body: `python -m tests.bench.schema`.

Each step stands beside `orjson.loads` of the same body in the same run: what reading can't cost less than.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from hyperkube_machinery.decoding import read_object
from hyperkube_machinery.jsontext import has_duplicates
from hyperkube_machinery.patches import json as json_patch
from hyperkube_machinery.patches import merge as merge_patch
from hyperkube_machinery.schema import Schemas, Walker
from tests.bench.figures import microseconds, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CALLS = 500
_REPEATS = 9

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """How long one step takes, in microseconds, and how many times `orjson.loads` it may take (0: no limit)."""

    what: str
    took: float
    parse: float
    limit: float

    @property
    def kept(self) -> bool:
        return not self.limit or self.took <= self.limit * self.parse

    def __str__(self) -> str:
        verdict = "" if not self.limit else f"   {'ok' if self.kept else 'MISSED'} (at most {self.limit:g} x)"
        return f"{self.what:<44} {self.took:8.1f} µs   {self.took / self.parse:6.1f} x orjson.loads{verdict}"


def container(name: str) -> Tree:
    """A container as charts write it."""
    probe = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "failureThreshold": 3}
    return {
        "name": name,
        "image": f"registry.example/team/{name}:1.2.3",
        "args": ["--config=/etc/app/config.yaml", "--verbose"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "LEVEL", "value": "info"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "app", "key": "token"}}},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app", "readOnly": True}],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


def pod_spec() -> Tree:
    return {
        "containers": [container("app"), container("sidecar")],
        "serviceAccountName": "app",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {"runAsNonRoot": True, "fsGroup": 1000},
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "app", "effect": "NoSchedule"}],
        "volumes": [{"name": "config", "configMap": {"name": "app-config", "defaultMode": 420}}],
    }


def metadata(name: str) -> Tree:
    labels = {"app.kubernetes.io/name": "app", "app.kubernetes.io/instance": name, "app.kubernetes.io/version": "1.2.3"}
    return {"name": name, "namespace": "team", "labels": labels, "annotations": {"checksum/config": "0" * 64}}


def pod() -> Tree:
    """Three kilobytes, as a chart or a controller sends them."""
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata("app-0"), "spec": pod_spec()}


def deployment() -> Tree:
    labels = metadata("app")["labels"]
    template = {"metadata": {"labels": labels}, "spec": pod_spec()}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": metadata("app"), "spec": spec}


def figures() -> Iterator[Figure]:
    """Measure; the best of a few repeats counts, for noise only adds."""
    schemas = Schemas.load()
    for name, definition, tree in (
        ("pod", "io.k8s.api.core.v1.Pod", pod()),
        ("deployment", "io.k8s.api.apps.v1.Deployment", deployment()),
    ):
        yield from _steps(name, schemas.walker(definition), tree)


def _steps(name: str, walker: Walker, tree: Tree) -> Iterator[Figure]:
    body = orjson.dumps(tree)
    parse = _microseconds(lambda: orjson.loads(body))
    label = f"{name} of {len(body)} bytes"

    def read(sent: bytes) -> tuple[Tree, list[str]]:
        return read_object(
            sent,
            "application/json",
            walker,
            group_version=tree["apiVersion"],
            kind=tree["kind"],
            field_validation="Warn",
        )

    assert read(body)[1] == []
    yield Figure(f"{label}: orjson.loads", parse, parse, 0)
    yield Figure(f"{label}: duplicate keys", _microseconds(lambda: has_duplicates(body, tree)), parse, 1.5)
    yield Figure(f"{label}: walk", _microseconds(lambda: walker.read(tree)), parse, 8)
    yield Figure(f"{label}: all of it", _microseconds(lambda: read(body)), parse, 0)
    unknown = orjson.dumps({**tree, "unknown": 1})
    assert read(unknown)[1] == ['unknown field "unknown"']
    yield Figure(f"{label}: with an unknown field", _microseconds(lambda: read(unknown), 50), parse, 0)
    merge = {"metadata": {"labels": {"a": "b"}}}
    yield Figure(f"{label}: merge patch", _microseconds(lambda: merge_patch.apply(tree, merge)), parse, 0)
    steps = [{"op": "add", "path": "/metadata/labels/a", "value": "b"}]
    yield Figure(f"{label}: JSON patch", _microseconds(lambda: json_patch.apply(tree, steps)), parse, 0)


def _microseconds(call: Callable[[], object], calls: int = _CALLS) -> float:
    return microseconds(call, calls=calls, repeats=_REPEATS)


def main() -> int:
    """Print the figures; 1 if one misses its limit."""
    return report(figures())


if __name__ == "__main__":
    sys.exit(main())
