"""KubeProxyConfiguration: every key of upstream's has its place, and does what the flag of its meaning does."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import HyperKube, SettingsError
from hyperkube_proxy.configuration import FLAGS_BESIDE, keys, shown, translate
from hyperkube_proxy.flags import foreign_flags, treatments
from hyperkube_proxy.options import Options
from hyperkube_proxy.plugin import hyperkube_servers

UPSTREAM: dict[str, str] = json.loads(
    (Path(__file__).parent / "data" / "kube-proxy-configuration-v1.36.json").read_text("utf-8")
)["keys"]

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def launcher() -> HyperKube:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    return hk


def configured(tmp_path: Path, text: str, *args: str) -> Options:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + text)
    options: Options = launcher().parse("proxy", [f"--config={path}", *args]).options
    return options


def test_every_key_of_upstreams_is_known_and_no_other() -> None:
    own = {path.partition(".")[0] if path.startswith("logging.") else path for path in keys()}
    assert own == UPSTREAM.keys()
    assert not [path for path, type_ in UPSTREAM.items() if path != "logging" and keys()[path].type != type_]


def test_every_key_is_an_option_or_has_a_reason() -> None:
    fields = {field.name for field in dataclasses.fields(Options)}
    for path, key in keys().items():
        ways = [key.field in fields, key.flag in foreign_flags(), bool(key.warned), bool(key.refused)]
        assert ways.count(True) == 1, path


def test_all_that_stands_beside_a_file_are_flags_of_upstreams() -> None:
    assert {treatments()[flag] for flag in FLAGS_BESIDE} == {"honoured"}


FULL = """\
featureGates: {DynamicKubeletConfig: false}
bindAddress: 192.0.2.9
bindAddressHardFail: true
clientConnection:
  kubeconfig: /etc/kubeconfig
  qps: 7.5
  burst: 9
  acceptContentTypes: ""
  contentType: application/vnd.kubernetes.protobuf
clusterCIDR: 10.244.0.0/16,fd00::/48
configSyncPeriod: 15m0s
conntrack:
  maxPerCore: 0
  min: 7
  tcpBeLiberal: true
  tcpCloseWaitTimeout: 2m
  tcpEstablishedTimeout: 0s
  udpStreamTimeout: 3m
  udpTimeout: 4m
detectLocal:
  bridgeInterface: br0
  interfaceNamePrefix: veth
detectLocalMode: BridgeInterface
healthzBindAddress: 127.0.0.1:1
hostnameOverride: node-7
iptables:
  masqueradeAll: false
  masqueradeBit: 3
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  scheduler: rr
metricsBindAddress: ""
mode: nftables
nftables:
  masqueradeAll: true
  masqueradeBit: 15
  minSyncPeriod: 2s
  syncPeriod: 40s
nodePortAddresses: [10.0.0.0/8]
oomScoreAdj: 0
winkernel:
  enableDSR: false
  networkName: ""
