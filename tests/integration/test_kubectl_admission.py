"""kubectl against policies, and against a webhook as its author would write it."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

POLICY = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: few-replicas
spec:
  matchConstraints:
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE, UPDATE]
      resources: [deployments]
  validations:
  - expression: object.spec.replicas <= 5
    messageExpression: "'no more than 5 replicas, not ' + string(object.spec.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: few-replicas
spec:
  policyName: few-replicas
  validationActions: [Deny]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: owned
spec:
  matchConstraints:
    resourceRules:
    - apiGroups: [apps]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [deployments]
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{metadata: Object.metadata{annotations: {"owner": request.userInfo.username}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: owned
spec:
  policyName: owned
"""


def test_policies_decide_on_what_kubectl_writes(kubectl: Any) -> None:
    kubectl("apply", "-f", "-", stdin=POLICY)
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    made = kubectl.read("deployment/web")
    assert made["metadata"]["annotations"]["owner"]
    told = kubectl("scale", "deployment/web", "--replicas=3")
    assert told == "deployment.apps/web scaled\n"
    refused = kubectl.refused("create", "deployment", "large", "--image=web:1", "--replicas=6", "--dry-run=server")
    assert "ValidatingAdmissionPolicy 'few-replicas' with binding 'few-replicas' denied request: " in refused
    assert "no more than 5 replicas, not 6" in refused
    shown = kubectl("get", "validatingadmissionpolicies")
    assert shown.split()[:4] == ["NAME", "VALIDATIONS", "PARAMKIND", "AGE"]


class Webhook(BaseHTTPRequestHandler):
    """Refuses config maps that hold a password, and labels all others."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        request = review["request"]
        response: dict[str, Any] = {"uid": request["uid"], "allowed": True}
        if self.path.startswith("/validate"):
            if "password" in (request["object"].get("data") or {}):
                response["allowed"] = False
                response["status"] = {"message": "passwords belong into secrets", "code": 403, "reason": "Forbidden"}
            elif not request["object"].get("data"):
                response["warnings"] = ["the config map is empty"]
        else:
            patch = [{"op": "add", "path": "/metadata/labels", "value": {"seen-by": "webhook"}}]
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(json.dumps(patch).encode()).decode()
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """The port of a webhook on loopback, and its caBundle."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, base64.b64encode(authority.cert_pem.bytes()).decode()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def configuration(kind: str, port: int, bundle: str) -> str:
    hook = {
        "name": f"{kind}.example.com",
        "clientConfig": {"url": f"https://127.0.0.1:{port}/{kind}", "caBundle": bundle},
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]},
        ],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "matchConditions": [{"name": "no-authorities", "expression": "object.metadata.name != 'kube-root-ca.crt'"}],
    }
    kind = "ValidatingWebhookConfiguration" if kind == "validate" else "MutatingWebhookConfiguration"
    return json.dumps(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "tests"},
            "webhooks": [hook],
        }
    )


def test_a_webhook_decides_on_what_kubectl_writes(kubectl: Any, webhook: tuple[int, str]) -> None:
    kubectl("apply", "-f", "-", stdin=configuration("validate", *webhook))
    refused = kubectl.refused("create", "configmap", "bad", "--from-literal=password=x")
    assert 'admission webhook "validate.example.com" denied the request: passwords belong into secrets' in refused
    twice = json.loads(configuration("validate", *webhook))
    twice["webhooks"].append({**twice["webhooks"][0], "name": "again.example.com"})
    kubectl("apply", "-f", "-", stdin=json.dumps(twice))
    assert "denied the request" in kubectl.refused("create", "configmap", "bad", "--from-literal=password=x")
    kubectl("apply", "-f", "-", stdin=configuration("mutate", *webhook))
    kubectl("create", "configmap", "good", "--from-literal=a=b")
    assert kubectl.read("configmap/good")["metadata"]["labels"] == {"seen-by": "webhook"}
    shown = kubectl("create", "configmap", "empty", "--dry-run=server", "-o", "name")
    assert shown == "configmap/empty\n"
    kubectl("delete", "validatingwebhookconfigurations,mutatingwebhookconfigurations", "--all")
    kubectl("create", "configmap", "bad", "--from-literal=password=x")
