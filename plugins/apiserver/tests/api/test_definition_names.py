"""Names of custom resources are accepted unless others of their group have them."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.definitionnames import accept_names

pytestmark = pytest.mark.anyio

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(plural: str, kind: str, **names: Any) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, **names},
            "versions": [version],
        },
    }


async def status(api: Any, plural: str) -> dict[str, Any]:
    found = (await api.get(f"{PATH}/{plural}.example.com")).json["status"]
    return dict(found)


def told(found: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in found["conditions"]}


async def test_names_are_accepted_once(api: Any) -> None:
    made = await api.create(PATH, definition("widgets", "Widget", shortNames=["wd"]))
    assert made["status"] == {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": ["v1"]}
    await accept_names(api.api, api.clock)
    found = await status(api, "widgets")
    assert found["acceptedNames"] == made["spec"]["names"]
    assert told(found) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("False", "Installing", "the initial names have been accepted"),
    }
    before = await api.store.revision()
    await accept_names(api.api, api.clock)
    assert await api.store.revision() == before


@pytest.mark.parametrize(
    ("names", "accepted", "reason", "message"),
    [
        ({"kind": "Widget"}, {"plural": "gadgets", "kind": ""}, "ListKindConflict", '"WidgetList" is already in use'),
        (
            {"kind": "Gadget", "shortNames": ["wd"]},
            {"plural": "gadgets", "kind": "Gadget", "listKind": "GadgetList", "singular": "gadget"},
            "ShortNamesConflict",
            '"wd" is already in use',
        ),
        (
            {"kind": "Gadget", "singular": "widget"},
            {"plural": "gadgets", "kind": "Gadget", "listKind": "GadgetList"},
            "SingularConflict",
            '"widget" is already in use',
        ),
    ],
)
async def test_a_name_of_another_is_not_accepted(
    api: Any, names: dict[str, Any], accepted: dict[str, Any], reason: str, message: str
) -> None:
    await api.create(PATH, definition("widgets", "Widget", shortNames=["wd"]))
    await accept_names(api.api, api.clock)
    await api.create(PATH, definition("gadgets", names.pop("kind"), **names))
    await accept_names(api.api, api.clock)
    found = await status(api, "gadgets")
    assert found["acceptedNames"] == accepted
    assert told(found) == {
        "NamesAccepted": ("False", reason, message),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    await api.delete(f"{PATH}/widgets.example.com")
    await accept_names(api.api, api.clock)
    assert told(await status(api, "gadgets"))["NamesAccepted"] == ("True", "NoConflicts", "no conflicts found")
