"""What the kubelet writes on containers, which kubelets of Kubernetes read as well."""

from __future__ import annotations

from hyperkube_kubelet.containers.observed import container_hash


def test_a_containers_hash_is_that_of_kubernetes_own_kubelet() -> None:
    container = {"name": "test_container", "image": "foo/image:v1", "args": ["/bin/sh"], "ports": [{}]}
    assert container_hash(container) == "8e45cbd0"
    assert container_hash({**container, "args": []}) == "8e45cbd0"
    assert container_hash({**container, "image": "foo/image:v2"}) != "8e45cbd0"
