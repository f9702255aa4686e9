"""As whom webhooks of admission are called: the users of a kubeconfig are named by the servers that they are for.

Source: k8s.io/apiserver/pkg/util/webhook/authentication.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hyperkube_machinery.client.credentials import Credentials
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.kubeconfig import KubeconfigError
from hyperkube_machinery.kubeconfig.reading import Config, parse

__all__ = ["Identities", "names_of"]

_HTTPS = ":443"


def names_of(target: str) -> Iterator[str]:
    """The users that may be meant for `host:port`, the most particular first: by the host, by its domains, by all."""
    yield from _by_domain(target)
    if target.endswith(_HTTPS):
        yield from _by_domain(target.removesuffix(_HTTPS))
    yield "*"


def _by_domain(target: str) -> Iterator[str]:
    yield target
    steps = target.split(".")
    for index in range(1, len(steps)):
        yield "*." + ".".join(steps[index:])


class Identities:
    """Knows the credentials for each server."""

    def __init__(self, config: Config, clock: Clock) -> None:
        """Raises KubeconfigError for a user that can't be used: it is to be known before somebody is called."""
        self._clock = clock
        self._current = config.current_user
        self._users = {name: Credentials(config.identity(name), clock) for name in config.users}

    @classmethod
    def read(cls, path: Path, clock: Clock) -> Identities:
        """Those of a kubeconfig. Raises KubeconfigError."""
        if not path.is_absolute():
            raise KubeconfigError(f"{path}: must be an absolute file path")
        return cls(parse(path), clock)

    def of(self, target: str) -> Credentials | None:
        """The credentials for `host:port`; None: it is called as nobody."""
        for name in (*names_of(target), self._current):
            if name in self._users:
                return self._users[name]
        return None
