"""Credentials that a command tells. Source: k8s.io/client-go/plugin/pkg/client/auth/exec/exec.go"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

import orjson

from hyperkube_machinery import timestamps
from hyperkube_machinery.client.transport import ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.encoding import encode
from hyperkube_machinery.kubeconfig import ExecCommand

__all__ = ["CommandFailed", "Told", "ask"]

_SECONDS = 60.0
"""A command that takes longer waits for somebody who isn't there."""


class CommandFailed(ClientError):
    """The command of a kubeconfig gave no credentials; the message names it and holds nothing that it said."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command told."""

    token: str = field(default="", repr=False)
    certificate_pem: bytes = b""
    key_pem: bytes = field(default=b"", repr=False)
    expires: float | None = None  # seconds since the epoch; None for never


async def ask(command: ExecCommand, clock: Clock) -> Told:
    """Run the command. What it says on standard error goes to ours. Raises CommandFailed."""
    spec: dict[str, Any] = {"interactive": False}
    if command.cluster is not None:
        spec["cluster"] = command.cluster
    info = {"kind": "ExecCredential", "apiVersion": command.api_version, "spec": spec}
    environment = {**os.environ, **command.env, "KUBERNETES_EXEC_INFO": encode(info).decode()}
    try:
        return told(command, await within(clock, _SECONDS, _output(command, environment)))
    except TimeoutError as exc:
        raise CommandFailed(f"getting credentials: exec: {command.command} took longer than {_SECONDS:g} s") from exc


async def _output(command: ExecCommand, environment: dict[str, str]) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            command.command,
            *command.args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
    except FileNotFoundError as exc:
        hint = f"\n\n{command.install_hint}" if command.install_hint else ""
        raise CommandFailed(f"getting credentials: exec: executable {command.command} not found{hint}") from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL among its arguments
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise CommandFailed(f"getting credentials: exec: {command.command}: {why}") from exc
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode:
        code = process.returncode
        raise CommandFailed(f"getting credentials: exec: executable {command.command} failed with exit code {code}")
    return output


def told(command: ExecCommand, output: bytes) -> Told:
    """Read what the command printed. Raises CommandFailed."""

    def failed(why: str) -> CommandFailed:
        return CommandFailed(f"getting credentials: exec plugin {command.command} {why}")

    try:
        document = orjson.loads(output)
    except orjson.JSONDecodeError as exc:
        raise failed("didn't return JSON") from exc
    if not isinstance(document, dict) or document.get("kind") != "ExecCredential":
        raise failed("didn't return an ExecCredential")
    if document.get("apiVersion") != command.api_version:
        raise failed(
            f"is configured to use API version {command.api_version}, it returned version {document.get('apiVersion')}"
        )
    status = document.get("status")
    if not isinstance(status, dict):
        raise failed("didn't return a status field")
    texts = [status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")]
    if not all(isinstance(text, str) for text in texts):
        raise failed("returned a status whose fields are no strings")
    token, certificate, key = texts
    if bool(certificate) != bool(key):
        raise failed("returned only certificate or key, not both")
    if not token and not certificate:
        raise failed("didn't return a token or cert/key pair")
    try:
        moment = status.get("expirationTimestamp")
        expires = None if moment is None else timestamps.parse(moment)
    except (ValueError, TypeError) as exc:
        raise failed("returned an expirationTimestamp that is no time") from exc
    return Told(token, certificate.encode(), key.encode(), expires)
