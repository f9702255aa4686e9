"""What resolv.conf of pods says."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.containers.dns import pod_dns, without_resolver
from hyperkube_kubelet.runtime.process.nodefiles import parse_resolv_conf
from hyperkube_kubelet.runtime.values import DNS

from ..builders import pod

NODE = DNS(("192.0.2.53",), ("example.com",), ("timeout:2",))
CLUSTER = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
OF_CLUSTER = DNS(("10.0.0.10",), (*CLUSTER, "example.com"), ("ndots:5",))


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, OF_CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, OF_CLUSTER),
        ({"dnsPolicy": "Default"}, NODE),
        ({"hostNetwork": True}, NODE),
        ({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}, OF_CLUSTER),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}, DNS(("1.1.1.1",), (), ())),
        (
            {"dnsPolicy": "Default", "dnsConfig": {"options": [{"name": "timeout", "value": "5"}, {"name": "rotate"}]}},
            DNS(("192.0.2.53",), ("example.com",), ("timeout:5", "rotate")),
        ),
        (
            {"dnsConfig": {"nameservers": ["10.0.0.10", "1.1.1.1"], "searches": ["svc.cluster.local", "b.example"]}},
            DNS(("10.0.0.10", "1.1.1.1"), (*CLUSTER, "example.com", "b.example"), ("ndots:5",)),
        ),
    ],
)
def test_policies_and_the_pods_own(spec: dict[str, Any], found: DNS) -> None:
    given = pod_dns(pod(**spec), NODE, ["10.0.0.10"], "cluster.local")
    assert (given.dns, given.remarks) == (found, ())


def test_without_a_cluster_dns_pods_have_the_nodes_and_are_told_so() -> None:
    given = pod_dns(pod(), NODE, (), "cluster.local")
    assert given.dns == NODE
    [remark] = given.remarks
    assert remark.reason == "MissingClusterDNS"
    assert remark.message.startswith('pod: "web_default(uid-1)". kubelet does not have ClusterDNS IP configured')


def test_three_name_servers_are_all_that_resolvers_ask() -> None:
    own = {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3"]}
    given = pod_dns(pod(dnsConfig=own), NODE, ["10.0.0.10"], "")
    assert given.dns.servers == ("10.0.0.10", "1.1.1.1", "1.1.1.2")
    assert [(remark.reason, remark.message) for remark in given.remarks] == [
        (
            "DNSConfigForming",
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is:"
            " 10.0.0.10 1.1.1.1 1.1.1.2",
        )
    ]


@pytest.mark.parametrize(
    ("searches", "kept"),
    [
        ([f"s{number}.example" for number in range(40)], 32),
        (["a" * 254, "b.example"], 1),
        (["a" * 250 for _ in range(1)] + [f"{number}{'b' * 248}" for number in range(9)], 8),
    ],
)
def test_search_lists_have_limits(searches: list[str], kept: int) -> None:
    given = pod_dns(pod(dnsPolicy="None", dnsConfig={"searches": searches}), NODE, (), "")
    assert len(given.dns.searches) == kept
    assert len(" ".join(given.dns.searches)) <= 2048
    assert [remark.reason for remark in given.remarks] == ["DNSConfigForming"]


def test_a_node_without_a_resolver_looks_nothing_up() -> None:
    assert without_resolver(["192.0.2.1", "2001:db8::1"]) == DNS(("127.0.0.1", "::1"), (".",))
    assert without_resolver([]) == DNS(("127.0.0.1",), (".",))


def test_the_nodes_file_is_read_as_upstream_reads_it() -> None:
    text = """
# nameserver 9.9.9.9
nameserver 192.0.2.53 # the office's
nameserver
search a.example
search b.example. . c.example
options ndots:2 rotate
options ndots:3
"""
    assert parse_resolv_conf(text) == DNS(("192.0.2.53",), ("b.example", "c.example"), ("ndots:3", "rotate"))
