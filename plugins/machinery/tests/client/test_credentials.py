"""Credentials: what is sent, and how it is renewed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from hyperkube_machinery import timestamps, tls
from hyperkube_machinery.builtin import NODES
from hyperkube_machinery.client import LocalServer, connect
from hyperkube_machinery.client.credentials import Credentials
from hyperkube_machinery.client.execcommand import CommandFailed, told
from hyperkube_machinery.clock import SystemClock
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.kubeconfig import Access, ExecCommand, Impersonation
from hyperkube_machinery.serving.messages import Answer, Request, Response
from hyperkube_machinery.testing.clock import VirtualClock
from hyperkube_machinery.testing.waiting import until

pytestmark = pytest.mark.anyio

V1 = "client.authentication.k8s.io/v1"
NOW = 1_790_000_000.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW)


@pytest.mark.parametrize(
    ("access", "headers"),
    [
        (Access(server="x"), []),
        (Access(server="x", token="t"), [("authorization", "Bearer t")]),
        (Access(server="x", username="u", password="p:q"), [("authorization", "Basic dTpwOnE=")]),
        (
            Access(
                server="x",
                token="t",
                impersonation=Impersonation(user="jane", uid="1", groups=("a", "b"), extra={"Scopes/x y": ("c", "d")}),
            ),
            [
                ("authorization", "Bearer t"),
                ("impersonate-user", "jane"),
                ("impersonate-uid", "1"),
                ("impersonate-group", "a"),
                ("impersonate-group", "b"),
                ("impersonate-extra-scopes%2Fx%20y", "c"),
                ("impersonate-extra-scopes%2Fx%20y", "d"),
            ],
        ),
    ],
)
def test_what_is_sent(access: Access, headers: list[tuple[str, str]], clock: VirtualClock) -> None:
    assert list(Credentials(access, clock).known() or ()) == headers


async def test_a_token_file_is_read_again_and_its_last_content_outlives_it(tmp_path: Path, clock: VirtualClock) -> None:
    file = tmp_path / "token"
    credentials = Credentials(Access(server="x", token="one", token_file=file), clock)
    file.write_text("two\n")
    assert credentials.known() == (("authorization", "Bearer one"),)
    await clock.advance(61)
    assert credentials.known() == (("authorization", "Bearer two"),)
    for content in (None, ""):
        file.unlink() if content is None else file.write_text(content)
        await clock.advance(61)
        assert credentials.known() == (("authorization", "Bearer two"),)


class Admitting:
    """A server that keeps who it let in."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[bytes | None, str]] = []

    def __call__(self, request: Request) -> Answer:
        self.seen.append((request.connection.peer_certificate, request.headers.get("authorization", "")))
        if self.answers and isinstance(answer := self.answers.pop(0), Exception):
            raise answer
        return Response(200, b"{}")


async def test_a_renewed_certificate_is_shown(tmp_path: Path, clock: VirtualClock) -> None:
    certificate, key = tmp_path / "c.crt", tmp_path / "c.key"
    access = Access(
        server="https://x", certificate_pem=b"old", key_pem=b"k", certificate_file=certificate, key_file=key
    )
    server = Admitting()

    def admit(certificate_pem: bytes, key_pem: bytes) -> bytes:
        if certificate_pem == b"half":
            raise tls.CertificateError("this is not the key of the certificate")
        return certificate_pem

    async with connect(access, clock=clock, user_agent="t", local=LocalServer("https://x", server, admit)) as client:
        await client.get(NODES, "a")
        for content in (b"half", b"new"):
            certificate.write_bytes(content)
            key.write_bytes(b"k2")
            await clock.advance(61)
            await client.get(NODES, "a")
    assert [shown for shown, _ in server.seen] == [b"old", b"old", b"new"]


def command(tmp_path: Path, source: str, **options: object) -> ExecCommand:
    """A command that appends a line to `calls` and then does what `source` says."""
    script = tmp_path / "tell.py"
    script.write_text(f"import json, os, sys\nopen({str(tmp_path / 'calls')!r}, 'a').write('x')\n{source}")
    return ExecCommand(api_version=V1, command=sys.executable, args=(str(script), "arg"), **options)  # type: ignore[arg-type]


def calls(tmp_path: Path) -> int:
    file = tmp_path / "calls"
    return len(file.read_text()) if file.exists() else 0


def saying(status: str) -> str:
    return f"print(json.dumps({{'kind': 'ExecCredential', 'apiVersion': {V1!r}, 'status': {status}}}))"


