"""Bodies that are too large are refused once it is known who sent them, and only where they are wanted."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

import pytest

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LIMIT = 3 * 1024 * 1024


def config_map(size: int) -> dict[str, Any]:
    return {"metadata": {"name": "large"}, "data": {"k": "x" * size}}


def send_as_a_stranger(server: Any, path: str, body: Any) -> int:
    """With a token that nobody knows."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", server.port, context=ssl._create_unverified_context(), timeout=60
    )
    try:
        connection.request("POST", path, json.dumps(body), {"authorization": "Bearer nobody"})
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("size", [LIMIT, 4 * LIMIT])
def test_who_sent_it_is_asked_before_its_size(shared_server: Any, size: int) -> None:
    body = config_map(size)
    with shared_server.connect() as connection:
        status, refusal = connection.call("POST", CONFIG_MAPS, body)
        assert (status, refusal["message"]) == (413, f"Request entity too large: limit is {LIMIT}")
        assert refusal["reason"] == "RequestEntityTooLarge"
    assert send_as_a_stranger(shared_server, CONFIG_MAPS, body) == 401


def test_a_path_that_wants_no_body_takes_any(shared_server: Any) -> None:
    with shared_server.connect() as connection:
        response = connection.send("POST", "/healthz", config_map(LIMIT))
        assert (response.status, response.read()) == (200, b"ok")
    with shared_server.connect() as connection:
        assert connection.send("POST", "/apis/nowhere.example/v1/things", config_map(LIMIT)).status == 404
