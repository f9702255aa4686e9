"""etcd's options, and that every flag of etcd is classed."""

from __future__ import annotations

import io
import json
from collections import Counter
from importlib.resources import files

import pytest

from hyperkube_core import HyperKube, SettingsError
from hyperkube_etcd.compaction import seconds_of
from hyperkube_etcd.flags import foreign_flags, treatments
from hyperkube_etcd.options import Options
from hyperkube_etcd.plugin import hyperkube_servers

OWN = {"storage-backend"}
URL = "http://127.0.0.1:2379"


def parse(*args: str) -> Options:
    hk = HyperKube("hk", group="hyperkube.test.nobody", output=io.StringIO(), environment={})
    for server in hyperkube_servers():
        hk.add_server(server)
    options: Options = hk.parse("etcd", args).options
    return options


def test_each_flag_is_classed_once_and_with_a_reason() -> None:
    table = json.loads(files("hyperkube_etcd").joinpath("flags.json").read_text("utf-8"))
    counted = Counter(flag for group in table["groups"] for flag in group["flags"])
    assert max(counted.values()) == 1
    assert all(group["reason"] for group in table["groups"] if group["treatment"] in ("warned", "refused"))
    assert set(table["agrees"]) <= set(foreign_flags())
    assert set(table["switches"]) <= set(foreign_flags())


def test_honoured_flags_are_options() -> None:
    honoured = {flag for flag, treatment in treatments().items() if treatment == "honoured"}
    assert {name.replace("_", "-") for name in Options.__dataclass_fields__} - OWN == honoured


def test_the_flags_that_envtest_and_kwokctl_pass_are_taken() -> None:
    options = parse(
        "--name=node0",
        f"--advertise-client-urls={URL}",
        "--data-dir=/tmp/data",
        f"--listen-client-urls={URL}",
        "--listen-peer-urls=http://localhost:0",
        "--unsafe-no-fsync=true",
        "--initial-advertise-peer-urls=http://localhost:2380",
        "--initial-cluster=node0=http://localhost:2380",
        "--auto-compaction-retention=1",
        "--quota-backend-bytes=8589934592",
    )
    assert (str(options.directory), options.listen_client_urls) == ("/tmp/data", (URL,))


def test_the_data_directory_has_the_name_of_the_member() -> None:
    assert str(parse("--name=here").directory) == "here.etcd"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--initial-cluster=a=http://x:1,b=http://y:1"], "run etcd itself for a cluster of several"),
        (["--listen-client-urls=https://127.0.0.1:1"], "can't be served without --cert-file"),
        (["--listen-client-urls=127.0.0.1:1"], "is no URL"),
        ([f"--listen-client-urls={URL}"], "--advertise-client-urls is required"),
        (["--client-cert-auth"], "needs --trusted-ca-file"),
        (["--cert-file=a"], "must be given together"),
        (["--auto-compaction-mode=always"], "there are periodic and revision"),
        (["--auto-compaction-retention=soon"], "neither a number nor a duration"),
        (["--discovery=http://a"], "members are not looked for here"),
        (["--wal-dir=/a"], "in the store's file here"),
    ],
)
def test_what_can_not_be_done_is_refused(args: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse(*args)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("2", 7200), ("30m", 1800), ("1h30m", 5400), ("10s", 10)])
def test_an_age_is_hours_or_a_duration(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
