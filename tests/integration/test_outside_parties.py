"""Servers that leave it to others who their clients are and what they may do: issuers, webhooks and proxies."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from hyperkube_machinery import kubeconfig, tls

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NOW = time.time()
CA = tls.create_ca("outside", now=NOW)
USERS, PROXIES = tls.create_ca("users", now=NOW), tls.create_ca("proxies", now=NOW)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Outside:
    """An OpenID Connect provider, a webhook that knows tokens, and one that decides, all at one address."""

    def __init__(self, folder: Path) -> None:
        outside = self
        self.asked: list[dict[str, Any]] = []
        self.decide: Callable[[dict[str, Any]], dict[str, Any]] = lambda spec: {"allowed": False}

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(outside.document(self.path))

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outside.asked.append(review)
                self._answer(outside.reviewed(review))

            def _answer(self, tree: Any) -> None:
                body = json.dumps(tree).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        pair = tls.issue_serving_certificate(CA, "outside", ["localhost", "127.0.0.1"], now=NOW)
        self.ca_file, certificate, key = folder / "ca.crt", folder / "outside.crt", folder / "outside.key"
        tls.save(pair, certificate, key)
        self.ca_file.write_bytes(CA.certificate_pem)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.daemon_threads = True
        self.url = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def document(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        public = KEY.public_key().public_numbers()
        return {"keys": [{"kty": "RSA", "kid": "k", "n": b64(public.n.to_bytes(256, "big")), "e": "AQAB"}]}

    def reviewed(self, review: dict[str, Any]) -> dict[str, Any]:
        if review["kind"] == "TokenReview":
            user = {"username": "from-webhook", "groups": ["hooked"]}
            known = review["spec"]["token"] == "hooked"
            return {**review, "status": {"authenticated": known, "user": user if known else {}}}
        return {**review, "status": self.decide(review["spec"])}

    def kubeconfig(self, folder: Path, path: str) -> Path:
        file = folder / f"{path}.kubeconfig"
        access = kubeconfig.Access(server=f"{self.url}/{path}", ca_pem=CA.certificate_pem)
        kubeconfig.write(file, access, cluster="outside", user="apiserver")
        return file

    def token(self, **claims: Any) -> str:
        told = {"iss": self.url, "aud": "cluster", "sub": "jane", "exp": time.time() + 600, **claims}
        text = f"{b64(json.dumps({'alg': 'RS256', 'kid': 'k'}).encode())}.{b64(json.dumps(told).encode())}"
        return f"{text}.{b64(KEY.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    outside = Outside(tmp_path_factory.mktemp("outside"))
    yield outside
    outside.close()


def ask(
    server: Any, path: str, *, pair: tls.KeyPair | None = None, body: Any = None, **headers: str
) -> tuple[int, Any]:
    certificate, key = (b"", b"") if pair is None else (pair.certificate_pem, pair.key_pem)
    context = tls.client_context(trusts_anybody=True, certificate_pem=certificate, key_pem=key)
    connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=60)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, {**sent, "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text.decode()
    finally:
        connection.close()


WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def who(server: Any, **how: Any) -> dict[str, Any]:
    status, review = ask(server, WHO_AM_I, body={}, **how)
    assert status == 201, review
    return dict(review["status"]["userInfo"])


@pytest.fixture(scope="module")
def server(outside: Outside, make_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One that believes all of them, and asks the webhook what RBAC doesn't allow."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "users.crt").write_bytes(USERS.certificate_pem)
    (folder / "proxies.crt").write_bytes(PROXIES.certificate_pem)
    return make_server(
        "--storage-backend=memory",
        f"--oidc-issuer-url={outside.url}",
        "--oidc-client-id=cluster",
        f"--oidc-ca-file={outside.ca_file}",
        "--oidc-username-prefix=oidc:",
        "--oidc-groups-claim=groups",
        "--oidc-groups-prefix=oidc:",
        f"--authentication-token-webhook-config-file={outside.kubeconfig(folder, 'tokens')}",
        "--authentication-token-webhook-version=v1",
        f"--client-ca-file={folder / 'users.crt'}",
        f"--requestheader-client-ca-file={folder / 'proxies.crt'}",
        "--requestheader-allowed-names=front",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--authorization-mode=Node,RBAC,Webhook",
        f"--authorization-webhook-config-file={outside.kubeconfig(folder, 'decides')}",
        "--authorization-webhook-version=v1",
        "--authorization-webhook-cache-unauthorized-ttl=0s",
    )


def test_each_of_them_says_who_a_client_is(server: Any, outside: Outside) -> None:
    allowed: dict[str, Any] = {"allowed": True}
    outside.decide = lambda spec: allowed
    token = outside.token(groups=["dev"])
    assert who(server, Authorization=f"Bearer {token}") == {
        "username": "oidc:jane",
        "groups": ["oidc:dev", "system:authenticated"],
    }
    assert who(server, Authorization="Bearer hooked")["username"] == "from-webhook"
    joe = tls.issue_client_certificate(USERS, "joe", ("ops",), now=NOW)
    told = who(server, pair=joe, X_Remote_User="root", X_Remote_Group="system:masters")
    assert (told["username"], told["groups"]) == ("joe", ["ops", "system:authenticated"])
    front = tls.issue_client_certificate(PROXIES, "front", now=NOW)
    told = who(server, pair=front, X_Remote_User="tina", X_Remote_Group="a, b", X_Remote_Extra_Scopes="s")
    assert told == {"username": "tina", "groups": ["a, b", "system:authenticated"], "extra": {"scopes": ["s"]}}


def test_those_that_none_of_them_knows_are_refused(server: Any, outside: Outside) -> None:
    for token in ("unknown", outside.token(aud="other"), outside.token(exp=1), f"{outside.token()}x"):
        assert ask(server, "/version", Authorization=f"Bearer {token}")[0] == 401
    other = tls.issue_client_certificate(PROXIES, "other", now=NOW)
    assert ask(server, "/version", pair=other, X_Remote_User="root")[0] == 401, "its name is not allowed"
    front = tls.issue_client_certificate(PROXIES, "front", now=NOW)
    assert ask(server, "/version", pair=front)[0] == 401, "a proxy's authority names no users"
    stranger = tls.issue_client_certificate(tls.create_ca("users", now=NOW), "joe", now=NOW)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server, "/version", pair=stranger)
    expired = tls.issue_client_certificate(USERS, "joe", now=NOW - 400 * 86400)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server, "/version", pair=expired)
    assert ask(server, "/version", X_Remote_User="root")[0] == 200, "anonymous, as far as that goes"


PODS = "/api/v1/namespaces/default/pods"


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ({"allowed": True}, 200, ""),
        ({"allowed": False, "reason": "not today"}, 403, "not today"),
        ({"allowed": False, "denied": True, "reason": "never"}, 403, "never"),
        ({"allowed": "yes"}, 403, "cannot list resource"),
    ],
)
def test_the_webhook_decides(server: Any, outside: Outside, status: Any, code: int, says: str) -> None:
    outside.decide = lambda spec: status
    token = outside.token(sub=f"user-{code}-{len(says)}")
    answer = ask(server, f"{PODS}?labelSelector=a%3Db", Authorization=f"Bearer {token}")
    assert answer[0] == code
    assert says in answer[1].get("message", "")
    assert outside.asked[-1]["spec"]["resourceAttributes"] == {
        "namespace": "default",
        "verb": "list",
        "version": "v1",
        "resource": "pods",
        "labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]},
    }


def test_a_webhook_that_fails_ends_in_500_where_nobody_else_allows_it(server: Any, outside: Outside) -> None:
    def broken(spec: dict[str, Any]) -> dict[str, Any]:
        raise ConnectionError

    outside.decide = broken
    token = outside.token(sub="unlucky")
    status, text = ask(server, PODS, Authorization=f"Bearer {token}")
    assert status == 500
    assert text.startswith(f'Internal Server Error: "{PODS}": Post "{outside.url}/decides?timeout=30s": ')
    assert ask(server, "/version", Authorization=f"Bearer {token}")[0] == 200, "RBAC allows that"


def test_reviews_ask_them_too(server: Any, outside: Outside) -> None:
    outside.decide = lambda spec: {"allowed": spec["user"] in ("boss", "oidc:jane"), "reason": "said so"}
    boss: dict[str, Any] = {"authorization": f"Bearer {outside.token()}"}
    attributes = {"verb": "get", "resource": "pods", "namespace": "x"}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    for user, allowed in (("boss", True), ("worker", False)):
        status, review = ask(server, path, body={"spec": {"user": user, "resourceAttributes": attributes}}, **boss)
        assert (status, review["status"]) == (201, {"allowed": allowed, "reason": "said so"})
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status, review = ask(server, path, body={"spec": {"namespace": "x"}}, **boss)
    assert review["status"]["incomplete"]
    assert "webhook authorizer does not support user rule resolution" in review["status"]["evaluationError"]
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status, review = ask(server, path, body={"spec": {"token": "hooked"}}, **boss)
    assert review["status"]["user"] == {"username": "from-webhook", "groups": ["hooked", "system:authenticated"]}
    status, review = ask(server, path, body={"spec": {"token": outside.token(exp=1)}}, **boss)
    assert "oidc: verify token: oidc: token is expired" in review["status"]["error"]


def test_other_servers_are_told_whom_to_believe(server: Any) -> None:
    with server.connect() as connection:
        path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
        data = connection.call("GET", path)[1]["data"]
    assert USERS.certificate_pem.decode() in data["client-ca-file"]
    assert PROXIES.certificate_pem.decode() in data["requestheader-client-ca-file"]
    assert json.loads(data["requestheader-allowed-names"]) == ["front", "front-proxy-client"]
    assert json.loads(data["requestheader-username-headers"]) == ["X-Remote-User"]


def soon(check: Callable[[], bool]) -> None:
    """Return once it is so: files are looked at every other second."""
    until = time.monotonic() + 30
    while not check():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_files_that_change_are_taken_over(start_server: Any, outside: Outside, tmp_path: Path) -> None:
    authority, authentication, authorization = (tmp_path / name for name in ("ca.crt", "authn.yaml", "authz.yaml"))
    authority.write_bytes(USERS.certificate_pem)
    document: dict[str, Any] = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    authentication.write_text(json.dumps({**document, "anonymous": {"enabled": False}}))
    decided: dict[str, Any] = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    rbac = {"type": "RBAC", "name": "rbac"}
    authorization.write_text(json.dumps({**decided, "authorizers": [rbac]}))
    server = start_server(
        "--storage-backend=memory",
        f"--client-ca-file={authority}",
        f"--authentication-config={authentication}",
        f"--authorization-config={authorization}",
        "--strict-transport-security-directives=max-age=31536000,includeSubDomains",
    )
    assert ask(server, "/version")[0] == 401
    joe = tls.issue_client_certificate(USERS, "joe", now=NOW)
    assert ask(server, PODS, pair=joe)[0] == 403
    authorization.write_text(json.dumps({**decided, "authorizers": [rbac, {"type": "AlwaysAllow", "name": "all"}]}))
    soon(lambda: ask(server, PODS, pair=joe)[0] == 200)
    issuer = {"url": outside.url, "audiences": ["cluster"], "certificateAuthority": CA.certificate_pem.decode()}
    jwt = [{"issuer": issuer, "claimMappings": {"username": {"expression": "'cel:' + claims.sub"}}}]
    anonymous = {"enabled": True, "conditions": [{"path": "/livez"}]}
    authentication.write_text(json.dumps({**document, "jwt": jwt, "anonymous": anonymous}))
    soon(lambda: ask(server, "/livez")[0] == 200)
    assert ask(server, "/version")[0] == 401
    assert who(server, Authorization=f"Bearer {outside.token()}")["username"] == "cel:jane"
    authentication.write_text("nonsense")
    authority.write_bytes(PROXIES.certificate_pem)
    tina = tls.issue_client_certificate(PROXIES, "tina", now=NOW)

    def tina_is_known() -> bool:
        try:
            return ask(server, PODS, pair=tina)[0] == 200
        except (ssl.SSLError, ConnectionError):
            return False

    soon(tina_is_known)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(server, PODS, pair=joe)
    assert who(server, Authorization=f"Bearer {outside.token()}")["username"] == "cel:jane", "what was there stays"


def test_a_server_starts_although_its_issuer_cannot_be_reached(start_server: Any) -> None:
    server = start_server("--storage-backend=memory", "--oidc-issuer-url=https://127.0.0.1:1", "--oidc-client-id=x")
    text = f"{b64(b'{}')}.{b64(json.dumps({'iss': 'https://127.0.0.1:1'}).encode())}.AA"
    assert ask(server, "/version", Authorization=f"Bearer {text}")[0] == 401
    assert ask(server, "/version")[0] == 200


def test_a_name_may_have_a_certificate_of_its_own_and_tls_may_be_the_newest_alone(
    start_server: Any, tmp_path: Path
) -> None:
    pair = tls.issue_serving_certificate(CA, "named", ["named.example"], now=NOW)
    certificate, key = tmp_path / "named.crt", tmp_path / "named.key"
    tls.save(pair, certificate, key)
    server = start_server(
        "--storage-backend=memory", f"--tls-sni-cert-key={certificate},{key}", "--tls-min-version=VersionTLS13"
    )

    def shown(name: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode, context.maximum_version = False, ssl.CERT_NONE, version
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            return connection.getpeercert(binary_form=True) or b""

    own = ssl.PEM_cert_to_DER_cert(pair.certificate_pem.decode())
    assert shown("named.example") == own
    assert shown("localhost") != own
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shown("localhost", ssl.TLSVersion.TLSv1_2)


def test_browsers_are_told_what_they_are_to_be_told(start_server: Any) -> None:
    server = start_server(
        "--storage-backend=memory",
        "--strict-transport-security-directives=max-age=31536000,includeSubDomains",
        "--cors-allowed-origins=^https://good\\.example$",
    )
    context = tls.client_context(trusts_anybody=True)
    for origin, allowed in (("https://good.example", True), ("https://good.example.evil.com", False)):
        for method, status in (("GET", 200), ("OPTIONS", 204 if allowed else 403)):
            connection = HTTPSConnection("127.0.0.1", server.port, context=context, timeout=60)
            connection.request(method, "/version", headers={"Origin": origin})
            answer = connection.getresponse()
            assert answer.status == status
            assert (answer.headers["Access-Control-Allow-Origin"] == origin) is allowed
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
            connection.close()
