"""The proxy's options, that every flag of kube-proxy is classed, and KubeProxyConfiguration."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import HyperKube, SettingsError, UnknownFlag
from hyperkube_machinery.packaged import read_packaged
from hyperkube_proxy.flags import foreign_flags, treatments
from hyperkube_proxy.options import Options, split_address
from hyperkube_proxy.plugin import hyperkube_servers

UPSTREAM: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "kube-proxy-flags-v1.36.json").read_text("utf-8")
)

HKS_OWN = {"masquerade-bit", "min-sync-period", "pod-network", "relay-status-file", "sync-period"}


def launcher(output: io.StringIO | None = None) -> HyperKube:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=output or io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    return hk


def parse(*args: str) -> Options:
    options: Options = launcher().parse("proxy", ["--kubeconfig=/k", *args]).options
    return options


def from_config(tmp_path: Path, text: str, *args: str) -> Options:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    options: Options = launcher().parse("proxy", [f"--config={path}", *args]).options
    return options


def test_every_flag_of_kube_proxy_is_classed_and_no_other() -> None:
    assert treatments().keys() == UPSTREAM.keys()
    assert set(treatments().values()) == {"honoured", "launcher", "warned", "refused"}


def test_each_flag_is_classed_once() -> None:
    table = json.loads(read_packaged("hyperkube_proxy", "flags.json"))
    groups = (*table["groups"], *table["removed"])
    counted = Counter(flag for group in groups for flag in group["flags"])
    assert max(counted.values()) == 1
    assert all(group["reason"] for group in groups if group["treatment"] in ("warned", "refused"))
    assert set(table["agrees"]) <= set(foreign_flags())
    assert set(table["switches"]) <= set(foreign_flags())


def test_honoured_flags_are_options() -> None:
    honoured = {flag for flag, treatment in treatments().items() if treatment == "honoured"}
    fields = {name.replace("_", "-") for name in Options.__dataclass_fields__}
    assert fields - honoured == HKS_OWN
    assert honoured <= fields


def test_flags_take_a_value_where_upstreams_do() -> None:
    removed_switches = {"cleanup-ipvs"}
    for name, foreign in foreign_flags().items():
        switch = name in removed_switches or UPSTREAM.get(name, {}).get("type") == "bool"
        assert foreign.takes_value is not switch, name


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--proxy-mode=iptables"], "the mode iptables is refused"),
        (["--proxy-mode=ipvs"], "the mode ipvs is refused: use nftables"),
        (["--proxy-mode=fast"], '"fast" is not a mode; there are auto, nftables, userspace, relays'),
        (["--proxy-mode=relays"], "--relay-status-file: must be given with --proxy-mode=relays"),
        (["--feature-gates=Foo=true"], "there are no feature gates"),
        (["--init-only"], "refused"),
        (["--write-config-to=/x"], "refused"),
        (["--cluster-cidr=10.0.0.0/8,10.1.0.0/16"], "must be one CIDR, or one of each family"),
        (["--nodeport-addresses=primary,10.0.0.0/8"], "can't use both 'primary' and CIDRs"),
        (["--nodeport-addresses=ten"], "'ten' does not appear to be an IPv4 or IPv6 network"),
        (["--detect-local-mode=Guess"], '"Guess" is not a way to tell local traffic'),
        (["--detect-local-mode=BridgeInterface"], "--pod-bridge-interface: must be given"),
        (["--detect-local-mode=InterfaceNamePrefix"], "--pod-interface-name-prefix: must be given"),
        (["--healthz-bind-address=127.0.0.1:x"], '"x" is not a port'),
        (["--min-sync-period=1m"], "must not be less than --min-sync-period"),
        (["--masquerade-bit=32"], "32 is more than 31"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(arguments: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(*arguments)
    assert complaint in str(caught.value)


def test_a_proxy_needs_to_know_its_api_server() -> None:
    with pytest.raises(SettingsError, match="--kubeconfig: must be given"):
        launcher().parse("proxy", [])
    assert launcher().parse("proxy", ["--master=http://127.0.0.1:8080"]).options.master
    assert launcher().parse("proxy", ["--cleanup"]).options.cleanup


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(UnknownFlag):
        parse("--proxy-mod=nftables")


def test_command_lines_of_production_are_understood(caplog: pytest.LogCaptureFixture) -> None:
    options = parse(
        "--master=https://192.0.2.1",
        "--cluster-cidr=10.4.0.0/14",
        "--resource-container=",
        "--oom-score-adj=-998",
        "--v=2",
        "--iptables-sync-period=1m",
        "--iptables-min-sync-period=10s",
        "--ipvs-sync-period=1m",
        "--ipvs-min-sync-period=10s",
    )
    assert (options.master, options.cluster_cidr) == ("https://192.0.2.1", "10.4.0.0/14")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1", ("127.0.0.1", 7)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        ("::1", ("::1", 7)),
        ("[::1]", ("::1", 7)),
    ],
)
def test_an_address_may_lack_its_port(text: str, found: tuple[str, int]) -> None:
    assert split_address(text, 7) == found


CONFIG = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
bindAddressHardFail: true
clientConnection:
  kubeconfig: /etc/kubeconfig
  qps: 7
  burst: 9
  acceptContentTypes: ""
clusterCIDR: 10.244.0.0/16
conntrack:
  maxPerCore: 0
  min: null
featureGates: {}
healthzBindAddress: 127.0.0.1:1
hostnameOverride: node-7
iptables:
  masqueradeAll: false
  masqueradeBit: null
metricsBindAddress: ""
mode: nftables
nftables:
  masqueradeAll: true
  masqueradeBit: 15
  minSyncPeriod: 2s
  syncPeriod: 40s
nodePortAddresses: [10.0.0.0/8]
winkernel:
  enableDSR: false
  networkName: ""
"""


