"""From what flags and files say of access to the terms of an API; files that may change are read again.

What only few servers are given, such as issuers of tokens and webhooks, is imported where it is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hyperkube_apiserver.access import Access, Terms
from hyperkube_apiserver.accessoptions import split_pair
from hyperkube_apiserver.authn import StaticTokens
from hyperkube_apiserver.authn.authenticator import Anonymity, TokenAuthenticator
from hyperkube_apiserver.bootstrap import TrustedProxies
from hyperkube_apiserver.handlers.tokens import Issuer
from hyperkube_apiserver.issuance import open_keys
from hyperkube_core import SettingsError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.kubeconfig import KubeconfigError
from hyperkube_machinery.tls import CertificateError

if TYPE_CHECKING:
    from hyperkube_apiserver.authn.frontproxy import FrontProxy
    from hyperkube_apiserver.authn.oidc.terms import IssuerTerms
    from hyperkube_apiserver.authz import ReviewingAuthorizer
    from hyperkube_apiserver.authz.configuration import Mode, WebhookMode
    from hyperkube_apiserver.authz.metrics import AccessMetrics
    from hyperkube_apiserver.handlers.connect.targets import KubeletTerms
    from hyperkube_apiserver.options import Options
    from hyperkube_apiserver.servingtls import ServingTLS

__all__ = ["keep_read", "open_terms", "trusted_proxies"]

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at whether the configurations have changed."""
_REVIEW_SECONDS = 30.0
_REVIEWS = "/apis/authorization.k8s.io"
_MODES: tuple[Mode, ...] = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
_NO_PREFIX = "-"


def open_terms(
    options: Options, clock: Clock, kubelets: KubeletTerms, tls: ServingTLS, metrics: AccessMetrics
) -> Terms:
    """Whom the server lets in, and who decides what they may do. Raises SettingsError, which names the flag."""
    files = [Path(path) for path in options.service_account_key_file]
    key, keys = open_keys(options.data_dir / "pki", options.service_account_signing_key_file, files)
    issuer = Issuer(
        name=options.service_account_issuer[0],
        key=key,
        audiences=options.api_audiences or options.service_account_issuer[:1],
        longest_seconds=int(options.service_account_max_token_expiration),
        extends=options.service_account_extend_token_expiration,
    )
    believed = _read_believed(options, clock, metrics)
    proxies = options.requestheader_client_ca_file is not None
    return Terms(
        issuer=issuer,
        keys=keys,
        issuers=options.service_account_issuer[1:],
        looks_up_kept=options.service_account_lookup,
        static=StaticTokens.load(options.token_auth_file) if options.token_auth_file is not None else None,
        bootstrap=options.enable_bootstrap_token_auth,
        others=believed.others,
        anonymity=believed.anonymity,
        proxy=_proxy(options, tls) if proxies else None,
        users=tls.users if proxies else None,
        modes=_read_modes(options, clock, metrics),
        kubelets=kubelets,
    )


async def keep_read(options: Options, clock: Clock, access: Access, metrics: AccessMetrics) -> NoReturn:
    """Take over what changes in the files of configurations, until cancelled.

    What can't be used is logged, and what was there stays.
    """
    watched = {
        "authentication-config": options.authentication_config,
        "authorization-config": options.authorization_config,
    }
    seen = {name: _content(file) for name, file in watched.items() if file is not None}
    while True:
        await clock.sleep(LOOK_SECONDS)
        for name, before in seen.items():
            content = _content(watched[name])
            if content == before or not content:  # it may be in the middle of being replaced
                continue
            seen[name] = content
            try:
                if name == "authentication-config":
                    believed = _read_believed(options, clock, metrics)
                    access.authenticator.others, access.authenticator.anonymity = believed.others, believed.anonymity
                else:
                    access.modes.change(_read_modes(options, clock, metrics))
            except SettingsError as exc:
                log.error("what --%s said before stays: %s", name, exc)
                metrics.reloaded(name.removesuffix("-config"), well=False)
            else:
                log.info("what --%s says has changed, and counts from now on", name)
                metrics.reloaded(name.removesuffix("-config"), well=True)


