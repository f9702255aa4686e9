"""A program: the agent of the network that it runs in, as `hyperkube_machinery.podnetwork` speaks with one.

    python _netagent.py SOCKET DESCRIPTION

It makes sockets and passes them on, runs programs, and describes itself by the JSON it was given.
"""

from __future__ import annotations

import array
import base64
import json
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any


def main() -> None:
    path, description = sys.argv[1], json.loads(sys.argv[2])
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(256)
    while True:
        client, _ = listening.accept()
        threading.Thread(target=serve, args=(client, description), daemon=True).start()


def ended(argv: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    """A program that has run; the exit code is a shell's where there is none of that name."""
    try:
        return subprocess.run(argv, input=stdin, capture_output=True, check=False)
    except FileNotFoundError as exc:
        return subprocess.CompletedProcess(argv, 127, b"", str(exc).encode())


def serve(client: socket.socket, description: dict[str, Any]) -> None:
    with client:
        length = struct.unpack("!I", receive(client, 4))[0]
        request = json.loads(receive(client, length))
        made: socket.socket | None = None
        answer: dict[str, Any]
        try:
            if request["op"] == "socket":
                made = socket.socket(request["family"], request["type"], request.get("protocol", 0))
                answer = {"ok": {}}
            elif request["op"] == "run":
                done = ended(request["argv"], base64.b64decode(request["stdin"]))
                answer = {
                    "ok": {
                        "exit_code": done.returncode,
                        "stdout": base64.b64encode(done.stdout).decode(),
                        "stderr": base64.b64encode(done.stderr).decode(),
                    }
                }
            else:
                answer = {"ok": description}
        except OSError as exc:
            answer = {"error": {"kind": "OSError", "message": str(exc)}}
        body = json.dumps(answer).encode()
        data = struct.pack("!I", len(body)) + body
        passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]))] if made else []
        with suppress(BrokenPipeError):  # who asked was killed
            sent = client.sendmsg([data], passed)
            if sent < len(data):
                client.sendall(data[sent:])
        if made is not None:
            made.close()


def receive(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


if __name__ == "__main__":
    main()
