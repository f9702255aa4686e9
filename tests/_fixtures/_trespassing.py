"""Who tries what on an API server, and what must come of it: identities, the objects around them, and requests.

What is expected was seen on kube-apiserver 1.36.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["ATTEMPTS", "TOKENS", "Answer", "Attempt", "Caller", "arrange"]

Tree = dict[str, Any]

TOKENS = """\
admin,root,u0,"system:masters"
view,viewer,u1
edit,editor,u2
owner,owner,u3
node,system:node:n1,u4,"system:nodes"
binder,binder,u5
imp,impersonator,u6
nobody,nobody,u7
csr,requester,u8
evil,evil,u9
named,named,u10
scoped,scoped,u11
"""
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ROLES = f"{_RBAC}/namespaces/t/roles"
_NS = "/api/v1/namespaces/t"
_CSR = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_SECONDS = 30


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        try:
            told = json.loads(self.text)
        except ValueError:
            return self.text
        return str(told.get("message", "")) if isinstance(told, dict) else ""


class Caller:
    """Sends requests byte for byte, each on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    @contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=_SECONDS) as plain,
            self.tls.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            yield connection

    def raw(self, data: bytes) -> Answer:
        """What comes back until the server hangs up, or an answer is complete."""
        with self.connected() as connection:
            connection.sendall(data)
            return read_answer(connection)

    def __call__(
        self, who: str, method: str, path: str, body: Any = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if who:
            lines.append(f"Authorization: Bearer {who}")
        lines += [f"{name}: {value}" for name, value in headers]
        data = b""
        if body is not None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            kind = "merge-patch+json" if method == "PATCH" else "json"
            lines.append(f"Content-Type: application/{kind}")
            lines.append(f"Content-Length: {len(data)}")
        return self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + data)


def read_answer(connection: ssl.SSLSocket) -> Answer:
    """The next answer; a status of 0 stands for none."""
    received = b""
    while True:
        try:
            piece = connection.recv(1 << 16)
        except (ConnectionError, ssl.SSLError):
            piece = b""
        received += piece
        head, end, rest = received.partition(b"\r\n\r\n")
        if end:
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = headers.get("content-length")
            if not piece or (length is not None and len(rest) >= int(length)):
                return Answer(int(first.split(" ")[1]), rest.decode("utf-8", "replace"), headers)
        if not piece:
            return Answer(0, received.decode("utf-8", "replace"))


