"""Where objects live, as the API sees it: the key space is that of `hyperkube_machinery.storage`."""
