"""The kubelet's options, and that every flag of upstream's is classed."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import HyperKube, SettingsError, UnknownFlag
from hyperkube_kubelet.configuration.keys import keys
from hyperkube_kubelet.flags import foreign_flags, treatments
from hyperkube_kubelet.options import Options, parse_taint
from hyperkube_kubelet.plugin import hyperkube_servers
from hyperkube_machinery.packaged import read_packaged

UPSTREAM: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "kubelet-flags-v1.36.json").read_text("utf-8")
)
OWN = {"container-runtime", "hollow-nodes", "master", "network", "orphan-grace-period", "registry-config-dir"}
"""Options that upstream has no flag for."""
CONFIG = "--kubeconfig=node.kubeconfig"
TABLE: dict[str, Any] = json.loads(read_packaged("hyperkube_kubelet", "flags.json"))
REMOVED = [flag for group in TABLE["removed"] if group["treatment"] == "warned" for flag in group["flags"]]


def launcher(output: io.StringIO | None = None) -> HyperKube:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=output or io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    return hk


def parse(*args: str) -> Options:
    options: Options = launcher().parse("kubelet", (CONFIG, *args)).options
    return options


def test_every_flag_of_upstream_is_classed_and_no_other() -> None:
    assert treatments().keys() == UPSTREAM.keys()
    assert set(treatments().values()) == {"honoured", "launcher", "warned", "refused"}


def test_each_flag_is_classed_once() -> None:
    counted = Counter(flag for group in (*TABLE["groups"], *TABLE["removed"]) for flag in group["flags"])
    assert max(counted.values()) == 1
    assert all(group["reason"] for group in TABLE["groups"] if group["treatment"] in ("warned", "refused"))
    assert set(TABLE["agrees"]) <= set(foreign_flags())


def test_honoured_flags_are_options() -> None:
    honoured = {flag for flag, treatment in treatments().items() if treatment == "honoured"}
    fields = {name.replace("_", "-") for name in Options.__dataclass_fields__}
    keys_alone = {key.option.replace("_", "-") for key in keys().values() if key.option}
    assert fields - honoured - keys_alone == OWN
    assert honoured <= fields


def test_flags_take_a_value_where_upstreams_do() -> None:
    for name, foreign in foreign_flags().items():
        if name in UPSTREAM:
            assert foreign.takes_value == (UPSTREAM[name]["type"] != "bool"), name


@pytest.mark.parametrize("name", [*(name for name, how in treatments().items() if how == "warned"), *REMOVED])
def test_warned_flags_are_accepted(name: str) -> None:
    output = io.StringIO()
    launcher(output).run(["hk", "kubelet", CONFIG, f"--{name}=some-value", "--print-config=json"])
    assert f"flag --{name} has no effect: {foreign_flags()[name].reason}" in output.getvalue()


@pytest.mark.parametrize("name", [name for name, treatment in treatments().items() if treatment == "refused"])
def test_refused_flags_are_errors_with_the_reason(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(f"--{name}=some-value")
    assert str(caught.value) == f"flag --{name}: refused: {foreign_flags()[name].reason}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("arg", ["--pod-max-pids=-1", "--read-only-port=0"])
def test_values_that_say_what_is_done_anyway_pass(arg: str) -> None:
    assert parse(arg) == parse()


def test_a_command_line_of_production_is_understood() -> None:
    given = (
        "--cloud-provider=gce --experimental-mounter-path=/home/mounter --cert-dir=/var/lib/kubelet/pki/"
        " --experimental-check-node-capabilities-before-mount=true --cni-bin-dir=/home/bin --allow-privileged=true"
        " --experimental-kernel-memcg-notification=true --max-pods=110 --network-plugin=kubenet"
        " --node-labels=beta.kubernetes.io/fluentd-ds-ready=true,cloud.google.com/gke-nodepool=default-pool"
        " --volume-plugin-dir=/home/flexvolume --registry-qps=10 --registry-burst=20 --node-status-max-images=25"
        " --bootstrap-kubeconfig=/var/lib/kubelet/bootstrap-kubeconfig"
    )
    options = parse(*given.split())
    assert options.node_labels["cloud.google.com/gke-nodepool"] == "default-pool"
    assert (options.max_pods, options.node_status_max_images) == (110, 25)


def test_defaults_are_upstreams_but_for_the_ones_that_say_so() -> None:
    options = parse()
    assert (options.address, options.port, options.healthz_port) == ("127.0.0.1", 10250, 10248)
    assert (options.anonymous_auth, options.authorization_mode) == (False, "Webhook")
    assert (options.max_pods, options.register_node, options.sync_frequency) == (110, True, 60.0)
    assert (options.kube_api_qps, options.kube_api_burst, options.event_qps) == (50.0, 100, 50.0)
    assert (options.container_runtime, options.network, options.hollow_nodes) == ("process", "auto", 0)
    assert options.root_dir.is_absolute()


@pytest.mark.parametrize(
    ("arg", "field", "value"),
    [
        ("--root-dir=/x", "root_dir", Path("/x")),
        ("--node-labels=a=b", "node_labels", {"a": "b"}),
        (
            "--register-with-taints=a=b:NoSchedule,c:NoExecute",
            "register_with_taints",
            ("a=b:NoSchedule", "c:NoExecute"),
        ),
        ("--kube-reserved=cpu=100m", "kube_reserved", {"cpu": "100m"}),
        ("--cluster-dns=10.0.0.10", "cluster_dns", ("10.0.0.10",)),
        ("--container-runtime=hollow", "container_runtime", "hollow"),
        ("--network=loopback", "network", "loopback"),
        ("--sync-frequency=10s", "sync_frequency", 10.0),
        ("--pod-manifest-path=/etc/pods", "pod_manifest_path", Path("/etc/pods")),
    ],
)
def test_honoured_flags_are_read(arg: str, field: str, value: object) -> None:
    assert getattr(parse(arg), field) == value


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--hollow-nodes=3"], "flag --hollow-nodes: needs --container-runtime=hollow"),
        (["--tls-cert-file=a"], "flag --tls-private-key-file: must be given together with --tls-cert-file"),
        (["--register-with-taints=a=b"], '"a=b" is not a taint such as dedicated=tests:NoSchedule'),
        (["--container-runtime=docker"], '"docker" is none of process, hollow'),
    ],
)
def test_what_cannot_be_is_refused(args: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        parse(*args)


def test_without_an_api_server_there_must_be_files() -> None:
    with pytest.raises(SettingsError, match="flag --kubeconfig: must be given, or --pod-manifest-path"):
        launcher().parse("kubelet", ())
    assert launcher().parse("kubelet", ("--pod-manifest-path=/etc/pods",)).options.kubeconfig is None
    assert launcher().parse("kubelet", ("--master=http://127.0.0.1:1",)).options.master == "http://127.0.0.1:1"


def test_unknown_flags_are_errors() -> None:
    with pytest.raises(UnknownFlag):
        parse("--no-such-flag")


def test_taints_are_read() -> None:
    assert parse_taint("a=b:NoSchedule") == ("a", "b", "NoSchedule")
    assert parse_taint("a:NoExecute") == ("a", "", "NoExecute")


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--kube-reserved=pods=3"], 'cannot reserve "pods" resource'),
        (["--system-reserved=cpu=-1"], 'resource quantity for "cpu" cannot be negative: -1'),
        (["--enforce-node-allocatable=pods,all"], '"all" is none of none, pods, system-reserved'),
        (["--enforce-node-allocatable=pods,none"], "none stands alone"),
        (
            ["--enforce-node-allocatable=kube-reserved"],
            "must be given where --enforce-node-allocatable has kube-reserved",
        ),
        (["--reserved-cpus=x"], '"x" is no list of processors'),
        (["--reserved-cpus=0", "--kube-reserved-cgroup=/k"], "can't be given together with"),
        (["--qos-reserved=cpu=5%"], 'cannot reserve "cpu" resource'),
        (["--qos-reserved=memory=5"], '"5" is no percentage'),
        (["--cpu-cfs-quota-period=2s"], "2s"),
        (["--cgroup-driver=none"], "none"),
    ],
)
def test_what_can_not_be_of_resources_is_refused(args: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(*args)
    assert complaint in str(caught.value)


def test_managers_of_single_processors_and_memory_may_be_told_to_do_nothing() -> None:
    none = parse("--cpu-manager-policy=none", "--memory-manager-policy=None", "--topology-manager-policy=none")
    assert none == parse()
