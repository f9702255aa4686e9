"""Rows of networking, storage and policy."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_apiserver.kinds import load_kinds
from hyperkube_apiserver.printers.table import rows

CREATED = "2026-01-01T00:00:00Z"
NOW = 1767225605.0
NET, STORAGE, DISCOVERY = "networking.k8s.io", "storage.k8s.io", "discovery.k8s.io"


def _row(group: str, resource: str, obj: dict[str, Any]) -> list[Any]:
    kind = load_kinds()[group, "v1", resource]
    metadata = {"name": "a", "creationTimestamp": CREATED, **obj.get("metadata", {})}
    (row,) = rows(kind, [{**obj, "metadata": metadata}], now=NOW)
    assert len(row) == len(kind.columns) + (resource == "ipaddresses")
    return row


def _hosts(*hosts: str) -> dict[str, Any]:
    return {"spec": {"rules": [{"host": host} if host else {} for host in hosts]}}


@pytest.mark.parametrize(
    ("hosts", "shown"),
    [
        ((), "*"),
        (("",), "*"),
        (("a", "", "b"), "a,b"),
        (("a", "b", "c"), "a,b,c"),
        (("a", "b", "c", "d", "e"), "a,b,c + 2 more..."),
        (("a", "b", "c", ""), "a,b,c + 1 more..."),
        (("a", "", "b", "c"), "a,b,c"),
    ],
)
def test_an_ingress_shows_its_first_hosts(hosts: tuple[str, ...], shown: str) -> None:
    assert _row(NET, "ingresses", _hosts(*hosts)) == ["a", "<none>", shown, "", "80", "5s"]


def test_an_ingress_shows_class_addresses_and_ports() -> None:
    balancer = {"loadBalancer": {"ingress": [{"ip": "10.0.0.2"}, {"hostname": "h"}, {"ip": "10.0.0.1"}]}}
    obj = {"spec": {"ingressClassName": "c", "tls": [{}]}, "status": balancer}
    assert _row(NET, "ingresses", obj) == ["a", "c", "*", "10.0.0.1,10.0.0.2,h", "80, 443", "5s"]


def test_default_classes_say_so() -> None:
    ingress = {"metadata": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}}
    assert _row(NET, "ingressclasses", ingress)[0] == "a (default)"
    for key in ("storageclass.kubernetes.io", "storageclass.beta.kubernetes.io"):
        storage = {"metadata": {"annotations": {f"{key}/is-default-class": "true"}}}
        assert _row(STORAGE, "storageclasses", storage)[0] == "a (default)"
        storage["metadata"]["annotations"][f"{key}/is-default-class"] = "false"
        assert _row(STORAGE, "storageclasses", storage)[0] == "a"


@pytest.mark.parametrize(
    ("group", "resource", "obj", "cells"),
    [
        (
            *(NET, "ingressclasses"),
            {"spec": {"controller": "a.b/c", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}},
            ["a.b/c", "K.g/n", "5s"],
        ),
        (NET, "ingressclasses", {"spec": {"parameters": {"kind": "K", "name": "n"}}}, ["", "K/n", "5s"]),
        (NET, "networkpolicies", {"spec": {"podSelector": {}}}, ["<none>", "5s"]),
        (
            *(NET, "ipaddresses"),
            {"spec": {"parentRef": {"resource": "Services", "namespace": "n", "name": "s"}}},
            ["services/n/s", "5s"],
        ),
        (NET, "ipaddresses", {"spec": {"parentRef": {"group": "g", "resource": "r", "name": "s"}}}, ["r.g/s", "5s"]),
        (NET, "servicecidrs", {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/64"]}}, ["10.0.0.0/24,fd00::/64", "5s"]),
        (DISCOVERY, "endpointslices", {"addressType": "IPv4"}, ["IPv4", "<unset>", "<unset>", "5s"]),
        (
            *(DISCOVERY, "endpointslices"),
            {
                "addressType": "IPv4",
                "ports": [{"port": 1}, {"name": "x"}, {}, {"port": 4}],
                "endpoints": [{"addresses": ["1", "2"]}, {"addresses": ["3", "4", "5"]}],
            },
            ["IPv4", "1,x,* + 1 more...", "1,2,3 + 2 more...", "5s"],
        ),
        ("policy", "poddisruptionbudgets", {"spec": {"minAvailable": "50%"}}, ["50%", "N/A", 0, "5s"]),
        (
            *("policy", "poddisruptionbudgets"),
            {"spec": {"maxUnavailable": 0}, "status": {"disruptionsAllowed": 3}},
            ["N/A", "0", 3, "5s"],
        ),
        (STORAGE, "storageclasses", {"provisioner": "p"}, ["p", "Delete", "Immediate", False, "5s"]),
        (STORAGE, "csidrivers", {}, [True, False, False, "<unset>", False, "<none>", "5s"]),
        (
            *(STORAGE, "csidrivers"),
            {"spec": {"tokenRequests": [{"audience": "a"}, {}], "volumeLifecycleModes": ["Persistent", "Ephemeral"]}},
            [True, False, False, "a,", False, "Persistent,Ephemeral", "5s"],
        ),
        (STORAGE, "csinodes", {"spec": {"drivers": [{}, {}]}}, [2, "5s"]),
        (STORAGE, "csistoragecapacities", {"storageClassName": "s"}, [CREATED]),
        (
            *(STORAGE, "volumeattachments"),
            {"spec": {"attacher": "d", "nodeName": "n", "source": {}}, "status": {"attached": True}},
            ["d", "", "n", True, "5s"],
        ),
        (STORAGE, "volumeattributesclasses", {"driverName": "d"}, ["d", "5s"]),
    ],
)
def test_rows(group: str, resource: str, obj: dict[str, Any], cells: list[Any]) -> None:
    assert _row(group, resource, obj) == ["a", *cells]
