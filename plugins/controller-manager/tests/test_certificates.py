"""Which certificates are approved, signed and cleared away, and what bootstrap tokens are signed with and live by."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from hyperkube_controller_manager.controllers.bootstrapsigner import signed
from hyperkube_controller_manager.controllers.csrapproving import permissions
from hyperkube_controller_manager.controllers.csrsigning import seconds_granted
from hyperkube_controller_manager.options import Options
from hyperkube_controller_manager.signingrequests import outlived
from hyperkube_core import SettingsError
from hyperkube_machinery import timestamps, tls
from hyperkube_machinery.bootstraptokens import BootstrapToken, signature
from hyperkube_machinery.certificaterequests import BadRequest, made_request, read_request, sign

NOW = 1_700_000_000.0
HOUR = 3600.0
CLIENT = ["digital signature", "client auth"]
SERVING = ["digital signature", "key encipherment", "server auth"]
NODE = "system:node:n1"


def request(name: str = NODE, groups: tuple[str, ...] = ("system:nodes",), names: tuple[str, ...] = ()) -> bytes:
    return made_request(ec.generate_private_key(ec.SECP256R1()), name, groups, names)


def csr(pem: bytes, **spec: Any) -> dict[str, Any]:
    whole = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": CLIENT,
        "username": "system:bootstrap:abcdef",
        **spec,
    }
    return {"metadata": {"name": "c", "creationTimestamp": timestamps.format_seconds(NOW)}, "spec": whole}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (csr(request()), ["nodeclient"]),
        (csr(request(), username=NODE), ["selfnodeclient", "nodeclient"]),
        (csr(request(), usages=[*CLIENT, "key encipherment"]), ["nodeclient"]),
        (csr(request(), usages=SERVING), []),
        (csr(request("admin")), []),
        (csr(request(groups=("system:masters",))), []),
        (csr(request(groups=("system:nodes", "system:masters"))), []),
        (csr(request(names=("n1",))), []),
        (csr(request(), signerName="kubernetes.io/kubelet-serving"), []),
    ],
)
def test_only_client_certificates_of_kubelets_are_approved(given: dict[str, Any], expected: list[str]) -> None:
    assert list(permissions(given)) == expected


@pytest.mark.parametrize(
    ("pem", "usages", "complaint"),
    [
        (request(names=("n1", "10.0.0.1")), SERVING, ""),
        (request(), SERVING, "DNS or IP subjectAltName is required"),
        (request(names=("n1",), groups=("g",)), SERVING, "subject organization is not system:nodes"),
        (request("n1", names=("n1",)), SERVING, "subject common name does not begin with system:node:"),
        (
            request(names=("n1",)),
            CLIENT,
            "usages did not match [digital signature key encipherment server auth]",
        ),
    ],
    ids=["right", "no names", "another group", "another name", "another usage"],
)
def test_serving_certificates_are_for_kubelets(pem: bytes, usages: list[str], complaint: str) -> None:
    found = ""
    try:
        read_request(pem).check_kubelet_serving(usages)
    except BadRequest as exc:
        found = str(exc)
    assert found == complaint


def test_a_certificate_says_what_was_asked_for_and_no_more() -> None:
    ca = tls.create_ca("ca", now=NOW)
    asked = read_request(request(names=("n1", "10.0.0.1")))
    made = x509.load_pem_x509_certificate(sign(ca, asked, SERVING, seconds=24 * HOUR, now=NOW))
    made.verify_directly_issued_by(ca.certificate)
    assert made.subject == asked.request.subject
    assert made.public_key() == asked.request.public_key()
    extensions = made.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, False)
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert len(extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == 2
    assert made.not_valid_before_utc.timestamp() == NOW - 300
    assert made.not_valid_after_utc.timestamp() == NOW + 24 * HOUR - 300


def test_a_short_life_is_not_shortened_and_none_outlives_the_authority() -> None:
    ca = tls.create_ca("ca", now=NOW)
    end = ca.certificate.not_valid_after_utc.timestamp()

    def ends(seconds: float, now: float) -> float:
        pem = sign(ca, read_request(request()), CLIENT, seconds=seconds, now=now)
        return x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()

    assert ends(HOUR, NOW) == NOW + HOUR
    assert ends(24 * HOUR, end - HOUR) == end
    with pytest.raises(BadRequest, match="refusing to sign a certificate that expired"):
        ends(HOUR, end + 1)


@pytest.mark.parametrize(("asked", "granted"), [(None, 9000.0), (3600, 3600.0), (90000, 9000.0), (600, 600.0)])
def test_no_more_time_is_granted_than_there_is(asked: int | None, granted: float) -> None:
    assert seconds_granted(asked, 9000.0) == granted


def decided(kind: str, hours: float, certificate: bytes = b"") -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "lastUpdateTime": timestamps.format_seconds(NOW - hours * HOUR)}
    status: dict[str, Any] = {"conditions": [condition]}
    if certificate:
        status["certificate"] = base64.b64encode(certificate).decode()
    return {**csr(request()), "status": status}


def issued(hours: float) -> bytes:
    ca = tls.create_ca("ca", now=NOW - 1000 * HOUR)
    return sign(ca, read_request(request()), CLIENT, seconds=hours * HOUR, now=NOW - 2 * HOUR)


@pytest.mark.parametrize(
    ("given", "goes"),
    [
        (decided("Approved", 0.9, issued(9)), False),
        (decided("Approved", 1.1, issued(9)), True),
        (decided("Approved", 0.1, issued(1)), True),
        (decided("Approved", 23), False),
        (decided("Approved", 25), True),
        (decided("Denied", 0.9), False),
        (decided("Denied", 1.1), True),
        (decided("Failed", 1.1), True),
    ],
)
def test_requests_go_when_they_are_of_no_use(given: dict[str, Any], goes: bool) -> None:
    assert bool(outlived(given, NOW)) == goes


def test_what_nobody_decides_on_goes_after_a_day() -> None:
    assert not outlived(csr(request()), NOW + 23 * HOUR)
    assert outlived(csr(request()), NOW + 25 * HOUR)


def token(name: str = "abcdef", **more: str) -> dict[str, Any]:
    data = {"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", **more}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{name}", "namespace": "kube-system"},
        "data": encoded,
    }


def cluster_info(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": data}


def test_a_signature_is_what_kubeadm_checks() -> None:
    # Source: k8s.io/cluster-bootstrap/token/jws/jws_test.go
    whose = BootstrapToken(id="joshua", secret="my voice is my passcode", named_id="joshua")
    content = "Hello from the other side. I must have called a thousand times."
    expected = "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
    assert signature(content, whose) == expected


def test_what_is_signed_is_signed_once() -> None:
    changed = signed(cluster_info(kubeconfig="content"), [token()], NOW)
    assert changed is not None
    assert changed["data"].keys() == {"kubeconfig", "jws-kubeconfig-abcdef"}
    assert signed(changed, [token()], NOW) is None


@pytest.mark.parametrize(
    "secret",
    [
        token(**{"usage-bootstrap-signing": "false"}),
        token("ghijkl"),
        token(expiration="2020-01-01T00:00:00Z"),
        token(expiration="soon"),
        token(**{"token-secret": ""}),
    ],
)
def test_tokens_that_may_not_sign_lose_their_signature(secret: dict[str, Any]) -> None:
    before = cluster_info(**{"kubeconfig": "content", "jws-kubeconfig-abcdef": "x"})
    changed = signed(before, [secret], NOW)
    assert changed is not None
    assert changed["data"] == {"kubeconfig": "content"}


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"cluster_signing_cert_file": "a"}, "flag --cluster-signing-key-file: cannot specify cert without key"),
        (
            {"cluster_signing_kubelet_client_key_file": "a"},
            "flag --cluster-signing-kubelet-client-cert-file: cannot specify key without cert",
        ),
        (
            {
                "cluster_signing_cert_file": "a",
                "cluster_signing_key_file": "b",
                "cluster_signing_legacy_unknown_cert_file": "c",
                "cluster_signing_legacy_unknown_key_file": "d",
            },
            "at the same time",
        ),
    ],
)
def test_an_authority_is_two_files_and_one_or_several(files: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Options(**files)
