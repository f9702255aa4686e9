"""The config file."""

from __future__ import annotations

from typing import Any

import pytest

from hyperkube_kubelet.configuration import read_configuration

HEAD = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}


def read(**settings: Any) -> dict[str, Any]:
    return dict(read_configuration({**HEAD, **settings}))


def test_settings_have_upstreams_names() -> None:
    found = read(
        maxPods=20,
        clusterDNS=["10.0.0.10"],
        staticPodPath="/etc/pods",
        authentication={"anonymous": {"enabled": True}, "x509": {"clientCAFile": "ca.crt"}},
        authorization={"mode": "AlwaysAllow"},
        registerWithTaints=[{"key": "a", "value": "b", "effect": "NoSchedule"}],
    )
    assert found == {
        "max_pods": 20,
        "cluster_dns": ["10.0.0.10"],
        "pod_manifest_path": "/etc/pods",
        "anonymous_auth": True,
        "client_ca_file": "ca.crt",
        "authorization_mode": "AlwaysAllow",
        "register_with_taints": ["a=b:NoSchedule"],
    }


def test_a_plain_file_has_flags() -> None:
    assert read_configuration({"max-pods": 5, "root_dir": "d"}) == {"max_pods": 5, "root_dir": "d"}


@pytest.mark.parametrize(
    ("setting", "refusal"),
    [
        ({"podPidsLimit": 100}, "podPidsLimit is refused: processes of a pod are not counted here"),
        ({"seccompDefault": True}, "seccompDefault is refused: no seccomp profile is applied here"),
        ({"featureGates": {"A": True}}, "featureGates is refused"),
        ({"rotateCertificates": True}, "rotateCertificates is refused"),
        ({"maxPod": 5}, 'unknown field "maxPod"'),
    ],
)
def test_what_would_be_stricter_or_is_unknown_is_refused(setting: dict[str, Any], refusal: str) -> None:
    with pytest.raises(ValueError, match=f"^{refusal}"):
        read(**setting)


@pytest.mark.parametrize("setting", [{"podPidsLimit": -1}, {"rotateCertificates": False}, {"cgroupDriver": "systemd"}])
def test_what_changes_nothing_is_accepted(setting: dict[str, Any]) -> None:
    assert read(**setting) == {}


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind Pod of v1 is no KubeletConfiguration"):
        read_configuration({"kind": "Pod", "apiVersion": "v1"})
