"""The servers of km: those of hk under its own name, with its own defaults.

Source: k8s.io/kubernetes/contrib/mesos/cmd/km of release 1.2
"""

from __future__ import annotations

from collections.abc import Iterable

from hyperkube_core import Description, derive, hookimpl


@hookimpl
def hyperkube_servers() -> Iterable[Description]:
    """The servers that this plugin offers to `km`."""
    return (
        derive(
            "apiserver",
            name="apiserver",
            long="The main API entrypoint and interface to the storage system. The API server is also the focal point"
            " for all authorization decisions.",
        ),
        derive(
            "controller-manager",
            name="controller-manager",
            long="Brings the cluster's state to what is declared: its controllers look after replicas, the endpoints"
            " of services, and nodes.",
        ),
        derive(
            "proxy",
            name="proxy",
            long="Runs on each node, and takes what is sent to services on to one of their pods.",
            # A minion was anybody's process on a machine of Mesos', which had no say in the rules of the kernel.
            defaults={"proxy_mode": "userspace"},
        ),
    )
