"""Who sent a request: client certificates, static tokens, tokens of service accounts, or nobody in particular."""

from hyperkube_apiserver.authn.authenticator import Authenticator, TokenReview, ignored_credentials_warning
from hyperkube_apiserver.authn.bootstraptokens import BootstrapTokens
from hyperkube_apiserver.authn.jwt import KeySet, TokenError
from hyperkube_apiserver.authn.keys import KeyFileError, PublicKey, SigningKey
from hyperkube_apiserver.authn.serviceaccounts import ServiceAccountTokens
from hyperkube_apiserver.authn.tokens import StaticTokens, TokenFileError
from hyperkube_machinery.clientcertificates import CertificateIdentity, identify
from hyperkube_machinery.identity import (
    ANONYMOUS,
    AUTHENTICATED,
    MASTERS,
    SERVER,
    UNAUTHENTICATED,
    Identity,
    service_account_groups,
    split_service_account,
)

__all__ = [
    "ANONYMOUS",
    "AUTHENTICATED",
    "MASTERS",
    "SERVER",
    "UNAUTHENTICATED",
    "Authenticator",
    "BootstrapTokens",
    "CertificateIdentity",
    "Identity",
    "KeyFileError",
    "KeySet",
    "PublicKey",
    "ServiceAccountTokens",
    "SigningKey",
    "StaticTokens",
    "TokenError",
    "TokenFileError",
    "TokenReview",
    "identify",
    "ignored_credentials_warning",
    "service_account_groups",
    "split_service_account",
]
