"""By which addresses a node is reached, which labels are its own to give, and what is told of it."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.node.happenings import happenings
from hyperkube_kubelet.nodeaddresses import is_here, is_loopback, node_addresses, parse_node_ips
from hyperkube_kubelet.nodelabels import check_labels, restricted

FAR = "https://10.0.0.1:6443"
NEAR = "https://127.0.0.1:6443"
ROUTES = {4: "10.0.0.5", 6: "fd00::5"}


@pytest.mark.parametrize(
    ("given", "server", "routes", "expected"),
    [
        ("", NEAR, ROUTES, ("127.0.0.1",)),
        ("", "", ROUTES, ("127.0.0.1",)),
        ("", FAR, ROUTES, ("10.0.0.5",)),
        ("0.0.0.0", NEAR, ROUTES, ("10.0.0.5",)),
        ("::", FAR, ROUTES, ("fd00::5",)),
        ("::", FAR, {4: "10.0.0.5", 6: ""}, ("10.0.0.5",)),
        ("", FAR, {4: "", 6: ""}, ("127.0.0.1",)),
        ("10.0.0.7", NEAR, ROUTES, ("10.0.0.7",)),
        ("10.0.0.7, fd00::7", FAR, ROUTES, ("10.0.0.7", "fd00::7")),
    ],
)
def test_a_node_is_reached_where_the_cluster_is(
    given: str, server: str, routes: dict[int, str], expected: tuple[str, ...]
) -> None:
    found = node_addresses(parse_node_ips(given), server, here=lambda _: True, default=routes.__getitem__)
    assert found == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("10.0.0.1,10.0.0.2", "must contain either a single IP or a dual-stack pair of IPs"),
        ("10.0.0.1,fd00::1,fd00::2", "must contain either a single IP or a dual-stack pair of IPs"),
        ("0.0.0.0,fd00::1", "dual-stack node IP cannot include"),
        ("here", "'here' does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_addresses_that_cannot_be_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_node_ips(text)


def test_an_address_must_be_the_machines() -> None:
    assert is_here("127.0.0.1")
    assert not is_here("192.0.2.7")  # documentation's
    with pytest.raises(ValueError, match=r'"192[.]0[.]2[.]7" not found in the host'):
        node_addresses(("192.0.2.7",), FAR, here=is_here, default=ROUTES.__getitem__)


@pytest.mark.parametrize(
    ("server", "near"),
    [
        (NEAR, True),
        ("https://localhost:6443", True),
        ("https://[::1]:6443", True),
        ("127.0.0.53", True),
        ("::1", True),
        (FAR, False),
        ("https://api.example.com", False),
        ("0.0.0.0", False),
    ],
)
def test_loopback_is_told_by_its_address(server: str, near: bool) -> None:
    assert is_loopback(server) == near


@pytest.mark.parametrize(
    ("labels", "others"),
    [
        ({"example.com/a": "b", "plain": ""}, []),
        ({"beta.kubernetes.io/fluentd-ds-ready": "true"}, ["beta.kubernetes.io/fluentd-ds-ready"]),
        ({"node-role.kubernetes.io/worker": ""}, ["node-role.kubernetes.io/worker"]),
        ({"node-restriction.kubernetes.io/x": ""}, ["node-restriction.kubernetes.io/x"]),
        ({"k8s.io/x": "", "a.k8s.io/x": ""}, ["a.k8s.io/x", "k8s.io/x"]),
        ({"node.kubernetes.io/x": "", "a.node.kubernetes.io/x": "", "kubelet.kubernetes.io/x": ""}, []),
        ({"topology.kubernetes.io/zone": "a", "kubernetes.io/os": "linux"}, []),
        ({"notkubernetes.io/x": ""}, []),
        ({"cloud.google.com/gke-nodepool": "default-pool"}, []),
    ],
)
def test_a_kubelet_gives_its_node_no_labels_of_others(labels: dict[str, str], others: list[str]) -> None:
    assert restricted(labels) == others


def test_labels_that_cannot_be_are_refused() -> None:
    check_labels({"a.b/c": "d-e"})
    with pytest.raises(ValueError, match=r"invalid node labels: 'a b' - .*; 'c d' - "):
        check_labels({"a b": "x", "y": "c d"})


def status(boot: str = "b1", **conditions: str) -> dict[str, Any]:
    listed = [{"type": kind, "status": value} for kind, value in conditions.items()]
    return {"conditions": listed, "nodeInfo": {"bootID": boot}}


FINE = {"MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False", "Ready": "True"}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({}, status(**FINE), ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]),
        (status(**FINE), status(**FINE), []),
        (status(**FINE), status(**{**FINE, "Ready": "False"}), ["NodeNotReady"]),
        (status(**{**FINE, "Ready": "Unknown"}), status(**FINE), ["NodeReady"]),
        (status(**FINE), status(**{**FINE, "DiskPressure": "True"}), ["NodeHasDiskPressure"]),
        (status(**FINE), status("b2", **FINE), ["Rebooted"]),
        (status("", **FINE), status("b2", **FINE), []),
    ],
)
def test_what_changes_is_told(before: dict[str, Any], after: dict[str, Any], reasons: list[str]) -> None:
    assert [one.reason for one in happenings("n1", before, after)] == reasons


def test_a_reboot_is_a_warning() -> None:
    (told,) = happenings("n1", status(**FINE), status("b2", **FINE))
    assert told == ("Warning", "Rebooted", "Node n1 has been rebooted, boot id: b2")
