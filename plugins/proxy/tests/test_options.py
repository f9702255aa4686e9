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
from hyperkube_proxy.gates import gate_warnings
from hyperkube_proxy.options import Options, split_address
from hyperkube_proxy.plugin import hyperkube_servers

UPSTREAM: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "kube-proxy-flags-v1.36.json").read_text("utf-8")
)

HKS_OWN = {"end-with-change-of", "masquerade-bit", "min-sync-period", "pod-network", "relay-status-file", "sync-period"}


def launcher(output: io.StringIO | None = None) -> HyperKube:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=output or io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    return hk


def parse(*args: str) -> Options:
    options: Options = launcher().parse("proxy", ["--kubeconfig=/k", *args]).options
    return options


def test_every_flag_of_kube_proxy_is_classed_and_no_other() -> None:
    assert treatments().keys() == UPSTREAM.keys()
    assert set(treatments().values()) == {"honoured", "launcher", "warned"}


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
        (["--proxy-mode=kernelspace"], "the mode kernelspace is refused: there is no Windows here"),
        (["--bind-address=here"], "'here' does not appear to be an IPv4 or IPv6 address"),
        (["--oom-score-adj=-1001"], "-1001 is less than -1000"),
        (["--conntrack-min=-1"], "-1 is less than 0"),
        (["--iptables-masquerade-bit=32"], "32 is more than 31"),
        (["--iptables-sync-period=1s", "--iptables-min-sync-period=2s"], "must not be less than --min-sync-period"),
        (["--feature-gates=Foo=maybe"], "invalid value of Foo"),
        (["--proxy-mode=fast"], '"fast" is not a mode; there are auto, nftables, userspace, relays'),
        (["--proxy-mode=relays"], "--relay-status-file: must be given with --proxy-mode=relays"),
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


def test_command_lines_of_production_are_understood() -> None:
    invocation = launcher().parse(
        "proxy",
        [
            "--master=https://192.0.2.1",
            "--kubeconfig=/var/lib/kube-proxy/kubeconfig",
            "--cluster-cidr=10.4.0.0/14",
            "--resource-container=",
            "--oom-score-adj=-998",
            "--v=2",
            "--feature-gates=DynamicKubeletConfig=false,ExperimentalCriticalPodAnnotation=true",
            "--iptables-sync-period=1m",
            "--iptables-min-sync-period=10s",
            "--ipvs-sync-period=1m",
            "--ipvs-min-sync-period=10s",
        ],
    )
    options: Options = invocation.options
    assert (options.master, options.cluster_cidr) == ("https://192.0.2.1", "10.4.0.0/14")
    assert (options.sync_seconds, options.min_sync_seconds, options.oom_score_adj) == (60, 10, -998)
    assert len(list(gate_warnings(options.feature_gates))) == 2


@pytest.mark.parametrize(
    ("mode", "acts", "bit", "periods"),
    [
        ("", "auto", 15, (20, 2)),
        ("auto", "auto", 15, (20, 2)),
        ("nftables", "nftables", 15, (20, 2)),
        ("iptables", "nftables", 13, (20, 2)),
        ("ipvs", "nftables", 13, (40, 4)),
        ("userspace", "userspace", 15, (20, 2)),
    ],
)
def test_nftables_acts_in_place_of_modes_of_old(mode: str, acts: str, bit: int, periods: tuple[float, float]) -> None:
    options = parse(
        f"--proxy-mode={mode}",
        "--masquerade-bit=15",
        "--iptables-masquerade-bit=13",
        "--iptables-sync-period=20s",
        "--iptables-min-sync-period=2s",
        "--ipvs-sync-period=40s",
        "--ipvs-min-sync-period=4s",
    )
    assert (options.mode, options.mark_bit) == (acts, bit)
    assert (options.sync_seconds, options.min_sync_seconds) == periods


@pytest.mark.parametrize(
    ("gates", "names"),
    [
        ({"AllAlpha": False, "MultiCIDRServiceAllocator": True}, []),
        ({"AllAlpha": True, "PreferSameTrafficDistribution": False}, ["AllAlpha", "PreferSameTrafficDistribution"]),
        ({"DynamicKubeletConfig": False}, ["DynamicKubeletConfig"]),
    ],
)
def test_a_gate_that_asks_for_anything_else_is_warned_of(gates: dict[str, bool], names: list[str]) -> None:
    assert [text.split()[3] for text in gate_warnings(gates)] == names


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


def test_as_many_files_may_be_open_as_this_user_may_have() -> None:
    script = (
        "import resource; from hyperkube_proxy.processlimits import allow_open_files;"
        " resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]));"
        " allow_open_files(); soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); assert soft == hard > 64"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