def test_a_configuration_file_is_read(tmp_path: Path) -> None:
    options = from_config(tmp_path, CONFIG)
    assert (options.kubeconfig, options.kube_api_qps, options.kube_api_burst) == (Path("/etc/kubeconfig"), 7, 9)
    assert (options.cluster_cidr, options.hostname_override, options.proxy_mode) == (
        "10.244.0.0/16",
        "node-7",
        "nftables",
    )
    assert (options.masquerade_all, options.masquerade_bit) == (True, 15)
    assert (options.min_sync_period, options.sync_period) == (2, 40)
    assert options.nodeport_addresses == ("10.0.0.0/8",)
    assert options.bind_address_hard_fail
    assert options.healthz_bind_address == "127.0.0.1:1"


def test_a_flag_goes_before_the_configuration_file(tmp_path: Path) -> None:
    assert from_config(tmp_path, CONFIG, "--proxy-mode=userspace").proxy_mode == "userspace"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("portRange: 1-2", "portRange: there is no such field"),
        ("featureGates: {Foo: true}", "there are no feature gates"),
        ("mode: ipvs", "the mode ipvs is refused"),
        ("winkernel: {enableDSR: true}", "winkernel.enableDSR: there is no Windows here"),
        ("detectLocal: 3", "detectLocal: must be a mapping"),
    ],
)
def test_what_a_configuration_file_asks_in_vain_is_an_error(tmp_path: Path, line: str, complaint: str) -> None:
    head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
    with pytest.raises(SettingsError) as caught:
        from_config(tmp_path, head + line + "\n", "--kubeconfig=/k")
    assert complaint in str(caught.value)


def test_a_configuration_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is not kubeproxy\.config\.k8s\.io/v1alpha1"):
        from_config(tmp_path, CONFIG.replace("v1alpha1", "v1beta1"))


def test_as_many_files_may_be_open_as_this_user_may_have() -> None:
    script = (
        "import resource; from hyperkube_proxy.openfiles import allow_open_files;"
        " resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]));"
        " allow_open_files(); soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); assert soft == hard > 64"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
