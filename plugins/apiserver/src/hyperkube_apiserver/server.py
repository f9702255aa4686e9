"""The server: what is opened, in which order, and closed in reverse.

data directory → store → socket → caches → bootstrap objects → certificates → serving → ready
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from hyperkube_apiserver.access import Access, Terms, open_access
from hyperkube_apiserver.accessterms import keep_read, open_terms, trusted_proxies
from hyperkube_apiserver.admission import AdmissionSettings
from hyperkube_apiserver.admission.configuration import ConfigurationError, read_configurations
from hyperkube_apiserver.admissionplugins import chosen
from hyperkube_apiserver.advertised import advertised_address
from hyperkube_apiserver.aggregation.frontproxy import (
    CLIENT_NAME,
    certificate_from_files,
    own_authority,
    own_certificate,
)
from hyperkube_apiserver.aggregation.keeping import keep_aggregated
from hyperkube_apiserver.aggregation.registration import keep_registered
from hyperkube_apiserver.assembly import API, Settings, assemble, follow_holdings, front_desk
from hyperkube_apiserver.authn import KeyFileError, TokenFileError
from hyperkube_apiserver.authz.metrics import AccessMetrics
from hyperkube_apiserver.definitionstatus import keep_settled
from hyperkube_apiserver.discovery import Discovery
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError, EncryptionTerms
from hyperkube_apiserver.handlers.connect.targets import KubeletTerms, trusting_anybody
from hyperkube_apiserver.handlers.nonresource import NonResource
from hyperkube_apiserver.handlers.router import Router
from hyperkube_apiserver.issuance import openid_documents
from hyperkube_apiserver.openapi import OpenAPI
from hyperkube_apiserver.operations.desk import Desk
from hyperkube_apiserver.operations.inflight import InFlight
from hyperkube_apiserver.operations.lifecycle import WATCHES_A_SECOND, Lifecycle, Shutdown, shut_down
from hyperkube_apiserver.ownconditions import keep_conditions
from hyperkube_apiserver.pipeline import Pipeline
from hyperkube_apiserver.pki import PKI, open_pki, serving_names, write_admin_kubeconfig
from hyperkube_apiserver.populate import keep_flow_control, populate, publish_authorities
from hyperkube_apiserver.registry.strategy import Policy
from hyperkube_apiserver.rolegathering import keep_gathered
from hyperkube_apiserver.servingtls import ServingTLS
from hyperkube_apiserver.storage.opening import EtcdTerms, EtcdUnusable, Opened, open_embedded, open_etcd
from hyperkube_apiserver.tlsterms import TLSTerms, parse_named
from hyperkube_apiserver.tokentracking import TokenUses, keep_tracked, publish_tracking
from hyperkube_apiserver.webhooks.routing import Routing
from hyperkube_core import SettingsError
from hyperkube_machinery.client.local import LocalServer
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.companions import companions as beside_block
from hyperkube_machinery.deadlines import within
from hyperkube_machinery.files import make_private_directory
from hyperkube_machinery.garbage import collecting_seldom
from hyperkube_machinery.podnetwork import AgentNetwork
from hyperkube_machinery.release import KUBERNETES
from hyperkube_machinery.serving.health import Check, Health
from hyperkube_machinery.serving.http import HTTPServer
from hyperkube_machinery.serving.listener import bind
from hyperkube_machinery.serving.messages import Handler
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.serving.process import measure_lag
from hyperkube_machinery.storage import Backend
from hyperkube_machinery.storage.backends import FILE_NAME
from hyperkube_machinery.storage.datadir import DataDirectoryError
from hyperkube_machinery.tls import CertificateError, admit_client, client_context

if TYPE_CHECKING:
    from hyperkube_apiserver.aggregation.backend import ProxyCertificate
    from hyperkube_apiserver.audit.auditor import AuditLog
    from hyperkube_apiserver.options import Options
    from hyperkube_core import Context

__all__ = ["serve"]

log = logging.getLogger(__name__)

BACKLOG = 1024
POPULATED = (
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/bootstrap-controller",
)
"""Upstream's names of what `populate` does."""


