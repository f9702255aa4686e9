"""What kubectl does with containers of containerd, in each version's protocol."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from _clusters import eventually
from _containerd import BUSYBOX, WAIT
from _nodes import NODE, RealNode
from _streams import Kubectl, Terminal, answer, kubectls, local_port
from _watching import is_ready

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

SERVER = """
trap 'exit 0' TERM
mkdir -p /tmp/w && echo served > /tmp/w/index.html
for port in 8080 8081 8082; do httpd -p 127.0.0.1:$port -h /tmp/w; done
echo up
while :; do sleep 3600 & wait $!; done
"""
BOTH = ["sh", "-c", "for i in 1 2 3; do echo out $i; echo err $i >&2; done; " + WAIT[-1]]


@pytest.fixture(params=kubectls(), ids=lambda path: path.name)
def kubectl(request: pytest.FixtureRequest, node: RealNode) -> Kubectl:
    return Kubectl(node.cluster, request.param)


@pytest.fixture
async def web(node: RealNode) -> AsyncIterator[str]:
    """A pod that serves "served" on three ports of its own loopback, and has a shell."""
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", SERVER]}
    await node.create("web", {"terminationGracePeriodSeconds": 1, "containers": [container]})
    await node.running("web")
    yield "web"
    await node.delete("web", grace_seconds=1)


async def test_commands_have_their_streams_and_exit_codes(kubectl: Kubectl, web: str) -> None:
    much = os.urandom(3 << 20)
    assert await kubectl.run("exec", "-i", web, "--", "cat", stdin=much) == (0, much, "")
    code, output, complaint = await kubectl.run("exec", web, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (code, output, complaint) == (3, b"out\n", "err\ncommand terminated with exit code 3\n")
    code, _, complaint = await kubectl.run("exec", web, "--", "no-such-program")
    assert code
    assert "no-such-program" in complaint
    code, _, complaint = await kubectl.run("exec", web, "--", "sh", "-c", "kill -9 $$")
    assert (code, complaint) == (137, "command terminated with exit code 137\n")


async def test_commands_have_a_terminal(kubectl: Kubectl, web: str) -> None:
    terminal = Terminal(rows=33, columns=99)
    waiting = "until [ \"$(stty size)\" = '{}' ]; do sleep 0.1; done; echo {} columns;"
    script = f"{waiting.format('33 99', 99)} {waiting.format('44 111', 111)} read line; echo got $line; tty; exit 5"
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    async with kubectl.started("exec", "-it", web, "--", "sh", "-c", script, **streams) as run:
        terminal.let_go()
        await terminal.until(b"99 columns")
        terminal.resize(rows=44, columns=111)
        run.send_signal(signal.SIGWINCH)
        await terminal.until(b"111 columns")
        terminal.write(b"this\r")
        await terminal.until(b"got this")
        await terminal.until(b"/dev/pts/")
        assert await run.wait() == 5
    terminal.close()


async def test_who_attaches_takes_part_in_the_containers_streams(kubectl: Kubectl, node: RealNode) -> None:
    script = "read x; echo got $x; exit 3"
    container = {"name": "main", "image": BUSYBOX, "stdin": True, "stdinOnce": True, "command": ["sh", "-c", script]}
    await node.create("reader", {"restartPolicy": "Never", "containers": [container]})
    await node.running("reader")
    code, output, complaint = await kubectl.run("attach", "-i", "reader", stdin=b"hello\n")
    assert (code, output) == (0, b"got hello\n"), complaint
    ended = await node.pod("reader", lambda pod: pod["status"]["phase"] == "Failed")
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    await node.delete("reader")


async def test_who_attaches_has_the_containers_terminal(kubectl: Kubectl, node: RealNode) -> None:
    script = "stty -echo; while read x; do echo got $x; [ $x = bye ] && exit 0; done"
    container = {"name": "main", "image": BUSYBOX, "stdin": True, "tty": True, "command": ["sh", "-c", script]}
    await node.create("shell", {"restartPolicy": "Never", "containers": [container]})
    await node.running("shell")
    terminal = Terminal(rows=33, columns=99)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    async with kubectl.started("attach", "-it", "shell", **streams) as run:
        terminal.let_go()
        terminal.write(b"one\r")
        await terminal.until(b"got one")
        terminal.write(b"bye\r")
        await terminal.until(b"got bye")
        await run.wait()
    terminal.close()
    await node.delete("shell", grace_seconds=0)


async def test_files_are_copied(kubectl: Kubectl, web: str, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "large").write_bytes(os.urandom(3 << 20))
    code, _, complaint = await kubectl.run("cp", str(source), f"{web}:/tmp/copy")
    assert code == 0, complaint
    code, _, complaint = await kubectl.run("cp", f"{web}:/tmp/copy/folder/large", str(back))
    assert code == 0, complaint
    assert back.read_bytes() == (source / "folder" / "large").read_bytes()


async def test_ports_are_forwarded(kubectl: Kubectl, web: str) -> None:
    args = ("port-forward", f"pod/{web}", ":8080", ":8081", ":8082", "--address=127.0.0.1")
    async with kubectl.started(*args) as forwarding:
        ports = [await local_port(forwarding) for _ in range(3)]
        for _ in range(3):
            answers = await asyncio.gather(*(answer(port) for port in ports for _ in range(10)))
            assert {body.rpartition(b"\r\n")[2] for body in answers} == {b"served\n"}


async def test_a_port_on_which_nobody_listens_is_told(kubectl: Kubectl, web: str) -> None:
    async with kubectl.started("port-forward", f"pod/{web}", ":9", "--address=127.0.0.1") as forwarding:
        assert await answer(await local_port(forwarding)) == b""
        assert forwarding.stderr is not None
        told = await forwarding.stderr.readuntil(b"connection refused")
        assert b"error forwarding port 9 to pod web" in told


async def test_a_connection_may_be_closed_half(kubectl: Kubectl, web: str) -> None:
    """What the port sends behind the end of what it was sent comes through."""
    counting = ("exec", web, "--", "sh", "-c", "nc -l -p 9000 -e sh -c 'wc -c'")
    async with kubectl.started(*counting) as serving:

        async def listening() -> bool:
            _, output, _ = await kubectl.run("exec", web, "--", "sh", "-c", "netstat -ltn | grep -c ':9000 '")
            return output.strip() == b"1"

        await eventually(listening)
        async with kubectl.started("port-forward", f"pod/{web}", ":9000", "--address=127.0.0.1") as forwarding:
            reader, writer = await asyncio.open_connection("127.0.0.1", await local_port(forwarding))
            writer.write(b"x" * 1_000_000)
            writer.write_eof()
            assert (await reader.read()).strip() == b"1000000"
            writer.close()
        await serving.wait()


async def test_logs_are_read_as_they_are_asked_for(kubectl: Kubectl, node: RealNode) -> None:
    containers = [{"name": name, "image": BUSYBOX, "command": BOTH} for name in ("one", "two")]
    await node.create("talkers", {"terminationGracePeriodSeconds": 1, "containers": containers})
    await node.running("talkers")
    lines = {f"{stream} {number}" for stream in ("out", "err") for number in (1, 2, 3)}

    async def log(*args: str) -> list[str]:
        code, output, complaint = await kubectl.run("logs", "talkers", *args)
        assert code == 0, complaint
        return output.decode().splitlines()

    async def complete() -> bool:
        return set(await log("-c", "one")) == lines and set(await log("-c", "two")) == lines

    await eventually(complete)
    everything = await log("-c", "one")
    assert await log("-c", "one", "--tail=2") == everything[-2:]
    assert await log("-c", "one", "--tail=0") == []
    assert "\n".join(await log("-c", "one", "--limit-bytes=10")) == "\n".join(everything)[:10].rstrip("\n")
    assert await log("-c", "one", "--since=1h") == everything
    stamped = await log("-c", "one", "--timestamps")
    assert [line.partition(" ")[2] for line in stamped] == everything
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z ", line) for line in stamped)
    later = "2100-01-01T00:00:00Z"
    assert await log("-c", "one", f"--since-time={later}") == []
    prefixed = await log("--all-containers", "--prefix")
    assert sorted(prefixed) == sorted(f"[pod/talkers/{name}] {line}" for name in ("one", "two") for line in lines)
    await node.delete("talkers", grace_seconds=1)


async def test_a_log_is_followed_to_the_end_of_the_run(kubectl: Kubectl, node: RealNode) -> None:
    """Each run of a container has a log of its own: whoever follows one isn't shown the next."""
    script = "cat /proc/uptime; until rm /gate 2>/dev/null; do sleep 0.05; done; echo the end; exit 1"
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script]}
    await node.create("again", {"terminationGracePeriodSeconds": 1, "containers": [container]})
    await node.running("again")
    async with kubectl.started("logs", "-f", "again") as following:
        assert following.stdout is not None
        first = await following.stdout.readline()
        assert first
        await node.kubectl("exec", "again", "--", "touch", "/gate")
        assert await following.stdout.read() == b"the end\n"
        assert await following.wait() == 0

    await node.pod("again", lambda pod: pod["status"]["containerStatuses"][0]["restartCount"] == 1 and is_ready(pod))
    assert (await kubectl.run("logs", "-p", "again"))[1] == first + b"the end\n"
    await node.delete("again", grace_seconds=1)


