"""The process runtime: containers that really run."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from _runtimecontract import POD, WEB, RuntimeContract, run

from hyperkube_kubelet.runtime import logformat
from hyperkube_kubelet.runtime.errors import (
    ExecFailed,
    ExecTimeout,
    ImageUnavailable,
    InvalidConfig,
    NotRunning,
    StartFailed,
)
from hyperkube_kubelet.runtime.interface import Runtime, Session
from hyperkube_kubelet.runtime.process.runtime import ProcessRuntime
from hyperkube_kubelet.runtime.values import (
    ContainerState,
    Event,
    EventKind,
    Mount,
    PortMapping,
    SandboxState,
    Security,
)
from hyperkube_machinery.testing.waiting import until

from .nodes import Node, descendants, node_of_mode

pytestmark = pytest.mark.anyio

with_namespaces = pytest.mark.parametrize("mode", ["own", "user"], indirect=True)


class TestProcessRuntime(RuntimeContract):
    @pytest.fixture
    async def runtime(self, process: ProcessRuntime) -> ProcessRuntime:
        return process


def text_of(path: str) -> str:
    return Path(path).read_text()


def shell(script: str) -> dict[str, tuple[str, ...]]:
    return {"command": ("sh", "-c", script)}


async def ended(runtime: Runtime, container: str) -> None:
    """Return once it has exited."""
    async with asyncio.timeout(10):
        events = runtime.events()
        following = asyncio.ensure_future(_stopped(events, container))
        await asyncio.sleep(0)
        if (await runtime.container(container)).state is ContainerState.EXITED:
            following.cancel()
            return
        await following


async def _stopped(events: object, container: str) -> None:
    async for event in events:  # type: ignore[attr-defined]
        assert isinstance(event, Event)
        if (event.kind, event.container_id) == (EventKind.STOPPED, container):
            return


async def log_of(node: Node, runtime: Runtime, script: str, **changes: object) -> list[tuple[str, bytes]]:
    """What a container wrote that ran `script` to its end: streams and lines."""
    pod = replace(POD, log_directory=node.logs())
    container = await run(runtime, pod, replace(WEB, **shell(script), **changes))  # type: ignore[arg-type]
    await ended(runtime, container)
    return read_log(node.logs() / "web" / "0.log")


def read_log(path: Path) -> list[tuple[str, bytes]]:
    parsed = [logformat.parse(line) for line in path.read_bytes().splitlines(keepends=True)]
    return [(line.stream, line.text) for line in parsed]


async def output(runtime: Runtime, container: str, script: str) -> str:
    done = await runtime.exec_sync(container, ["sh", "-c", script])
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode()


# Programs and their ends


async def test_each_line_of_a_container_is_in_its_log(node: Node, process: ProcessRuntime) -> None:
    lines = await log_of(node, process, "echo one; echo two >&2; printf three")
    assert sorted(lines) == [("stderr", b"two\n"), ("stdout", b"one\n"), ("stdout", b"three\n")]


async def test_a_long_line_is_cut_into_pieces(node: Node, process: ProcessRuntime) -> None:
    lines = await log_of(node, process, "head -c 20000 /dev/zero | tr '\\0' a; echo")
    assert [len(text) for _, text in lines] == [16384, 20000 - 16384 + 1]
    assert b"".join(text for _, text in lines) == b"a" * 20000 + b"\n"


async def test_a_container_gets_the_variables_it_is_given(node: Node, process: ProcessRuntime) -> None:
    lines = await log_of(node, process, 'echo "$A|$B|$HOSTNAME"', env=(("A", "1 2"), ("B", "x"), ("A", "last")))
    assert lines == [("stdout", b"last|x|web-0\n")]


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [("exit 0", 0, "Completed"), ("exit 7", 7, "Error"), ("kill -9 $$", 137, "Error")],
)
async def test_how_a_container_ends_is_told(process: ProcessRuntime, script: str, code: int, reason: str) -> None:
    if script.startswith("kill") and process.node.isolated:
        script = "sh -c 'kill -9 $$'; exit $?"  # the first process of a namespace can't kill itself
    container = await run(process, config=replace(WEB, **shell(script)))  # type: ignore[arg-type]
    await ended(process, container)
    found = await process.container(container)
    assert (found.exit_code, found.reason) == (code, reason)


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("no-such-program",), 127, "executable file not found in $PATH"),
        (("/no/such/program",), 127, "no such file or directory"),
        (("/etc/passwd",), 126, "permission denied"),
    ],
)
async def test_a_program_that_can_not_be_started_says_why(
    process: ProcessRuntime, command: tuple[str, ...], code: int, says: str
) -> None:
    container = await process.create_container(await process.run_sandbox(POD), replace(WEB, command=command))
    with pytest.raises(StartFailed, match=says.replace("$", r"\$")):
        await process.start_container(container)
    found = await process.container(container)
    assert (found.state, found.reason, found.exit_code) == (ContainerState.EXITED, "StartError", code)
    assert says in found.message


async def ready(node: Node, runtime: Runtime, script: str, **changes: object) -> str:
    """A container of `script`, once that has said that it is ready."""
    pod = replace(POD, log_directory=node.logs())
    container = await run(runtime, pod, replace(WEB, **shell(script), **changes))  # type: ignore[arg-type]
    log = node.logs() / "web" / "0.log"
    await until(lambda: b"ready" in log.read_bytes())
    return container


async def test_the_stop_signal_comes_first(node: Node, process: ProcessRuntime) -> None:
    script = "trap 'exit 3' USR1; echo ready; sleep 1000 & while :; do wait; done"
    container = await ready(node, process, script, stop_signal="SIGUSR1")
    await process.stop_container(container, 30)
    assert (await process.container(container)).exit_code == 3


STUBBORN = "trap '' TERM; echo ready; sleep 1000 & while :; do wait; done"


async def test_who_ignores_its_stop_signal_is_killed(node: Node, process: ProcessRuntime) -> None:
    container = await ready(node, process, STUBBORN)
    await process.stop_container(container, 0.05)
    found = await process.container(container)
    assert (found.exit_code, found.signal) == (137, signal.SIGKILL)


async def test_less_grace_later_counts(node: Node, process: ProcessRuntime) -> None:
    container = await ready(node, process, STUBBORN)
    slow = asyncio.create_task(process.stop_container(container, 3600))
    await asyncio.sleep(0)
    await process.stop_container(container, 0.05)
    await asyncio.wait_for(slow, 10)


async def test_what_a_container_started_ends_with_it(node: Node, process: ProcessRuntime) -> None:
    before = descendants(node.reaper())
    script = "for i in 1 2 3; do (setsid sleep 1000 &) ; done; sleep 1000"
    container = await run(process, config=replace(WEB, **shell(script)))  # type: ignore[arg-type]
    await until(lambda: len(descendants(node.reaper())) >= len(before) + 4)
    await process.stop_container(container, 0)
    assert descendants(node.reaper()) == before


async def test_logs_begin_new_files_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with node_of_mode("own", monkeypatch, log_bytes=200_000, log_files=3) as node:
        async with node.kubelet() as runtime:
            await log_of(
                node, runtime, "for i in $(seq 1 100); do echo $i; head -c 15000 /dev/zero | tr '\\0' a; echo; done"
            )
            folder = node.logs() / "web"
            sizes = [path.stat().st_size for path in folder.iterdir()]
            kept = [*sorted(folder.glob("0.log.*")), folder / "0.log"]
            numbers = [int(text) for path in kept for _, text in read_log(path) if text[:-1].isdigit()]
        await node.end()
    assert len(sizes) == 3
    assert max(sizes) <= 200_000
    assert numbers == list(range(101 - len(numbers), 101)), "none is lost but the oldest"
    assert len(numbers) >= 2 * (200_000 - 65_536) // 15_100  # what is read at once is written into one file


# Commands and streams


async def test_a_command_in_a_container_tells_its_end_and_output(process: ProcessRuntime) -> None:
    container = await run(process)
    done = await process.exec_sync(container, ["sh", "-c", "echo out; echo err >&2; exit 5"])
    assert (done.exit_code, done.stdout, done.stderr) == (5, b"out\n", b"err\n")


async def test_a_command_that_takes_too_long_is_killed(node: Node, process: ProcessRuntime) -> None:
    container = await run(process)
    before = descendants(node.reaper())
    with pytest.raises(ExecTimeout):
        await process.exec_sync(container, ["sleep", "1000"], 0.05)
    await until(lambda: descendants(node.reaper()) == before)


@pytest.mark.parametrize(
    ("program", "code", "reason"),
    [
        ("no-such-program", 127, r'^exec: "no-such-program": executable file not found in \$PATH$'),
        ("/no/such", 127, r'^exec: "/no/such": stat /no/such: no such file or directory$'),
        ("/etc/passwd", 126, r'^exec: "/etc/passwd": permission denied$'),
    ],
)
@pytest.mark.parametrize("path", ["/bin:/usr/bin", "/usr/bin"])
async def test_a_command_that_does_not_exist_fails(
    process: ProcessRuntime, path: str, program: str, code: int, reason: str
) -> None:
    container = await run(process, config=replace(WEB, env=(("PATH", path),)))
    with pytest.raises(ExecFailed, match=reason) as caught:
        await process.exec_sync(container, [program])
    assert caught.value.exit_code == code


async def everything(session: Session) -> bytes:
    return b"".join([data async for _, data in session.output()])


async def test_a_command_reads_its_input(process: ProcessRuntime) -> None:
    container = await run(process)
    data = os.urandom(300_000)
    async with process.exec(container, ["cat"], stdin=True) as session:
        reading = asyncio.create_task(everything(session))
        await session.write(data)
        await session.close_input()
        assert await reading == data
        assert await session.wait() == 0


async def test_a_terminal_is_one_and_has_a_size(process: ProcessRuntime) -> None:
    container = await run(process)
    async with process.exec(container, ["sh"], tty=True, stdin=True) as session:
        await session.resize(101, 43)
        await session.write(b"test -t 0 && stty size; exit 4\n")
        assert b"43 101" in await everything(session)
        assert await session.wait() == 4


async def test_who_is_attached_reads_and_writes(node: Node, process: ProcessRuntime) -> None:
    pod = replace(POD, log_directory=node.logs())
    container = await run(process, pod, replace(WEB, command=("cat",), stdin=True, stdin_once=True))
    async with process.attach(container, stdin=True) as session:
        await session.write(b"hello\n")
        async for stream, data in session.output():
            assert (stream, data) == ("stdout", b"hello\n")
            break
        await session.close_input()
        assert await session.wait() == 0
    assert read_log(node.logs() / "web" / "0.log") == [("stdout", b"hello\n")]


async def test_input_stays_open_for_the_next_unless_it_is_for_one(process: ProcessRuntime) -> None:
    container = await run(process, config=replace(WEB, command=("cat",), stdin=True))
    for _ in range(2):
        async with process.attach(container, stdin=True) as session:
            await session.write(b"x\n")
            async for _, data in session.output():
                assert data == b"x\n"
                break
    assert (await process.container(container)).state is ContainerState.RUNNING


async def test_a_command_ends_with_whoever_wanted_it(node: Node, process: ProcessRuntime) -> None:
    container = await run(process)
    before = descendants(node.reaper())
    async with process.exec(container, ["sleep", "1000"]):
        assert descendants(node.reaper()) != before
    await until(lambda: descendants(node.reaper()) == before)


async def test_what_containers_use_is_told(process: ProcessRuntime) -> None:
    assert await process.stats() == []
    busy = await run(process, config=replace(WEB, command=("sh", "-c", "while :; do :; done")))
    idle = await process.create_container((await process.sandboxes())[0].id, replace(WEB, name="idle"))
    await process.start_container(idle)
    async with asyncio.timeout(60):
        while True:
            stats = {found.container_id: found for found in await process.stats()}
            busier = stats[busy].cpu_nanoseconds > stats[idle].cpu_nanoseconds
            if busier and stats[idle].memory_bytes > 100_000:
                break
            await asyncio.sleep(0.01)
    assert set(stats) == {busy, idle}
    assert stats[idle].processes == 1
    assert stats[idle].memory_bytes < 100_000_000


# The network


async def serving(runtime: ProcessRuntime, busybox: Path, uid: str) -> tuple[str, str]:
    """A pod that serves /etc over HTTP on port 7000: its sandbox and its address."""
    sandbox = await runtime.run_sandbox(replace(POD, uid=uid, name=f"pod-{uid}"))
    address = (await runtime.sandbox(sandbox)).ips[0]
    command = (str(busybox), "httpd", "-f", "-p", f"{address}:7000", "-h", "/etc")
    container = await runtime.create_container(sandbox, replace(WEB, command=command))
    await runtime.start_container(container)
    return sandbox, address


async def ask(made: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    with made:
        await loop.sock_sendall(made, b"GET /hostname HTTP/1.0\r\n\r\n")
        answer = b""
        while data := await loop.sock_recv(made, 65536):
            answer += data
        return answer


async def dialled(runtime: ProcessRuntime, address: str, port: int = 7000) -> socket.socket:
    async with asyncio.timeout(10):
        while True:
            try:
                return await runtime.network.dial(address, port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)


async def test_pods_are_reached_at_their_addresses(process: ProcessRuntime, busybox: Path) -> None:
    _, first = await serving(process, busybox, "1")
    _, second = await serving(process, busybox, "2")
    assert first != second
    for address in (first, second):
        answer = await ask(await dialled(process, address))
        assert answer.startswith(b"HTTP/1.1 200 OK")


@with_namespaces
async def test_a_pod_reaches_another(process: ProcessRuntime, busybox: Path) -> None:
    _, address = await serving(process, busybox, "1")
    (await dialled(process, address)).close()
    other = await run(process, replace(POD, uid="2"))
    got = await output(process, other, f"{busybox} wget -q -O - http://{address}:7000/passwd")
    assert got == text_of("/etc/passwd")


@with_namespaces
async def test_forwarding_reaches_what_listens_on_localhost_of_the_pod(process: ProcessRuntime, busybox: Path) -> None:
    sandbox = await process.run_sandbox(POD)
    command = (str(busybox), "httpd", "-f", "-p", "127.0.0.1:7000", "-h", "/etc")
    await process.start_container(await process.create_container(sandbox, replace(WEB, command=command)))
    answer = b""
    async with asyncio.timeout(10):
        while not answer:
            try:
                async with process.dial(sandbox, 7000) as made:
                    await made.write(b"GET /passwd HTTP/1.0\r\n\r\n")
                    answer = await made.read()
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_a_port_of_a_pod_is_reached_on_the_node(node: Node, busybox: Path) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def asked() -> bytes:
        made = socket.socket()
        made.setblocking(False)
        try:
            await loop.sock_connect(made, ("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return await ask(made)

    async with node.kubelet() as runtime:
        pod = replace(POD, uid="1", name="pod-1", ports=(PortMapping(7000, port),))
        await runtime.run_sandbox(pod)
        sandbox, address = await serving(runtime, busybox, "1")
        (await dialled(runtime, address)).close()
        assert (await asked()).startswith(b"HTTP/1.1 200 OK")
    with pytest.raises(ConnectionRefusedError):
        await asked()
    async with node.kubelet() as runtime:  # the next one opens it again
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await asked()).startswith(b"HTTP/1.1 200 OK")
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
        await runtime.stop_sandbox(sandbox)
        with pytest.raises(ConnectionRefusedError):
            await asked()


@pytest.mark.parametrize("network", ["loopback", "host"])
async def test_the_network_may_be_the_machines_own(
    network: str, monkeypatch: pytest.MonkeyPatch, busybox: Path
) -> None:
    with node_of_mode("own", monkeypatch, network=network) as node:
        async with node.kubelet() as runtime:
            assert (await runtime.network.describe()).mode == "host"
            sandbox = await runtime.sandbox(await runtime.run_sandbox(POD))
            assert len(sandbox.ips) == (network == "loopback")
            assert all(ip.startswith("127.") for ip in sandbox.ips)
            container = await run(runtime)
            interfaces = sorted(name for _, name in socket.if_nameindex())
            assert (await output(runtime, container, "ls /sys/class/net")).split() == interfaces
            told = await output(runtime, container, "echo $POD_IP $HK_POD_IP")
            assert told.split() == [*sandbox.ips, *sandbox.ips]
            reasons = [limitation.reason for limitation in (await runtime.status()).limitations]
            assert {"loopback": "PodsOnLoopback", "host": "PodsInHostNetwork"}[network] in reasons
        await node.end()


@with_namespaces
async def test_the_network_has_an_administrator(process: ProcessRuntime) -> None:
    network = process.network
    about = await network.describe()
    assert (about.mode, about.gateway, about.pod_cidr) == ("namespace", "10.244.0.1", "10.244.0.0/24")
    listener = await network.listen(about.gateway, 80)
    with listener, await network.dial(about.gateway, 80) as made:
        assert made.getpeername() == (about.gateway, 80)
    with pytest.raises(ConnectionRefusedError):
        await network.dial(about.gateway, 80)
    done = await network.run(["sh", "-c", "cat; ls /sys/class/net >&2; exit 3"], b"in")
    assert (done.exit_code, done.stdout) == (3, b"in")
    done = await network.run(["cat", "/proc/net/dev"])
    assert about.bridge.encode() in done.stdout


@with_namespaces
async def test_a_pods_cable_goes_with_it(process: ProcessRuntime) -> None:
    async def cables() -> int:
        return (await process.network.run(["cat", "/proc/net/dev"])).stdout.count(b"veth")

    made = [await run(process, replace(POD, uid=str(number))) for number in range(3)]
    assert await cables() == len(made)
    await process.stop_sandbox((await process.sandboxes())[0].id)
    await process.remove_sandbox((await process.sandboxes())[1].id)
    async with asyncio.timeout(10):
        while True:
            if await cables() == 1:
                break
            await asyncio.sleep(0.02)


@with_namespaces
async def test_a_pod_sees_its_own_interfaces_and_name_alone(process: ProcessRuntime) -> None:
    container = await run(process)
    assert (await output(process, container, "ls /sys/class/net; hostname")).split() == ["eth0", "lo", "web-0"]
    assert "web-0" in await output(process, container, "cat /etc/hosts /etc/hostname")
    stranger = await run(process, replace(POD, uid="2"), replace(WEB, security=Security(run_as_user=1234)))
    assert "localhost" in await output(process, stranger, "cat /etc/hosts /etc/hostname /etc/resolv.conf")


@with_namespaces
async def test_a_pod_in_the_nodes_network_sees_the_nodes(process: ProcessRuntime) -> None:
    container = await run(process, replace(POD, host_network=True))
    interfaces = sorted(name for _, name in socket.if_nameindex())
    assert (await output(process, container, "ls /sys/class/net; hostname")).split() == [
        *interfaces,
        socket.gethostname(),
    ]


@with_namespaces
async def test_sysctls_are_the_pods_own(process: ProcessRuntime) -> None:
    pod = replace(POD, sysctls={"net.ipv4.ip_local_port_range": "2000\t3000", "kernel.msgmax": "4096"})
    container = await run(process, pod)
    shown = await output(process, container, "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/msgmax")
    assert shown.split() == ["2000", "3000", "4096"]
    assert text_of("/proc/sys/net/ipv4/ip_local_port_range").split() != ["2000", "3000"]


# Isolation


@with_namespaces
async def test_a_container_sees_its_own_processes_alone(process: ProcessRuntime) -> None:
    pod = await process.run_sandbox(POD)
    for name in ("a", "b"):
        container = await process.create_container(pod, replace(WEB, name=name))
        await process.start_container(container)
    shown = await output(process, container, "cat /proc/[0-9]*/comm")
    assert sorted(shown.split()) == ["sh", "sleep"]


@with_namespaces
async def test_containers_of_a_pod_may_share_their_processes(process: ProcessRuntime) -> None:
    pod = await process.run_sandbox(replace(POD, share_processes=True))
    made = []
    for name in ("a", "b"):
        made.append(await process.create_container(pod, replace(WEB, name=name)))
        await process.start_container(made[-1])
    shown = await output(process, made[0], "cat /proc/[0-9]*/comm")
    assert shown.split().count("sleep") == 2
    await process.stop_container(made[0], 0)
    shown = await output(process, made[1], "cat /proc/[0-9]*/comm")
    assert shown.split().count("sleep") == 1


@with_namespaces
async def test_volumes_are_where_they_are_mounted(node: Node, process: ProcessRuntime) -> None:
    folder = node.logs("volume")
    folder.chmod(0o777)
    (folder / "given").write_text("from outside")
    mounts = (
        Mount(container_path="/data", host_path=folder),
        Mount(container_path="/var/run/secrets/deep", host_path=folder, readonly=True),
        Mount(container_path="/usr/share/some/where", host_path=folder / "given"),
    )
    container = await run(process, config=replace(WEB, mounts=mounts))
    shown = await output(process, container, "cat /data/given /var/run/secrets/deep/given /usr/share/some/where")
    assert shown == "from outside" * 3
    await output(process, container, "echo inside > /data/made")
    assert (folder / "made").read_text() == "inside\n"
    refused = await process.exec_sync(container, ["touch", "/var/run/secrets/deep/x"])
    assert b"Read-only file system" in refused.stderr
    assert await output(process, container, "ls /usr/share | wc -l") != "1\n"


@with_namespaces
async def test_the_machines_own_root_can_not_be_changed(node: Node, process: ProcessRuntime) -> None:
    container = await run(process)
    for path in ("/x", "/etc/x", "/usr/x", "/run/x"):
        done = await process.exec_sync(container, ["touch", path])
        assert done.exit_code == (0 if path == "/run/x" else 1), path
    assert "x" not in os.listdir("/run")
    assert await output(process, container, "touch /tmp/y; ls /tmp") == "y\n"


@with_namespaces
async def test_the_nodes_own_files_are_hidden_from_it(process: ProcessRuntime, node: Node) -> None:
    container = await run(process)
    assert await output(process, container, f"ls -A {node.root}") == ""


async def test_what_lets_the_kubelet_in_is_hidden_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "ca.key").write_text("a secret")
        (folder.with_name(f"{folder.name}.kubeconfig")).write_text("another")
        try:
            hidden = (folder, folder.with_name(f"{folder.name}.kubeconfig"))
            with node_of_mode("own", monkeypatch, hidden=hidden) as node:
                async with node.kubelet() as runtime:
                    if not runtime.node.isolated:
                        pytest.skip("nothing can be hidden without namespaces")
                    container = await run(runtime)
                    assert await output(runtime, container, f"ls -A {folder}; cat {folder}.kubeconfig") == ""
                await node.end()
        finally:
            folder.with_name(f"{folder.name}.kubeconfig").unlink()


@with_namespaces
async def test_memory_can_be_a_volume(node: Node, process: ProcessRuntime) -> None:
    folder = node.logs("memory")
    await process.mount_memory(folder, 1 << 20)
    await process.mount_memory(folder, 1 << 20)
    container = await run(process, config=replace(WEB, mounts=(Mount(container_path="/m", host_path=folder),)))
    assert (await output(process, container, "df -k /m | tail -1")).split()[:2] == ["tmpfs", "1024"]
    await output(process, container, "echo x > /m/x")
    assert list(folder.iterdir()) == []
    await process.remove_sandbox((await process.sandboxes())[0].id)
    await process.unmount_memory(folder)
    await process.unmount_memory(folder)


async def test_a_user_of_any_number_may_be_had(process: ProcessRuntime) -> None:
    config = replace(WEB, security=Security(run_as_user=1234, run_as_group=77))
    if not process.node.isolated and os.geteuid() != 0:
        with pytest.raises(InvalidConfig, match="user 1234"):
            await run(process, config=config)
        return
    container = await run(process, config=config)
    assert await output(process, container, "id -u; id -g") == "1234\n77\n"
    assert "CapEff:\t0000000000000000" in await output(process, container, "cat /proc/self/status")
    found = await process.container(container)
    assert found.user is not None
    assert found.user[:2] == (1234, 77)


@with_namespaces
async def test_a_user_without_capabilities_has_none(process: ProcessRuntime) -> None:
    security = Security(run_as_user=1234, drop_capabilities=("ALL",), no_new_privileges=True)
    container = await run(process, config=replace(WEB, security=security))
    assert await output(process, container, "grep -c 'Cap.*0000000000000000' /proc/self/status; id -u") == "5\n1234\n"


@with_namespaces
async def test_root_in_a_container_has_the_usual_capabilities(process: ProcessRuntime) -> None:
    container = await run(process)
    assert "CapEff:\t00000000a80425fb" in await output(process, container, "cat /proc/self/status")
    dropped = replace(WEB, security=Security(drop_capabilities=("ALL",), add_capabilities=("KILL",)))
    container = await run(process, replace(POD, uid="2"), dropped)
    assert "CapEff:\t0000000000000020" in await output(process, container, "cat /proc/self/status")
    plain = replace(WEB, security=Security(no_new_privileges=True))
    container = await run(process, replace(POD, uid="3"), plain)
    assert "NoNewPrivs:\t1" in await output(process, container, "cat /proc/self/status")


# Images


@pytest.fixture
def archive(busybox: Path, tmp_path: Path) -> Path:
    import _images  # of the checkout; the archive itself is tested without it

    return _images.write_image(
        tmp_path / "app.tar",
        "shop/app:1",
        busybox=busybox,
        command=["httpd", "-f", "-p", "8080"],
        files={"etc/x": b"y\n"},
    )


async def test_a_loaded_image_runs(node: Node, process: ProcessRuntime, archive: Path) -> None:
    node.load(archive)
    config = replace(WEB, image="shop/app:1", command=("sh", "-c", "cat ${HK_ROOT}/etc/x; exec sleep 1000"))
    container = await run(process, replace(POD, log_directory=node.logs()), config)
    found = await process.container(container)
    assert found.image_ref.startswith("docker.io/shop/app@sha256:")
    log = node.logs() / "web" / "0.log"
    await until(lambda: log.read_bytes())
    assert read_log(log) == [("stdout", b"y\n")]


@with_namespaces
async def test_each_container_changes_its_own_copy_of_an_image(
    node: Node, process: ProcessRuntime, archive: Path
) -> None:
    node.load(archive)
    pod = await process.run_sandbox(POD)
    made = []
    for name in ("a", "b"):
        config = replace(WEB, name=name, image="shop/app:1", command=("sleep", "1000"))
        made.append(await process.create_container(pod, config))
        await process.start_container(made[-1])
    await output(process, made[0], "echo changed > /etc/x; rm /etc/group; touch /new")
    assert await output(process, made[0], "cat /etc/x; ls /new") == "changed\n/new\n"
    assert await output(process, made[1], "cat /etc/x; ls -d /etc/group /new* || true") == "y\n/etc/group\n"


@with_namespaces
async def test_a_read_only_root_is_read_only(node: Node, process: ProcessRuntime, archive: Path) -> None:
    node.load(archive)
    config = replace(WEB, image="shop/app:1", command=("sleep", "1000"), security=Security(readonly_root=True))
    container = await run(process, config=config)
    assert b"Read-only" in (await process.exec_sync(container, ["touch", "/x"])).stderr


async def test_an_image_that_its_registry_does_not_have_is_told(process: ProcessRuntime) -> None:
    with pytest.raises(ImageUnavailable, match="connection refused"):
        await process.pull_image("127.0.0.1:1/shop/nothing:1")


async def test_a_profile_that_this_runtime_cant_apply_is_refused(process: ProcessRuntime) -> None:
    security = Security(seccomp="/var/lib/kubelet/seccomp/audit.json")
    with pytest.raises(InvalidConfig, match=r"audit\.json can't be applied"):
        await run(process, config=replace(WEB, security=security))


@with_namespaces
async def test_an_image_is_a_volume(node: Node, process: ProcessRuntime, archive: Path) -> None:
    node.load(archive)
    mounts = tuple(
        Mount(container_path=path, host_path=Path(), image="shop/app:1", image_sub_path=part)
        for path, part in (("/tmp/whole", ""), ("/tmp/part", "etc"))
    )
    config = replace(WEB, image="shop/app:1", command=("sleep", "1000"), mounts=mounts)
    container = await run(process, config=config)
    shown = await process.exec_sync(
        container, ["sh", "-c", "ls -d /tmp/whole/etc/group /tmp/part/group; touch /tmp/part/x"]
    )
    assert shown.stdout == b"/tmp/part/group\n/tmp/whole/etc/group\n"
    assert b"Read-only" in shown.stderr
    for part in ("../..", "nowhere"):
        wrong = Mount(container_path="/x", host_path=Path(), image="shop/app:1", image_sub_path=part)
        with pytest.raises(InvalidConfig, match="has no"):
            await run(process, config=replace(config, mounts=(wrong,)))


# Kubelets and reapers that come and go


async def test_the_next_kubelet_finds_what_runs_and_what_ended(node: Node) -> None:
    async with node.kubelet() as runtime:
        sandbox = await runtime.run_sandbox(POD)
        stays = await runtime.create_container(sandbox, WEB)
        await runtime.start_container(stays)
        ends = await runtime.create_container(sandbox, replace(WEB, name="b", command=("sh", "-c", "exit 9")))
        await runtime.start_container(ends)
        started = (await runtime.container(stays)).started_at
        reaper = node.reaper()
    async with node.kubelet() as runtime:
        await ended(runtime, ends)
        assert node.reaper() == reaper
        assert (await runtime.container(ends)).exit_code == 9
        found = await runtime.container(stays)
        assert (found.state, found.started_at) == (ContainerState.RUNNING, started)
        assert found.config == WEB
        assert await output(runtime, stays, "echo still here") == "still here\n"


async def until_gone(begun: dict[int, int]) -> None:
    """Return once the processes have ended; `begun` says when each began, since numbers are used again."""

    def left() -> list[str]:
        return [describe(pid) for pid, begin in begun.items() if begin_of(pid) == begin]

    try:
        await until(lambda: not left())
    except TimeoutError:
        pytest.fail(f"still there: {left()}")


def describe(pid: int) -> str:
    parts = []
    for name in ("stat", "wchan", "cmdline"):
        with suppress(OSError):
            parts.append(Path(f"/proc/{pid}/{name}").read_text())
    return " ".join(parts)


def begin_of(pid: int) -> int:
    """When a living process began, in ticks of the machine; 0 for one that isn't there, or has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] == b"Z" else int(fields[19])