async def serve(context: Context[Options]) -> None:
    """Serve the Kubernetes API until cancelled. Raises SettingsError, which names the flag that keeps it from that."""
    options, clock = context.options, context.clock
    with _blamed_on_flags(), collecting_seldom() as started:
        async with _store(options, clock) as opened:
            await _serve(context, opened, started)


def _store(options: Options, clock: Clock) -> AbstractAsyncContextManager[Opened]:
    encryption = None
    if options.encryption_provider_config is not None:
        reloads = options.encryption_provider_config_automatic_reload
        encryption = EncryptionTerms(options.encryption_provider_config, reloads)
    if not options.etcd_servers:
        backend: Backend = "memory" if options.storage_backend == "memory" else "sqlite"
        return open_embedded(backend, options.data_dir, clock, encryption)
    terms = EtcdTerms(
        servers=options.etcd_servers,
        prefix=options.etcd_prefix,
        ca_file=options.etcd_cafile,
        certificate_file=options.etcd_certfile,
        key_file=options.etcd_keyfile,
        lease_reuse_seconds=options.lease_reuse_duration_seconds,
    )
    return open_etcd(terms, options.data_dir, clock, encryption)


async def _serve(context: Context[Options], opened: Opened, started: Callable[[], None]) -> None:
    options = context.options
    # Bound first, for the port stands in what is made below; clients wait in the backlog meanwhile.
    sockets = await _listen(options.bind_address, options.secure_port)
    try:
        await _serve_on(sockets, context, opened, started)
    finally:
        for listening in sockets:  # those of a server that was started are closed by now
            listening.close()


async def _serve_on(
    sockets: Sequence[socket.socket], context: Context[Options], opened: Opened, started: Callable[[], None]
) -> None:
    options, clock = context.options, context.clock
    host = options.bind_address
    settings = _settings(options)
    port = int(sockets[0].getsockname()[1])
    address = f"{_reachable(host)}:{port}"
    api = assemble(opened.store, clock, settings)
    if opened.instruments is not None:
        api.instruments.registry.include(opened.instruments)
    api.cluster.routing = _routing(options, host, port)
    lifecycle = Lifecycle()
    desk = _desk(api, options, clock, lifecycle)
    uses = TokenUses(clock)
    companions: Sequence[Callable[[], Coroutine[Any, Any, NoReturn]]] = (
        api.addresses.keep,
        partial(keep_tracked, api, clock, uses),
        partial(keep_gathered, api, clock),
        partial(keep_settled, api, clock),
        partial(keep_conditions, api, clock),
        partial(keep_flow_control, api, clock),
        partial(keep_registered, api, clock),
        partial(
            keep_aggregated,
            api,
            clock,
            _front_proxy(options, clock),
            follows_redirects=not options.aggregator_reject_forwarding_redirect,
        ),
        partial(opened.keep_compacted, options.etcd_compaction_interval),
        *opened.companions,
        desk.keep_settled,
        partial(measure_lag, clock, api.instruments.lag),
    )
    async with api.hub.running(*companions), beside_block() as beside:
        follow_holdings(api)
        lifecycle.done("poststarthook/start-service-ip-repair-controllers")
        told = options.advertise_address or advertised_address(host, loopback=options.allow_loopback_endpoints)
        await populate(api, clock, settings, secure_port=port, address=told)
        lifecycle.done(*POPULATED)
        pki = _pki(options, serving_names(host, settings.service_address), clock)
        tls = _tls(options, pki)
        proxies = trusted_proxies(options, tls, _own_proxy(options))
        await publish_authorities(api, clock, tls.client_pem.decode("ascii", "ignore"), proxies)
        await publish_tracking(api, clock)
        access_metrics = AccessMetrics(api.instruments.registry, clock, socket.gethostname())
        terms = open_terms(options, clock, _kubelets(options), tls, access_metrics)
        access = open_access(api, clock, terms, uses)
        beside.start(tls.keep(clock))
        beside.start(keep_read(options, clock, access, access_metrics))
        auditor = _auditor(api, options, clock)
        if auditor is not None:
            beside.start(auditor.run())
        checks = _checks(api, options, clock, desk.lifecycle, opened.checks)
        pipeline = _pipeline(api, options, clock, address, desk, terms, access, auditor, checks)
        beside.start(pipeline.keep_deadlines())
        server = HTTPServer(_outermost(pipeline, options), clock=clock, ssl_context=tls.context)
        local = LocalServer(f"https://{address}", pipeline, lambda *pair: admit_client(tls.current, *pair))
        api.instruments.follow_listener(lambda: server.failed_handshakes)
        api.instruments.follow_file(options.data_dir / FILE_NAME)
        await server.start(sockets=sockets)
        try:
            kubeconfig = write_admin_kubeconfig(options.data_dir, pki, f"https://{address}", now=clock.now())
            log.info("serving Kubernetes %s on https://%s", KUBERNETES, address)
            log.info("try: kubectl --kubeconfig %s get namespaces", kubeconfig)
            lifecycle.done("poststarthook/storage-readiness")
            started()
            context.provide(LocalServer, local)
            context.ready.set()
            await asyncio.get_running_loop().create_future()
        finally:
            await shut_down(
                lifecycle,
                _shutdown(options),
                clock,
                running=lambda: desk.in_flight.running,
                end_watches=partial(api.hub.finish_watchers_over, per_second=WATCHES_A_SECOND),
                drain=server.drain,
            )
            await local.close()
            api.cluster.close()


