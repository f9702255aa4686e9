"""NodeRestriction: what kubelets may write."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hyperkube_apiserver.authn import Identity
from hyperkube_apiserver.registry.attributes import Operation

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

PLUGIN = "NodeRestriction"
KUBELET = Identity("system:node:mine", groups=("system:nodes",))
MIRROR = "kubernetes.io/config.mirror"
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "mine", "uid": "uid-mine", "controller": True}
LEASES, CSI_NODES = "leases.coordination.k8s.io", "csinodes.storage.k8s.io"
SLICES = "resourceslices.resource.k8s.io"
REQUESTS = "certificatesigningrequests.certificates.k8s.io"


@pytest.fixture
def kubelet(world: Any) -> Any:
    world.identity = KUBELET
    world.add("nodes", "mine")
    world.add("pods", "here", "ns", spec={"nodeName": "mine"})
    world.add("pods", "there", "ns", spec={"nodeName": "other"})
    return world


def static(*, owners: list[Tree] | None = None, annotations: Tree | None = None, **spec: Any) -> Tree:
    """A mirror pod as the kubelet `mine` makes it, but for what is given."""
    metadata = {
        "name": "p",
        "annotations": {MIRROR: "x"} if annotations is None else annotations,
        "ownerReferences": [OWNER] if owners is None else owners,
    }
    return {"metadata": metadata, "spec": {"nodeName": "mine", "containers": [{"name": "c"}], **spec}}


async def test_others_than_kubelets_are_not_restricted(kubelet: Any) -> None:
    for identity in (
        Identity("jane", groups=("system:nodes",)),
        Identity("system:node:mine", groups=("others",)),
    ):
        kubelet.identity = identity
        await kubelet.ask(PLUGIN, "pods", static(owners=[], annotations={}))


async def test_a_kubelet_without_a_node_is_refused(kubelet: Any) -> None:
    kubelet.identity = Identity("system:node:", groups=("system:nodes",))
    told = await kubelet.refusal(PLUGIN, "nodes", {"metadata": {"name": "n"}})
    assert told == 'nodes "n" is forbidden: could not determine node from user "system:node:"'


async def test_a_kubelet_makes_mirror_pods_of_its_own(kubelet: Any) -> None:
    await kubelet.ask(PLUGIN, "pods", static())


MAY_ONLY = 'node "mine" can only create pods with'


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"annotations": {}}, f'pod does not have "{MIRROR}" annotation, node "mine" can only create mirror pods'),
        ({"nodeName": "other"}, f"{MAY_ONLY} spec.nodeName set to itself"),
        ({"owners": [OWNER, OWNER]}, f"{MAY_ONLY} a single owner reference set to itself"),
        ({"owners": []}, f"{MAY_ONLY} an owner reference set to itself"),
        ({"owners": [{**OWNER, "name": "other"}]}, f"{MAY_ONLY} an owner reference set to itself"),
        ({"owners": [{**OWNER, "controller": False}]}, f"{MAY_ONLY} a controller owner reference set to itself"),
        (
            {"owners": [{**OWNER, "blockOwnerDeletion": True}]},
            'node "mine" must not set blockOwnerDeletion on an owner reference',
        ),
        ({"owners": [{**OWNER, "uid": "old"}]}, "node mine UID mismatch: expected old got uid-mine"),
        ({"serviceAccountName": "a"}, 'node "mine" can not create pods that reference serviceaccounts'),
        (
            {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]},
            'node "mine" can not create pods that reference secrets',
        ),
        (
            {"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "s"}}]}]},
            'node "mine" can not create pods that reference configmaps',
        ),
        ({"resourceClaims": [{"name": "r"}]}, 'node "mine" can not create pods that reference resourceclaims'),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]},
            'node "mine" can not create pods that reference persistentvolumeclaims',
        ),
        (
            {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {}}}]},
            'node "mine" can not create pods that reference persistentvolumeclaims (via ephemeral volumes)',
        ),
        (
            {"volumes": [{"name": "v", "csi": {"driver": "d"}}]},
            'node "mine" can not create pods that reference csidrivers (via CSI volumes)',
        ),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}}]}}]},
            'node "mine" can not create pods that reference serviceaccounts (via projected volumes)',
        ),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}]},
            'node "mine" can not create pods that reference clustertrustbundles',
        ),
        (
            {"volumes": [{"name": "v", "novel": {}}]},
            'error checking mirror pod for API references: unknown volume type for volume  "v"',
        ),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"novel": {}}]}}]},
            'error checking mirror pod for API references: unknown source for projected volume "v"',
        ),
    ],
)
async def test_any_other_pod_of_a_kubelets_is_refused(kubelet: Any, given: Tree, why: str) -> None:
    assert await kubelet.refusal(PLUGIN, "pods", static(**given)) == f'pods "p" is forbidden: {why}'


async def test_volumes_that_refer_to_nothing_are_a_mirror_pods_to_have(kubelet: Any) -> None:
    fields: Tree = {"sources": [{"downwardAPI": {}}]}
    volumes = [
        {"name": "a", "hostPath": {"path": "/"}},
        {"name": "b", "projected": fields},
        {"name": "c", "emptyDir": {}},
    ]
    await kubelet.ask(PLUGIN, "pods", static(volumes=volumes))


async def test_a_kubelet_needs_its_node_to_make_pods(kubelet: Any) -> None:
    kubelet.identity = Identity("system:node:new", groups=("system:nodes",))
    given = static(nodeName="new", owners=[{**OWNER, "name": "new"}])
    assert await kubelet.refusal(PLUGIN, "pods", given, code=404) == 'node "new" not found'


async def test_a_kubelet_deletes_pods_on_its_node_and_changes_none(kubelet: Any) -> None:
    here = {"metadata": {"name": "here"}}
    await kubelet.ask(PLUGIN, "pods", None, old=here)
    told = await kubelet.refusal(PLUGIN, "pods", None, old={"metadata": {"name": "there"}})
    assert told == 'pods "there" is forbidden: node "mine" can only delete pods with spec.nodeName set to itself'
    told = await kubelet.refusal(PLUGIN, "pods", None, old=here, name="", code=404)
    assert told == 'pod "" not found', "who deletes a collection names nothing"
    told = await kubelet.refusal(PLUGIN, "pods", here, old=here)
    assert told.endswith('unexpected operation "UPDATE", node "mine" can only create and delete mirror pods')
    told = await kubelet.refusal(PLUGIN, "pods", here, old=here, subresource="resize")
    assert told.endswith("unexpected pod subresource \"resize\", only 'status' and 'eviction' are allowed")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"status": {"phase": "Running"}}, ""),
        ({"metadata": {"name": "p", "labels": {"a": "b"}}}, 'node "mine" cannot update labels through pod status'),
        (
            {"status": {"resourceClaimStatuses": [{"name": "r", "resourceClaimName": "c"}]}},
            'node "mine" cannot update resource claim statues',
        ),
        (
            {"status": {"extendedResourceClaimStatus": {"resourceClaimName": "c"}}},
            'node "mine" cannot update extended resource claim status',
        ),
    ],
)
async def test_a_kubelet_tells_the_status_of_its_pods(kubelet: Any, change: Tree, why: str) -> None:
    old = {"metadata": {"name": "p"}, "spec": {"nodeName": "mine"}, "status": {}}
    request = {"old": old, "subresource": "status"}
    if why:
        assert await kubelet.refusal(PLUGIN, "pods", {**old, **change}, **request) == f'pods "p" is forbidden: {why}'
    else:
        await kubelet.ask(PLUGIN, "pods", {**old, **change}, **request)
    request["old"] = {**old, "spec": {"nodeName": "other"}}
    told = await kubelet.refusal(PLUGIN, "pods", {**old, **change}, **request)
    assert told.endswith('node "mine" can only update pod status for pods with spec.nodeName set to itself')


async def test_a_kubelet_evicts_pods_from_its_node(kubelet: Any) -> None:
    def request(name: str) -> Any:
        return {"subresource": "eviction", "name": name}

    eviction = {"metadata": {"name": "here"}}
    await kubelet.ask(PLUGIN, "pods", eviction, **request("here"))
    await kubelet.ask(PLUGIN, "pods", eviction, **request(""))
    told = await kubelet.refusal(PLUGIN, "pods", eviction, **request("there"))
    assert told == 'pods "there" is forbidden: node mine can only evict pods with spec.nodeName set to itself'
    told = await kubelet.refusal(PLUGIN, "pods", {}, **request(""))
    assert told == 'pods "Unknown" is forbidden: could not determine pod from request data'
    assert await kubelet.refusal(PLUGIN, "pods", {}, code=404, **request("gone")) == 'pod "gone" not found'
    told = await kubelet.refusal(PLUGIN, "pods", eviction, old=eviction, **request("here"))
    assert told.endswith("unexpected operation UPDATE")


class TestNodes:
    async def test_a_kubelet_writes_no_node_but_its_own(self, kubelet: Any) -> None:
        other = {"metadata": {"name": "other"}}
        for obj, old in ((other, None), (other, other), (None, other)):
            told = await kubelet.refusal(PLUGIN, "nodes", obj, old=old)
            assert told == 'nodes "other" is forbidden: node "mine" is not allowed to modify node "other"'
        mine = {"metadata": {"name": "mine"}}
        for obj, old in ((mine, None), (mine, mine), (None, mine)):
            await kubelet.ask(PLUGIN, "nodes", obj, old=old)

    @pytest.mark.parametrize(
        ("label", "allowed"),
        [
            ("kubernetes.io/hostname", True),
            ("beta.kubernetes.io/os", True),
            ("topology.kubernetes.io/zone", True),
            ("node.kubernetes.io/anything", True),
            ("x.kubelet.kubernetes.io/anything", True),
            ("example.com/anything", True),
            ("plain", True),
            ("node-role.kubernetes.io/control-plane", False),
            ("node-restriction.kubernetes.io/x", False),
            ("a.node-restriction.kubernetes.io/x", False),
            ("k8s.io/x", False),
            ("a.k8s.io/x", False),
        ],
    )
    async def test_labels_that_steer_pods_are_not_the_kubelets(self, kubelet: Any, label: str, allowed: bool) -> None:
        plain, labelled = ({"metadata": {"name": "mine", "labels": one}} for one in ({}, {label: "x"}))
        requests = [(labelled, None), (labelled, plain), (plain, labelled)]
        for obj, old in requests:
            if allowed:
                await kubelet.ask(PLUGIN, "nodes", obj, old=old)
            else:
                why = (
                    "is not allowed to modify labels"
                    if old
                    else 'node "mine" is not allowed to set the following labels'
                )
                told = await kubelet.refusal(PLUGIN, "nodes", obj, old=old)
                assert told == f'nodes "mine" is forbidden: {why}: {label}'

    async def test_a_label_that_stays_is_no_change(self, kubelet: Any) -> None:
        node = {"metadata": {"name": "mine", "labels": {"node-role.kubernetes.io/x": ""}}}
        await kubelet.ask(PLUGIN, "nodes", node, old=node)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"spec": {"taints": []}}, "modify taints"),
            ({"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "modify taints"),
            ({"metadata": {"name": "mine", "ownerReferences": [OWNER]}}, "modify ownerReferences"),
            (
                {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}], "configSource": {"a": 1}}},
                "update configSource to a new non-nil configSource",
            ),
            ({"spec": {"taints": [{"key": "k", "effect": "NoSchedule", "value": ""}]}}, ""),
        ],
    )
    async def test_a_kubelet_changes_little_of_its_node(self, kubelet: Any, change: Tree, why: str) -> None:
        old = {"metadata": {"name": "mine"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
        for subresource in ("", "status"):
            request = {"old": old, "subresource": subresource}
            if not why:
                await kubelet.ask(PLUGIN, "nodes", {**old, **change}, **request)
                continue
            told = await kubelet.refusal(PLUGIN, "nodes", {**old, **change}, **request)
            assert told == f'nodes "mine" is forbidden: node "mine" is not allowed to {why}'

    async def test_a_new_node_has_no_source_of_configuration(self, kubelet: Any) -> None:
        node = {"metadata": {"name": "mine"}, "spec": {"configSource": {}}}
        told = await kubelet.refusal(PLUGIN, "nodes", node)
        assert told.endswith('node "mine" is not allowed to create pods with a non-nil configSource')


async def test_a_kubelet_tells_the_size_of_a_claim_and_nothing_else(kubelet: Any) -> None:
    address = "persistentvolumeclaims"
    old = {"metadata": {"name": "c", "resourceVersion": "1"}, "spec": {}, "status": {"phase": "Bound"}}
    resized = {**old, "metadata": {"name": "c"}, "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}}
    await kubelet.ask(PLUGIN, address, resized, old=old, subresource="status")
    lost = {**old, "status": {"phase": "Lost"}}
    told = await kubelet.refusal(PLUGIN, address, lost, old=old, subresource="status")
    why = 'node "mine" is not allowed to update fields other than status.quantity and status.conditions: '
    assert told.startswith(f'persistentvolumeclaims "c" is forbidden: {why}')
    assert (await kubelet.refusal(PLUGIN, address, old, old=old)).endswith("may only update PVC status")
    told = await kubelet.refusal(PLUGIN, address, old, subresource="status")
    assert told.endswith('unexpected operation "CREATE"')


class TestTokens:
    @staticmethod
    def request(**spec: Any) -> Tree:
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "here", "uid": "uid-here"}
        return {"metadata": {}, "spec": {"boundObjectRef": bound, **spec}}

    @pytest.mark.parametrize(
        ("bound", "why"),
        [
            (None, "node requested token not bound to a pod"),
            ({"apiVersion": "v1", "kind": "Secret", "name": "s"}, "node requested token not bound to a pod"),
            (
                {"apiVersion": "v1", "kind": "Pod", "name": "here"},
                "node requested token with a pod binding without a uid",
            ),
            (
                {"apiVersion": "v1", "kind": "Pod", "name": "here", "uid": "old"},
                "the UID in the bound object reference (old) does not match the UID in record. The object might have "
                "been deleted and then recreated",
            ),
            (
                {"apiVersion": "v1", "kind": "Pod", "name": "there", "uid": "uid-there"},
                "node requested token bound to a pod scheduled on a different node",
            ),
        ],
    )
    async def test_a_token_is_for_a_pod_of_the_node(self, kubelet: Any, bound: Tree | None, why: str) -> None:
        asked = {"subresource": "token", "name": "default"}
        told = await kubelet.refusal(PLUGIN, "serviceaccounts", self.request(boundObjectRef=bound), **asked)
        assert told == f'serviceaccounts "default" is forbidden: {why}'

    async def test_an_audience_must_have_a_volume_or_the_kubelet_the_right(self, kubelet: Any, allowing: Any) -> None:
        asked = {"subresource": "token", "name": "default"}
        kubelet.cluster.authorizer = allowing()
        told = await kubelet.refusal(PLUGIN, "serviceaccounts", self.request(audiences=["a", "b"]), **asked)
        assert told.endswith("node may only request 0 or 1 audiences")
        told = await kubelet.refusal(PLUGIN, "serviceaccounts", self.request(audiences=["vault"]), **asked)
        assert told.endswith(
            'audience "vault" not found in pod spec volume, system:node:mine is not authorized to request tokens for '
            "this audience"
        )
        kubelet.cluster.authorizer = allowing("vault")
        await kubelet.ask(PLUGIN, "serviceaccounts", self.request(audiences=["vault"]), **asked)

    @pytest.mark.parametrize(
        "volume",
        [
            {"projected": {"sources": [{"serviceAccountToken": {"audience": "vault", "path": "t"}}]}},
            {"csi": {"driver": "d"}},
            {"persistentVolumeClaim": {"claimName": "c"}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            {"awsElasticBlockStore": {"volumeID": "x"}},
        ],
    )
    async def test_audiences_are_found_by_way_of_volumes(self, kubelet: Any, allowing: Any, volume: Tree) -> None:
        kubelet.cluster.authorizer = allowing()
        pod = {"nodeName": "mine", "volumes": [{"name": "v", **volume}]}
        kubelet.add("pods", "volumes", "ns", spec=pod)
        for name in ("c", "volumes-v"):
            kubelet.add("persistentvolumeclaims", name, "ns", spec={"volumeName": "pv"})
        kubelet.add("persistentvolumes", "pv", spec={"csi": {"driver": "d"}})
        for driver in ("d", "ebs.csi.aws.com"):
            kubelet.add("csidrivers.storage.k8s.io", driver, spec={"tokenRequests": [{"audience": "vault"}]})
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "volumes", "uid": "uid-volumes"}
        asked = {"subresource": "token", "name": "default"}
        request = self.request(boundObjectRef=bound, audiences=["vault"])
        await kubelet.ask(PLUGIN, "serviceaccounts", request, **asked)
        await kubelet.refusal(PLUGIN, "serviceaccounts", self.request(boundObjectRef=bound, audiences=["x"]), **asked)

    async def test_a_claim_that_is_not_there_is_told(self, kubelet: Any, allowing: Any) -> None:
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]
        kubelet.add("pods", "volumes", "ns", spec={"nodeName": "mine", "volumes": volumes})
        bound = {"apiVersion": "v1", "kind": "Pod", "name": "volumes", "uid": "uid-volumes"}
        request = self.request(boundObjectRef=bound, audiences=["vault"])
        told = await kubelet.refusal(PLUGIN, "serviceaccounts", request, subresource="token", name="default")
        assert told.endswith('error validating audience "vault": persistentvolumeclaim "none" not found')

    async def test_service_accounts_themselves_are_let_alone(self, kubelet: Any) -> None:
        await kubelet.ask(PLUGIN, "serviceaccounts", {"metadata": {"name": "a"}})


async def test_a_kubelet_has_one_lease(kubelet: Any) -> None:
    mine, other = ({"metadata": {"name": name}} for name in ("mine", "other"))
    for obj, old in ((mine, None), (mine, mine), (None, mine)):
        await kubelet.ask(PLUGIN, LEASES, obj, old=old, namespace="kube-node-lease")
    for obj, old in ((other, None), (other, other), (None, other)):
        told = await kubelet.refusal(PLUGIN, LEASES, obj, old=old, namespace="kube-node-lease")
        assert told.endswith("can only access node lease with the same name as the requesting node")
    told = await kubelet.refusal(PLUGIN, LEASES, mine)
    assert told.endswith('can only access leases in the "kube-node-lease" system namespace')


async def test_a_kubelet_has_one_csi_node(kubelet: Any) -> None:
    mine, other = ({"metadata": {"name": name}} for name in ("mine", "other"))
    await kubelet.ask(PLUGIN, CSI_NODES, mine)
    for obj, old in ((other, None), (other, other), (None, other)):
        told = await kubelet.refusal(PLUGIN, CSI_NODES, obj, old=old)
        assert told.endswith("can only access CSINode with the same name as the requesting node")


async def test_a_kubelet_tells_of_the_devices_of_its_node(kubelet: Any) -> None:
    mine, other = ({"metadata": {"name": "s"}, "spec": {"nodeName": name}} for name in ("mine", "other"))
    await kubelet.ask(PLUGIN, SLICES, mine)
    await kubelet.ask(PLUGIN, SLICES, None, old=mine, name="")
    await kubelet.ask(PLUGIN, SLICES, other, old=other)
    for verb, obj, old in (("create", other, None), ("delete", None, other)):
        told = await kubelet.refusal(PLUGIN, SLICES, obj, old=old)
        assert told.endswith(f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


def signing_request(common_name: str, signer: str, organization: str = "system:nodes") -> Tree:
    names = [
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    request = base64.b64encode(pem.public_bytes(serialization.Encoding.PEM)).decode()
    return {"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": request}}


async def test_a_kubelet_asks_for_certificates_in_its_own_name(kubelet: Any) -> None:
    for signer in ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"):
        await kubelet.ask(PLUGIN, REQUESTS, signing_request("system:node:mine", signer))
        told = await kubelet.refusal(PLUGIN, REQUESTS, signing_request("system:node:other", signer))
        assert told.endswith("can only create a node CSR with CN=system:node:mine")
    broken = {"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": "eA=="}}
    told = await kubelet.refusal(PLUGIN, REQUESTS, broken)
    assert told.endswith("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
    await kubelet.ask(PLUGIN, REQUESTS, signing_request("jane", "example.com/signer"))
    await kubelet.ask(PLUGIN, REQUESTS, broken, old=broken)


async def test_masters_are_not_made_by_certificates(world: Any) -> None:
    plugin, client = "CertificateSubjectRestriction", "kubernetes.io/kube-apiserver-client"
    master = signing_request("jane", client, "system:masters")
    told = await world.refusal(plugin, REQUESTS, master)
    assert told == (
        'certificatesigningrequests.certificates.k8s.io "r" is forbidden: use of kubernetes.io/kube-apiserver-client '
        "signer with system:masters group is not allowed"
    )
    await world.ask(plugin, REQUESTS, signing_request("jane", client))
    await world.ask(plugin, REQUESTS, signing_request("jane", "example.com/signer", "system:masters"))
    broken = {"metadata": {"name": "r"}, "spec": {"signerName": client, "request": "!"}}
    assert "failed to parse CSR: " in await world.refusal(plugin, REQUESTS, broken)
    assert await world.unaffected(plugin, REQUESTS, master)


@pytest.mark.parametrize(
    ("plugin", "verb", "subresource", "change"),
    [
        ("CertificateApproval", "approve", "approval", {}),
        ("CertificateSigning", "sign", "status", {"status": {"certificate": "eA=="}}),
        ("CertificateSigning", "sign", "status", {"status": {"conditions": [{"type": "Failed"}]}}),
    ],
)
async def test_signers_are_for_those_who_may(
    world: Any, allowing: Any, plugin: str, verb: str, subresource: str, change: Tree
) -> None:
    old = {"metadata": {"name": "r"}, "spec": {"signerName": "example.com/s"}}
    request = {"old": old, "subresource": subresource}
    new = {**old, **change}
    for words in ([f"{verb} example.com/s"], [f"{verb} example.com/*"]):
        world.cluster.authorizer = allowing(*words)
        await world.ask(plugin, REQUESTS, new, **request)
    world.cluster.authorizer = allowing("other example.com/s", f"{verb} other.com/*")
    told = await world.refusal(plugin, REQUESTS, new, **request)
    assert told.endswith(f'user not permitted to {verb} requests with signerName "example.com/s"')
    assert await world.unaffected(plugin, REQUESTS, new, **request)


async def test_a_status_that_certifies_nothing_is_anybodys(world: Any, allowing: Any) -> None:
    world.cluster.authorizer = allowing()
    old = {"metadata": {"name": "r"}, "spec": {"signerName": "example.com/s"}, "status": {"conditions": []}}
    await world.ask("CertificateSigning", REQUESTS, {**old, "status": {}}, old=old, subresource="status")


async def test_without_the_plugin_a_kubelet_writes_what_it_is_authorized_to(kubelet: Any) -> None:
    assert await kubelet.unaffected(PLUGIN, "pods", static(annotations={}))
    node = {"metadata": {"name": "other"}, "spec": {}}
    assert await kubelet.unaffected(PLUGIN, "nodes", node, old=node)
    assert await kubelet.unaffected(PLUGIN, LEASES, node)
    assert await kubelet.unaffected(
        PLUGIN, "pods", {}, operation=Operation.CREATE, subresource="eviction", name="there"
    )
