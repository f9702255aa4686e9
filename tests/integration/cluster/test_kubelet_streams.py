"""What kubectl does with running pods, through the API server, in each version's protocol."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import _tools
import pytest
from _clusters import Cluster, Mode, open_cluster
from _streams import SECONDS, Kubectl, Terminal, answer, kubectls, local_port

from hyperkube_machinery import tls
from hyperkube_machinery.builtin import PODS, SERVICE_ACCOUNTS
from hyperkube_machinery.clock import SystemClock

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux's")]

NODE = "node-1"
HOST = "hk.local/host"
SERVER = """
trap 'exit 0' TERM
mkdir -p /tmp/$$ && cd /tmp/$$ && echo served > index.html
$BUSYBOX httpd -p 127.0.0.1:8080 -f &
echo up
wait
"""


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with what the API server shows to kubelets, and what they know it by."""
    now = SystemClock().now()
    folder = tmp_path / "pki"
    folder.mkdir()
    ca = tls.create_ca("kubelets", now=now)
    tls.save(ca, folder / "ca.crt", folder / "ca.key")
    client = tls.issue_client_certificate(ca, "kube-apiserver-kubelet-client", ["system:masters"], now=now)
    tls.save(client, folder / "client.crt", folder / "client.key")
    return folder


@pytest.fixture(params=["process", "in-process"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path, authority: Path) -> AsyncIterator[Cluster]:
    """An API server that may speak to kubelets, and finds them by their address."""
    flags = (
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={authority / 'client.crt'}",
        f"--kubelet-client-key={authority / 'client.key'}",
    )
    async with open_cluster(cast(Mode, request.param), tmp_path, lambda: _tools.kubectl()[0], *flags) as cluster:
        yield cluster


@pytest.fixture
async def pod(cluster: Cluster, tmp_path: Path, authority: Path, busybox: Path) -> AsyncIterator[str]:
    """A pod that serves "served" on port 8080 of its own loopback, and has a shell."""
    account = {"metadata": {"name": "default"}, "automountServiceAccountToken": False}
    await cluster.client.create(SERVICE_ACCOUNTS, account, "default")
    folder = tmp_path / "kubelet"
    flags = (f"--root-dir={folder}", "--port=0", "--healthz-port=0", "--orphan-grace-period=10s")
    await cluster.start("kubelet", f"--hostname-override={NODE}", f"--client-ca-file={authority / 'ca.crt'}", *flags)
    script = SERVER.replace("$BUSYBOX", os.fspath(busybox))
    container = {"name": "main", "image": HOST, "command": ["/bin/sh", "-c", script]}
    spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 1, "containers": [container]}
    await cluster.client.create(PODS, {"metadata": {"name": "web"}, "spec": spec}, "default")
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/web", f"--timeout={SECONDS:g}s")
    yield "web"
    await cluster.kubectl("delete", "pod", "--all", "--wait")


async def test_ports_are_forwarded(cluster: Cluster, pod: str) -> None:
    for program in kubectls():
        kubectl = Kubectl(cluster, program)
        async with kubectl.started("port-forward", f"pod/{pod}", ":8080", "--address=127.0.0.1") as forwarding:
            port = await local_port(forwarding)
            for _ in range(3):
                answers = await asyncio.gather(*(answer(port) for _ in range(5)))
                assert {body.rpartition(b"\r\n")[2] for body in answers} == {b"served\n"}, program


async def test_a_port_on_which_nobody_listens_is_told(cluster: Cluster, pod: str) -> None:
    for program in kubectls():
        kubectl = Kubectl(cluster, program)
        async with kubectl.started("port-forward", f"pod/{pod}", ":9", "--address=127.0.0.1") as forwarding:
            assert await answer(await local_port(forwarding)) == b""
            assert forwarding.stderr is not None
            told = await forwarding.stderr.readuntil(b"connection refused")
            assert b"error forwarding port 9 to pod web" in told, program


async def test_commands_have_their_streams_and_exit_codes(cluster: Cluster, pod: str) -> None:
    much = os.urandom(1 << 20)
    for program in kubectls():
        kubectl = Kubectl(cluster, program)
        assert await kubectl.run("exec", "-i", pod, "--", "cat", stdin=much) == (0, much, ""), program
        code, output, complaint = await kubectl.run("exec", pod, "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (code, output) == (3, b"out\n"), program
        assert complaint == "err\ncommand terminated with exit code 3\n", program
        code, output, _ = await kubectl.run("exec", "-i", pod, "--", "head", "-c", "1", stdin=much)
        assert (code, output) == (0, much[:1]), "a command need not read all that it is given"
        code, _, complaint = await kubectl.run("exec", pod, "--", "no-such-program")
        assert code == 127, program
        assert "no-such-program" in complaint, program


async def test_commands_have_a_terminal(cluster: Cluster, pod: str) -> None:
    for program in kubectls():
        terminal = Terminal(rows=33, columns=99)
        args = ("exec", "-it", pod, "--", "sh", "-c", "read line; stty size; read line; stty size; tty")
        kubectl = Kubectl(cluster, program)
        async with kubectl.started(*args, stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs) as run:
            terminal.let_go()
            terminal.write(b"\r")
            await terminal.until(b"33 99")
            terminal.resize(rows=44, columns=111)
            run.send_signal(signal.SIGWINCH)
            for _ in range(20):  # nothing tells when it has got there
                await asyncio.sleep(0.01)
            terminal.write(b"\r")
            await terminal.until(b"44 111")
            await terminal.until(b"/dev/pts/")
            assert await run.wait() == 0
        terminal.close()


async def test_who_attaches_takes_part_in_the_containers_streams(cluster: Cluster, pod: str) -> None:
    for number, program in enumerate(kubectls()):
        name = f"reader-{number}"
        container = {
            "name": "main",
            "image": HOST,
            "stdin": True,
            "command": ["sh", "-c", "read x; echo got $x; exit 3"],
        }
        spec = {"nodeName": NODE, "restartPolicy": "Never", "containers": [container]}
        await cluster.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, "default")
        await cluster.kubectl(
            "wait", "--for=jsonpath={.status.phase}=Running", f"pod/{name}", f"--timeout={SECONDS:g}s"
        )
        code, output, complaint = await Kubectl(cluster, program).run("attach", "-i", name, stdin=b"hello\n")
        assert (code, output) == (0, b"got hello\n"), (program, complaint)