@contextmanager
def _blamed_on_flags() -> Iterator[None]:
    """Tell what keeps the server from starting by the flag that is behind it."""
    try:
        yield
    except DataDirectoryError as exc:
        raise SettingsError("data-dir", "flag --data-dir", str(exc)) from exc
    except EncryptionConfigurationError as exc:
        name = "encryption-provider-config"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    except EtcdUnusable as exc:
        raise SettingsError(exc.flag, f"flag --{exc.flag}", str(exc)) from exc
    except TokenFileError as exc:
        raise SettingsError("token-auth-file", "flag --token-auth-file", str(exc)) from exc
    except ConfigurationError as exc:
        name = "admission-control-config-file"
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    except KeyFileError as exc:
        raise SettingsError("service-account-key-file", "keys of service accounts", str(exc)) from exc
    except CertificateError as exc:  # its text names the file, be it a flag's or one in the data directory
        raise SettingsError("tls-cert-file", "certificates", str(exc)) from exc


async def _listen(host: str, port: int) -> list[socket.socket]:
    try:
        return await bind(host, port, backlog=BACKLOG)
    except OSError as exc:
        if exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            why = f"{exc.strerror}; choose an address of this machine"
            raise SettingsError("bind-address", "flag --bind-address", why) from exc
        why = f"{exc.strerror}; choose another port, or 0 for any that is free"
        raise SettingsError("secure-port", "flag --secure-port", why) from exc


def _settings(options: Options) -> Settings:
    first, last = options.service_node_port_range
    return Settings(
        event_ttl_seconds=options.event_ttl,
        policy=Policy(allow_privileged=options.allow_privileged, loopback_endpoints=options.allow_loopback_endpoints),
        admission=_admission(options),
        service_networks=tuple(map(ipaddress.ip_network, options.service_cluster_ip_range.split(","))),
        node_ports=range(first, last + 1),
    )


