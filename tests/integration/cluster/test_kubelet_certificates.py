"""A machine with a token becomes a node, and its certificates are renewed: kubelet, API server, controller manager."""

from __future__ import annotations

import asyncio
import base64
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import _tools
import pytest
from _clusters import Cluster, Mode, eventually, open_cluster
from _watching import is_ready, until_object
from cryptography import x509

from hyperkube_machinery import kubeconfig
from hyperkube_machinery.builtin import (
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLE_BINDINGS,
    CONFIG_MAPS,
    NODES,
    SECRETS,
)

pytestmark = pytest.mark.anyio

NODE = "joiner"
TOKEN = "abcdef.0123456789abcdef"
REQUESTS = "system:certificates.k8s.io:certificatesigningrequests"


@pytest.fixture(params=["process", "in-process"])
async def home(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """An API server that lets machines in, as kubeadm sets one up; nobody approves or signs yet."""
    mode, flag = cast(Mode, request.param), "--enable-bootstrap-token-auth"
    async with open_cluster(mode, tmp_path, lambda: _tools.kubectl()[0], flag) as cluster:
        await cluster.client.create(SECRETS, token())
        for name, role, group in (
            ("join", "system:node-bootstrapper", "system:bootstrappers"),
            ("first", f"{REQUESTS}:nodeclient", "system:bootstrappers"),
            ("next", f"{REQUESTS}:selfnodeclient", "system:nodes"),
        ):
            await cluster.client.create(CLUSTER_ROLE_BINDINGS, binding(name, role, group))
        yield cluster


def token(**more: str) -> dict[str, Any]:
    id_, secret = TOKEN.split(".")
    data = {"token-id": id_, "token-secret": secret, "usage-bootstrap-authentication": "true", **more}
    return {
        "metadata": {"name": f"bootstrap-token-{id_}", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": data,
    }


def binding(name: str, role: str, group: str) -> dict[str, Any]:
    whom = {"kind": "Group", "name": group, "apiGroup": "rbac.authorization.k8s.io"}
    role_ref = {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    return {"metadata": {"name": f"test-{name}"}, "subjects": [whom], "roleRef": role_ref}


def bootstrap(cluster: Cluster) -> Path:
    """The kubeconfig that a machine is given, with nothing but the token."""
    admin = kubeconfig.read(cluster.kubeconfig)
    path = cluster.folder / "bootstrap.kubeconfig"
    kubeconfig.write(
        path, kubeconfig.Access(server=admin.server, ca_pem=admin.ca_pem, token=TOKEN), cluster="c", user="u"
    )
    return path


def flags(cluster: Cluster, *more: str) -> tuple[str, ...]:
    return (
        f"--hostname-override={NODE}",
        f"--root-dir={cluster.folder / 'kubelet'}",
        f"--kubeconfig={cluster.folder / 'node' / 'kubeconfig'}",
        f"--bootstrap-kubeconfig={bootstrap(cluster)}",
        "--container-runtime=hollow",
        "--port=0",
        "--healthz-port=0",
        *more,
    )


async def controllers(cluster: Cluster, *more: str) -> None:
    pki = cluster.data_dir / "pki"
    await cluster.start(
        "controller-manager",
        "--secure-port=0",
        "--use-service-account-credentials",
        "--controllers=csrapproving,csrsigning,csrcleaner,bootstrapsigner,tokencleaner",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        *more,
    )


async def requests(cluster: Cluster) -> list[dict[str, Any]]:
    return list((await cluster.client.list(CERTIFICATE_SIGNING_REQUESTS)).items)


async def test_a_token_becomes_a_ready_node(home: Cluster) -> None:
    await controllers(home)
    await home.start_told("kubelet", *flags(home))
    await until_object(home.client, NODES, NODE, is_ready)
    (csr,) = await requests(home)
    assert csr["metadata"]["name"].startswith("node-csr-")
    assert csr["spec"]["username"] == "system:bootstrap:abcdef"
    (approved,) = csr["status"]["conditions"]
    assert approved["message"] == "Auto approving kubelet client certificate after SubjectAccessReview."
    config = home.folder / "node" / "kubeconfig"
    current = home.folder / "kubelet" / "pki" / "kubelet-client-current.pem"
    written = kubeconfig.read(config)
    assert (written.certificate_file, written.key_file, written.token) == (current, current, "")
    assert current.is_symlink()
    for path in (config, current.resolve()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TOKEN not in config.read_text()
    assert not (current.parent / "kubelet-client.key.tmp").exists()


async def test_who_has_a_kubeconfig_needs_no_token(home: Cluster) -> None:
    await controllers(home)
    first = await home.start_told("kubelet", *flags(home))
    await first.stop()
    await home.client.delete(SECRETS, "bootstrap-token-abcdef", "kube-system")
    (home.folder / "bootstrap.kubeconfig").unlink()
    told = [flag for flag in flags(home) if not flag.startswith("--bootstrap")]
    (home.folder / "bootstrap.kubeconfig").unlink()
    await home.start_told("kubelet", *told, f"--bootstrap-kubeconfig={home.folder / 'bootstrap.kubeconfig'}")
    assert len(await requests(home)) == 1


async def test_a_certificate_is_renewed_and_used(home: Cluster) -> None:
    await controllers(home)
    # A kubeconfig that somebody else wrote: its certificate is only good to ask for one of the node's own with.
    kubelet = await home.start(
        "kubelet",
        f"--hostname-override={NODE}",
        f"--root-dir={home.folder / 'kubelet'}",
        "--container-runtime=hollow",
        "--port=0",
        "--healthz-port=0",
        "--rotate-certificates",
    )
    current = home.folder / "kubelet" / "pki" / "kubelet-client-current.pem"
    await eventually(current.exists)
    (csr,) = await requests(home)
    assert csr["metadata"]["generateName"] == "csr-"
    assert csr["spec"]["username"] == f"system:node:{NODE}"
    assert csr["status"]["conditions"][0]["message"].startswith("Auto approving self kubelet client certificate")
    assert current.read_bytes().startswith(base64.b64decode(csr["status"]["certificate"]).strip())
    beat = (await home.client.get(NODES, NODE))["status"]["conditions"][0]["lastHeartbeatTime"]
    await kubelet.stop()
    # The next one goes on with it, though what its kubeconfig holds is of no use any more.
    config = home.folder / "blank.kubeconfig"
    access = kubeconfig.read(home.kubeconfig)
    kubeconfig.write(config, kubeconfig.Access(server=access.server, ca_pem=access.ca_pem), cluster="c", user="u")
    told = [flag for flag in flags(home) if "kubeconfig" not in flag]
    await home.start_told("kubelet", *told, f"--kubeconfig={config}", "--rotate-certificates")
    node = await home.client.get(NODES, NODE)
    assert node["status"]["conditions"][0]["lastHeartbeatTime"] >= beat
    assert len(await requests(home)) == 1


async def test_a_serving_certificate_is_what_somebody_approves(home: Cluster) -> None:
    await controllers(home)
    await home.start_told("kubelet", *flags(home, "--rotate-server-certificates"))
    serving = "kubernetes.io/kubelet-serving"

    async def asked() -> dict[str, Any] | None:
        return next((one for one in await requests(home) if one["spec"]["signerName"] == serving), None)

    csr = await eventually(asked)
    assert csr["spec"]["usages"] == ["digital signature", "server auth"]
    assert not (csr.get("status") or {}).get("conditions")
    port = (await home.client.get(NODES, NODE))["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    authority = (home.data_dir / "pki" / "ca.crt").read_text()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shown(port, authority)
    status = {"conditions": [{"type": "Approved", "status": "True", "reason": "ByTest", "message": "it is fine"}]}
    await home.client.replace(CERTIFICATE_SIGNING_REQUESTS, {**csr, "status": status}, subresource="approval")
    current = home.folder / "kubelet" / "pki" / "kubelet-server-current.pem"
    await eventually(current.exists)
    certificate = await shown(port, authority)
    assert certificate.subject.rfc4514_string() == f"CN=system:node:{NODE},O=system:nodes"


async def shown(port: int, authority: str) -> x509.Certificate:
    """What a kubelet shows to whoever trusts the cluster's authority."""
    context = ssl.create_default_context(cadata=authority)
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
    try:
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()
    return x509.load_der_x509_certificate(der)


async def test_cluster_info_is_signed_and_tokens_end(home: Cluster) -> None:
    await controllers(home)
    info = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "content"}}
    await home.client.create(CONFIG_MAPS, info)
    await home.client.patch(
        SECRETS, "bootstrap-token-abcdef", {"stringData": {"usage-bootstrap-signing": "true"}}, "kube-system"
    )
    signed = await until_object(
        home.client, CONFIG_MAPS, "cluster-info", lambda obj: "jws-kubeconfig-abcdef" in obj["data"], "kube-public"
    )
    assert signed["data"]["kubeconfig"] == "content"
    past = {"stringData": {"expiration": "2020-01-01T00:00:00Z"}}
    await home.client.patch(SECRETS, "bootstrap-token-abcdef", past, "kube-system")
    await until_object(
        home.client, CONFIG_MAPS, "cluster-info", lambda obj: "jws-kubeconfig-abcdef" not in obj["data"], "kube-public"
    )

    async def gone() -> bool:
        return not (await home.client.list(SECRETS, "kube-system", fields="type=bootstrap.kubernetes.io/token")).items

    await eventually(gone)


@pytest.mark.parametrize("home", ["process"], indirect=True)
async def test_a_kubelet_that_is_killed_while_it_joins_goes_on(home: Cluster) -> None:
    """At each step: with a key alone, with a request that nobody has approved, with one that nobody has signed."""
    pki = home.folder / "kubelet" / "pki"
    first = home.begin("kubelet", *flags(home))
    await eventually(lambda: requests(home))
    await first.kill()
    key = (pki / "kubelet-client.key.tmp").read_bytes()
    second = home.begin("kubelet", *flags(home))
    await eventually(lambda: "waits for approval" in second.log)
    await second.kill()
    assert (pki / "kubelet-client.key.tmp").read_bytes() == key
    (csr,) = await requests(home)
    await controllers(home)
    await until_object(
        home.client,
        CERTIFICATE_SIGNING_REQUESTS,
        csr["metadata"]["name"],
        lambda obj: (obj.get("status") or {}).get("certificate"),
    )
    third = home.begin("kubelet", *flags(home))
    await eventually((pki / "kubelet-client-current.pem").exists)
    await third.kill()
    await home.start_told("kubelet", *flags(home))
    await until_object(home.client, NODES, NODE, is_ready)
    assert len(await requests(home)) == 1
