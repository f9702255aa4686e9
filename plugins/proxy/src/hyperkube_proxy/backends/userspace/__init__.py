"""Services by relays in this process: works wherever a socket can be opened."""

from hyperkube_proxy.backends.userspace.addresses import LocalAddresses
from hyperkube_proxy.backends.userspace.backend import UserspaceBackend

__all__ = ["LocalAddresses", "UserspaceBackend"]
