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
    boost: float = 1.0  # how many times --kube-api-qps it may send
    on: bool = True  # unless --controllers says otherwise

    @property
    def source(self) -> str:
        """What stands in its events as their component."""
        return self.component or self.name


_HOME = "hyperkube_controller_manager.controllers"

CONTROLLERS: tuple[Entry, ...] = (
    Entry(
        name="namespace-controller",
        aliases=("namespace",),
        target=f"{_HOME}.namespace:run",
        summary="Empties namespaces that are deleted.",
        account="namespace-controller",
        boost=20.0,
    ),
    Entry(
        name="serviceaccount-controller",
        aliases=("serviceaccount",),
        target=f"{_HOME}.serviceaccount:run",
        summary="Gives each namespace its service account `default`.",
        account="service-account-controller",
    ),
    Entry(
        name="root-ca-certificate-publisher-controller",
        aliases=("root-ca-cert-publisher",),
        target=f"{_HOME}.rootca:run",
        summary="Puts the authorities of the API server into each namespace.",
        account="root-ca-cert-publisher",
    ),
    Entry(
        name="garbage-collector-controller",
        aliases=("garbagecollector",),
        target=f"{_HOME}.garbagecollector:run",
        summary="Deletes objects whose owners are gone.",
        account="generic-garbage-collector",
        boost=2.0,
    ),
    Entry(
        name="node-lifecycle-controller",
        aliases=("nodelifecycle",),
        target=f"{_HOME}.nodelifecycle:run",
        summary="Marks and taints nodes that are not heard of.",
        account="node-controller",
        component="node-controller",
    ),
    Entry(
        name="taint-eviction-controller",
        target=f"{_HOME}.tainteviction:run",
        summary="Has pods leave nodes whose taints they do not tolerate.",
        account="node-controller",
    ),
    Entry(
        name="node-ipam-controller",
        aliases=("nodeipam",),
        target=f"{_HOME}.nodeipam:run",
        summary="Gives nodes ranges of pod addresses, with --allocate-node-cidrs.",
        account="node-controller",
        component="cidrAllocator",
    ),
    Entry(
        name="pod-garbage-collector-controller",
        aliases=("podgc",),
        target=f"{_HOME}.podgc:run",
        summary="Deletes pods that have ended, if they are too many, and those of nodes that are gone.",
        account="pod-garbage-collector",
    ),
    Entry(
        name="endpoints-controller",
        aliases=("endpoint",),
        target=f"{_HOME}.endpoints:run",
        summary="Keeps the Endpoints of services up to date.",
        account="endpoint-controller",
        component="endpoint-controller",
    ),
    Entry(
        name="endpointslice-controller",
        aliases=("endpointslice",),
        target=f"{_HOME}.endpointslice:run",
        summary="Keeps the EndpointSlices of services up to date.",
        account="endpointslice-controller",
        component="endpoint-slice-controller",
    ),
    Entry(
        name="daemonset-controller",
        aliases=("daemonset",),
        target=f"{_HOME}.daemonset:run",
        summary="Keeps a pod of each daemon set on each node that fits.",
        account="daemon-set-controller",
    ),
    Entry(
        name="statefulset-controller",
        aliases=("statefulset",),
        target=f"{_HOME}.statefulset:run",
        summary="Keeps the numbered pods of stateful sets, and what they have stored.",
        account="statefulset-controller",
    ),
    Entry(
        name="job-controller",
        aliases=("job",),
        target=f"{_HOME}.job:run",
        summary="Runs the pods of jobs until they have done their work.",
        account="job-controller",
    ),
    Entry(
        name="cronjob-controller",
        aliases=("cronjob",),
        target=f"{_HOME}.cronjob:run",
        summary="Makes the jobs of cron jobs when their schedules are due.",
        account="cronjob-controller",
    ),
    Entry(
        name="deployment-controller",
        aliases=("deployment",),
        target=f"{_HOME}.deployment:run",
        summary="Brings deployments from one version of their template to the next.",
        account="deployment-controller",
    ),
    Entry(
        name="replicationcontroller-controller",
        aliases=("replicationcontroller",),
        target=f"{_HOME}.replicationcontroller:run",
        summary="Keeps as many pods of each replication controller as are asked for.",
        account="replication-controller",
        component="replication-controller",
    ),
    Entry(
        name="replicaset-controller",
        aliases=("replicaset",),
        target=f"{_HOME}.replicaset:run",
        summary="Keeps as many pods of each replica set as are asked for.",
        account="replicaset-controller",
    ),
    Entry(
        name="resourcequota-controller",
        aliases=("resourcequota",),
        target=f"{_HOME}.resourcequota:run",
        summary="Counts what is used of quotas.",
        account="resourcequota-controller",
    ),
    Entry(
        name="ttl-after-finished-controller",
        aliases=("ttl-after-finished",),
        target=f"{_HOME}.ttlafterfinished:run",
        summary="Deletes finished jobs once they have had the time that they ask for.",
        account="ttl-after-finished-controller",
    ),
    Entry(
        name="persistentvolumeclaim-protection-controller",
        aliases=("pvc-protection",),
        target=f"{_HOME}.storageprotection:run_claims",
        summary="Keeps claims that pods use from going.",
        account="pvc-protection-controller",
    ),
    Entry(
        name="persistentvolume-protection-controller",
        aliases=("pv-protection",),
        target=f"{_HOME}.storageprotection:run_volumes",
        summary="Keeps volumes that claims have from going.",
        account="pv-protection-controller",
    ),
    Entry(
        name="volumeattributesclass-protection-controller",
        target=f"{_HOME}.storageprotection:run_classes",
        summary="Keeps VolumeAttributesClasses that are in use from going.",
        account="volumeattributesclass-protection-controller",
    ),
    Entry(
        name="disruption-controller",
        aliases=("disruption",),
        target=f"{_HOME}.disruption:run",
        summary="Counts disruption budgets, so that evictions are granted or refused.",
        account="disruption-controller",
        component="controllermanager",
    ),
    Entry(
        name="certificatesigningrequest-signing-controller",
        aliases=("csrsigning",),
        target=f"{_HOME}.csrsigning:run",
        summary="Signs the certificates that were approved.",
        account="certificate-controller",
    ),
    Entry(
        name="certificatesigningrequest-approving-controller",
        aliases=("csrapproving",),
        target=f"{_HOME}.csrapproving:run",
        summary="Approves the client certificates of kubelets, for who may have them.",
        account="certificate-controller",
    ),
    Entry(
        name="certificatesigningrequest-cleaner-controller",
        aliases=("csrcleaner",),
        target=f"{_HOME}.csrcleaner:run",
        summary="Deletes requests for certificates that are done with.",
        account="certificate-controller",
    ),
    Entry(
        name="bootstrap-signer-controller",
        aliases=("bootstrapsigner",),
        target=f"{_HOME}.bootstrapsigner:run",
        summary="Signs the cluster's address and authority with bootstrap tokens.",
        account="bootstrap-signer",
        on=False,
    ),
    Entry(
        name="token-cleaner-controller",
        aliases=("tokencleaner",),
        target=f"{_HOME}.tokencleaner:run",
        summary="Deletes bootstrap tokens whose time is over.",
        account="token-cleaner",
        on=False,
    ),
    Entry(
        name="validatingadmissionpolicy-status-controller",
        target=f"{_HOME}.policystatus:run",
        summary="Tells what is doubtful about the expressions of validating admission policies.",
        account="validatingadmissionpolicy-status-controller",
    ),
)
"""Every controller that there is, in the order in which they are begun."""