async def test_files_are_copied(cluster: Cluster, pod: str, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "large").write_bytes(os.urandom(3 << 20))
    for number, program in enumerate(kubectls()):
        kubectl = Kubectl(cluster, program)
        assert (await kubectl.run("cp", str(source), f"{pod}:/tmp/copy-{number}"))[0] == 0
        assert (await kubectl.run("cp", f"{pod}:/tmp/copy-{number}/folder/large", str(back)))[0] == 0
        assert back.read_bytes() == (source / "folder" / "large").read_bytes(), program
        back.unlink()


PYTHON = """
import sys
import kubernetes.client, kubernetes.config, kubernetes.stream

kubeconfig, pod = sys.argv[1:]
kubernetes.config.load_kube_config(kubeconfig)
api = kubernetes.client.CoreV1Api()

def run(*command):
    wanted = dict.fromkeys(("stdin", "stdout", "stderr"), True)
    exec = api.connect_get_namespaced_pod_exec
    return kubernetes.stream.stream(exec, pod, "default", command=list(command), _preload_content=False, **wanted)

said = run("cat")
said.write_stdin("hello\\n")
print(said.readline_stdout(timeout=30))
said.close()
ended = run("sh", "-c", "exit 3")
ended.run_forever(timeout=30)
print(ended.returncode)
forwarding = kubernetes.stream.portforward(api.connect_get_namespaced_pod_portforward, pod, "default", ports="8080")
connection = forwarding.socket(8080)
connection.setblocking(True)
connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
print(b"".join(iter(lambda: connection.recv(4096), b"")).decode().splitlines()[-1])
print(forwarding.error(8080))
"""


async def test_pythons_client_has_streams(cluster: Cluster, pod: str, tmp_path: Path) -> None:
    """In a process of its own, for it leaves connections open and keys in files."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PYTHON,
        str(cluster.kubeconfig),
        pod,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert output.decode().split() == ["hello", "3", "served", "None"]


async def test_a_log_is_followed_to_the_end_of_the_run(cluster: Cluster, pod: str) -> None:
    """Each run of a container has a log of its own: whoever follows one isn't shown the next."""
    script = "date +%s.%N; until rm /tmp/gate-$(hostname) 2>/dev/null; do sleep 0.05; done; echo the end; exit 1"
    for number, program in enumerate(kubectls()):
        name = f"again-{number}"
        container = {"name": "main", "image": HOST, "command": ["sh", "-c", script]}
        spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 1, "containers": [container]}
        await cluster.client.create(PODS, {"metadata": {"name": name}, "spec": spec}, "default")
        await cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={SECONDS:g}s")
        kubectl = Kubectl(cluster, program)
        async with kubectl.started("logs", "-f", name) as following:
            assert following.stdout is not None
            first = await following.stdout.readline()
            assert float(first)
            await cluster.kubectl("exec", name, "--", "sh", "-c", "touch /tmp/gate-$(hostname)")
            assert await following.stdout.read() == b"the end\n"
            assert await following.wait() == 0
        restarts = "{.status.containerStatuses[0].restartCount}"
        await cluster.kubectl("wait", f"--for=jsonpath={restarts}=1", f"pod/{name}", f"--timeout={SECONDS:g}s")
        assert (await kubectl.run("logs", "-p", name))[1] == first + b"the end\n"


async def test_pods_are_debugged(cluster: Cluster, pod: str) -> None:
    for number, program in enumerate(kubectls()):
        terminal = Terminal(rows=33, columns=99)
        script = "read line; echo seen $line; exit 0"
        args = ("debug", "-it", pod, f"--image={HOST}", f"--container=debugger-{number}", "--", "sh", "-c", script)
        kubectl = Kubectl(cluster, program)
        async with kubectl.started(*args, stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs) as run:
            terminal.let_go()
            terminal.write(b"hello\r")
            await terminal.until(b"seen hello")
            assert await run.wait() == 0
        terminal.close()
