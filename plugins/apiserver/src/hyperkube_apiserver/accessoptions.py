"""The options that say who is let in by whom, and who decides what they may do, beside the server's own means.

Names, meanings and defaults are kube-apiserver's.
Source: k8s.io/kubernetes/pkg/kubeapiserver/options, k8s.io/apiserver/pkg/server/options.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hyperkube_apiserver.tlsterms import CIPHER_SUITES, MINIMUM_VERSIONS, check_curves, parse_named
from hyperkube_core import SettingsError, flag

__all__ = ["AUTHORIZATION_MODES", "AccessOptions", "check_access", "split_pair"]

AUTHORIZATION_MODES = ("Node", "RBAC", "Webhook", "ABAC", "AlwaysAllow", "AlwaysDeny")
DEFAULT_MODES = ("Node", "RBAC")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_OIDC_ALGORITHMS = tuple(f"{family}{size}" for family in ("RS", "ES", "PS") for size in (256, 384, 512))


def _check_modes(modes: tuple[str, ...]) -> None:
    for mode in modes:
        if mode not in AUTHORIZATION_MODES:
            raise ValueError(f'"{mode}" is not an authorization mode; there are {", ".join(AUTHORIZATION_MODES)}')
    if not modes or len(set(modes)) != len(modes):
        raise ValueError(f'"{",".join(modes)}" does not name one mode or several different ones')


def _check_issuer(url: str) -> None:
    if url and urlsplit(url).scheme != "https":
        raise ValueError(f'"{url}" does not begin with https://')


def _check_algorithms(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in _OIDC_ALGORITHMS:
            raise ValueError(f'"{name}" is not an algorithm of signatures; there are {", ".join(_OIDC_ALGORITHMS)}')


def split_pair(text: str) -> tuple[str, str]:
    """Name and value of `name=value`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f'"{text}" is not a claim and its value: say claim=value')
    return name.strip(), value.strip()


def _check_pairs(pairs: tuple[str, ...]) -> None:
    for pair in pairs:
        split_pair(pair)


