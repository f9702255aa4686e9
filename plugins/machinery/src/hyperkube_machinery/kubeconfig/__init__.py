"""Kubeconfigs: where a cluster is and who one is there.

    load(path, master=…) ─┬→ read(path): one file
                          ├→ the files of KUBECONFIG, merged, or ~/.kube/config
                          └→ in_cluster(): what a pod finds
                                └─→ Access ─→ client.connect

Source: k8s.io/client-go/tools/clientcmd
"""

from hyperkube_machinery.kubeconfig.access import Access, ExecCommand, Impersonation, KubeconfigError
from hyperkube_machinery.kubeconfig.choosing import in_cluster, load, of_flags
from hyperkube_machinery.kubeconfig.reading import read
from hyperkube_machinery.kubeconfig.writing import write

__all__ = [
    "Access",
    "ExecCommand",
    "Impersonation",
    "KubeconfigError",
    "in_cluster",
    "load",
    "of_flags",
    "read",
    "write",
]
