"""Component statuses: found out at each request, and stored nowhere."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

PATH = "/api/v1/componentstatuses"
DEPRECATED = '299 - "v1 ComponentStatus is deprecated in v1.19+"'


async def test_the_components_are_listed_with_what_was_found(api: Any) -> None:
    reply = await api.get(PATH)
    assert reply.status == 200
    assert (reply.json["kind"], reply.json["metadata"]) == ("ComponentStatusList", {})
    names = [one["metadata"]["name"] for one in reply.json["items"]]
    assert names == ["controller-manager", "etcd-0", "scheduler"]
    assert reply.warnings == [DEPRECATED]


async def test_the_store_is_the_component_that_keeps_everything(api: Any) -> None:
    reply = await api.get(f"{PATH}/etcd-0")
    healthy = {"type": "Healthy", "status": "True", "message": "ok"}
    metadata = {"name": "etcd-0"}
    assert reply.json == {
        "kind": "ComponentStatus",
        "apiVersion": "v1",
        "metadata": metadata,
        "conditions": [healthy],
    }


async def test_selectors_and_tables_work_as_for_what_is_stored(api: Any) -> None:
    reply = await api.get(
        f"{PATH}?fieldSelector=metadata.name%3Detcd-0", accept="application/json;as=Table;v=v1;g=meta.k8s.io"
    )
    assert [row["cells"] for row in reply.json["rows"]] == [["etcd-0", "Healthy", "ok", ""]]
    reply = await api.get(f"{PATH}?labelSelector=a")
    assert reply.json["items"] == []


async def test_an_unknown_component_is_not_found_and_none_is_written(api: Any) -> None:
    reply = await api.get(f"{PATH}/proxy")
    assert (reply.status, reply.json["message"]) == (404, 'componentstatus "proxy" not found')
    assert (await api.call("POST", PATH, {"metadata": {"name": "x"}})).status == 405
    assert (await api.get(f"{PATH}?watch=true")).status == 405