def begun(*pids: int) -> dict[int, int]:
    """Those of `pids` that live, with when each began."""
    return {pid: begin for pid in pids if (begin := begin_of(pid))}


def namespaces(until_tick: int) -> dict[str, int]:
    """The namespaces of all that runs here since `until_tick` or longer, each with somebody in it."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        for kind in ("net", "mnt", "pid"):
            with suppress(OSError):
                if 0 < begin_of(pid) <= until_tick:
                    found[os.readlink(f"/proc/{pid}/ns/{kind}")] = pid
    return found


async def test_nothing_is_left_of_a_node_whose_reaper_is_killed(node: Node) -> None:
    async with node.kubelet() as runtime:
        sandbox = await runtime.run_sandbox(POD)
        container = await runtime.create_container(
            sandbox,
            replace(
                WEB, command=("sh", "-c", "(setsid sleep 1000 &); (setsid sh -c 'sleep 1000 & wait' &); sleep 1000")
            ),
        )
        await runtime.start_container(container)
        in_hosts = await runtime.run_sandbox(replace(POD, uid="2", host_network=True))
        await runtime.start_container(await runtime.create_container(in_hosts, WEB))
        await output(runtime, container, "sleep 0.05")
        reaper = node.reaper()
        everything = begun(reaper, *descendants(reaper))
        own = {os.readlink(f"/proc/{pid}/ns/{kind}") for pid in everything for kind in ("net", "mnt", "pid")}
        if runtime.node.isolated:
            own -= {os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "mnt", "pid")}
        else:
            own = set()
        assert len(everything) >= 5
        os.kill(reaper, signal.SIGKILL)
        await until_gone(everything)
        left = namespaces(max(everything.values()))  # later ones may have got the same numbers
        assert not [found for found in left.items() if found[0] in own]
        assert str(node.root) not in text_of("/proc/self/mountinfo")

        # The next reaper knows what there was, and that it ended.
        found = await runtime.container(container)
        assert node.reaper() != reaper
        assert (found.state, found.exit_code) == (ContainerState.EXITED, 137)
        assert (await runtime.sandbox(sandbox)).state is SandboxState.NOT_READY
        again = await runtime.run_sandbox(replace(POD, attempt=1))
        assert (await runtime.sandbox(again)).ips != (await runtime.sandbox(sandbox)).ips
        await runtime.remove_sandbox(sandbox)


async def test_pods_end_some_time_after_the_last_kubelet(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with node_of_mode(mode, monkeypatch, grace_seconds=0.2) as node:
        async with node.kubelet() as runtime:
            await run(runtime, config=replace(WEB, **shell("trap 'exit 0' TERM; sleep 1000 & while :; do wait; done")))  # type: ignore[arg-type]
            reaper = node.reaper()
            everything = begun(reaper, *descendants(reaper))
            await asyncio.sleep(0.3)
            assert begin_of(reaper), "while there is a kubelet"
        await until_gone(everything)
        assert not node.settings.socket.exists()


async def test_the_end_is_the_end(node: Node) -> None:
    async with node.kubelet() as runtime:
        await run(runtime)
        reaper = node.reaper()
        everything = begun(reaper, *descendants(reaper))
    await node.end()
    await until_gone(everything)
    assert not node.settings.network_socket.exists()


async def test_a_reaper_that_was_killed_before_anybody_noticed_is_replaced_at_once(
    node: Node, process: ProcessRuntime
) -> None:
    reaper = node.reaper()
    gone = begun(reaper)
    os.kill(reaper, signal.SIGKILL)
    await until_gone(gone)
    assert (await process.status()).ready
    await run(process)


async def test_containers_are_listed_however_much_they_were_told(process: ProcessRuntime) -> None:
    sandbox = await process.run_sandbox(POD)
    env = tuple((f"V{number}", "x" * 100_000) for number in range(10))
    for attempt in range(8):
        config = replace(WEB, attempt=attempt, env=env, annotations={"long": "y" * 600_000})
        await process.create_container(sandbox, config)
    found = await process.containers()
    assert len(found) == 8
    assert found[0].config.annotations["long"] == "y" * 600_000
    assert found[0].config.env == ()  # what may be secret goes to the reaper once, and does not come back


async def test_a_container_that_runs_is_not_started_again(process: ProcessRuntime) -> None:
    container = await run(process)
    async with asyncio.timeout(10):
        with pytest.raises(StartFailed, match="was started before"):
            await process.start_container(container)


async def test_a_container_has_the_limit_of_open_files_that_the_kubelet_was_given(process: ProcessRuntime) -> None:
    container = await run(process)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert int(await output(process, container, "ulimit -Sn")) == soft


@with_namespaces
async def test_a_link_that_was_put_into_a_volume_meanwhile_is_not_followed(node: Node, process: ProcessRuntime) -> None:
    volume = node.logs("volume")
    (volume / "part").symlink_to("/etc")
    mount = Mount(container_path="/v", host_path=volume / "part" / "ssl", resolved=True)
    container = await process.create_container(await process.run_sandbox(POD), replace(WEB, mounts=(mount,)))
    with pytest.raises(StartFailed, match="a link lies in its way"):
        await process.start_container(container)


async def test_a_container_ends_though_nothing_can_be_written_down(node: Node, process: ProcessRuntime) -> None:
    container = await run(process)
    folder = node.settings.folder / "containers" / container
    folder.rename(folder.with_suffix(".away"))
    folder.write_text("as a full disk is")
    async with asyncio.timeout(10):
        await process.stop_container(container, 0)
    assert (await process.container(container)).state is ContainerState.EXITED


@with_namespaces
async def test_a_container_may_be_among_the_processes_of_another(process: ProcessRuntime) -> None:
    target = await run(process, config=replace(WEB, command=("sleep", "4321")))
    sandbox = (await process.container(target)).sandbox_id
    script = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    config = replace(WEB, name="debugger", command=script, processes_of=target)
    debugger = await process.create_container(sandbox, config)
    await process.start_container(debugger)
    shown = await process.exec_sync(debugger, ["sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline"])
    assert shown.stdout.decode().split() == ["sleep", "4321"]
    await process.stop_container(debugger, 5)
    assert (await process.container(target)).state is ContainerState.RUNNING
    late = await process.create_container(sandbox, replace(config, name="late", processes_of=debugger))
    with pytest.raises(NotRunning):
        await process.start_container(late)
