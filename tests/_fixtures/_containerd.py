"""A containerd of the tests' own: own folders, own socket, own bridge and range of addresses, own images.

Nothing that a system's containerd has is touched. By hand, as root:

    python tests/_fixtures/_containerd.py /tmp/try

runs one in that folder until it is interrupted, and says how it is reached; what is left of its containers is then
ended as well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import _tools
from _cgroups import GroupRoot
from _images import write_image

PAUSE = "hk.test/pause:1"
BUSYBOX = "hk.test/busybox:1"
"""An image of a BusyBox that waits until it is told to end."""

WAIT = ("sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done")
"""A command that ends at once when it is asked to, and takes in processes whose parents have ended."""

_PATIENCE_SECONDS = 60.0
_SHIMS = Path("/run/containerd/s")  # their sockets are there whatever containerd's configuration says

_CONFIGURATION = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = {restrict}
  sandbox_image = "{pause}"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runc}"
"""


class Containerd:
    """A daemon in `folder`, which may be stopped, killed and started again."""

    def __init__(self, folder: Path, *, network: bool = True) -> None:
        """`network`: whether it gets a CNI configuration."""
        self.folder = folder
        self.socket = folder / "containerd.sock"
        assert len(str(self.socket)) < 100, f"no socket can have a path as long as {self.socket}"
        number = os.getpid()  # others may run such daemons beside this one
        self.bridge = f"hkt{number}"
        self.groups = GroupRoot(f"hk-test-{number}")
        self.pod_cidr = f"10.{200 + number % 40}.{number // 40 % 256}.0/24"
        self.conf_dir = folder / "cni"
        self.registries = folder / "registries"
        self.log = folder / "containerd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._write(network=network)

    @property
    def endpoint(self) -> str:
        """As --container-runtime-endpoint takes it."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was never started"
        return self._process.pid

    def _write(self, *, network: bool) -> None:
        for path in (self.folder, self.conf_dir, self.registries):
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
        text = _CONFIGURATION.format(
            folder=self.folder,
            socket=self.socket,
            pause=PAUSE,
            plugins=_tools.cni_plugins(),
            runc=_tools.runc(),
            restrict=str(not _may_lower_oom_scores()).lower(),
        )
        (self.folder / "config.toml").write_text(text)
        if network:
            self.write_network()

    def write_network(self) -> None:
        """Let pods have addresses: a bridge that they hang on."""
        bridge = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": str(self.folder / "addresses"),
                "ranges": [[{"subnet": self.pod_cidr}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
        document = {"cniVersion": "0.4.0", "name": self.bridge, "plugins": [bridge, portmap]}
        file = self.conf_dir / ".10-test.conflist"
        file.write_text(json.dumps(document, indent=1))
        file.rename(self.conf_dir / "10-test.conflist")  # it is read as soon as it is there

    def start(self) -> None:
        """Start it and return once it answers."""
        assert self._process is None or self._process.poll() is not None, "it runs"
        self.groups.make()
        programs = _tools.containerd()
        path = os.pathsep.join([str(programs), str(_tools.iptables().parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [programs / "containerd", "--config", self.folder / "config.toml"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": path},
            )
        end = time.monotonic() + _PATIENCE_SECONDS
        while self._ctr("version").returncode != 0:
            status = self._process.poll()
            assert status is None, f"containerd ended with {status}:\n{self._end_of_log()}"
            assert time.monotonic() < end, f"containerd doesn't answer:\n{self._end_of_log()}"
            time.sleep(0.05)

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon; containers go on. Nothing happens where it has ended."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(by)
        self._process.wait(_PATIENCE_SECONDS)

    def freeze(self) -> None:
        """Let it take connections and answer nothing, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def load(self, name: str, *, command: Sequence[str] = WAIT, **more: object) -> None:
        """Make an image of a BusyBox, and let the daemon have it under `name`; `more` as `write_image` takes it."""
        archive = self.folder / "image.tar"
        write_image(archive, name, busybox=_tools.busybox(), command=command, **more)  # type: ignore[arg-type]
        self.ctr("images", "import", str(archive))
        archive.unlink()

    def ctr(self, *args: str) -> str:
        """What `ctr` prints, in the namespace of Kubernetes' containers; a failure fails the test."""
        done = self._ctr("-n", "k8s.io", *args)
        assert done.returncode == 0, f"ctr {' '.join(args)}: {done.stderr}"
        return done.stdout

    def _ctr(self, *args: str) -> subprocess.CompletedProcess[str]:
        program = _tools.containerd() / "ctr"
        return subprocess.run(
            [program, "--address", self.socket, *args],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )

    def containers(self) -> list[str]:
        """The ids of all containers, those that sandboxes are made of among them."""
        return self.ctr("containers", "ls", "-q").split()

    def shims(self) -> dict[int, str]:
        """The processes that look after its containers: the ids of sandboxes, by pid."""
        found = {}
        for pid, words in _processes():
            if words and words[0].endswith("containerd-shim-runc-v2") and str(self.socket) in words:
                found[pid] = words[words.index("-id") + 1]
        return found

    def end_strays(self) -> None:
        """End what belongs to no container: of a sandbox that it was just making, a killed containerd knows nothing."""
        known = self.containers()
        for pid, sandbox in self.shims().items():
            if sandbox not in known:
                _kill_below(pid)
        if not known:  # nor of the network that was to be the sandbox's
            for point in self._mounts():
                if Path(point).parent.name == "netns":
                    subprocess.run(["umount", point], check=False, capture_output=True)

    # What is left in the end

    def leftovers(self) -> list[str]:
        """What of it is still there, in words: it should be nothing once its pods are gone."""
        found = [f"container {container}" for container in self.containers()]
        found += [f"shim {pid}" for pid in self.shims()]
        found += [f"mount {path}" for path in self._mounts()]
        found += [f"control group {path}" for path in sorted(self.groups.pods())]
        addresses = self.folder / "addresses" / self.bridge
        if addresses.is_dir():
            found += [f"address {path.name}" for path in addresses.iterdir() if path.name[0].isdigit()]
        found += [f"port of {self.bridge}: {name}" for name in _names(f"/sys/class/net/{self.bridge}/brif")]
        return found + [f"rule {rule}" for rule in self._rules()]

    def _rules(self) -> list[str]:
        """What its plugins have left in iptables: their rules name the network, whose name is the bridge's."""
        saved = subprocess.run(
            [_tools.iptables(), "-t", "nat", "-S"], capture_output=True, text=True, timeout=60, check=False
        )
        return [line for line in saved.stdout.splitlines() if f'"{self.bridge}"' in line]

    def _mounts(self) -> list[str]:
        """Those below its folder, the innermost first."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in lines]
        return [point for point in reversed(points) if point.startswith(f"{self.folder}/")]

    def close(self) -> None:
        """End all of it, whatever it runs, and take its bridge, mounts and folder away."""
        if self._process is not None:
            with suppress(AssertionError):
                self._sweep()
            self.stop(signal.SIGKILL)
        for pid in self.shims():
            _kill_below(pid)
        for point in self._mounts():
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)
        self.groups.remove()
        for path in (self.folder / "root", self.folder / "state"):
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        """End what still runs, the way that gives networks back where there is one."""
        self.thaw()
        if self._ctr("version").returncode != 0:
            return
        for container in self.containers():
            self._ctr("-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container)
            self._ctr("-n", "k8s.io", "tasks", "delete", "--force", container)
            self._ctr("-n", "k8s.io", "containers", "delete", container)


def _may_lower_oom_scores() -> bool:
    """Whether processes may have a score below this one's: CAP_SYS_RESOURCE."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) & 1 << 24)


