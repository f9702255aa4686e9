"""Nothing secret stands in any log, at the highest verbosity, whatever comes of a request; nor in the metrics."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SECRETS = "/api/v1/namespaces/default/secrets"
POLICY = "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: Metadata}]\n"
TOKENS = {"admin": "static-token-of-admin-8461", "jane": "static-token-of-jane-5172"}
VALUE, PATCHED, APPLIED = "value-of-a-secret-9471", "patched-secret-3381", "applied-secret-2093"
INVALID, MALFORMED, YAML = "secret-in-what-is-invalid-7712", "secret-in-what-is-malformed-1188", "secret-in-yaml-6604"
WRONG, PASSWORD, OFFERED = "wrong-token-4410", "password-of-somebody-2957", "offered-token-8083"
REVIEWED, FORWARDED = "reviewed-token-6155", "cookie-of-a-session-3369"
LEAST = 8
"""Shorter lines of keys may stand anywhere."""


def forms(secret: str) -> Iterator[str]:
    """A secret as it is, and as it may be written."""
    yield secret
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(secret.encode()).decode().rstrip("=")
    yield secret.encode().hex()


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def lines_of_keys(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > LEAST and not line.startswith("-----")]


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    tokens, policy = tmp_path / "tokens.csv", tmp_path / "policy.yaml"
    rows = (
        f'{token},{name},{name},"{"system:masters" if name == "admin" else "g"}"\n' for name, token in TOKENS.items()
    )
    tokens.write_text("".join(rows))
    policy.write_text(POLICY)
    return [
        "-v=9",
        f"--token-auth-file={tokens}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={tmp_path / 'audit.log'}",
        "--disable-admission-plugins=ServiceAccount",
    ]


def test_nothing_secret_is_logged_or_counted(start_server: Any, flags: list[str], tmp_path: Path) -> None:
    server = start_server(*flags)
    key = private_key()
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}}
    known = [*TOKENS.values(), VALUE, PATCHED, APPLIED, INVALID, MALFORMED, YAML, WRONG, PASSWORD, OFFERED, REVIEWED]
    known += [FORWARDED]
    with server.connect() as connection:

        def send(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
            data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            if data:
                told.setdefault("content-type", "application/json")
            response = connection.send_bytes(method, path, data or None, told)
            return response.status, response.read()

        def expect(status: int, *args: Any, **headers: str) -> Any:
            found, answer = send(*args, **headers)
            assert found == status, answer
            return json.loads(answer) if answer.startswith(b"{") else answer

        # What is stored, in every way that it comes.
        expect(201, "POST", SECRETS, {**secret, "stringData": {"password": VALUE, "tls.key": key}})
        expect(
            200, "PATCH", f"{SECRETS}/s", {"stringData": {"p": PATCHED}}, content_type="application/merge-patch+json"
        )
        applied = {**secret, "metadata": {"name": "t"}, "stringData": {"p": APPLIED}}
        expect(
            *(201, "PATCH", f"{SECRETS}/t?fieldManager=m&dryRun=All", applied),
            content_type="application/apply-patch+yaml",
        )
        yaml = f"kind: Secret\napiVersion: v1\nmetadata: {{name: yaml}}\nstringData: {{p: {YAML}}}\n"
        expect(201, "POST", SECRETS, yaml.encode(), content_type="application/yaml")
        expect(200, "GET", SECRETS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        expect(200, "GET", f"{SECRETS}/s", authorization=f"Bearer {TOKENS['admin']}")
        # What is refused.
        wrong = {**secret, "metadata": {"name": "A_"}, "type": "kubernetes.io/tls", "stringData": {"p": INVALID}}
        expect(422, "POST", SECRETS, wrong)
        expect(400, "POST", SECRETS, f'{{"stringData": {{"p": "{MALFORMED}"'.encode())
        expect(409, "POST", SECRETS, {**secret, "stringData": {"p": VALUE}})
        # Who one says to be.
        asked = {"spec": {"audiences": ["https://kubernetes.default.svc.cluster.local"]}}
        expect(201, "POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "a"}})
        made = expect(201, "POST", "/api/v1/namespaces/default/serviceaccounts/a/token", asked)
        token = made["status"]["token"]
        known += token.split(".")[1:]
        review = "/apis/authentication.k8s.io/v1/tokenreviews"
        for given in (token, REVIEWED, f"{token[:-6]}aaaaaa"):
            expect(201, "POST", review, {"spec": {"token": given}})
    stranger = _stranger(server)
    body = json.dumps({**secret, "stringData": {"p": VALUE}})
    assert stranger("POST", SECRETS, {"Authorization": f"Bearer {TOKENS['jane']}"}, body) == 403
    for headers in (
        {"Authorization": f"Bearer {token}"},
        {"Authorization": f"Bearer {WRONG}"},
        {"Authorization": f"Bearer {token[:-6]}aaaaaa"},
        {"Authorization": "Basic " + base64.b64encode(f"joe:{PASSWORD}".encode()).decode()},
        {"Cookie": f"session={FORWARDED}"},
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": "base64url.bearer.authorization.k8s.io."
            + base64.urlsafe_b64encode(OFFERED.encode()).decode().rstrip("=")
            + ", v5.channel.k8s.io",
        },
    ):
        stranger("GET", "/api/v1/namespaces/default/pods/p/exec", headers)
    with server.connect() as connection:
        metrics = "".join(connection.send("GET", path).read().decode() for path in ("/metrics", "/metrics/slis"))
    assert server.end(signal.SIGTERM) == 0
    log, audit = "".join(server.log), (tmp_path / "audit.log").read_text()
    keys = [path.read_text() for path in server.data_dir.rglob("*.key")]
    assert keys, "the server made keys of its own"
    known += [line for text in (key, *keys) for line in lines_of_keys(text)]
    # These were at work, or there would be nothing to find.
    assert '"verb":"POST"' in log or 'verb="POST"' in log
    assert SECRETS in log
    assert f'"requestURI":"{SECRETS}"' in audit
    assert "apiserver_request_total" in metrics
    for place, text in (("log", log), ("audit log", audit), ("metrics", metrics)):
        found = [one for one in known for form in forms(one) if form in text]
        assert found == [], f"the {place} tells secrets"


def _stranger(server: Any) -> Callable[..., int]:
    """Sends requests without a client certificate."""
    context = ssl._create_unverified_context()

    def send(method: str, path: str, headers: dict[str, str], body: str | None = None) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=30)
        try:
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    return send