async def test_pods_are_debugged(kubectl: Kubectl, web: str) -> None:
    """A container more, in the namespaces of the one that it is for."""
    terminal = Terminal(rows=33, columns=99)
    script = "read line; echo seen $line; echo servers: $(pidof httpd | wc -w); wget -q -O - http://127.0.0.1:8080/"
    args = (
        "debug",
        "-it",
        web,
        f"--image={BUSYBOX}",
        "--target=main",
        "--container=debugger",
        "--",
        "sh",
        "-c",
        script,
    )
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    async with kubectl.started(*args, **streams) as run:
        terminal.let_go()
        terminal.write(b"hello\r")
        await terminal.until(b"seen hello")
        await terminal.until(b"servers: 3")
        await terminal.until(b"served")
        assert await run.wait() == 0
    terminal.close()


async def test_copies_of_pods_are_debugged(kubectl: Kubectl, node: RealNode, web: str) -> None:
    terminal = Terminal(rows=33, columns=99)
    script = "read line; echo seen $line; echo servers: $(pidof httpd | wc -w)"
    args = (
        "debug",
        "-it",
        web,
        f"--image={BUSYBOX}",
        "--copy-to=web-copy",
        "--share-processes",
        "--container=debugger",
    )
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    async with kubectl.started(*args, "--same-node", "--", "sh", "-c", script, **streams) as run:
        terminal.let_go()
        terminal.write(b"hello\r")
        await terminal.until(b"seen hello")
        await terminal.until(b"servers: 3")
        await run.wait()
    terminal.close()
    await node.delete("web-copy", grace_seconds=0)