def trusted_proxies(options: Options, tls: ServingTLS, own: tuple[str, Sequence[str]]) -> TrustedProxies | None:
    """The proxies that servers beside this one are told of: those of the flags, and this server itself.

    `own` are the authority of the certificate that it shows them (PEM), and the names that this may have.
    """
    pem, names = own
    if options.requestheader_client_ca_file is None:
        return TrustedProxies(pem=pem, allowed_names=tuple(names)) if pem else None
    allowed = options.requestheader_allowed_names
    return TrustedProxies(
        pem=tls.proxy_pem.decode("ascii", "ignore") + pem,
        allowed_names=(*allowed, *names) if allowed else (),  # none stands for any
        user_headers=options.requestheader_username_headers,
        uid_headers=options.requestheader_uid_headers,
        group_headers=options.requestheader_group_headers,
        extra_prefixes=options.requestheader_extra_headers_prefix,
    )


def _content(file: Path | None) -> bytes:
    try:
        return file.read_bytes() if file is not None else b""
    except OSError:
        return b""


# Authentication


@dataclass(frozen=True, slots=True)
class _Believed:
    others: tuple[TokenAuthenticator, ...]
    anonymity: Anonymity


def _read_believed(options: Options, clock: Clock, metrics: AccessMetrics) -> _Believed:
    """Who knows tokens beside the server itself, and who need not have one."""
    audiences = options.api_audiences or options.service_account_issuer[:1]
    issuers: Sequence[IssuerTerms] = ()
    anonymity = Anonymity(options.anonymous_auth)
    if options.authentication_config is not None:
        from hyperkube_apiserver.authn.configuration import read_authentication
        from hyperkube_apiserver.configfiles import ConfigFileError

        try:
            settings = read_authentication(
                options.authentication_config, own_issuers=frozenset(options.service_account_issuer)
            )
        except ConfigFileError as exc:
            raise _blamed("authentication-config", exc) from exc
        issuers = settings.issuers
        if settings.anonymity is not None:
            if not options.anonymous_auth:
                why = "--anonymous-auth cannot be set where the file says who may be anonymous"
                raise SettingsError("anonymous-auth", "flag --anonymous-auth", why)
            anonymity = settings.anonymity
    elif options.oidc_issuer_url:
        issuers = [_issuer_of_flags(options)]
    others = [_tokens_of(terms, clock, audiences, metrics) for terms in issuers]
    if options.authentication_token_webhook_config_file is not None:
        others.append(_webhook_tokens(options, clock, audiences))
    if anonymity.allowed and "AlwaysAllow" in options.authorization_mode:
        log.warning("anonymous requests are refused, because --authorization-mode has AlwaysAllow")
        anonymity = Anonymity(False)
    return _Believed(tuple(others), anonymity)


def _issuer_of_flags(options: Options) -> IssuerTerms:
    from hyperkube_apiserver.authn.oidc.terms import ClaimMapping, IssuerTerms

    claim, prefix = options.oidc_username_claim, options.oidc_username_prefix
    if not prefix and claim != "email":
        prefix = f"{options.oidc_issuer_url}#"
    ca_pem = None
    if options.oidc_ca_file is not None:
        try:
            ca_pem = options.oidc_ca_file.read_bytes()
        except OSError as exc:
            raise _blamed("oidc-ca-file", f"{options.oidc_ca_file}: cannot read it: {exc.strerror}") from exc
    return IssuerTerms(
        url=options.oidc_issuer_url,
        audiences=(options.oidc_client_id,),
        ca_pem=ca_pem,
        algorithms=frozenset(options.oidc_signing_algs),
        username=ClaimMapping(claim=claim, prefix="" if prefix == _NO_PREFIX else prefix),
        groups=ClaimMapping(claim=options.oidc_groups_claim, prefix=options.oidc_groups_prefix),
        required=dict(map(split_pair, options.oidc_required_claim)),
    )


def _tokens_of(
    terms: IssuerTerms, clock: Clock, audiences: Sequence[str], metrics: AccessMetrics
) -> TokenAuthenticator:
    from hyperkube_apiserver.authn.oidc.distributed import DistributedClaim
    from hyperkube_apiserver.authn.oidc.fetching import Fetcher
    from hyperkube_apiserver.authn.oidc.provider import Provider
    from hyperkube_apiserver.authn.oidc.tokens import IssuedTokens

    try:
        fetch = Fetcher(terms.ca_pem, clock)
    except (CertificateError, UnicodeDecodeError) as exc:
        raise _blamed("oidc-ca-file", exc) from exc
    provider = Provider(terms.url, fetch, clock, discovery_url=terms.discovery_url)
    groups = DistributedClaim(claim, terms, provider, fetch, clock) if (claim := terms.groups.claim) else None
    observe = metrics.issuer(terms.url)
    return IssuedTokens(terms, provider, clock, audiences=audiences, groups=groups, observe=observe)


