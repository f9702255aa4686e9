"""The controllers: their names, which are upstream's, and where each is.

Source: k8s.io/kubernetes/cmd/kube-controller-manager/names and /app.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["ABSENT", "CONTROLLERS", "Entry", "check_names", "chosen", "known_names"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A controller, and how it is met by users and by the API server."""

    name: str  # as --controllers has it
    target: str  # `module:function` of `async def run(context: ControllerContext) -> None`
    summary: str
    account: str  # its service account in kube-system, with --use-service-account-credentials
    aliases: tuple[str, ...] = ()
    component: str = ""  # whom its events are from, where that is not its name
    on: bool = True  # unless --controllers says otherwise

    @property
    def source(self) -> str:
        """What stands in its events as their component."""
        return self.component or self.name


_HOME = "hyperkube_controller_manager.controllers"

CONTROLLERS: tuple[Entry, ...] = ()
"""Every controller that there is, in the order in which they are begun."""

ABSENT: Mapping[str, str] = {
    "bootstrap-signer-controller": "bootstrapsigner",
    "certificatesigningrequest-approving-controller": "csrapproving",
    "certificatesigningrequest-cleaner-controller": "csrcleaner",
    "certificatesigningrequest-signing-controller": "csrsigning",
    "cloud-node-lifecycle-controller": "cloud-node-lifecycle",
    "clusterrole-aggregation-controller": "clusterrole-aggregation",
    "cronjob-controller": "cronjob",
    "daemonset-controller": "daemonset",
    "deployment-controller": "deployment",
    "device-taint-eviction-controller": "",
    "disruption-controller": "disruption",
    "endpoints-controller": "endpoint",
    "endpointslice-controller": "endpointslice",
    "endpointslice-mirroring-controller": "endpointslicemirroring",
    "ephemeral-volume-controller": "ephemeral-volume",
    "garbage-collector-controller": "garbagecollector",
    "horizontal-pod-autoscaler-controller": "horizontalpodautoscaling",
    "job-controller": "job",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller": "",
    "legacy-serviceaccount-token-cleaner-controller": "legacy-service-account-token-cleaner",
    "namespace-controller": "namespace",
    "node-ipam-controller": "nodeipam",
    "node-lifecycle-controller": "nodelifecycle",
    "node-route-controller": "route",
    "persistentvolume-attach-detach-controller": "attachdetach",
    "persistentvolume-binder-controller": "persistentvolume-binder",
    "persistentvolume-expander-controller": "persistentvolume-expander",
    "persistentvolume-protection-controller": "pv-protection",
    "persistentvolumeclaim-protection-controller": "pvc-protection",
    "pod-garbage-collector-controller": "podgc",
    "podcertificaterequest-cleaner-controller": "",
    "podgroup-protection-controller": "",
    "replicaset-controller": "replicaset",
    "replicationcontroller-controller": "replicationcontroller",
    "resourceclaim-controller": "resource-claim-controller",
    "resourcepoolstatusrequest-controller": "",
    "resourcequota-controller": "resourcequota",
    "root-ca-certificate-publisher-controller": "root-ca-cert-publisher",
    "selinux-warning-controller": "",
    "service-ca-certificate-publisher-controller": "service-ca-cert-publisher",
    "service-cidr-controller": "",
    "service-lb-controller": "service",
    "serviceaccount-controller": "serviceaccount",
    "serviceaccount-token-controller": "serviceaccount-token",
    "statefulset-controller": "statefulset",
    "storage-version-migrator-controller": "svm",
    "storageversion-garbage-collector-controller": "storage-version-gc",
    "taint-eviction-controller": "",
    "token-cleaner-controller": "tokencleaner",
    "ttl-after-finished-controller": "ttl-after-finished",
    "ttl-controller": "ttl",
    "validatingadmissionpolicy-status-controller": "",
    "volumeattributesclass-protection-controller": "",
}
"""Upstream's controllers that are not here, each with its other name. A row leaves when its `Entry` comes."""


def known_names() -> list[str]:
    """The names of the controllers that there are, sorted."""
    return sorted(entry.name for entry in CONTROLLERS)


def chosen(wanted: Sequence[str], entries: Iterable[Entry] = CONTROLLERS) -> list[Entry]:
    """The controllers that `--controllers` asks for; the first word that speaks of one decides."""
    return [entry for entry in entries if _is_on(entry, wanted)]


def _is_on(entry: Entry, wanted: Sequence[str]) -> bool:
    names = {entry.name, *entry.aliases}
    for word in wanted:
        if word in names:
            return True
        if word.startswith("-") and word[1:] in names:
            return False
    return "*" in wanted and entry.on


def check_names(wanted: Sequence[str]) -> None:
    """Raise ValueError for words of `--controllers` that name no controller, or ask for one that is not here."""
    here = {name for entry in CONTROLLERS for name in (entry.name, *entry.aliases)}
    elsewhere = {*ABSENT, *filter(None, ABSENT.values())}
    for word in wanted:
        name = word.removeprefix("-")
        if word == "*" or name in here:
            continue
        if name not in elsewhere:
            raise ValueError(f'"{name}" is not in the list of known controllers; there are {", ".join(known_names())}')
        if name == word:
            raise ValueError(f'the controller "{name}" is not among those of this server, so it cannot be asked for')