def _check_suites(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in CIPHER_SUITES:
            raise ValueError(f"Cipher suite {name} not supported or doesn't exist")


def _check_named(texts: tuple[str, ...]) -> None:
    for text in texts:
        parse_named(text)


def _check_directives(directives: tuple[str, ...]) -> None:
    """Raise ValueError for what can't stand in a Strict-Transport-Security header."""
    for directive in directives:
        name, equals, seconds = directive.partition("=")
        if name == "max-age" and equals and seconds.isdecimal():
            continue
        if directive not in ("includeSubDomains", "preload"):
            raise ValueError("invalid, allowed values: max-age=expireTime, includeSubDomains, preload")


def _check_origins(patterns: tuple[str, ...]) -> None:
    """Raise ValueError for what is no regular expression, or would match origins that merely contain another."""
    from hyperkube_machinery.patterns import compile_pattern  # few are given any

    for pattern in patterns:
        compile_pattern(pattern)
        if not ("^" in pattern or "//" in pattern) or not ("$" in pattern or ":" in pattern):
            why = "regular expression does not pin to start/end of host in the origin header"
            raise ValueError(f'"{pattern}": {why}')


def _check_headers(names: tuple[str, ...]) -> None:
    if not all(name.strip() for name in names):
        raise ValueError("a name in it is empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """What the server is told about those that it asks, or believes, about its clients."""

    authentication_config: Path | None = flag(
        None,
        section="Authentication",
        metavar="file",
        help="An AuthenticationConfiguration: issuers of tokens that are believed, and for which paths nobody has to"
        " say who he is. It is read again when it changes.",
    )
    authentication_token_webhook_config_file: Path | None = flag(
        None,
        section="Authentication",
        metavar="kubeconfig",
        help="A kubeconfig that says which webhook is asked about tokens that nobody else knows.",
    )
    authentication_token_webhook_version: str = flag(
        "v1beta1",
        section="Authentication",
        choices=_REVIEW_VERSIONS,
        metavar="version",
        help="The version of the TokenReviews that the webhook is sent.",
    )
    authentication_token_webhook_cache_ttl: float = flag(
        120.0,
        section="Authentication",
        kind="duration",
        minimum=0,
        help="How long the webhook's answers are remembered.",
    )

    oidc_issuer_url: str = flag(
        "",
        section="Authentication",
        check=_check_issuer,
        metavar="url",
        help="The OpenID Connect provider whose tokens are believed.",
    )
    oidc_client_id: str = flag(
        "", section="Authentication", metavar="name", help="Whom tokens of --oidc-issuer-url must be for."
    )
    oidc_ca_file: Path | None = flag(
        None,
        section="Authentication",
        metavar="file",
        help="Authorities that the provider's certificate is checked with. Without it those of the system count.",
    )
    oidc_username_claim: str = flag(
        "sub", section="Authentication", metavar="claim", help="The claim that is the name of the user."
    )
    oidc_username_prefix: str = flag(
        "",
        section="Authentication",
        metavar="text",
        help="What is put before names of users. Without it that is the issuer and a #, except for the claim email;"
        " - for nothing.",
    )
    oidc_groups_claim: str = flag(
        "", section="Authentication", metavar="claim", help="The claim that lists the groups of the user."
    )
    oidc_groups_prefix: str = flag(
        "", section="Authentication", metavar="text", help="What is put before names of groups."
    )
    oidc_required_claim: tuple[str, ...] = flag(
        (),
        section="Authentication",
        kind="array",
        check=_check_pairs,
        metavar="claim=value",
        help="A claim that tokens must have, with its value. May be given more than once.",
    )
    oidc_signing_algs: tuple[str, ...] = flag(
        ("RS256",),
        section="Authentication",
        check=_check_algorithms,
        metavar="names",
        help="The algorithms that tokens may be signed with.",
    )

    requestheader_client_ca_file: Path | None = flag(
        None,
        section="Authentication",
        metavar="file",
        help="Authorities of proxies that are believed what they say in headers of who their clients are. Without it"
        " nobody is.",
    )
    requestheader_allowed_names: tuple[str, ...] = flag(
        (),
        section="Authentication",
        check=_check_headers,
        metavar="names",
        help="The common names that certificates of such proxies may have. Without it they may have any.",
    )
    requestheader_username_headers: tuple[str, ...] = flag(
        (),
        section="Authentication",
        check=_check_headers,
        metavar="names",
        help="The headers that tell the user: the first of these that is there. X-Remote-User is common.",
    )
    requestheader_uid_headers: tuple[str, ...] = flag(
        (),
        section="Authentication",
        check=_check_headers,
        metavar="names",
        help="The headers that tell the user's UID. X-Remote-Uid is common.",
    )
    requestheader_group_headers: tuple[str, ...] = flag(
        (),
        section="Authentication",
        check=_check_headers,
        metavar="names",
        help="The headers that tell the user's groups. X-Remote-Group is common.",
    )
    requestheader_extra_headers_prefix: tuple[str, ...] = flag(
        (),
        section="Authentication",
        check=_check_headers,
        metavar="prefixes",
        help="What headers begin with that tell more about the user. X-Remote-Extra- is common.",
    )

    tls_min_version: str = flag(
        "",
        section="Serving",
        choices=tuple(MINIMUM_VERSIONS),
        metavar="version",
        help="The oldest version of TLS that is spoken: VersionTLS12 or VersionTLS13. Older ones than 1.2 never are.",
    )
    tls_cipher_suites: tuple[str, ...] = flag(
        (),
        section="Serving",
        check=_check_suites,
        metavar="names",
        help="The cipher suites of TLS 1.2 that are used, by Go's names. Those of TLS 1.3 can't be chosen.",
    )
    tls_curve_preferences: tuple[str, ...] = flag(
        (),
        section="Serving",
        check=check_curves,
        metavar="number",
        help="The curve that keys are exchanged on, by its number: 23, 24 or 25 for P-256, P-384 and P-521, 29 for"
        " X25519. Python can be told one alone; without it those count that OpenSSL prefers.",
    )
    tls_sni_cert_key: tuple[str, ...] = flag(
        (),
        section="Serving",
        kind="array",
        check=_check_named,
        metavar="certificate,key:names",
        help="A certificate, and its key, for clients that ask for one of the names, or of those in it where none is"
        " given. May be given more than once.",
    )
    strict_transport_security_directives: tuple[str, ...] = flag(
        (),
        section="Serving",
        check=_check_directives,
        metavar="directives",
        help="What browsers are told of coming by HTTPS alone: max-age=SECONDS, includeSubDomains, preload.",
    )
    cors_allowed_origins: tuple[str, ...] = flag(
        (),
        section="Serving",
        check=_check_origins,
        metavar="patterns",
        help="Regular expressions of the origins whose pages browsers may let use the server.",
    )

    authorization_mode: tuple[str, ...] = flag(
        DEFAULT_MODES,
        section="Authorization",
        check=_check_modes,
        metavar="modes",
        help="Who decides what a user may do, in order: Node, RBAC, Webhook, ABAC, AlwaysAllow, AlwaysDeny."
        " kube-apiserver allows everything unless told otherwise, this server asks Node and RBAC, as every installer"
        " has it.",
    )
    authorization_config: Path | None = flag(
        None,
        section="Authorization",
        metavar="file",
        help="An AuthorizationConfiguration, which says the same as --authorization-mode and what webhooks need. It is"
        " read again when it changes.",
    )
    authorization_policy_file: Path | None = flag(
        None, section="Authorization", metavar="file", help="The policies of the mode ABAC, one to a line."
    )
    authorization_webhook_config_file: Path | None = flag(
        None,
        section="Authorization",
        metavar="kubeconfig",
        help="A kubeconfig that says which webhook the mode Webhook asks.",
    )
    authorization_webhook_version: str = flag(
        "v1beta1",
        section="Authorization",
        choices=_REVIEW_VERSIONS,
        metavar="version",
        help="The version of the SubjectAccessReviews that the webhook is sent.",
    )
    authorization_webhook_cache_authorized_ttl: float = flag(
        300.0, section="Authorization", kind="duration", minimum=0, help="How long the webhook's yes is remembered."
    )
    authorization_webhook_cache_unauthorized_ttl: float = flag(
        30.0, section="Authorization", kind="duration", minimum=0, help="How long the webhook's no is remembered."
    )


def check_access(options: AccessOptions) -> None:
    """Raise SettingsError for flags that don't go together."""
    _check_oidc(options)
    _check_authorization(options)


def _check_oidc(options: AccessOptions) -> None:
    defaults = (None, "", ())
    given = [name for name in _OIDC if getattr(options, name) not in defaults]
    given += ["oidc_username_claim"] * (options.oidc_username_claim != "sub")
    given += ["oidc_signing_algs"] * (options.oidc_signing_algs != ("RS256",))
    if given and not (options.oidc_issuer_url and options.oidc_client_id):
        name = "oidc-client-id" if options.oidc_issuer_url else "oidc-issuer-url"
        raise _error(
            name, "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
        )
    if given and options.authentication_config is not None:
        raise _error("authentication-config", "authentication-config file and oidc-* flags are mutually exclusive")


_OIDC = (
    "oidc_issuer_url",
    "oidc_client_id",
    "oidc_ca_file",
    "oidc_username_prefix",
    "oidc_groups_claim",
    "oidc_groups_prefix",
    "oidc_required_claim",
)


def _check_authorization(options: AccessOptions) -> None:
    modes, webhook = options.authorization_mode, options.authorization_webhook_config_file
    if options.authorization_config is not None:
        if modes != DEFAULT_MODES or webhook is not None:
            why = "can not be specified when --authorization-mode or --authorization-webhook-* flags are defined"
            raise _error("authorization-config", why)
        return
    policies = options.authorization_policy_file
    needs = (
        ("ABAC" in modes, policies, "authorization-policy-file", "ABAC"),
        ("Webhook" in modes, webhook, "authorization-webhook-config-file", "Webhook"),
    )
    for wanted, file, name, mode in needs:
        if wanted and file is None:
            raise _error(name, f"the authorization mode {mode} needs it")
        if file is not None and not wanted:
            raise _error(name, f"cannot specify --{name} without mode {mode}")


def _error(name: str, why: str) -> SettingsError:
    return SettingsError(name, f"flag --{name}", why)
