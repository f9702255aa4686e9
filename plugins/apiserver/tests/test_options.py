"""The API server's options, and that every flag of kube-apiserver is classed."""

from __future__ import annotations

import io
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.flags import foreign_flags, treatments
from hyperkube_apiserver.options import Options, parse_port_range
from hyperkube_apiserver.plugin import hyperkube_servers
from hyperkube_core import HyperKube, SettingsError, UnknownFlag

UPSTREAM: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "kube-apiserver-flags-v1.36.json").read_text("utf-8")
)


def launcher(output: io.StringIO | None = None) -> HyperKube:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=output or io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    return hk


def parse(*args: str) -> Options:
    options: Options = launcher().parse("apiserver", args).options
    return options


def test_every_flag_of_kube_apiserver_is_classed_and_no_other() -> None:
    assert treatments().keys() == UPSTREAM.keys()
    assert set(treatments().values()) == {"honoured", "launcher", "warned", "refused"}


def test_each_flag_is_classed_once() -> None:
    table = json.loads(files("hyperkube_apiserver").joinpath("flags.json").read_text("utf-8"))
    counted = Counter(flag for group in table["groups"] for flag in group["flags"])
    assert max(counted.values()) == 1
    assert all(group["reason"] for group in table["groups"] if group["treatment"] in ("warned", "refused"))
    assert set(table["agrees"]) <= set(foreign_flags())


def test_honoured_flags_are_options() -> None:
    honoured = {flag for flag, treatment in treatments().items() if treatment == "honoured"}
    fields = {name.replace("_", "-") for name in Options.__dataclass_fields__}
    assert fields - honoured == {"allow-loopback-endpoints", "data-dir", "pod-network"}, "hk's own"
    assert honoured <= fields


def test_flags_take_a_value_where_upstreams_do() -> None:
    for name, foreign in foreign_flags().items():
        assert foreign.takes_value == (UPSTREAM[name]["type"] != "bool"), name


@pytest.mark.parametrize("name", [name for name, treatment in treatments().items() if treatment == "warned"])
def test_warned_flags_are_accepted(name: str) -> None:
    output = io.StringIO()
    launcher(output).run(["hk", "apiserver", f"--{name}=some-value", "--print-config=json"])
    assert f"flag --{name} has no effect: {foreign_flags()[name].reason}" in output.getvalue()


