"""For whom a kubelet may ask tokens of a pod's service account: for those that the pod has volumes for.

Source: k8s.io/kubernetes/plugin/pkg/admission/noderestriction (validateNodeServiceAccountAudience),
k8s.io/csi-translation-lib.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.errors import forbidden
from hyperkube_apiserver.admission.plugin import Waiting
from hyperkube_apiserver.authz import PromptAuthorizer, ResourceAttributes
from hyperkube_apiserver.authz.forbidden import quote
from hyperkube_apiserver.registry.attributes import Attributes
from hyperkube_machinery import meta
from hyperkube_machinery.errors import APIError

__all__ = ["check_audience"]

_VERB = "request-serviceaccounts-token-audience"
# The drivers of sources that stood in volumes before there were drivers.
_MIGRATED = {
    "awsElasticBlockStore": "ebs.csi.aws.com",
    "azureDisk": "disk.csi.azure.com",
    "azureFile": "file.csi.azure.com",
    "cinder": "cinder.csi.openstack.org",
    "gcePersistentDisk": "pd.csi.storage.gke.io",
    "portworxVolume": "pxd.portworx.com",
    "vsphereVolume": "csi.vsphere.vmware.com",
}

Tree = dict[str, Any]


def check_audience(cluster: Cluster, attributes: Attributes, audiences: Sequence[str], pod: Tree) -> Waiting:
    """Raise 403 unless a volume of `pod` is for the audience, or the kubelet is authorized for it as such."""
    if len(audiences) > 1:
        raise forbidden(attributes, "node may only request 0 or 1 audiences")
    audience = audiences[0] if audiences else ""
    found, problems = _has_volume_for(cluster, pod, audience)
    if found:
        return None
    if problems:
        told = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
        raise forbidden(attributes, f"error validating audience {quote(audience)}: {told}")
    question = ResourceAttributes(verb=_VERB, resource=audience, namespace=attributes.namespace, name=attributes.name)

    def check(authorizer: PromptAuthorizer) -> None:
        if not authorizer.authorize(attributes.identity, question).allowed:
            why = f"audience {quote(audience)} not found in pod spec volume, {attributes.identity.name} is not "
            raise forbidden(attributes, why + "authorized to request tokens for this audience")

    return cluster.deciding(check)


def _has_volume_for(cluster: Cluster, pod: Tree, audience: str) -> tuple[bool, list[str]]:
    """Whether there is one, or else what kept from finding out."""
    problems: list[str] = []
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is not None and (token.get("audience") or "") == audience:
                return True, []
        try:
            driver = _driver_of(cluster, pod, volume)
            if driver and audience in _audiences_of(cluster, driver):
                return True, []
        except APIError as exc:
            if str(exc) not in problems:
                problems.append(str(exc))
    return False, problems


def _driver_of(cluster: Cluster, pod: Tree, volume: Tree) -> str:
    """The CSI driver of a volume, by way of its claim where it has one."""
    if (volume.get("ephemeral") or {}).get("volumeClaimTemplate") is not None:
        return _driver_of_claim(cluster, f"{meta.name(pod)}-{volume['name']}", meta.namespace(pod))
    if (claim := volume.get("persistentVolumeClaim")) is not None:
        return _driver_of_claim(cluster, claim.get("claimName") or "", meta.namespace(pod))
    return _driver_in(volume)


def _driver_of_claim(cluster: Cluster, name: str, namespace: str) -> str:
    claim = cluster.get("persistentvolumeclaims", name, namespace)
    volume = cluster.get("persistentvolumes", (claim.get("spec") or {}).get("volumeName") or "")
    return _driver_in(volume.get("spec") or {})


def _driver_in(source: Tree) -> str:
    if source.get("csi") is not None:
        return str(source["csi"].get("driver") or "")
    return next((driver for field, driver in _MIGRATED.items() if source.get(field) is not None), "")


def _audiences_of(cluster: Cluster, driver: str) -> list[str]:
    spec = cluster.get("csidrivers", driver, group="storage.k8s.io").get("spec") or {}
    return [request.get("audience") or "" for request in spec.get("tokenRequests") or ()]
