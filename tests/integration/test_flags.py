"""Each flag that the API server honours changes what it does; those of the API itself are tested where that is."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import time
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from hyperkube_machinery import tls

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def ask(server: Any, path: str = CONFIG_MAPS, *, context: ssl.SSLContext | None = None, **headers: str) -> Any:
    """Status and decoded answer for somebody who brings nothing but `headers` and the certificate in `context`."""
    if context is None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_memory_forgets_and_sqlite_does_not(start_server: Any, tmp_path: Path) -> None:
    for backend, expected in (("memory", 404), ("sqlite", 200)):
        server = start_server(f"--storage-backend={backend}", data_dir=tmp_path / backend)
        with server.connect() as connection:
            connection.call("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})
        server.end(signal.SIGTERM)
        server.start()
        with server.connect() as connection:
            assert connection.call("GET", f"{CONFIG_MAPS}/a")[0] == expected


def test_the_port_asked_for_is_listened_on_and_one_in_use_is_an_error(start_server: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"127.0.0.1.*{port}"):
            start_server(f"--secure-port={port}")
    server = start_server(f"--secure-port={port}")
    assert server.port == port


def test_the_address_asked_for_is_listened_on(start_server: Any) -> None:
    with pytest.raises(AssertionError, match=r"flag --bind-address: .*an address of this machine"):
        start_server("--bind-address=192.0.2.1")
    server = start_server("--bind-address=127.0.0.2")
    assert "https://127.0.0.2:" in server.kubeconfig.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=10)
    socket.create_connection(("127.0.0.2", server.port), timeout=10).close()


def test_a_certificate_that_is_given_is_shown(start_server: Any, tmp_path: Path) -> None:
    ca = tls.create_ca("my-authority", now=time.time())
    pair = tls.issue_serving_certificate(ca, "my-server", ["127.0.0.1"], now=time.time())
    certificate, key = tmp_path / "my.crt", tmp_path / "my.key"
    tls.save(pair, certificate, key)
    server = start_server(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}")
    context = tls.client_context(ca_pem=ca.certificate_pem)
    assert ask(server, "/version", context=context)[0] == 200


def test_a_key_that_does_not_fit_is_an_error_that_names_both_files(start_server: Any, tmp_path: Path) -> None:
    ca = tls.create_ca("my-authority", now=time.time())
    for name in ("one", "two"):
        pair = tls.issue_serving_certificate(ca, name, ["127.0.0.1"], now=time.time())
        tls.save(pair, tmp_path / f"{name}.crt", tmp_path / f"{name}.key")
    with pytest.raises(AssertionError, match=r"one\.crt(.|\n)*two\.key|two\.key(.|\n)*one\.crt"):
        start_server(f"--tls-cert-file={tmp_path / 'one.crt'}", f"--tls-private-key-file={tmp_path / 'two.key'}")


def test_certificates_of_another_authority_identify_when_it_is_trusted(start_server: Any, tmp_path: Path) -> None:
    ca = tls.create_ca("clients", now=time.time())
    tls.save(ca, tmp_path / "clients.crt", tmp_path / "clients.key")
    jane = tls.issue_client_certificate(ca, "jane", ("system:masters",), now=time.time())
    server = start_server(f"--client-ca-file={tmp_path / 'clients.crt'}")
    own = (server.data_dir / "pki" / "ca.crt").read_bytes()
    context = tls.client_context(ca_pem=own, certificate_pem=jane.certificate_pem, key_pem=jane.key_pem)
    assert ask(server, context=context)[0] == 200
    with server.connect() as connection:
        assert connection.call("GET", CONFIG_MAPS)[0] == 200, "the administrator's own certificate is good as before"


def test_tokens_identify(start_server: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret-of-jane,jane,1,"system:masters"\nsecret-of-joe,joe,2\n')
    server = start_server(f"--token-auth-file={tokens}")
    assert ask(server, authorization="Bearer secret-of-jane")[0] == 200
    status, refusal = ask(server, authorization="Bearer secret-of-joe")
    assert (status, 'User "joe" cannot list' in refusal["message"]) == (403, True)
    assert ask(server, authorization="Bearer guess")[0] == 401
    assert "secret-of" not in "".join(server.log)


def test_a_token_file_with_a_bad_line_is_an_error_that_names_it(start_server: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("good,jane,1\nbad\n")
    with pytest.raises(AssertionError, match=r"tokens\.csv.*2"):
        start_server(f"--token-auth-file={tokens}")


@pytest.mark.parametrize(("flag", "status"), [("--anonymous-auth=true", 403), ("--anonymous-auth=false", 401)])
def test_nobody_in_particular_is_refused_as_somebody_or_as_nobody(start_server: Any, flag: str, status: int) -> None:
    assert ask(start_server(flag))[0] == status


@pytest.mark.parametrize(("mode", "status"), [("RBAC", 403), ("AlwaysAllow", 200), ("AlwaysDeny", 403)])
def test_the_authorization_mode_decides(start_server: Any, tmp_path: Path, mode: str, status: int) -> None:
    tokens = tmp_path / "tokens.csv"
    tokens.write_text("secret,joe,1\n")
    server = start_server(f"--authorization-mode={mode}", f"--token-auth-file={tokens}")
    assert ask(server, authorization="Bearer secret")[0] == status


def test_a_request_that_takes_too_long_is_given_up(start_server: Any) -> None:
    # What waits is a list at a revision that lies ahead, which the API waits three seconds for.
    server = start_server("--request-timeout=200ms")
    with server.connect() as connection:
        status, refusal = connection.call(
            "GET", f"{CONFIG_MAPS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan"
        )
    assert (status, refusal["reason"]) == (504, "Timeout")
    assert "did not complete" in refusal["message"]


def test_watches_last_at_least_as_long_as_the_flag_says_and_at_most_twice(start_server: Any) -> None:
    server = start_server("--min-request-timeout=1")
    with server.connect() as connection:
        began = time.monotonic()
        with connection.send("GET", f"{CONFIG_MAPS}?watch=1") as stream:
            assert stream.read() == b""
        assert time.monotonic() - began > 0.9