def _names(folder: str) -> list[str]:
    path = Path(folder)
    return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []


def _processes() -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")


def _kill_below(pid: int) -> None:
    """Kill a shim and what it has started."""
    children = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (task / "children").read_text().split()]
    for one in (*children, pid):
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


@contextmanager
def containerd_running(
    folder: Path, *, network: bool = True, images: Iterable[str] = (BUSYBOX,)
) -> Iterator[Containerd]:
    """A daemon that has the pause image and `images`, for the length of the block."""
    daemon = Containerd(folder, network=network)
    try:
        daemon.start()
        daemon.load(PAUSE)
        for name in images:
            daemon.load(name)
        yield daemon
    finally:
        daemon.close()


def missing() -> str:
    """Why there can be no containerd of the tests' own here; "" where there can be one. May skip or fail the test."""
    if sys.platform != "linux":
        return "real containers need Linux"
    if os.geteuid() != 0:
        return "real containers need root"
    return ""


def run_by_hand(folder: Path) -> None:
    """Run a daemon until this is interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with containerd_running(folder) as daemon, suppress(KeyboardInterrupt):
        print(f"containerd (pid {daemon.pid}) listens: --container-runtime-endpoint={daemon.endpoint}")
        print(f"images: {PAUSE} {BUSYBOX}; addresses of pods: {daemon.pod_cidr}; log: {daemon.log}")
        print(f"look into it: ctr --address {daemon.socket} -n k8s.io containers ls", flush=True)
        signal.pause()


if __name__ == "__main__":
    run_by_hand(Path(sys.argv[1]).absolute())