@pytest.mark.parametrize("name", [name for name, treatment in treatments().items() if treatment == "refused"])
def test_refused_flags_are_errors_with_the_reason(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(f"--{name}=some-value")
    assert str(caught.value) == f"flag --{name}: refused: {foreign_flags()[name].reason}"
    assert caught.value.exit_code == 2


def test_what_would_make_the_server_stricter_is_refused() -> None:
    assert treatments()["peer-ca-file"] == "refused"


@pytest.mark.parametrize("arg", ["--profiling=false", "--watch-cache"])
def test_values_that_say_what_is_done_anyway_pass(arg: str) -> None:
    assert parse(arg) == parse()


def test_defaults_are_upstreams_but_for_the_ones_that_say_so() -> None:
    options = parse()
    assert options.bind_address == "127.0.0.1"
    assert options.authorization_mode == ("Node", "RBAC")
    assert options.service_account_issuer == ("https://kubernetes.default.svc.cluster.local",)
    assert (options.api_audiences, options.service_account_key_file) == ((), ())
    assert options.service_account_lookup
    assert options.service_account_extend_token_expiration
    assert (options.secure_port, options.request_timeout, options.min_request_timeout) == (6443, 60.0, 1800)
    assert (options.event_ttl, options.anonymous_auth) == (3600.0, True)
    assert (options.service_cluster_ip_range, options.service_node_port_range) == ("10.0.0.0/24", (30000, 32767))
    assert options.data_dir.is_absolute()


@pytest.mark.parametrize(
    ("arg", "field", "value"),
    [
        ("--data-dir=/x/y", "data_dir", Path("/x/y")),
        ("--storage-backend=memory", "storage_backend", "memory"),
        ("--event-ttl=1m30s", "event_ttl", 90.0),
        ("--bind-address=::1", "bind_address", "::1"),
        ("--secure-port=0", "secure_port", 0),
        ("--request-timeout=5s", "request_timeout", 5.0),
        ("--min-request-timeout=0", "min_request_timeout", 0),
        ("--client-ca-file=ca.crt", "client_ca_file", Path("ca.crt")),
        ("--token-auth-file=t.csv", "token_auth_file", Path("t.csv")),
        ("--anonymous-auth=false", "anonymous_auth", False),
        ("--api-audiences=a,b", "api_audiences", ("a", "b")),
        ("--service-account-issuer=https://a?b,c", "service_account_issuer", ("https://a?b,c",)),
        ("--service-account-key-file=a,b.pub", "service_account_key_file", ("a,b.pub",)),
        ("--service-account-signing-key-file=sa.key", "service_account_signing_key_file", Path("sa.key")),
        ("--service-account-max-token-expiration=48h", "service_account_max_token_expiration", 172800.0),
        ("--service-account-extend-token-expiration=false", "service_account_extend_token_expiration", False),
        ("--service-account-lookup=false", "service_account_lookup", False),
        ("--service-account-jwks-uri=https://keys/x", "service_account_jwks_uri", "https://keys/x"),
        ("--authorization-mode=AlwaysDeny,RBAC", "authorization_mode", ("AlwaysDeny", "RBAC")),
        ("--service-cluster-ip-range=10.96.0.0/12", "service_cluster_ip_range", "10.96.0.0/12"),
        ("--service-cluster-ip-range=fd00::/112,10.0.0.0/24", "service_cluster_ip_range", "fd00::/112,10.0.0.0/24"),
        ("--service-node-port-range=100-200", "service_node_port_range", (100, 200)),
    ],
)
def test_each_honoured_flag_is_read(arg: str, field: str, value: object) -> None:
    assert getattr(parse(arg), field) == value


def test_an_issuer_is_given_once() -> None:
    issuers = ("--service-account-issuer=https://a", "--service-account-issuer=b")
    assert parse(*issuers).service_account_issuer == ("https://a", "b")
    with pytest.raises(SettingsError, match="flag --service-account-issuer: the same issuer is given twice"):
        parse(*issuers, "--service-account-issuer=b")


def test_certificate_and_key_come_together() -> None:
    options = parse("--tls-cert-file=a", "--tls-private-key-file=b")
    assert (options.tls_cert_file, options.tls_private_key_file) == (Path("a"), Path("b"))
    with pytest.raises(SettingsError, match="flag --tls-cert-file: must be given together with --tls-private-key-file"):
        parse("--tls-private-key-file=b")


@pytest.mark.parametrize(
    ("arg", "reason"),
    [
        ("--oidc-issuer-url=http://x", "does not begin with https://"),
        ("--oidc-required-claim=x", "say claim=value"),
        ("--oidc-signing-algs=HS256", '"HS256" is not an algorithm of signatures'),
        ("--requestheader-username-headers=X-Remote-User, ", "a name in it is empty"),
        ("--tls-min-version=VersionTLS10", "VersionTLS12"),
        ("--tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA", "not supported or doesn't exist"),
        ("--tls-curve-preferences=P-256", "invalid syntax"),
        ("--tls-curve-preferences=65536", "curve preference 65536 is out of range (must be 1-65535)"),
        ("--tls-curve-preferences=23,23", "duplicate curve preference 23"),
        ("--tls-curve-preferences=4588", "curve preference 4588 is not supported by Python"),
        ("--tls-curve-preferences=23,24", "Python can be told one curve"),
        ("--tls-sni-cert-key=one", "is not CERTIFICATE,KEY"),
        ("--strict-transport-security-directives=max-age", "allowed values"),
        ("--cors-allowed-origins=example.com", "does not pin to start/end"),
        ("--service-account-issuer=", "it must not be empty"),
        ("--service-account-max-token-expiration=59m", "it must be from one hour to 2^32 seconds"),
        ("--service-account-jwks-uri=http://keys", "is no URL that begins with https"),
        ("--authorization-mode=rbac", '"rbac" is not an authorization mode'),
        ("--authorization-mode=RBAC,RBAC", "several different ones"),
        ("--authorization-mode=", "does not name one mode"),
        ("--storage-backend=redis", '"redis" is not a store'),
        ("--bind-address=localhost", "is not an IP address"),
        ("--secure-port=65536", "65536 is more than 65535"),
        ("--request-timeout=0s", "it must be more than 0"),
        ("--event-ttl=-1s", "-1s is less than 0s"),
        ("--service-cluster-ip-range=10.0.0.1/99", "is not an address range"),
        ("--service-cluster-ip-range=10.0.0.0/24,10.1.0.0/24", "must be one range, or one of each family"),
        ("--service-node-port-range=5-1", "is not a range of ports"),
    ],
)
def test_bad_values_are_errors_that_name_the_flag(arg: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(arg)
    assert str(caught.value).startswith(f"flag {arg.partition('=')[0]}: invalid value: ")
    assert reason in str(caught.value)


def test_other_programs_flags_are_unknown() -> None:
    with pytest.raises(UnknownFlag) as caught:
        parse("--node-ip=1")
    assert str(caught.value) == "unknown flag: --node-ip"


@pytest.mark.parametrize(
    ("text", "ports"), [("30000-32767", (30000, 32767)), ("30000+10", (30000, 30010)), ("80", (80, 80))]
)
def test_port_ranges_are_read_in_upstreams_three_forms(text: str, ports: tuple[int, int]) -> None:
    assert parse_port_range(text) == ports


@pytest.mark.parametrize("text", ["", "a-b", "0-5", "5-70000", "1+", "-5", "5-"])
def test_what_is_no_port_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a range of ports"):
        parse_port_range(text)


@pytest.mark.parametrize("flag", ["enable-admission-plugins", "disable-admission-plugins", "admission-control"])
def test_an_unknown_admission_plugin_is_refused(flag: str) -> None:
    with pytest.raises(SettingsError, match=f'{flag} plugin "Odd" is unknown'):
        parse(f"--{flag}=Priority,Odd")


def test_admission_plugins_are_not_on_and_off_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("--enable-admission-plugins=Priority,AlwaysAdmit", "--disable-admission-plugins=AlwaysAdmit,Priority")
    assert str(caught.value).endswith(
        "[AlwaysAdmit Priority] in enable-admission-plugins and disable-admission-plugins overlapped"
    )
    with pytest.raises(SettingsError) as caught:
        parse("--admission-control=Priority", "--disable-admission-plugins=AlwaysAdmit")
    assert str(caught.value).endswith(
        "admission-control and enable-admission-plugins/disable-admission-plugins flags are mutually exclusive"
    )


@pytest.mark.parametrize(
    ("given", "missing"),
    [("kubelet-client-certificate", "kubelet-client-key"), ("kubelet-client-key", "kubelet-client-certificate")],
)
def test_a_certificate_for_kubelets_comes_with_its_key(given: str, missing: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(f"--{given}=/x")
    assert str(caught.value) == f"flag --{missing}: must be given together with --{given}"


@pytest.mark.parametrize(
    ("args", "flag", "reason"),
    [
        (["--authorization-mode=Node,Webhook"], "authorization-webhook-config-file", "the authorization mode Webhook"),
        (["--authorization-mode=ABAC"], "authorization-policy-file", "the authorization mode ABAC needs it"),
        (["--authorization-policy-file=/x"], "authorization-policy-file", "without mode ABAC"),
        (["--authorization-webhook-config-file=/x"], "authorization-webhook-config-file", "without mode Webhook"),
        (["--authorization-config=/x", "--authorization-mode=RBAC"], "authorization-config", "can not be specified"),
        (["--oidc-client-id=x"], "oidc-issuer-url", "must be specified together"),
        (["--oidc-issuer-url=https://x"], "oidc-client-id", "must be specified together"),
        (["--oidc-groups-claim=x"], "oidc-issuer-url", "must be specified together"),
        (
            ["--authentication-config=/x", "--oidc-issuer-url=https://x", "--oidc-client-id=y"],
            "authentication-config",
            "mutually exclusive",
        ),
    ],
)
def test_flags_of_access_that_do_not_go_together_are_errors(args: list[str], flag: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(*args)
    assert str(caught.value).startswith(f"flag --{flag}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("args", "flag", "reason"),
    [
        (["--storage-backend=etcd3"], "etcd-servers", "--etcd-servers must be specified"),
        (["--storage-backend=memory", "--etcd-servers=http://a:1"], "storage-backend", "not in both"),
        (["--etcd-servers=http://a:1", "--etcd-certfile=/x"], "etcd-keyfile", "together with --etcd-certfile"),
        (["--etcd-servers=http://a:1", "--etcd-keyfile=/x"], "etcd-certfile", "together with --etcd-keyfile"),
        (
            ["--encryption-provider-config-automatic-reload"],
            "encryption-provider-config-automatic-reload",
            "must be set with --encryption-provider-config",
        ),
    ],
)
def test_flags_of_storage_that_do_not_go_together_are_errors(args: list[str], flag: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(*args)
    assert str(caught.value).startswith(f"flag --{flag}: ")
    assert reason in str(caught.value)


def test_what_a_server_on_etcd_keeps_is_beside_its_certificates_unless_told_otherwise() -> None:
    etcd = "--etcd-servers=http://127.0.0.1:2379"
    assert parse(etcd, "--cert-dir=/certs").data_dir == Path("/certs/hk")
    assert parse(etcd, "--cert-dir=/certs", "--data-dir=/data").data_dir == Path("/data")
    assert parse("--cert-dir=/certs").data_dir == parse().data_dir


def test_servers_with_etcd_that_are_told_no_folder_have_one_for_each_port() -> None:
    etcd, usual = "--etcd-servers=http://127.0.0.1:1", parse().data_dir
    assert parse(etcd).data_dir == parse("--secure-port=1").data_dir == usual
    assert parse(etcd, "--secure-port=32764").data_dir == usual.with_name("apiserver-32764")
    assert parse(etcd, "--secure-port=32764", "--data-dir=/data").data_dir == Path("/data")