def _admission(options: Options) -> AdmissionSettings:
    enable, disable = options.enable_admission_plugins, options.disable_admission_plugins
    only, file = options.admission_control, options.admission_control_config_file
    if only:
        log.warning("--admission-control is deprecated: use --enable-admission-plugins or --disable-admission-plugins")
    return AdmissionSettings(
        plugins=chosen(enable=enable, disable=disable, only=only),
        not_ready_seconds=options.default_not_ready_toleration_seconds,
        unreachable_seconds=options.default_unreachable_toleration_seconds,
        configurations=read_configurations(file) if file is not None else {},
    )


def _pki(options: Options, names: list[str], clock: Clock) -> PKI:
    serving = None
    if options.tls_cert_file is not None and options.tls_private_key_file is not None:
        serving = (options.tls_cert_file, options.tls_private_key_file)
    elif options.cert_dir is not None:
        there = (options.cert_dir / "apiserver.crt", options.cert_dir / "apiserver.key")
        serving = there if all(path.exists() for path in there) else None
    return open_pki(options.data_dir / "pki", names, now=clock.now(), serving=serving, client_ca=options.client_ca_file)


def _outermost(pipeline: Pipeline, options: Options) -> Handler:
    """What the HTTP server hands requests to."""
    directives, origins = options.strict_transport_security_directives, options.cors_allowed_origins
    if not directives and not origins:
        return pipeline
    from hyperkube_apiserver.browserheaders import BrowserHeaders  # few servers have any

    return BrowserHeaders(pipeline, directives=directives, origins=origins)


def _tls(options: Options, pki: PKI) -> ServingTLS:
    return ServingTLS(
        TLSTerms(
            certificate=pki.serving_certificate,
            key=pki.serving_key,
            own_authority=pki.ca.certificate_pem,
            client_authorities=options.client_ca_file,
            proxy_authorities=options.requestheader_client_ca_file,
            named=tuple(map(parse_named, options.tls_sni_cert_key)),
            minimum_version=options.tls_min_version,
            cipher_suites=options.tls_cipher_suites,
            curve="".join(options.tls_curve_preferences),  # of which there is one at most
        )
    )


def _own_proxy(options: Options) -> tuple[str, tuple[str, ...]]:
    """The authority of what the server shows those that it passes requests on to (PEM), and its name there."""
    own = options.data_dir / "pki" / "front-proxy-ca.crt"
    if options.proxy_client_cert_file is not None or not own.exists():
        return "", ()
    return own.read_text("ascii"), (CLIENT_NAME,)