def _webhook_tokens(options: Options, clock: Clock, audiences: Sequence[str]) -> TokenAuthenticator:
    from hyperkube_apiserver.authn.webhook import WebhookTokens
    from hyperkube_apiserver.webhooks.kubeconfigs import KubeconfigWebhook

    file, name = options.authentication_token_webhook_config_file, "authentication-token-webhook-config-file"
    assert file is not None
    try:
        webhook = KubeconfigWebhook.read(file, clock, timeout_seconds=_REVIEW_SECONDS)
    except (KubeconfigError, CertificateError) as exc:
        raise _blamed(name, exc) from exc
    return WebhookTokens(
        webhook.ask,
        clock,
        version="v1" if options.authentication_token_webhook_version == "v1" else "v1beta1",
        audiences=audiences,
        remembered_seconds=options.authentication_token_webhook_cache_ttl,
    )


def _proxy(options: Options, tls: ServingTLS) -> FrontProxy:
    from hyperkube_apiserver.authn.frontproxy import FrontProxy, FrontProxyTerms

    def lower(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name.strip().lower() for name in names)

    return FrontProxy(
        FrontProxyTerms(
            authorities=tls.proxies,
            allowed_names=frozenset(options.requestheader_allowed_names),
            user_headers=lower(options.requestheader_username_headers),
            uid_headers=lower(options.requestheader_uid_headers),
            group_headers=lower(options.requestheader_group_headers),
            extra_prefixes=lower(options.requestheader_extra_headers_prefix),
        )
    )


# Authorization


def _read_modes(options: Options, clock: Clock, metrics: AccessMetrics) -> list[str | ReviewingAuthorizer]:
    """Who decides, in order."""
    file = options.authorization_config
    if file is None:
        return [_mode_of_flags(mode, options, clock, metrics) for mode in options.authorization_mode]
    from hyperkube_apiserver.authz.configuration import read_authorization
    from hyperkube_apiserver.configfiles import ConfigFileError

    try:
        found = read_authorization(file, known=_MODES)
        return [mode if webhook is None else _webhook_authorizer(webhook, clock, metrics) for mode, webhook in found]
    except (ConfigFileError, KubeconfigError, CertificateError) as exc:
        raise _blamed("authorization-config", exc) from exc


def _mode_of_flags(mode: str, options: Options, clock: Clock, metrics: AccessMetrics) -> str | ReviewingAuthorizer:
    if mode == "ABAC":
        from hyperkube_apiserver.authz.abac import ABAC, PolicyFileError

        assert options.authorization_policy_file is not None
        try:
            return ABAC.load(options.authorization_policy_file)
        except PolicyFileError as exc:
            raise _blamed("authorization-policy-file", exc) from exc
    if mode == "Webhook":
        from hyperkube_apiserver.authz.configuration import WebhookMode
        from hyperkube_apiserver.authz.webhook import WebhookTerms

        terms = WebhookTerms(
            version="v1" if options.authorization_webhook_version == "v1" else "v1beta1",
            allowed_seconds=options.authorization_webhook_cache_authorized_ttl,
            refused_seconds=options.authorization_webhook_cache_unauthorized_ttl,
        )
        file = options.authorization_webhook_config_file
        try:
            return _webhook_authorizer(
                WebhookMode(kubeconfig=file, timeout_seconds=_REVIEW_SECONDS, terms=terms), clock, metrics
            )
        except (KubeconfigError, CertificateError) as exc:
            raise _blamed("authorization-webhook-config-file", exc) from exc
    return mode


def _webhook_authorizer(mode: WebhookMode, clock: Clock, metrics: AccessMetrics) -> ReviewingAuthorizer:
    from hyperkube_apiserver.authz.webhook import WebhookAuthorizer
    from hyperkube_apiserver.webhooks.kubeconfigs import KubeconfigWebhook
    from hyperkube_machinery.kubeconfig import in_cluster, read

    if mode.kubeconfig is None:
        access = in_cluster()
        access = replace(access, server=f"{access.server}{_REVIEWS}/{mode.terms.version}/subjectaccessreviews")
    else:
        access = read(mode.kubeconfig)
    webhook = KubeconfigWebhook(access, clock, timeout_seconds=mode.timeout_seconds, says_timeout=True)
    return WebhookAuthorizer(webhook.ask, clock, mode.terms, mode.matches, metrics.webhook(mode.name))


def _blamed(name: str, why: object) -> SettingsError:
    return SettingsError(name, f"flag --{name}", str(why))
