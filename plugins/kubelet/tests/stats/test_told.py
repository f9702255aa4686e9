"""What clients read: the summary, and series for Prometheus and metrics-server."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hyperkube_kubelet.runtime.values import ContainerStats, InterfaceUsage, SandboxStats
from hyperkube_kubelet.stats.assembly import Reading, pod_figures
from hyperkube_kubelet.stats.cadvisor import Facts, cadvisor_families, groups_of
from hyperkube_kubelet.stats.disks import Disks
from hyperkube_kubelet.stats.figures import Filesystem, NodeFigures, Pressure, Usage, VolumeFigures, completed, summed
from hyperkube_kubelet.stats.groups import Details, PodGroup, Transfers
from hyperkube_kubelet.stats.rates import Rates
from hyperkube_kubelet.stats.resource import resource_families
from hyperkube_kubelet.stats.summary import summary
from hyperkube_kubelet.stats.text import lines

from ..builders import UID, observed, pod, run

AT = 1_700_000_000.0
STAMP = "2023-11-14T22:13:20Z"
POD = f"/kubepods/burstable/pod{UID}"
DISK = Filesystem(at=AT, available_bytes=50, capacity_bytes=100, used_bytes=40, inodes=10, inodes_free=4, inodes_used=6)


def reading(**changes: Any) -> Reading:
    given: dict[str, Any] = {
        "at": AT,
        "stats": {
            "main-0": ContainerStats(
                container_id="main-0",
                at=AT,
                cpu_nanoseconds=1_500_000_000,
                memory_bytes=1000,
                rss_bytes=800,
                processes=3,
                writable_bytes=7,
                writable_inodes=2,
            )
        },
        "sandboxes": {
            "s0": SandboxStats(sandbox_id="s0", at=AT, interfaces=(InterfaceUsage(name="eth0", received_bytes=5),))
        },
        "nodefs": DISK,
        "layers": DISK,
    }
    return Reading(**{**given, **changes})


def node(*pods: Any, **changes: Any) -> NodeFigures:
    given: dict[str, Any] = {
        "at": AT,
        "name": "n",
        "booted_at": AT - 100,
        "usage": Usage(at=AT, cpu_nanoseconds=2_000_000_000, memory_bytes=9, working_set_bytes=8, available_bytes=7),
        "nodefs": DISK,
        "imagefs": DISK,
        "containerfs": DISK,
        "layer_device": "/dev/vda",
        "max_processes": 100,
        "processes": 30,
        "pods": pods,
    }
    return NodeFigures(**{**given, **changes})


def figures(disks: Disks | None = None, **changes: Any) -> Any:
    return pod_figures(pod(), observed(run("main")), reading(**changes), disks, Rates())


def told(families: Any) -> str:
    return "".join(lines(families))


def test_the_runtime_tells_where_no_group_does() -> None:
    found = figures()
    (main,) = found.containers
    assert (main.usage.cpu_nanoseconds, main.usage.working_set_bytes, main.usage.processes) == (1_500_000_000, 1000, 3)
    assert (main.rootfs.used_bytes, main.rootfs.inodes_used, main.rootfs.capacity_bytes) == (7, 2, 100)
    assert found.usage.working_set_bytes == 1000  # the sum of its containers
    assert found.interfaces[0].name == "eth0"


def test_groups_go_before_what_the_runtime_tells() -> None:
    groups = {UID: PodGroup(POD, {"main-0": f"{POD}/main-0", "s0": f"{POD}/s0"})}
    usages = {
        POD: Usage(at=AT, cpu_nanoseconds=9, working_set_bytes=5000),
        f"{POD}/main-0": Usage(at=AT, cpu_nanoseconds=8, working_set_bytes=4000, processes=2),
    }
    found = figures(groups=groups, usages=usages)
    (main,) = found.containers
    assert (main.usage.cpu_nanoseconds, main.usage.working_set_bytes, main.usage.rss_bytes) == (8, 4000, 800)
    assert (found.usage.cpu_nanoseconds, found.usage.working_set_bytes, found.usage.processes) == (9, 5000, 2)
    assert (found.group, found.sandbox_group) == (POD, f"{POD}/s0")


def test_what_a_pod_takes_of_the_nodes_storage_is_all_that_is_local() -> None:
    def volume(name: str, used: int, *, local: bool) -> VolumeFigures:
        return VolumeFigures(name=name, local=local, filesystem=Filesystem(at=AT, used_bytes=used, inodes_used=1))

    disks = Disks(
        AT, (volume("v", 100, local=True), volume("s", 1000, local=False)), {"": (1, 1), "main": (20, 1)}, (3, 1)
    )
    found = figures(disks)
    assert (found.ephemeral.used_bytes, found.ephemeral.inodes_used) == (100 + 1 + 20 + 3 + 7, 1 + 1 + 1 + 1 + 2)
    assert found.containers[0].logs.used_bytes == 20
    assert figures(None).ephemeral is None


def test_only_what_runs_is_told_of() -> None:
    found = pod_figures(pod(), observed(run("main", "exited"), run("side")), reading(), None, Rates())
    assert [one.name for one in found.containers] == ["side"]


@pytest.mark.parametrize(
    ("steps", "rates"),
    [
        ([(0.0, 0), (10.0, 5_000_000_000)], [None, 500_000_000]),
        ([(0.0, 0), (0.5, 10**9), (2.0, 2 * 10**9)], [None, None, 10**9]),  # too soon to say
        ([(0.0, 0), (10.0, 10**10), (10.2, 2 * 10**10)], [None, 10**9, 10**9]),
        ([(0.0, 10**10), (10.0, 5), (20.0, 10**9 + 5)], [None, None, 10**8]),  # made anew
    ],
)
def test_a_rate_is_what_was_used_between_two_times(steps: list[tuple[float, int]], rates: list[int | None]) -> None:
    known = Rates()
    found = [known.applied("c", Usage(at=at, cpu_nanoseconds=total)).cpu_nanocores for at, total in steps]
    assert found == rates
    known.keep([])
    assert known.applied("c", Usage(at=99.0, cpu_nanoseconds=1)).cpu_nanocores is None


def test_usages_complete_each_other_and_add_up() -> None:
    one, other = Usage(at=1.0, cpu_nanoseconds=1), Usage(at=2.0, cpu_nanoseconds=5, rss_bytes=7)
    assert completed(one, other) == Usage(at=1.0, cpu_nanoseconds=1, rss_bytes=7)
    assert completed(Usage(), other).at == 2.0
    assert summed([one, other]) == Usage(at=2.0, cpu_nanoseconds=6, rss_bytes=7)


def test_the_summary_is_what_clients_decode() -> None:
    pressure = {"memory": (Pressure(3, 1.5, 0.0, 0.0), Pressure(1, 0.5, 0.0, 0.0))}
    found = summary(
        node(figures(Disks(AT)), usage=Usage(at=AT, cpu_nanoseconds=2, working_set_bytes=8, pressure=pressure))
    )
    assert found["node"]["nodeName"] == "n"
    assert found["node"]["cpu"] == {"time": STAMP, "usageCoreNanoSeconds": 2}
    assert found["node"]["memory"]["psi"]["some"] == {"total": 3, "avg10": 1.5, "avg60": 0.0, "avg300": 0.0}
    assert found["node"]["fs"] == {
        "time": STAMP,
        "availableBytes": 50,
        "capacityBytes": 100,
        "usedBytes": 40,
        "inodesFree": 4,
        "inodes": 10,
        "inodesUsed": 6,
    }
    assert set(found["node"]["runtime"]) == {"imageFs", "containerFs"}
    assert found["node"]["rlimit"] == {"time": STAMP, "maxpid": 100, "curproc": 30}
    (shown,) = found["pods"]
    assert shown["podRef"] == {"name": "web", "namespace": "default", "uid": UID}
    assert shown["network"]["rxBytes"] == shown["network"]["interfaces"][0]["rxBytes"] == 5
    assert shown["process_stats"] == {"process_count": 3}
    (main,) = shown["containers"]
    assert main["cpu"] == {"time": STAMP, "usageCoreNanoSeconds": 1_500_000_000}
    assert main["memory"] == {"time": STAMP, "usageBytes": 1000, "workingSetBytes": 1000, "rssBytes": 800}
    assert main["rootfs"]["usedBytes"] == 7
    short = summary(node(figures(Disks(AT))), only_cpu_and_memory=True)
    assert set(short["node"]) == {"nodeName", "systemContainers", "startTime", "cpu", "memory"}
    assert set(short["pods"][0]) == {"podRef", "startTime", "containers", "cpu", "memory"}
    assert set(short["pods"][0]["containers"][0]) == {"name", "startTime", "cpu", "memory"}


def test_metrics_server_finds_what_it_looks_for() -> None:
    text = told(resource_families(node(figures())))
    labels = 'container="main",namespace="default",pod="web"'
    stamp = int(AT * 1000)
    for line in (
        "# TYPE container_cpu_usage_seconds_total counter",
        f"container_cpu_usage_seconds_total{{{labels}}} 1.5 {stamp}",
        "# TYPE container_memory_working_set_bytes gauge",
        f"container_memory_working_set_bytes{{{labels}}} 1000 {stamp}",
        "# TYPE container_start_time_seconds gauge",
        f"container_start_time_seconds{{{labels}}} 100",
        f"node_cpu_usage_seconds_total 2 {stamp}",
        f"node_memory_working_set_bytes 8 {stamp}",
        f'pod_cpu_usage_seconds_total{{namespace="default",pod="web"}} 1.5 {stamp}',
        f'pod_memory_working_set_bytes{{namespace="default",pod="web"}} 1000 {stamp}',
        "resource_scrape_error 0",
    ):
        assert line in text.splitlines()
    families = re.findall(r"# TYPE (\w+) ", text)
    assert families == sorted(set(families))


def test_a_failure_is_told_and_nothing_else() -> None:
    text = told(resource_families(None))
    assert re.findall(r"^(\w.*)$", text, re.MULTILINE) == ["resource_scrape_error 1"]


IO = (Transfers("253:0", 4096, 8192, 1, 2),)


def cadvisor(**changes: Any) -> str:
    groups = {UID: PodGroup(POD, {"main-0": f"{POD}/main-0", "s0": f"{POD}/s0"})}
    usages = {f"{POD}/main-0": Usage(at=AT, cpu_nanoseconds=8 * 10**9, page_faults=4, threads=6)}
    found = node(figures(groups=groups, usages=usages))
    facts = Facts(
        cpus=4,
        memory_bytes=1000,
        swap_bytes=0,
        machine_id="m",
        system_uuid="u",
        boot_id="b",
        kernel_version="6.1",
        os_image="Debian",
    )
    limits = Details(
        quota=50000, period=100000, periods=10, throttled_periods=4, memory_limit=77, kills=2, transfers=IO
    )
    assert f"{POD}/main-0" in groups_of(found, "/kubepods")
    families = cadvisor_families(
        found,
        facts,
        "/kubepods",
        {f"{POD}/main-0": limits},
        {"/kubepods": Usage(at=AT, cpu_nanoseconds=3)},
        "/dev/vda",
        {"253:0": "/dev/vda"},
    )
    return told(families)


@pytest.mark.parametrize(
    "line",
    [
        'container_cpu_usage_seconds_total{MAIN,cpu="total"} 8 STAMP',
        "container_cpu_cfs_throttled_periods_total{MAIN} 4 STAMP",
        "container_memory_working_set_bytes{MAIN} 1000 STAMP",
        'container_memory_failures_total{MAIN,failure_type="pgfault",scope="hierarchy"} 4 STAMP',
        "container_spec_memory_limit_bytes{MAIN} 77 STAMP",
        "container_oom_events_total{MAIN} 2 STAMP",
        "container_threads{MAIN} 6 STAMP",
        'container_fs_writes_bytes_total{MAIN,device="/dev/vda"} 8192 STAMP',
        'container_spec_memory_limit_bytes{container="",id="/",NONE} 1000 STAMP',
        'container_fs_usage_bytes{MAIN,device="/dev/vda"} 7 STAMP',
        "container_start_time_seconds{MAIN} 100",
        f'container_network_receive_bytes_total{{container="",id="{POD}/s0",image="",name="s0",namespace="default",'
        'pod="web",interface="eth0"} 5 STAMP',
        'container_cpu_usage_seconds_total{container="",id="/",NONE,cpu="total"} 2 STAMP',
        'container_cpu_usage_seconds_total{container="",id="/kubepods",NONE,cpu="total"} 3e-09 STAMP',
        'machine_cpu_cores{boot_id="b",machine_id="m",system_uuid="u"} 4',
        'machine_memory_bytes{boot_id="b",machine_id="m",system_uuid="u"} 1000',
    ],
)
def test_dashboards_find_their_series(line: str) -> None:
    main = f'container="main",id="{POD}/main-0",image="image:1",name="main-0",namespace="default",pod="web"'
    line = line.replace("NONE", 'image="",name="",namespace="",pod=""')
    assert line.replace("MAIN", main).replace("STAMP", str(int(AT * 1000))) in cadvisor().splitlines()


def test_no_series_is_told_twice() -> None:
    series = [line.rpartition("} ")[0] for line in cadvisor().splitlines() if "} " in line]
    assert len(series) == len(set(series))