def _role(name: str, *rules: Tree, kind: str = "Role") -> Tree:
    return {"kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name}, "rules": [*rules]}


def _rule(verbs: str, resources: str, groups: str = "", names: str = "") -> Tree:
    told = {"verbs": verbs.split(), "resources": resources.split(), "apiGroups": groups.split(",")}
    return {**told, "resourceNames": names.split()} if names else told


def _binding(
    name: str, role: str, user: str, kind: str = "ClusterRole", subject: Mapping[str, str] | None = None
) -> Tree:
    who: Mapping[str, str] = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io"}
    return {
        "metadata": {"name": name},
        "roleRef": {"kind": kind, "name": role, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{**(subject or who), "name": user}],
    }


def _pod(name: str, node: str = "", secret: str = "", **spec: Any) -> Tree:
    made: Tree = {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": False, **spec}
    if node:
        made["nodeName"] = node
    if secret:
        made["volumes"] = [{"name": "s", "secret": {"secretName": secret}}]
    return {"metadata": {"name": name}, "spec": made}


def request(common_name: str, *organizations: str) -> str:
    """A request for a certificate, as it stands in an object."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    names.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return base64.b64encode(built.public_bytes(serialization.Encoding.PEM)).decode()


def _signing(name: str, signer: str, common_name: str, *organizations: str) -> Tree:
    spec = {"signerName": signer, "request": request(common_name, *organizations), "usages": ["client auth"]}
    return {"metadata": {"name": name}, "spec": spec}


_CLIENT = "kubernetes.io/kube-apiserver-client"
_KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


def arrange(call: Caller) -> None:
    """Make what the attempts are about."""
    account = {"apiGroup": "", "kind": "ServiceAccount", "namespace": "t"}
    objects: list[tuple[str, Tree]] = [
        ("/api/v1/namespaces", {"metadata": {"name": "t"}}),
        ("/api/v1/nodes", {"metadata": {"name": "n1"}}),
        ("/api/v1/nodes", {"metadata": {"name": "n2"}}),
        (f"{_NS}/serviceaccounts", {"metadata": {"name": "robot"}}),
        (f"{_NS}/serviceaccounts", {"metadata": {"name": "other"}}),
        (f"{_NS}/secrets", {"metadata": {"name": "s1"}}),
        (f"{_NS}/secrets", {"metadata": {"name": "s2"}}),
        (f"{_NS}/configmaps", {"metadata": {"name": "c1"}}),
        (f"{_NS}/pods", _pod("p1", "n1", "s1", serviceAccountName="robot")),
        (f"{_NS}/pods", _pod("p2", "n2", "s2", serviceAccountName="other")),
        (f"{_NS}/services", {"metadata": {"name": "svc"}, "spec": {"ports": [{"port": 80}]}}),
        (f"{_RBAC}/namespaces/t/rolebindings", _binding("view", "view", "viewer")),
        (f"{_RBAC}/namespaces/t/rolebindings", _binding("edit", "edit", "editor")),
        (f"{_RBAC}/namespaces/t/rolebindings", _binding("owner", "admin", "owner")),
        (
            f"{_RBAC}/clusterroles",
            _role(
                "binder",
                _rule("create update get", "clusterroles clusterrolebindings roles rolebindings", _RBAC[6:-3]),
                _rule("bind", "clusterroles", _RBAC[6:-3], "view"),
                _rule("escalate", "clusterroles", _RBAC[6:-3], "mine"),
                kind="ClusterRole",
            ),
        ),
        (f"{_RBAC}/clusterrolebindings", _binding("binder", "binder", "binder")),
        (
            f"{_RBAC}/clusterroles",
            _role(
                "imp",
                _rule("impersonate", "users", "", "viewer"),
                _rule("impersonate", "groups", "", "dev"),
                _rule("impersonate", "serviceaccounts"),
                kind="ClusterRole",
            ),
        ),
        (f"{_RBAC}/clusterrolebindings", _binding("imp", "imp", "impersonator")),
        (
            f"{_RBAC}/clusterroles",
            _role(
                "csr",
                _rule(
                    "create update",
                    "certificatesigningrequests certificatesigningrequests/approval certificatesigningrequests/status",
                    "certificates.k8s.io",
                ),
                kind="ClusterRole",
            ),
        ),
        (f"{_RBAC}/clusterrolebindings", _binding("csr", "csr", "requester")),
        (_ROLES, _role("named", _rule("get list watch", "secrets", "", "s1"))),
        (f"{_RBAC}/namespaces/t/rolebindings", _binding("named", "named", "named", "Role")),
        (
            f"{_RBAC}/clusterroles",
            _role(
                "scoped",
                _rule("impersonate", "userextras/scopes", "authentication.k8s.io", "a b"),
                _rule("impersonate", "uids", "authentication.k8s.io", "u1"),
                _rule("impersonate", "users", "", "viewer"),
                kind="ClusterRole",
            ),
        ),
        (f"{_RBAC}/clusterrolebindings", _binding("scoped", "scoped", "scoped")),
        (f"{_RBAC}/namespaces/t/rolebindings", _binding("robot", "view", "robot", subject=account)),
        (_CSR, _signing("waits", _CLIENT, "someone")),
    ]
    for path, obj in objects:
        answer = call("admin", "POST", path, obj)
        assert answer.status == 201, (path, obj, answer)
    refused = call("admin", "PUT", f"{_NS}/pods/p1/status", {**_told(call, "p1"), "status": {"podIP": "127.0.0.1"}})
    assert refused.status == 200, refused


def _told(call: Caller, pod: str) -> Tree:
    return dict(json.loads(call("admin", "GET", f"{_NS}/pods/{pod}").text))


@dataclass(frozen=True)
class Attempt:
    who: str
    method: str
    path: str
    status: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    says: str = ""  # part of the message

    def __str__(self) -> str:
        told = "".join(f" {name}={value}" for name, value in self.headers)
        return f"{self.who or 'anonymous'} {self.method} {self.path}{told}"


def _as(user: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Impersonate-User", user), *more)


_READS = [
    *(("view", "GET", f"{_NS}/{what}", 200) for what in ("pods", "configmaps/c1", "services", "serviceaccounts")),
    *(("view", "GET", f"{_NS}/{what}", 403) for what in ("secrets", "secrets/s1", "secrets?watch=1")),
    ("view", "GET", "/api/v1/pods", 403),
    ("view", "GET", "/api/v1/namespaces/default/pods", 403),
    ("view", "GET", "/api/v1/nodes", 403),
    ("view", "GET", "/api/v1/namespaces/t", 200),
    ("view", "GET", "/api/v1/watch/namespaces/t/secrets", 403),
    ("edit", "GET", f"{_NS}/secrets/s1", 200),
    ("edit", "GET", _ROLES, 403),
    ("owner", "GET", _ROLES, 200),
    ("owner", "GET", f"{_RBAC}/clusterroles", 403),
    ("nobody", "GET", f"{_NS}/pods", 403),
    ("nobody", "GET", "/api", 200),
    ("nobody", "GET", "/version", 200),
    ("nobody", "GET", "/metrics", 403),
    ("nobody", "GET", "/openapi/v2", 200),
    ("", "GET", "/api", 403),
    ("", "GET", "/version", 200),
    ("", "GET", "/healthz", 200),
    ("", "GET", "/metrics", 403),
    ("", "GET", f"{_NS}/secrets", 403),
    ("wrong", "GET", "/version", 401),
    ("wrong", "GET", f"{_NS}/pods", 401),
]
_WRITES: list[tuple[Any, ...]] = [
    ("view", "POST", f"{_NS}/pods", 403, _pod("x")),
    ("view", "DELETE", f"{_NS}/pods/p1", 403),
    ("view", "DELETE", f"{_NS}/pods", 403),
    ("view", "PUT", f"{_NS}/pods/p1/status", 403, {}),
    ("view", "PATCH", f"{_NS}/pods/p1/ephemeralcontainers", 403, {}),
    ("view", "POST", f"{_NS}/pods/p1/exec?command=id", 403),
    ("view", "GET", f"{_NS}/pods/p1/exec?command=id", 403),
    ("view", "POST", f"{_NS}/pods/p1/eviction", 403, {}),
    ("view", "POST", f"{_NS}/pods/p1/binding", 403, {}),
    ("view", "GET", f"{_NS}/pods/p1/proxy/", 403),
    ("view", "GET", f"{_NS}/services/svc/proxy/", 403),
    ("view", "GET", "/api/v1/nodes/n1/proxy/", 403),
    ("view", "POST", f"{_NS}/serviceaccounts/robot/token", 403, {"spec": {}}),
    ("edit", "PATCH", f"{_NS}/pods/p1/status", 403, {}),
    ("edit", "POST", f"{_NS}/pods/p1/binding", 403, {"target": {"name": "n2"}}),
    ("edit", "POST", f"{_NS}/endpoints", 403, {"metadata": {"name": "svc"}}),
    ("edit", "PATCH", f"{_NS}/resourcequotas/x", 403, {}),
    ("edit", "PATCH", "/api/v1/namespaces/t", 403, {}),
    ("edit", "POST", f"{_NS}/pods", 400, {**_pod("x"), "metadata": {"name": "x", "namespace": "default"}}),
    ("owner", "PATCH", "/api/v1/namespaces/t", 403, {}),
    ("owner", "PATCH", f"{_NS}/limitranges/x", 403, {}),
    ("nobody", "POST", "/api/v1/namespaces", 403, {"metadata": {"name": "mine"}}),
]
_ESCALATIONS: list[tuple[Any, ...]] = [
    ("owner", "POST", _ROLES, 201, _role("less", _rule("get", "pods"))),
    (
        "owner",
        "POST",
        _ROLES,
        403,
        _role("more", _rule("*", "*", "*")),
        (),
        "not currently held",
    ),
    (
        "owner",
        "POST",
        _ROLES,
        403,
        _role("nodes", _rule("get", "nodes/proxy")),
        (),
        "nodes/proxy",
    ),
    (
        *("owner", "PUT", f"{_RBAC}/namespaces/t/roles/less", 403),
        *(_role("less", _rule("get", "nodes")), (), "is attempting to grant RBAC permissions not currently held"),
    ),
    ("owner", "POST", f"{_RBAC}/namespaces/t/rolebindings", 403, _binding("up", "cluster-admin", "owner")),
    ("owner", "POST", f"{_RBAC}/namespaces/t/rolebindings", 201, _binding("down", "view", "friend")),
    (
        *("owner", "POST", f"{_RBAC}/namespaces/t/rolebindings", 404),
        *(_binding("none", "there-is-none", "owner", "Role"), (), '"there-is-none" not found'),
    ),
    ("owner", "POST", f"{_RBAC}/clusterrolebindings", 403, _binding("up", "admin", "owner")),
    ("owner", "POST", f"{_RBAC}/clusterroles", 403, _role("x", kind="ClusterRole")),
    ("owner", "POST", f"{_RBAC}/namespaces/default/rolebindings", 403, _binding("up", "view", "owner")),
    ("binder", "POST", f"{_RBAC}/clusterrolebindings", 201, _binding("b1", "view", "evil")),
    ("binder", "POST", f"{_RBAC}/clusterrolebindings", 403, _binding("b2", "edit", "evil")),
    ("binder", "POST", f"{_RBAC}/clusterroles", 403, _role("yours", _rule("*", "*", "*"), kind="ClusterRole")),
    ("admin", "POST", f"{_RBAC}/clusterroles", 201, _role("mine", kind="ClusterRole")),
    ("binder", "PUT", f"{_RBAC}/clusterroles/mine", 200, _role("mine", _rule("get", "secrets"), kind="ClusterRole")),
    (
        *("binder", "POST", f"{_RBAC}/clusterroles", 403),
        {
            **_role("gathers", kind="ClusterRole"),
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
        },
        *((), "must have cluster-admin privileges to use the aggregationRule"),
    ),
    (
        *("binder", "POST", f"{_RBAC}/clusterroles", 403),
        {
            **_role("joins", _rule("*", "*", "*"), kind="ClusterRole"),
            "metadata": {"name": "joins", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        },
    ),
    (
        "csr",
        "POST",
        _CSR,
        403,
        _signing("m", _CLIENT, "x", "system:masters"),
        (),
        "system:masters group is not allowed",
    ),
    ("csr", "POST", _CSR, 201, _signing("ok", _CLIENT, "x")),
    (
        *("csr", "PUT", f"{_CSR}/waits/approval", 403),
        {
            **_signing("waits", _CLIENT, "someone"),
            "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "x", "message": "y"}]},
        },
        *((), 'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"'),
    ),
    (
        *("csr", "PUT", f"{_CSR}/waits/status", 403),
        {**_signing("waits", _CLIENT, "someone"), "status": {"conditions": [{"type": "Failed", "status": "True"}]}},
        *((), "user not permitted to sign requests"),
    ),
]
_IMPERSONATIONS: list[tuple[Any, ...]] = [
    ("imp", "GET", f"{_NS}/pods", 200, None, _as("viewer")),
    ("imp", "GET", f"{_NS}/secrets", 403, None, _as("viewer"), 'User "viewer" cannot list resource "secrets"'),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("root"), 'resource "users"'),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("system:admin")),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Group", "system:masters"))),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Group", "dev, system:masters"))),
    ("imp", "GET", f"{_NS}/pods", 200, None, _as("viewer", ("Impersonate-Group", "dev"))),
    (
        *("imp", "GET", f"{_NS}/pods", 403, None),
        _as("viewer", ("Impersonate-Group", "dev"), ("impersonate-group", "system:masters")),
    ),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Uid", "u1")), 'resource "uids"'),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Extra-Scopes", "x")), "userextras"),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Extra-a%2Fb", "x")), "userextras/a/b"),
    ("imp", "GET", f"{_NS}/pods", 400, None, (("Impersonate-Group", "dev"),), "without impersonating a user name"),
    ("imp", "GET", f"{_NS}/pods", 200, None, _as("system:serviceaccount:t:robot")),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("system:serviceaccount:kube-system:default")),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("system:node:n1")),
    ("imp", "GET", f"{_NS}/pods", 403, None, _as("system:anonymous")),
    ("nobody", "GET", f"{_NS}/pods", 403, None, _as("nobody")),
    ("", "GET", f"{_NS}/pods", 403, None, _as("viewer"), 'User "system:anonymous" cannot'),
    ("wrong", "GET", f"{_NS}/pods", 401, None, _as("viewer")),
    ("admin", "GET", f"{_NS}/secrets", 200, None, _as("x", ("Impersonate-Group", "system:masters"))),
    ("admin", "GET", f"{_NS}/secrets", 403, None, _as("nobody")),
]
_NODES: list[tuple[Any, ...]] = [
    ("node", "GET", f"{_NS}/secrets/s1", 200),
    ("node", "GET", f"{_NS}/secrets/s2", 403, None, (), "no relationship found between node 'n1' and this object"),
    ("node", "GET", f"{_NS}/secrets", 403),
    ("node", "GET", f"{_NS}/configmaps/c1", 403),
    ("node", "GET", f"{_NS}/pods/p1", 200),
    ("node", "DELETE", f"{_NS}/pods/p2", 403),
    ("node", "POST", f"{_NS}/pods", 403, _pod("mirror", "n1")),
    ("node", "PATCH", "/api/v1/nodes/n2", 403, {"metadata": {"labels": {"a": "b"}}}),
    (
        *("node", "PATCH", "/api/v1/nodes/n1", 403),
        *({"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}}, (), "is not allowed to modify labels"),
    ),
    ("node", "PATCH", "/api/v1/nodes/n1", 403, {"spec": {"taints": []}, "metadata": {"ownerReferences": [{}]}}),
    ("node", "DELETE", "/api/v1/nodes/n2", 403),
    ("node", "POST", f"{_NS}/serviceaccounts/other/token", 403, {"spec": {}}),
    ("node", "POST", f"{_NS}/serviceaccounts/robot/token", 403, {"spec": {}}, (), "not bound to a pod"),
    (
        *("node", "POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", 403),
        {"metadata": {"name": "n2"}},
    ),
    ("node", "POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", 403, {"metadata": {"name": "n1"}}),
    ("node", "POST", _CSR, 403, _signing("other-node", _KUBELET, "system:node:n2", "system:nodes")),
    ("node", "GET", f"{_RBAC}/clusterroles", 403),
    ("node", "POST", f"{_NS}/pods/p2/eviction", 403, {"metadata": {"name": "p2"}}),
    ("node", "POST", f"{_NS}/pods/p1/exec?command=id", 403),
]
_PLACES: list[tuple[Any, ...]] = [
    ("admin", "GET", f"{_NS}/pods/p1/proxy/", 400, None, (), "address not allowed"),
    ("admin", "GET", f"{_NS}/pods/p1:10250/proxy/", 400, None, (), "address not allowed"),
    (
        *("admin", "POST", f"{_NS}/endpoints", 422),
        *(
            {"metadata": {"name": "e1"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 1}]}]},
            (),
            "may not be in the loopback range",
        ),
    ),
    (
        *("admin", "POST", f"{_NS}/endpoints", 422),
        *(
            {
                "metadata": {"name": "e2"},
                "subsets": [{"addresses": [{"ip": "169.254.169.254"}], "ports": [{"port": 1}]}],
            },
            (),
            "may not be in the link-local range",
        ),
    ),
    (
        *("admin", "POST", "/apis/discovery.k8s.io/v1/namespaces/t/endpointslices", 422),
        *(
            {"metadata": {"name": "e3"}, "addressType": "IPv4", "endpoints": [{"addresses": ["169.254.169.254"]}]},
            (),
            "may not be in the link-local range",
        ),
    ),
]
_S1, _S2 = "metadata.name%3Ds1", "metadata.name%3Ds2"
_NAMES: list[tuple[Any, ...]] = [
    ("named", "GET", f"{_NS}/secrets/s1", 200),
    ("named", "GET", f"{_NS}/secrets/s2", 403),
    ("named", "GET", f"{_NS}/secrets/s2?fieldSelector={_S1}", 403),
    ("named", "GET", f"{_NS}/secrets", 403),
    ("named", "GET", f"{_NS}/secrets?fieldSelector={_S1}", 200),
    ("named", "GET", f"{_NS}/secrets?fieldSelector={_S1}&fieldSelector={_S2}", 200),  # the first counts, for all
    ("named", "GET", f"{_NS}/secrets?fieldSelector={_S2}&fieldSelector={_S1}", 403),
    ("named", "GET", f"{_NS}/secrets?fieldSelector=&fieldSelector={_S1}", 403),
    ("named", "GET", f"{_NS}/secrets?fieldSelector=metadata.name!%3Ds1", 403),
    ("named", "GET", f"{_NS}/secrets?fieldSelector={_S2},{_S1}", 200),  # nothing has both names
    ("named", "GET", f"{_NS}/secrets?FieldSelector={_S1}", 403),
    ("named", "GET", f"/api/v1/secrets?fieldSelector={_S1}", 403),
    ("named", "GET", f"/api/v1/watch/namespaces/t/secrets/s2?fieldSelector={_S1}&timeoutSeconds=1", 403),
    ("node", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", 403),
    ("node", "GET", "/api/v1/pods?fieldSelector=spec.nodeName!%3Dn1", 403),
    ("node", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2&fieldSelector=spec.nodeName%3Dn1", 403),
]
_SCOPED: list[tuple[Any, ...]] = [
    ("scoped", "GET", f"{_NS}/pods", 200, None, _as("viewer", ("Impersonate-Extra-Scopes", "a"))),
    ("scoped", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Extra-Scopes", "c"))),
    (
        *("scoped", "GET", f"{_NS}/pods", 403, None),
        _as("viewer", ("Impersonate-Extra-Scopes", "a"), ("Impersonate-Extra-Scopes", "c")),
    ),
    ("scoped", "GET", f"{_NS}/pods", 200, None, _as("viewer", ("Impersonate-Extra-%73copes", "a"))),
    ("scoped", "GET", f"{_NS}/pods", 200, None, _as("viewer", ("Impersonate-Uid", "u1"))),
    ("scoped", "GET", f"{_NS}/pods", 403, None, _as("viewer", ("Impersonate-Uid", "u2"))),
    ("scoped", "GET", f"{_NS}/pods", 200, None, _as("viewer", ("Impersonate-User", "root"))),  # the first counts
    ("scoped", "GET", f"{_NS}/secrets", 403, None, _as("viewer", ("Impersonate-User", "root")), 'User "viewer"'),
    ("scoped", "GET", f"{_NS}/pods", 403, None, _as("root", ("Impersonate-User", "viewer"))),
]
_REMOTE = (("X-Remote-User", "root"), ("X-Remote-Group", "system:masters"))
_PATHS: list[tuple[Any, ...]] = [
    ("view", "GET", f"{_NS}/secrets/", 403),
    ("view", "GET", f"{_NS}/pods/../secrets", 403),
    ("view", "GET", f"{_NS}/pods/%2e%2e/secrets", 403),
    ("view", "GET", f"{_NS}/pods/..%2fsecrets", 403),
    ("view", "GET", "/api/v1/namespaces/t%2fsecrets", 403),
    ("view", "GET", f"{_NS}/Secrets", 403),
    ("view", "GET", "/API/v1/namespaces/t/secrets", 403),
    ("view", "GET", f"{_NS}/secrets%00", 403),
    ("view", "GET", f"{_NS}/%73ecrets", 403),
    ("view", "GET", f"{_NS}/./secrets", 403),
    ("view", "GET", f"{_NS}/pods/p1/secrets", 403),
    ("view", "GET", f"{_NS}/pods?fieldSelector=metadata.name%3Dp1&resource=secrets", 200),
    ("", "GET", "/healthz/../api/v1/secrets", 403),
    ("", "GET", "/version/../api/v1/secrets", 403),
    ("", "GET", "/healthz%2f..%2fmetrics", 403),
    *(("admin", "GET", path, 404) for path in ("/metrics/", "/healthz/", "/healthz//", "/apis//", "/livez/ping/")),
    *(("admin", "GET", path, 200) for path in ("/apis/", "/api/", "/version/")),
    *(("", "GET", path, 403) for path in ("//metrics", "/metrics/", "//api/v1/secrets", "/api/v1//secrets")),
    ("", "GET", "/livez/ping/../../metrics", 403),
    ("nobody", "GET", "/api/v1/../../metrics", 403),
    ("", "GET", f"{_NS}/secrets", 403, None, _REMOTE, 'User "system:anonymous"'),
    ("view", "GET", f"{_NS}/secrets", 403, None, _REMOTE, 'User "viewer"'),
    ("view", "GET", f"{_NS}/secrets", 403, None, (("X-Forwarded-User", "root"), ("X-Remote-Uid", "0")), "viewer"),
    ("view", "GET", f"{_NS}/secrets", 403, None, (("X-HTTP-Method-Override", "POST"), ("X-Original-URL", "/api")), ""),
    ("", "GET", f"{_NS}/secrets", 403, None, (("Authorization", "Basic YWRtaW46YWRtaW4="),), "system:anonymous"),
    ("", "GET", f"{_NS}/secrets", 403, None, (("Authorization", "Bearer"),), "system:anonymous"),
    ("", "GET", f"{_NS}/secrets", 401, None, (("Authorization", "bearer wrong"),)),
    ("", "GET", f"{_NS}/secrets", 200, None, (("Authorization", "bearer admin"),)),
    ("", "GET", f"{_NS}/secrets", 200, None, (("authorization", "BEARER admin"),)),
    ("", "GET", f"{_NS}/secrets?access_token=admin", 403),
    ("", "GET", f"{_NS}/secrets", 403, None, (("Cookie", "token=admin"),)),
]

ATTEMPTS = [
    Attempt(*attempt)
    for attempt in (*_READS, *_WRITES, *_ESCALATIONS, *_IMPERSONATIONS, *_NODES, *_PLACES, *_NAMES, *_SCOPED, *_PATHS)
]
