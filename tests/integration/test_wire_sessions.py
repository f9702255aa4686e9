"""What Kubernetes' own clients send, byte by byte, and what kube-apiserver 1.36 answered: recorded and said again.

`kubectl` is one of kubectl 1.33 that makes a namespace with one of everything; `controllers` is one of kube-scheduler's
and kube-controller-manager's (1.36) behind it. client-go encodes in protobuf and asks for it. What a server makes
up (UIDs, resource versions, generated names) is put in for what it was in the recording.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery.decoding import read_protobuf

Tree = dict[str, Any]

DATA = Path(__file__).with_name("data")
SESSIONS = ("kubectl", "controllers")
PROTOBUF = "application/vnd.kubernetes.protobuf"
_LISTED = b"k8s.io/initial-events-end"
_MADE_UP = {
    *("uid", "resourceVersion", "creationTimestamp", "managedFields", "clusterIP", "clusterIPs"),
    *("expirationTimestamp", "token", "nodePort", "serviceAccount", "selfLink"),
}


class Replay:
    """One session on one server: what differs from the recording is remembered as it turns up."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._instead: dict[str, str] = {}  # of names and UIDs, which are as long as in the recording
        self._versions: dict[str, str] = {}

    def send(self, step: Tree) -> tuple[int, bytes, str]:
        path = self._put_in(step["path"])
        headers = {"accept": step["accept"]}
        body = self._body(step, path)
        if body is not None:
            headers["content-type"] = step["type"]
        answer = self._connection.send_bytes(step["method"], path, body, headers)
        if "watch=" in path:
            content_type = answer.headers["content-type"]
            events = []
            for event in framed(answer) if content_type.startswith(PROTOBUF) else answer:
                events.append(event)
                if _LISTED in event or "sendInitialEvents" not in path:
                    break
            self._connection.close()
            return answer.status, b"".join(events), content_type
        return answer.status, answer.read(), answer.headers["content-type"]

    def learn(self, told: Tree, recorded: Tree) -> None:
        """Remember what the server made up instead of what it was."""
        new, old = told.get("metadata") or {}, recorded.get("metadata") or {}
        for field in ("uid", "name"):
            if old.get(field) and new.get(field, "") != old[field]:
                assert len(new[field]) == len(old[field]), (new, old)
                self._instead[old[field]] = new[field]
        if old.get("resourceVersion"):
            self._versions[old["resourceVersion"]] = new["resourceVersion"]

    def recorded_names(self, tree: Any) -> Any:
        """`tree` with what the recording has for what was made up here."""
        text = json.dumps(tree)
        for old, new in self._instead.items():
            text = text.replace(new, old)
        return json.loads(text)

    def _put_in(self, text: str) -> str:
        for old, new in self._instead.items():
            text = text.replace(old, new)
        return text

    def _body(self, step: Tree, path: str) -> bytes | None:
        if "text" in step:
            text = self._put_in(step["text"])
            return re.sub(
                r'("resourceVersion":)"(\d+)"', lambda found: f'{found[1]}"{self._version(found[2], path)}"', text
            ).encode()
        if "body" not in step:
            return None
        body = base64.b64decode(step["body"])
        for old, new in self._instead.items():
            body = body.replace(old.encode(), new.encode())
        return with_version(body, lambda version: self._version(version, path))

    def _version(self, recorded: str, path: str) -> str:
        """The version of the object that it was then: the one known, or what it has now, for whoever watched it."""
        if recorded in self._versions:
            return self._versions[recorded]
        status, found = self._connection.call("GET", re.sub(r"/status$", "", path.partition("?")[0]))
        return str(found["metadata"]["resourceVersion"]) if status == 200 else recorded


def framed(answer: Any) -> Iterator[bytes]:
    """The events of a watch in protobuf, each of which has its length in front."""
    while head := answer.read(4):
        yield answer.read(int.from_bytes(head, "big"))


def with_version(body: bytes, change: Callable[[str], str]) -> bytes:
    """A protobuf body with another metadata.resourceVersion, where it has one.

    Envelope: field 2 is the object; of every object field 1 is its metadata, whose field 6 it is.
    """

    def metadata(data: bytes) -> bytes:
        return rewritten(data, 6, lambda version: change(version.decode()).encode() if version else b"")

    return body[:4] + rewritten(body[4:], 2, lambda obj: rewritten(obj, 1, metadata))


def rewritten(message: bytes, wanted: int, change: Callable[[bytes], bytes]) -> bytes:
    """A message whose field `wanted`, if it has bytes there, is another."""
    out, at = b"", 0
    while at < len(message):
        start = at
        tag, at = varint(message, at)
        if tag & 7 == 0:
            _, at = varint(message, at)
        elif tag & 7 == 2:
            length, at = varint(message, at)
            at += length
            if tag >> 3 == wanted:
                value = change(message[at - length : at])
                out += bytes([tag]) + encoded(len(value)) + value
                continue
        else:
            at += 8 if tag & 7 == 1 else 4
        out += message[start:at]
    return out


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at


def encoded(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def told(value: Any) -> Any:
    """What an object says, without what is made up and what is empty: protobuf has no absence."""
    if isinstance(value, dict):
        kept = {key: told(inner) for key, inner in value.items() if key not in _MADE_UP}
        return {key: inner for key, inner in kept.items() if inner not in (None, "", 0, False, {}, [])}
    if isinstance(value, list):
        return [told(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"^\d{4}-\d\d-\d\dT[\d:.]+Z$", "a time", re.sub(r"^(kube-api-access-)\w{5}$", r"\1", value))
    return value


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Any]) -> Any:
    return make_server("--storage-backend=memory", "--service-account-issuer=https://x")


def steps(session: str) -> Iterator[Tree]:
    for line in (DATA / f"{session}.jsonl").read_text().splitlines():
        yield json.loads(line)


def test_recorded_sessions_get_the_recorded_answers(server: Any) -> None:
    """Both on one server, for the second goes on where the first ended."""
    differences = []
    with server.connect() as connection:
        replay = Replay(connection)
        for session in SESSIONS:
            for number, step in enumerate(steps(session)):
                about = f"{session} {number}: {step['method']} {step['path']}"
                status, body, content_type = replay.send(step)
                if status != step["status"]:
                    differences.append(f"{about}: {status} instead of {step['status']}: {body[:300]!r}")
                elif "watch=" in step["path"]:
                    if "sendInitialEvents" in step["path"] and _LISTED not in body:
                        differences.append(f"{about}: no end of the list in {content_type}")
                elif "answer" in step:
                    if not content_type.startswith(step["accept"].partition(",")[0].partition(";")[0]):
                        differences.append(f"{about}: {content_type} for {step['accept']}")
                    answer = read_protobuf(body) if content_type == PROTOBUF else json.loads(body)
                    replay.learn(answer, step["answer"])
                    got, recorded = told(replay.recorded_names(answer)), told(step["answer"])
                    if got != recorded:
                        differences.append(f"{about}:\n   got {got}\n  then {recorded}")
    assert not differences, "\n".join(differences)
