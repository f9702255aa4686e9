"""Folders that look like machines with control groups of each kind, in use."""

from __future__ import annotations

from pathlib import Path

CONTAINER = "c" * 64
SANDBOX = "d" * 64
UID = "0b5e1c6f-1111-2222-3333-444455556666"

_V1: dict[str, dict[str, str]] = {
    "cpuacct": {"cpuacct.usage": "5000000000\n", "cpuacct.stat": "user 300\nsystem 200\n"},
    "cpu": {
        "cpu.shares": "512\n",
        "cpu.cfs_period_us": "100000\n",
        "cpu.cfs_quota_us": "50000\n",
        "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 2000000000\n",
    },
    "memory": {
        "memory.usage_in_bytes": "50000\n",
        "memory.limit_in_bytes": "100000\n",
        "memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "memory.soft_limit_in_bytes": "9223372036854771712\n",
        "memory.max_usage_in_bytes": "60000\n",
        "memory.failcnt": "3\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "memory.stat": "cache 1\ntotal_cache 20000\ntotal_rss 25000\ntotal_mapped_file 500\ntotal_swap 700\n"
        "total_active_file 4000\ntotal_inactive_file 10000\ntotal_pgfault 77\ntotal_pgmajfault 7\n",
        "cgroup.procs": "11\n12\n",
    },
    "blkio": {
        "blkio.throttle.io_service_bytes": "253:0 Read 4096\n253:0 Write 8192\n253:0 Total 12288\nTotal 12288\n",
        "blkio.throttle.io_serviced": "253:0 Read 1\n253:0 Write 2\n253:0 Total 3\nTotal 3\n",
    },
    "pids": {"pids.current": "5\n", "pids.max": "max\n"},
}
_V2 = {
    "cpu.stat": "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 10\nnr_throttled 4\n"
    "throttled_usec 2000000\n",
    "cpu.max": "50000 100000\n",
    "cpu.weight": "20\n",
    "memory.current": "50000\n",
    "memory.max": "100000\n",
    "memory.low": "0\n",
    "memory.peak": "60000\n",
    "memory.swap.current": "700\n",
    "memory.swap.max": "max\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n",
    "memory.stat": "anon 25000\nfile 20000\nfile_mapped 500\nactive_file 4000\ninactive_file 10000\npgfault 77\n"
    "pgmajfault 7\n",
    "memory.pressure": "some avg10=1.50 avg60=0.25 avg300=0.00 total=3000\nfull avg10=0.50 avg60=0.00 avg300=0.00"
    " total=1000\n",
    "cgroup.procs": "11\n12\n",
    "pids.current": "5\n",
    "pids.max": "max\n",
    "io.stat": "253:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
}


def machine(root: Path, kind: str, *groups: str) -> Path:
    """A machine whose files are under `root`, with those groups, all of which have used the same."""
    points = {name: root / f"sys/fs/cgroup/{name}" for name in _V1}
    lines = []
    if kind == "v2":
        point = root / "sys/fs/cgroup"
        lines.append("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
        write(point / "cgroup.controllers", "cpu memory pids\n")
        for group in groups:
            for name, text in _V2.items():
                write(point / group.strip("/") / name, text)
    else:
        for name, point in points.items():
            lines.append(f"31 30 0:27 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}")
            for group in groups:
                for file, text in _V1[name].items():
                    write(point / group.strip("/") / file, text)
    if kind == "hybrid":
        lines.append("33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw")
        write(root / "sys/fs/cgroup/unified/cgroup.controllers", "\n")
    write(root / "proc/self/mountinfo", "\n".join(lines) + "\n")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
