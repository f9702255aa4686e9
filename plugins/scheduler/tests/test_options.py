"""The scheduler's options, and that every flag of kube-scheduler is classed."""

from __future__ import annotations

import io
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from hyperkube_core import HyperKube, SettingsError
from hyperkube_scheduler.flags import foreign_flags, treatments
from hyperkube_scheduler.options import Options
from hyperkube_scheduler.plugin import hyperkube_servers

UPSTREAM: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "kube-scheduler-flags-v1.36.json").read_text("utf-8")
)
# Kept apart from what the file of --config says, so that nothing is their default.
_SAID_BY_FILE = {
    "leader-elect": "true",
    "leader-elect-lease-duration": "15s",
    "leader-elect-renew-deadline": "10s",
    "leader-elect-retry-period": "2s",
}


def launcher(output: io.StringIO | None = None) -> HyperKube:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=output or io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    return hk


def parse(*args: str) -> Options:
    options: Options = launcher().parse("scheduler", args).options
    return options


def test_every_flag_of_kube_scheduler_is_classed_and_no_other() -> None:
    assert treatments().keys() == UPSTREAM.keys()
    assert set(treatments().values()) == {"honoured", "launcher", "warned", "refused"}


def test_each_flag_is_classed_once() -> None:
    table = json.loads(files("hyperkube_scheduler").joinpath("flags.json").read_text("utf-8"))
    counted = Counter(flag for group in table["groups"] for flag in group["flags"])
    assert max(counted.values()) == 1
    assert all(group["reason"] for group in table["groups"] if group["treatment"] in ("warned", "refused"))
    assert set(table["agrees"]) <= set(foreign_flags())


def test_honoured_flags_are_options() -> None:
    honoured = {flag for flag, treatment in treatments().items() if treatment == "honoured"}
    assert {name.replace("_", "-") for name in Options.__dataclass_fields__} == honoured


def test_flags_take_a_value_where_upstreams_do() -> None:
    for name, foreign in foreign_flags().items():
        assert foreign.takes_value == (UPSTREAM[name]["type"] != "bool"), name


def test_what_the_file_may_say_is_left_open() -> None:
    options = parse()
    for name, default in _SAID_BY_FILE.items():
        assert getattr(options, name.replace("-", "_")) is None
        assert UPSTREAM[name]["default"] == default


def test_flags_are_parsed_as_upstream_parses_them() -> None:
    options = parse("--leader-elect=false", "--leader-elect-lease-duration=1m", "--secure-port=0", "--config=/c.yaml")
    assert options.leader_elect is False
    assert options.leader_elect_lease_duration == 60.0
    assert (options.secure_port, options.config) == (0, Path("/c.yaml"))
    assert parse("--leader-elect").leader_elect is True


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--leader-elect-resource-lock=endpoints"], "it must be leases"),
        (["--tls-cert-file=/x"], "--tls-private-key-file"),
        (["--feature-gates=MinDomainsInPodTopologySpread=true"], "there are no feature gates"),
        (["--leader-elect-retry-period=0s"], "it must be more than 0"),
        (["--authentication-kubeconfig=/a", "--authorization-kubeconfig=/b"], "must be the same file"),
    ],
)
def test_what_cannot_be_is_refused_with_the_flags_name(args: list[str], complaint: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse(*args)
    assert args[-1].partition("=")[0] in str(raised.value) or "--tls" in str(raised.value)
    assert complaint in str(raised.value)
