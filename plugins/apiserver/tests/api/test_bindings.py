"""Bindings of pods to nodes, by either path."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

DEFAULT = "/api/v1/namespaces/default"


def binding(**metadata: str) -> dict[str, Any]:
    return {"metadata": {"name": "x", **metadata}, "target": {"kind": "Node", "name": "n"}}


@pytest.mark.parametrize("path", [f"{DEFAULT}/pods/x/binding", f"{DEFAULT}/bindings"])
async def test_a_binding_is_for_a_pod_of_its_own_namespace(api: Any, path: str) -> None:
    await api.create(
        f"{DEFAULT}/pods", {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    elsewhere = await api.call("POST", path, binding(namespace="kube-system"))
    assert elsewhere.status == 400
    assert "does not match the namespace sent on the request" in elsewhere.json["message"]
    assert "nodeName" not in (await api.get(f"{DEFAULT}/pods/x")).json["spec"]
    assert (await api.call("POST", path, binding(namespace="default"))).status == 201
    assert (await api.get(f"{DEFAULT}/pods/x")).json["spec"]["nodeName"] == "n"