ABSENT: Mapping[str, str] = {
    "cloud-node-lifecycle-controller": "cloud-node-lifecycle",
    "clusterrole-aggregation-controller": "clusterrole-aggregation",
    "device-taint-eviction-controller": "",
    "endpointslice-mirroring-controller": "endpointslicemirroring",
    "ephemeral-volume-controller": "ephemeral-volume",
    "horizontal-pod-autoscaler-controller": "horizontalpodautoscaling",
    "kube-apiserver-serving-clustertrustbundle-publisher-controller": "",
    "legacy-serviceaccount-token-cleaner-controller": "legacy-service-account-token-cleaner",
    "node-route-controller": "route",
    "persistentvolume-attach-detach-controller": "attachdetach",
    "persistentvolume-binder-controller": "persistentvolume-binder",
    "persistentvolume-expander-controller": "persistentvolume-expander",
    "podcertificaterequest-cleaner-controller": "",
    "podgroup-protection-controller": "",
    "resourceclaim-controller": "resource-claim-controller",
    "resourcepoolstatusrequest-controller": "",
    "selinux-warning-controller": "",
    "service-cidr-controller": "",
    "service-lb-controller": "service",
    "serviceaccount-token-controller": "serviceaccount-token",
    "storage-version-migrator-controller": "svm",
    "storageversion-garbage-collector-controller": "storage-version-gc",
    "ttl-controller": "ttl",
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
