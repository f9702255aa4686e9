"""What the benches ask for: pods as deployments make them, and changes that watchers hear of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count

from tests.bench.load import request

__all__ = ["Place", "creations", "pod"]


def pod(name: str) -> bytes:
    """A pod as deployments make them: about 1.5 KB once it is stored, and what is said of its owners."""
    tree = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": "web", "pod-template-hash": "5d59d67564", "tier": "front"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9102"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "web-5d59d67564",
                    "uid": "2f2e0c59-9a4b-4b6c-a1f8-3a0c6a3c9a11",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "registry.example.com/team/web:1.27.3",
                    "env": [{"name": "MODE", "value": "production"}, {"name": "LEVEL", "value": "info"}],
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {
                        "requests": {"cpu": "100m", "memory": "128Mi"},
                        "limits": {"cpu": "500m", "memory": "256Mi"},
                    },
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 5},
                    "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}],
        },
    }
    return json.dumps(tree).encode()


class Place:
    """A namespace of a bench's own, and the requests that are made in it with one token."""

    def __init__(self, namespace: str, token: str) -> None:
        self.namespace = namespace
        self.token = token
        self.path = f"/api/v1/namespaces/{namespace}"
        self.pods = f"{self.path}/pods"

    def ask(self, method: str, path: str, tree: object = None) -> bytes:
        """A request with a tree, or nothing, as its body."""
        return request(method, path, b"" if tree is None else json.dumps(tree).encode(), token=self.token)

    def preparations(self) -> list[bytes]:
        """What makes the namespace ready for pods; without a controller nobody else makes its service account."""
        account = {"metadata": {"name": "default"}}
        return [
            self.ask("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}}),
            self.ask("POST", f"{self.path}/serviceaccounts", account),
        ]


def creations(place: Place, prefix: str) -> Iterator[bytes]:
    """Creations of pods with names of one length, so that one request is the pattern of all."""
    pattern = request("POST", place.pods, pod(f"{prefix}-000000"), token=place.token)
    return (pattern.replace(b"-000000", b"-%06d" % number) for number in count())