async def test_nodes_are_debugged(kubectl: Kubectl, node: RealNode) -> None:
    """A pod in the node's namespaces that has its root at /host."""
    terminal = Terminal(rows=33, columns=99)
    script = "read line; echo seen $line; ls /host/proc/1/comm; exit 0"
    args = ("debug", f"node/{NODE}", "-it", f"--image={BUSYBOX}", "--", "sh", "-c", script)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.theirs)
    async with kubectl.started(*args, **streams) as run:
        terminal.let_go()
        terminal.write(b"hello\r")
        await terminal.until(b"seen hello")
        await terminal.until(b"/host/proc/1/comm")
        await run.wait()
    terminal.close()
    await node.emptied()


async def test_a_command_whose_client_is_gone_sees_the_end_of_its_input(
    kubectl: Kubectl, node: RealNode, web: str
) -> None:
    async with kubectl.started("exec", "-i", web, "--", "sh", "-c", "echo $$; cat > /dev/null") as run:
        assert run.stdout is not None
        pid = int(await run.stdout.readline())
        run.kill()

    async def over() -> bool:
        _, output, _ = await Kubectl(node.cluster, kubectls()[0]).run(
            *("exec", web, "--", "sh", "-c", f"test -d /proc/{pid} && echo there || echo gone")
        )
        return output == b"gone\n"

    await eventually(over)


async def test_streams_end_with_their_container(kubectl: Kubectl, node: RealNode) -> None:
    await node.create("short", {"terminationGracePeriodSeconds": 1})
    await node.running("short")
    async with kubectl.started("exec", "short", "--", "sleep", "1000") as run:
        await asyncio.sleep(0.3)
        await node.delete("short", grace_seconds=0)
        with suppress(ProcessLookupError):
            assert await run.wait() != 0