def _routing(options: Options, host: str, port: int) -> Routing:
    """How services are reached: past cluster IPs where pods are on this machine and its own network knows none."""
    own_network = options.allow_loopback_endpoints or options.pod_network is not None
    return Routing(
        to_endpoints=options.enable_aggregator_routing or own_network,
        pod_network=None if options.pod_network is None else AgentNetwork(options.pod_network),
        own=("127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host, port),
    )


def _front_proxy(options: Options, clock: Clock) -> Callable[[], ProxyCertificate]:
    """What is shown to the servers that requests are passed on to."""
    certificate, key = options.proxy_client_cert_file, options.proxy_client_key_file
    if certificate is not None and key is not None:
        return certificate_from_files(certificate, key, clock)
    directory = options.data_dir / "pki"
    make_private_directory(directory)
    own_authority(directory, clock.now())
    return own_certificate(directory, clock)


def _desk(api: API, options: Options, clock: Clock, lifecycle: Lifecycle) -> Desk:
    in_flight = InFlight(reads=options.max_requests_inflight, writes=options.max_mutating_requests_inflight)
    return front_desk(api, clock, in_flight=in_flight, lifecycle=lifecycle)


def _shutdown(options: Options) -> Shutdown:
    return Shutdown(
        delay_seconds=options.shutdown_delay_duration,
        send_retry_after=options.shutdown_send_retry_after,
        watch_grace_seconds=options.shutdown_watch_termination_grace_period,
    )


def _pipeline(
    api: API,
    options: Options,
    clock: Clock,
    address: str,
    desk: Desk,
    terms: Terms,
    access: Access,
    auditor: AuditLog | None,
    checks: Mapping[str, Mapping[str, Check]],
) -> Pipeline:
    shortest = options.min_request_timeout
    router = Router(api.offering, access.handlers, api.hub, clock, shortest_watch_seconds=shortest)
    keys_uri = options.service_account_jwks_uri
    slis = Registry()
    nonresource = NonResource(
        Discovery(api.offering, address),
        OpenAPI(api.offering, KUBERNETES, clock),
        Health(checks, slis),
        metrics={"/metrics": api.instruments.registry, "/metrics/slis": slis},
        documents=openid_documents(terms.issuer.name, terms.keys, keys_uri=keys_uri, address=address),
    )
    return Pipeline(
        access.authenticator,
        access.authorizer,
        access.escalation,
        router,
        nonresource,
        desk=desk,
        clock=clock,
        longest_seconds=options.request_timeout,
        auditor=auditor,
    )


def _auditor(api: API, options: Options, clock: Clock) -> AuditLog | None:
    """Whoever keeps the audit log, if one is asked for. Raises SettingsError."""
    if options.audit_policy_file is None:
        return None
    from hyperkube_apiserver.audit.opening import open_audit

    return open_audit(options, clock, api.instruments.registry)


def _kubelets(options: Options) -> KubeletTerms:
    """How kubelets are reached. Raises SettingsError for files that are of no use."""
    certificate, key = options.kubelet_client_certificate, options.kubelet_client_key
    authority, name = options.kubelet_certificate_authority, "kubelet-client-certificate"
    try:
        shown, secret = b"", b""
        if certificate is not None and key is not None:
            shown, secret = certificate.read_bytes(), key.read_bytes()
        unchecked = trusting_anybody(shown, secret)
        checked = unchecked
        if authority is not None:
            name = "kubelet-certificate-authority"
            checked = client_context(ca_pem=authority.read_bytes(), certificate_pem=shown, key_pem=secret)
    except (OSError, CertificateError) as exc:
        raise SettingsError(name, f"flag --{name}", str(exc)) from exc
    return KubeletTerms(
        tls=checked,
        unchecked_tls=unchecked,
        address_types=options.kubelet_preferred_address_types,
        loopback=options.allow_loopback_endpoints,
        pod_network=None if options.pod_network is None else AgentNetwork(options.pod_network),
    )


def _checks(
    api: API, options: Options, clock: Clock, lifecycle: Lifecycle, stored: Mapping[str, Check]
) -> Mapping[str, Mapping[str, Check]]:
    """What the health endpoints look at; the names are upstream's where the check is the same.

    `stored` are those of what the store needs: a server is not restarted because of them.
    """

    async def ping() -> None:
        return None

    def store(seconds: float) -> Check:
        async def check() -> None:
            # Reads the disk, whether there is such a key or not.
            await within(clock, seconds, api.hub.store.get("/registry/health"))

        return check

    async def caches() -> None:
        await api.hub.fresh()

    steps = (*POPULATED, "poststarthook/start-service-ip-repair-controllers", "poststarthook/storage-readiness")
    hooks: dict[str, Check] = {name: lifecycle.step(name) for name in steps}
    live: dict[str, Check] = {"ping": ping, "etcd": store(options.etcd_healthcheck_timeout)}
    # Not of `live`: a full disk passes by itself, and a server that is restarted because of one may not start.
    writable: dict[str, Check] = {"storage-writable": api.hub.store.check}
    readiness = store(options.etcd_readycheck_timeout)
    ready: dict[str, Check] = {**live, **writable, "etcd-readiness": readiness, "informer-sync": caches}
    return {
        "healthz": {**live, **stored, **hooks},
        "livez": {**live, **hooks},
        "readyz": {**ready, **stored, **hooks, "shutdown": lifecycle.check},
    }


def _reachable(host: str) -> str:
    """Where clients on this machine reach a server that listens on `host`."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{address}]" if address.version == 6 else host