"""

CAME_TO: dict[str, Any] = {
    "bind_address": "192.0.2.9",
    "bind_address_hard_fail": True,
    "cluster_cidr": "10.244.0.0/16,fd00::/48",
    "conntrack_max_per_core": 0,
    "conntrack_min": 7,
    "conntrack_tcp_be_liberal": True,
    "conntrack_tcp_timeout_close_wait": 120,
    "conntrack_tcp_timeout_established": 0,
    "conntrack_udp_timeout": 240,
    "conntrack_udp_timeout_stream": 180,
    "detect_local_mode": "BridgeInterface",
    "feature_gates": {"DynamicKubeletConfig": False},
    "healthz_bind_address": "127.0.0.1:1",
    "hostname_override": "node-7",
    "iptables_masquerade_bit": 3,
    "kube_api_burst": 9,
    "kube_api_qps": 7.5,
    "kubeconfig": Path("/etc/kubeconfig"),
    "masquerade_all": True,
    "masquerade_bit": 15,
    "metrics_bind_address": "127.0.0.1:10249",
    "min_sync_period": 2,
    "nodeport_addresses": ("10.0.0.0/8",),
    "oom_score_adj": 0,
    "pod_bridge_interface": "br0",
    "pod_interface_name_prefix": "veth",
    "proxy_mode": "nftables",
    "sync_period": 40,
}


def test_a_configuration_file_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = configured(tmp_path, FULL)
    expected = {**CAME_TO, "end_with_change_of": tmp_path / "config.yaml"}
    assert {name: getattr(options, name) for name in expected} == expected
    assert not caplog.records, "ipvs' fields are for a mode that wasn't asked for"


def test_an_empty_file_comes_to_the_defaults(tmp_path: Path) -> None:
    options = configured(tmp_path, "clientConnection: {kubeconfig: /k}")
    assert dataclasses.replace(options, end_with_change_of=None) == Options(kubeconfig=Path("/k"))


@pytest.mark.parametrize(
    ("mode", "all_", "periods"),
    [("", True, (20, 2)), ("iptables", True, (20, 2)), ("ipvs", True, (40, 4)), ("nftables", False, (60, 6))],
)
def test_each_mode_has_fields_of_its_own(tmp_path: Path, mode: str, all_: bool, periods: tuple[int, int]) -> None:
    text = f'mode: "{mode}"\nclientConnection: {{kubeconfig: /k}}\n'
    text += "iptables: {masqueradeAll: true, syncPeriod: 20s, minSyncPeriod: 2s}\n"
    text += "ipvs: {syncPeriod: 40s, minSyncPeriod: 4s}\nnftables: {syncPeriod: 60s, minSyncPeriod: 6s}\n"
    options = configured(tmp_path, text)
    assert options.masquerade_all is all_
    assert (options.sync_seconds, options.min_sync_seconds) == periods


def test_the_file_goes_before_kube_proxys_flags_but_for_a_few(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(HEAD + FULL)
    given = ["--proxy-mode=userspace", "--kubeconfig=/other", "--hostname-override=n", "--master=https://192.0.2.1"]
    options: Options = launcher().parse("proxy", [f"--config={path}", "--pod-network=/s", *given]).options
    assert (options.proxy_mode, options.kubeconfig) == ("nftables", Path("/etc/kubeconfig"))
    assert (options.hostname_override, options.master, options.pod_network) == ("n", "https://192.0.2.1", Path("/s"))


def test_flags_go_before_a_file_of_flags(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("proxy-mode: nftables\n")
    options: Options = launcher().parse("proxy", [f"--config={path}", "--proxy-mode=userspace", "--master=x"]).options
    assert options.proxy_mode == "userspace"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("portRange: 1-2", "portRange has no effect"),
        ("mood: good", "there is no field mood"),
        ("nftables: {colour: blue}", "there is no field nftables.colour"),
        ("mode: ipvs\nipvs: {scheduler: rr}", "ipvs.scheduler has no effect: nftables acts in place of ipvs"),
        ("iptables: {localhostNodePorts: true}", ""),
        ("enableProfiling: true", "enableProfiling has no effect"),
        ("logging: {format: json, verbosity: 4}", "logging.format has no effect"),
    ],
)
def test_what_does_nothing_here_is_warned_of(
    tmp_path: Path, line: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        configured(tmp_path, f"clientConnection: {{kubeconfig: /k}}\n{line}\n")
    assert told in caplog.text
    assert bool(told) is bool(caplog.records)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("mode: kernelspace", "the mode kernelspace is refused"),
        ("mode: fast", '"fast" is not a mode'),
        ("winkernel: {enableDSR: true}", "winkernel.enableDSR is refused: there is no Windows here"),
        ("windowsRunAsService: true", "windowsRunAsService is refused"),
        ("detectLocal: 3", "detectLocal: must be a mapping"),
        ("mode: 3", "mode: must be a string"),
        ("conntrack: {min: many}", "conntrack.min: must be a number"),
        ("conntrack: {min: -1}", "-1 is less than 0"),
        ("nftables: {syncPeriod: soon}", "nftables.syncPeriod: must be a duration"),
        ("nftables: {masqueradeBit: 32}", "32 is more than 31"),
        ("nodePortAddresses: 10.0.0.0/8", "nodePortAddresses: must be a list of strings"),
        ("featureGates: {Foo: 1}", "featureGates: must be a mapping of names to true or false"),
        ("bindAddress: here", "'here' does not appear to be"),
        ("bindAddressHardFail: yes please", "bindAddressHardFail: must be true or false"),
        ("detectLocalMode: Guess", '"Guess" is not a way to tell local traffic'),
        ("detectLocalMode: BridgeInterface", "--pod-bridge-interface: must be given"),
        ("oomScoreAdj: 1001", "1001 is more than 1000"),
    ],
)
def test_what_a_configuration_file_asks_in_vain_is_an_error(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configured(tmp_path, f"clientConnection: {{kubeconfig: /k}}\n{line}\n")
    assert complaint in str(caught.value)


def test_a_configuration_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is not kubeproxy\.config\.k8s\.io/v1alpha1"):
        translate({"kind": "KubeProxyConfiguration", "apiVersion": "kubeproxy.config.k8s.io/v1beta1"})


def test_what_is_shown_is_read_as_what_it_was_made_of(tmp_path: Path) -> None:
    options = configured(tmp_path, FULL)
    document = shown(dataclasses.asdict(options))
    path = tmp_path / "again.yaml"
    path.write_text(json.dumps(document))
    again: Options = launcher().parse("proxy", [f"--config={path}"]).options
    assert again == dataclasses.replace(options, end_with_change_of=path)


def test_a_default_configuration_is_upstreams_but_for_what_is_safer() -> None:
    document = shown(dataclasses.asdict(Options(kubeconfig=Path("/k"))))
    flat = {path: value for path, value in _flat(document, "") if path in keys()}
    different = {path for path, value in flat.items() if keys()[path].default not in (None, value)}
    assert different == {
        "clientConnection.kubeconfig",
        "healthzBindAddress",  # on loopback
        "mode",
        "nftables.minSyncPeriod",
    }


def _flat(document: dict[str, Any], above: str) -> list[tuple[str, Any]]:
    found = []
    for name, value in document.items():
        path = above + name
        found += _flat(value, f"{path}.") if isinstance(value, dict) and path not in keys() else [(path, value)]
    return found
