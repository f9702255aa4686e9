"""Services by rules in the kernel: connections go on without this process.

Source of the design, its names and its rules: k8s.io/kubernetes/pkg/proxy/nftables.
"""

from hyperkube_proxy.backends.nftables.backend import NFTablesBackend, cleanup, works
from hyperkube_proxy.backends.nftables.layout import Terms

__all__ = ["NFTablesBackend", "Terms", "cleanup", "works"]
