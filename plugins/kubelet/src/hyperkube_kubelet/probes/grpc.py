"""gRPC's health check: one call on a connection of its own, which needs little of HTTP/2.

What the call came to is told by its message. The headers that come back are compressed in a way (HPACK) that is not
read here, so of a call without a message it is only known that it failed.
Source: RFC 9113, RFC 7541, grpc/doc/PROTOCOL-HTTP2.md, k8s.io/kubernetes/pkg/probe/grpc.
"""

from __future__ import annotations

import asyncio
import struct

from hyperkube_machinery.exchange import Peer, failure_text
from hyperkube_machinery.podnetwork import PodNetwork

__all__ = ["check"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_MOST_FRAMES = 100
_LARGEST_FRAME = 1 << 14  # of a connection whose settings say nothing else
_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_SERVING = 1


async def check(network: PodNetwork, peer: Peer, service: str) -> tuple[bool, str]:
    """Whether `service` says that it serves, and what it said otherwise."""
    try:
        connected = await network.dial(peer.host, peer.port)
    except OSError as exc:
        return False, f'error: failed to connect service at "{peer.authority}": {failure_text(peer, exc)}'
    reader, writer = await asyncio.open_connection(sock=connected)
    try:
        writer.write(_request(peer, service))
        answer = await _answer(reader, writer)
    except (OSError, asyncio.IncompleteReadError) as exc:
        return False, f"error: health rpc probe failed: connection closed ({exc})"
    finally:
        writer.close()
    if len(answer) < 5:
        return False, "error: health rpc probe failed: the call was answered without a message"
    state = _state(answer[5:])
    if state == _SERVING:
        return True, f'service healthy (responded with "{_STATES[state]}")'
    shown = _STATES[state] if state < len(_STATES) else str(state)
    return False, f'service unhealthy (responded with "{shown}")'


def _request(peer: Peer, service: str) -> bytes:
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", peer.authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "kube-probe/1.36"),
    )
    block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers)  # literal, not indexed
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    body = struct.pack("!BI", 0, len(message)) + message
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, _END_STREAM, 1, body)
    )


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _text(text: str) -> bytes:
    """A string as HPACK has it, uncompressed: its length in seven bits and more, then itself."""
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    return b"\x7f" + _varint(len(data) - 127) + data


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The data of the first stream, up to its end."""
    data = bytearray()
    for _ in range(_MOST_FRAMES):
        head = await reader.readexactly(9)
        length, (kind, flags, _) = int.from_bytes(head[:3], "big"), struct.unpack("!BBI", head[3:])
        if length > _LARGEST_FRAME:
            raise OSError(f"a frame of {length} bytes is larger than was agreed")
        payload = await reader.readexactly(length)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind == _DATA:
            data += payload
        if kind in (_RST_STREAM, _GOAWAY) or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            break
    return bytes(data)


def _state(message: bytes) -> int:
    """The first field of a HealthCheckResponse; what is not sent is 0."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
