"""Config files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.configuration.gates import warnings
from hyperkube_kubelet.configuration.keys import keys
from hyperkube_kubelet.configuration.reading import read_configurations
from hyperkube_kubelet.configuration.showing import shown
from hyperkube_kubelet.flags import foreign_flags, treatments
from hyperkube_kubelet.options import Options

HEAD = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
FIELDS = Options.__dataclass_fields__
TYPE: list[str] = json.loads((Path(__file__).parent / "data" / "kubeletconfiguration-v1beta1.json").read_text("utf-8"))


def read(*layers: dict[str, Any]) -> dict[str, Any]:
    files = [(Path(f"/etc/k/{index}.yaml"), {**HEAD, **layer}) for index, layer in enumerate(layers)]
    return read_configurations(files, FIELDS)


def test_every_key_of_the_type_is_known_and_no_other() -> None:
    assert list(keys()) == TYPE


@pytest.mark.parametrize("key", keys().values(), ids=lambda key: key.path)
def test_each_key_is_classed_once(key: Any) -> None:
    assert sum(map(bool, (key.flag, key.option, key.warned, key.refused))) == 1
    if key.flag:
        assert (key.flag in foreign_flags()) != (treatments()[key.flag] == "honoured" and key.field in FIELDS)
    if key.option:
        assert key.option in FIELDS


def test_settings_have_upstreams_names() -> None:
    found = read(
        {
            "maxPods": 20,
            "clusterDNS": ["10.0.0.10"],
            "staticPodPath": "/etc/pods",
            "authentication": {"anonymous": {"enabled": True}, "x509": {"clientCAFile": "ca.crt"}},
            "authorization": {"mode": "AlwaysAllow"},
            "registerWithTaints": [{"key": "a", "value": "b", "effect": "NoSchedule"}],
        }
    )
    assert found == {
        "max_pods": 20,
        "cluster_dns": ["10.0.0.10"],
        "pod_manifest_path": "/etc/pods",
        "anonymous_auth": True,
        "client_ca_file": "/etc/k/ca.crt",
        "authorization_mode": "AlwaysAllow",
        "register_with_taints": ["a=b:NoSchedule"],
    }


def test_a_plain_file_has_flags() -> None:
    assert read_configurations([(Path("c"), {"max-pods": 5, "root_dir": "d"})], FIELDS) == {
        "max_pods": 5,
        "root_dir": "d",
    }


def test_later_files_go_before_earlier_ones_key_by_key() -> None:
    found = read(
        {"maxPods": 20, "kubeReserved": {"cpu": "1", "memory": "1Gi"}, "clusterDNS": ["10.0.0.10"]},
        {"kubeReserved": {"cpu": "2"}, "authorization": {"mode": "AlwaysAllow"}},
        {"maxPods": None, "kubeReserved": {"memory": None}, "clusterDNS": ["10.0.0.11"]},
    )
    assert found == {
        "kube_reserved": {"cpu": "2"},
        "cluster_dns": ["10.0.0.11"],
        "authorization_mode": "AlwaysAllow",
    }


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"maxPod": 5}, 'strict decoding error: unknown field "maxPod"'),
        (
            {"a": 1, "authentication": {"x509": {"b": 2}}},
            'strict decoding error: unknown field "a", unknown field "authentication.x509.b"',
        ),
        (
            {"maxPods": "many"},
            "json: cannot unmarshal string into Go struct field KubeletConfiguration.maxPods of type int32",
        ),
        (
            {"clusterDNS": [1]},
            "json: cannot unmarshal number into Go struct field KubeletConfiguration.clusterDNS of type string",
        ),
        (
            {"authentication": True},
            "json: cannot unmarshal bool into Go struct field KubeletConfiguration.authentication of type struct",
        ),
        (
            {"port": 1 << 31},
            "json: cannot unmarshal number into Go struct field KubeletConfiguration.port of type int32",
        ),
        ({"syncFrequency": "10"}, 'syncFrequency: time: missing unit in duration "10"'),
        ({"maxPods": -1}, "invalid configuration: maxPods (--max-pods) -1 must not be a negative number"),
        (
            {"healthzPort": 65536, "containerLogMaxFiles": 1},
            "[invalid configuration: healthzPort (--healthz-port) 65536 must be between 1 and 65535, inclusive,"
            " invalid configuration: containerLogMaxFiles must be greater than 1]",
        ),
        (
            {"imageGCHighThresholdPercent": 50},
            "invalid configuration: imageGCLowThresholdPercent (--image-gc-low-threshold) 80 must be less than"
            " imageGCHighThresholdPercent (--image-gc-high-threshold) 50",
        ),
        (
            {"enforceNodeAllocatable": ["pods", "pods"]},
            'invalid configuration: duplicated enforcements "pods" in enforceNodeAllocatable'
            " (--enforce-node-allocatable)",
        ),
        ({"registerWithTaints": [{"key": "a"}]}, "invalid taint: a:"),
        (
            {"runOnce": True},
            "invalid configuration: runOnce (--runOnce) true, Runonce mode has been deprecated and should not be set",
        ),
        ({"cpuCFSQuotaPeriod": "2s"}, "invalid configuration: cpuCFSQuotaPeriod (--cpu-cfs-quota-period) 2s must be"),
        ({"tlsCurvePreferences": [29]}, "tlsCurvePreferences is refused: TLS is spoken with this Python's curves"),
    ],
)
def test_what_is_not_known_or_cannot_be_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the text is what matters)
        read(settings)
    assert str(caught.value).startswith(complaint)


def test_a_file_of_many_that_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match=r"^/etc/k/1\.yaml: strict decoding error"):
        read({}, {"maxPod": 5})


@pytest.mark.parametrize(
    "settings", [{"maxPods": 0}, {"syncFrequency": "0s"}, {"maxPods": None}, {"shutdownGracePeriod": "0s"}, {"port": 0}]
)
def test_a_zero_that_go_cannot_tell_from_nothing_is_nothing(settings: dict[str, Any]) -> None:
    assert read(settings) == {}


def test_a_zero_that_go_can_tell_counts() -> None:
    assert read({"healthzPort": 0, "resolvConf": "", "registerNode": False}) == {
        "healthz_port": 0,
        "resolv_conf": "",
        "register_node": False,
    }


def test_what_does_nothing_is_warned_of_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read({"enableProfilingHandler": True, "iptablesDropBit": 3}) == {}
    assert caplog.messages == [
        "config file: enableProfilingHandler has no effect: there is no profiling here",
        "config file: iptablesDropBit has no effect: iptables is left alone here",
    ]


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"kind": "Pod", "apiVersion": "v1"}, 'no kind "Pod" is registered for version "v1"'),
        ({"kind": "KubeletConfiguration"}, "Object 'apiVersion' is missing"),
        ({"apiVersion": "v1", "maxPods": 1}, "Object 'Kind' is missing"),
    ],
)
def test_another_kind_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_configurations([(Path("c"), document)], FIELDS)


def test_gates_that_say_what_upstream_does_anyway_pass() -> None:
    assert list(warnings({"NodeSwap": True, "MemoryQoS": False})) == []
    assert list(warnings({"NodeSwap": False, "MemoryQoS": True, "DynamicKubeletConfig": False})) == [
        "the feature gate DynamicKubeletConfig has no effect: Kubernetes 1.36 has no such gate",
        "the feature gate MemoryQoS has no effect: the feature is not there",
        "the feature gate NodeSwap has no effect: the feature is there always, or not at all",
    ]


def test_what_is_shown_is_read_again_as_it_was() -> None:
    taints = [{"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "c", "effect": "NoExecute"}]
    given = {"max_pods": 20, "sync_frequency": 90.0, "client_ca_file": Path("/ca.crt")}
    told = shown({**given, "register_with_taints": ("a=b:NoSchedule", "c:NoExecute")})
    assert {name: told[name] for name in ("kind", "apiVersion", "maxPods", "syncFrequency", "registerWithTaints")} == {
        **HEAD,
        "maxPods": 20,
        "syncFrequency": "1m30s",
        "registerWithTaints": taints,
    }
    again = read_configurations([(Path("/c"), told)], {*given, "register_with_taints"})
    assert again == {
        "max_pods": 20,
        "sync_frequency": "1m30s",
        "client_ca_file": "/ca.crt",
        "register_with_taints": ["a=b:NoSchedule", "c=:NoExecute"],
    }
