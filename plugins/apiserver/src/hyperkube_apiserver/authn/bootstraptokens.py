"""Bootstrap tokens, by which machines that are to be nodes ask for their first certificate.

Source: k8s.io/kubernetes/plugin/pkg/auth/authenticator/token/bootstrap.
"""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING, Any

from hyperkube_machinery import meta
from hyperkube_machinery.bootstraptokens import (
    NAMESPACE,
    PREFIX,
    TYPE,
    USER_PREFIX,
    is_bootstrap_token,
    read_token,
    split_token,
)
from hyperkube_machinery.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hyperkube_machinery.clock import Clock

__all__ = ["BootstrapTokens"]

log = logging.getLogger(__name__)


class BootstrapTokens:
    """Whom each token stands for."""

    def __init__(self, find_secret: Callable[[str, str], Mapping[str, Any] | None], clock: Clock) -> None:
        """`find_secret` tells of the secret of a namespace and name, whole."""
        self._find_secret = find_secret
        self._clock = clock

    def find(self, token: str) -> Identity | None:
        """The user whom `token` stands for."""
        parts = split_token(token)
        if parts is None:
            return None
        token_id, token_secret = parts
        name = f"{PREFIX}{token_id}"
        secret = self._find_secret(NAMESPACE, name)
        why = "there is no such secret" if secret is None else ""
        if secret is not None:
            told = read_token(secret)
            if meta.deletion_timestamp(secret) is not None:
                why = "it is deleted and awaiting removal"
            elif not is_bootstrap_token(secret):
                why = f"it has an invalid type, expected {TYPE}"
            elif not hmac.compare_digest(told.secret.encode(), token_secret.encode()):
                why = "it has another token-secret"
            elif told.id != token_id:
                why = "it has another token-id"
            elif told.expired(self._clock.now()):
                why = "it has expired"
            elif not told.may_authenticate:
                why = "it is not marked usage-bootstrap-authentication=true"
            elif told.groups is None:
                why = "it has invalid auth-extra-groups"
            else:
                return Identity(f"{USER_PREFIX}{token_id}", groups=told.groups).authenticated()
        log.info("a bootstrap token is refused: secret %s/%s: %s", NAMESPACE, name, why)
        return None