async def test_a_command_is_asked_once_and_again_when_its_answer_expires(tmp_path: Path) -> None:
    now = SystemClock().now()
    clock = VirtualClock(now)
    expires = timestamps.format_seconds(now + 100)
    source = saying(f"{{'token': os.environ['TOKEN'] + sys.argv[1], 'expirationTimestamp': {expires!r}}}")
    access = Access(server="https://x", command=command(tmp_path, source, env={"TOKEN": "t-"}))
    server = Admitting()
    local = LocalServer("https://x", server, lambda certificate, key: b"")
    async with connect(access, clock=clock, user_agent="t", local=local) as client:
        assert calls(tmp_path) == 0
        await asyncio.gather(*(client.get(NODES, "a") for _ in range(3)))
        assert calls(tmp_path) == 1
        await clock.advance(200)
        await client.get(NODES, "a")
        assert calls(tmp_path) == 2
    assert {sent for _, sent in server.seen} == {"Bearer t-arg"}


async def test_a_command_is_asked_again_after_401(tmp_path: Path, clock: VirtualClock) -> None:
    access = Access(server="https://x", command=command(tmp_path, saying("{'token': 't'}")))
    server = Admitting(APIError.unauthorized())
    local = LocalServer("https://x", server, lambda certificate, key: b"")
    async with connect(access, clock=clock, user_agent="t", local=local) as client:
        with pytest.raises(APIError):
            await client.get(NODES, "a")
        await client.get(NODES, "a")
        await client.get(NODES, "a")
    assert calls(tmp_path) == 2


async def test_a_command_may_tell_a_certificate(tmp_path: Path, clock: VirtualClock) -> None:
    source = saying("{'clientCertificateData': 'cert', 'clientKeyData': 'key'}")
    access = Access(server="https://x", command=command(tmp_path, source))
    server = Admitting()
    local = LocalServer("https://x", server, lambda certificate, key: certificate + key)
    async with connect(access, clock=clock, user_agent="t", local=local) as client:
        await client.get(NODES, "a")
    assert server.seen == [(b"certkey", "")]


async def test_a_command_is_told_what_it_may_know(tmp_path: Path, clock: VirtualClock) -> None:
    source = f"open({str(tmp_path / 'info')!r}, 'w').write(os.environ['KUBERNETES_EXEC_INFO'])\n" + saying(
        "{'token': 't'}"
    )
    told_of = command(tmp_path, source, cluster={"server": "https://x"})
    await Credentials(Access(server="https://x", command=told_of), clock).find()
    assert (tmp_path / "info").read_bytes() == encode(
        {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False, "cluster": {"server": "https://x"}}}
    )


async def test_a_command_that_fails_is_told_by_its_code(tmp_path: Path, clock: VirtualClock) -> None:
    credentials = Credentials(Access(server="x", command=command(tmp_path, "sys.exit(3)")), clock)
    with pytest.raises(CommandFailed, match="failed with exit code 3"):
        await credentials.find()


async def test_a_command_that_is_not_there_is_told_with_the_hint(clock: VirtualClock) -> None:
    missing = ExecCommand(api_version=V1, command="/none/tell", install_hint="pip install tell")
    with pytest.raises(CommandFailed, match="executable /none/tell not found\n\npip install tell"):
        await Credentials(Access(server="x", command=missing), clock).find()


async def test_a_command_that_cannot_be_run_is_told(clock: VirtualClock) -> None:
    command = ExecCommand(api_version=V1, command="/bin/true", args=("a\0b",))
    with pytest.raises(CommandFailed, match="embedded null byte"):
        await Credentials(Access(server="x", command=command), clock).find()


async def test_a_command_that_does_not_end_is_ended(tmp_path: Path, clock: VirtualClock) -> None:
    source = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\nimport time; time.sleep(1000)"
    credentials = Credentials(Access(server="x", command=command(tmp_path, source)), clock)
    task = asyncio.create_task(credentials.find())
    await until(lambda: pid_in(tmp_path))
    await clock.advance(61)
    with pytest.raises(CommandFailed, match="took longer than 60 s"):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid_in(tmp_path), 0)


def pid_in(tmp_path: Path) -> int:
    file = tmp_path / "pid"
    return int(file.read_text() or 0) if file.exists() else 0


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (b"secret-token", "didn't return JSON"),
        (b"[]", "didn't return an ExecCredential"),
        (encode({"kind": "ExecCredential", "apiVersion": "x"}), "is configured to use API version"),
        (encode({"kind": "ExecCredential", "apiVersion": V1}), "didn't return a status field"),
        (encode({"kind": "ExecCredential", "apiVersion": V1, "status": {}}), "didn't return a token or cert/key pair"),
        (encode({"kind": "ExecCredential", "apiVersion": V1, "status": {"token": 5}}), "no strings"),
        (
            encode(
                {"kind": "ExecCredential", "apiVersion": V1, "status": {"token": "secret", "clientKeyData": "secret"}}
            ),
            "returned only certificate or key, not both",
        ),
        (
            encode(
                {"kind": "ExecCredential", "apiVersion": V1, "status": {"token": "secret", "expirationTimestamp": "x"}}
            ),
            "expirationTimestamp that is no time",
        ),
    ],
)
def test_what_a_command_says_wrongly_is_told_without_what_it_said(output: bytes, why: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        told(ExecCommand(api_version=V1, command="tell"), output)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)
