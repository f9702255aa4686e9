"""Settings in layers, and where each value is from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from hyperkube_core import ForeignFlag, SettingsError, flag
from hyperkube_core._commandline import flag_set
from hyperkube_core._flags import Given
from hyperkube_core._options import OptionsClassError, options_of
from hyperkube_core._server import Coroutine, Server
from hyperkube_core._settings import BadDefault, Settings, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    secure_port: int = flag(6443, help="The port.", minimum=0, maximum=65535)
    timeout: float = flag(60.0, kind="duration")
    grace: timedelta = flag(timedelta(seconds=30))
    memory: int = flag(0, kind="quantity")
    names: tuple[str, ...] = flag(())
    ports: tuple[int, ...] = flag(())
    labels: Mapping[str, str] = flag({})
    gates: Mapping[str, bool] = flag({})
    file: Path | None = flag(None)
    folder: Path = flag(Path("here"))
    mode: Literal["fast", "safe"] = flag("safe")
    token: str = flag("", secret=True)
    verbose: bool = flag(False)
    plain: str = "x"
    counted: list[int] = field(default_factory=list, init=False)

    foreign_flags = {  # noqa: RUF012 - no field
        "profiling": ForeignFlag("warned", "there is none", takes_value=False, agrees=("false",)),
        "audit-log-path": ForeignFlag("refused", "no audit log is written"),
    }


def settle(*args: str, **more: Any) -> Settings:
    server = Server(name="s", run=Coroutine("m:f"), options=Options)
    given = flag_set(server, Options).parse(args).given
    return resolve(Options, given=given, **more)


def test_each_annotation_is_a_kind() -> None:
    options: Options = settle(
        "--secure-port=1",
        "--timeout=1m30s",
        "--grace=2s",
        "--memory=1.5Ki",
        "--names=a,b",
        "--names=c",
        "--ports=1,2",
        "--labels=a=1",
        "--labels=b=2",
        "--gates=A=true,B=false",
        "--file=~x/y",
        "--mode=fast",
        "--verbose",
        "--plain=y",
    ).options
    assert options == Options(
        secure_port=1,
        timeout=90.0,
        grace=timedelta(seconds=2),
        memory=1536,
        names=("a", "b", "c"),
        ports=(1, 2),
        labels={"a": "1", "b": "2"},
        gates={"A": True, "B": False},
        file=Path("~x/y"),
        mode="fast",
        verbose=True,
        plain="y",
    )


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"secure-port": 1, "plain": "file", "mode": "fast"}))
    settings = settle(
        "--secure_port=3",
        config=config,
        environment={"HK_S_SECURE_PORT": "2", "HK_S_PLAIN": "environment", "OTHER": "x"},
        prefix="HK_S_",
    )
    assert (settings.options.secure_port, settings.options.plain, settings.options.mode) == (3, "environment", "fast")
    sources = settings.sources
    assert sources["secure_port"] == "flag --secure_port"
    assert sources["plain"] == "environment HK_S_PLAIN"
    assert sources["mode"] == f"file {config}"
    assert sources["timeout"] == "default"


def test_the_defaults_of_a_description_replace_those_of_the_class() -> None:
    settings = settle(defaults={"secure_port": 8080, "timeout": "5s"})
    assert settings.options.secure_port == 8080
    assert settings.options.timeout == 5.0
    assert settings.sources["timeout"] == "default"


def test_a_default_for_no_option_is_an_error() -> None:
    with pytest.raises(BadDefault, match="there is no option 'secure_prot'; did you mean 'secure_port'"):
        settle(defaults={"secure_prot": 1})


def test_a_default_that_its_option_refuses_is_an_error() -> None:
    with pytest.raises(BadDefault, match="invalid value of 'secure_port': 99999 is more than 65535"):
        settle(defaults={"secure_port": "99999"})


def test_a_layers_list_replaces_that_of_the_layer_below() -> None:
    settings = settle("--names=c", environment={"HK_S_NAMES": "a,b"}, prefix="HK_S_")
    assert settings.options.names == ("c",)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".json", '{"securePort": 1, "names": ["a", "b"], "labels": {"x": "y"}, "grace": "5s", "verbose": true}'),
        (".toml", 'secure_port = 1\nnames = ["a", "b"]\ngrace = "5s"\nverbose = true\n[labels]\nx = "y"\n'),
        (".yaml", "secure-port: 1\nnames: [a, b]\nlabels: {x: y}\ngrace: 5s\nverbose: true\n"),
        ("", '{"secure_port": 1, "names": ["a", "b"], "labels": {"x": "y"}, "grace": "5s", "verbose": true}'),
    ],
)
def test_config_files_are_json_toml_or_yaml(tmp_path: Path, suffix: str, text: str) -> None:
    config = tmp_path / f"config{suffix}"
    config.write_text(text)
    options: Options = settle(config=config).options
    assert (options.secure_port, options.names, options.labels) == (1, ("a", "b"), {"x": "y"})
    assert (options.grace, options.verbose) == (timedelta(seconds=5), True)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("c.json", "{", "is not JSON"),
        ("c.json", "[1]", "does not hold a mapping"),
        ("c.json", '{"plain": "a", "plain": "b"}', "'plain' is set twice"),
        ("c.toml", "=", "is not TOML"),
        ("c.yaml", "a: [", "is not YAML"),
        ("c.yaml", "1: a", "the key 1 is no text"),
        ("c.json", '{"secure-prt": 1}', "unknown setting 'secure-prt'; did you mean 'secure-port'"),
        ("c.json", '{"secure-port": "x"}', 'secure-port: invalid value: "x" is not a whole number'),
        ("c.json", '{"auditLogPath": "/x"}', "refused: no audit log is written"),
    ],
)
def test_a_bad_config_file_says_which_and_why(tmp_path: Path, name: str, text: str, reason: str) -> None:
    config = tmp_path / name
    config.write_text(text)
    with pytest.raises(SettingsError) as caught:
        settle(config=config)
    assert str(config) in str(caught.value)
    assert reason in str(caught.value)


def test_a_config_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.json: cannot read it: No such file"):
        settle(config=tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("arg", "reason"),
    [
        ("--secure-port=x", 'flag --secure-port: invalid value: "x" is not a whole number'),
        ("--secure-port=65536", "flag --secure-port: invalid value: 65536 is more than 65535"),
        ("--secure-port=-1", "flag --secure-port: invalid value: -1 is less than 0"),
        ("--timeout=5", 'flag --timeout: invalid value: "5" is not a duration'),
        ("--mode=slow", 'flag --mode: invalid value: "slow" is none of fast, safe'),
        ("--verbose=maybe", 'flag --verbose: invalid value: "maybe" is neither true nor false'),
        ("--ports=1,x", 'flag --ports: invalid value: "x" is not a whole number'),
        ("--folder=", "flag --folder: invalid value: it must not be empty"),
    ],
)
def test_a_bad_value_names_the_flag(arg: str, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settle(arg)
    assert str(caught.value).startswith(reason)
    assert caught.value.setting == arg.partition("=")[0]


def test_an_empty_path_is_none_where_there_may_be_none(tmp_path: Path) -> None:
    assert settle("--file=").options.file is None
    config = tmp_path / "c.json"
    config.write_text('{"folder": ""}')
    with pytest.raises(SettingsError, match="it must not be empty"):
        settle(config=config)


def test_a_bad_value_names_the_variable() -> None:
    with pytest.raises(SettingsError, match="environment HK_S_SECURE_PORT: invalid value"):
        settle(environment={"HK_S_SECURE_PORT": "x"}, prefix="HK_S_")


def test_a_warned_flag_is_accepted_with_its_reason_once() -> None:
    settings = settle("--profiling", "--profiling=true", "--verbose")
    assert settings.warnings == ("flag --profiling has no effect: there is none",)
    assert settings.options.verbose is True


def test_a_value_that_agrees_passes_in_silence() -> None:
    assert settle("--profiling=false").warnings == ()


@pytest.mark.parametrize(
    ("args", "environment"),
    [(["--audit-log-path=/x"], {}), (["--audit_log_path", "/x"], {}), ([], {"HK_S_AUDIT_LOG_PATH": "/x"})],
)
def test_a_refused_setting_is_an_error_wherever_it_stands(args: list[str], environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="refused: no audit log is written"):
        settle(*args, environment=environment, prefix="HK_S_")


def test_everything_that_is_refused_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settle("--audit-log-path=/x", "--audit-log-path=/x", environment={"HK_S_AUDIT_LOG_PATH": "/y"}, prefix="HK_S_")
    assert str(caught.value).splitlines() == [
        "environment HK_S_AUDIT_LOG_PATH: refused: no audit log is written",
        "flag --audit-log-path: refused: no audit log is written",
    ]
    assert (caught.value.setting, caught.value.source) == ("HK_S_AUDIT_LOG_PATH", "environment HK_S_AUDIT_LOG_PATH")


def test_a_mistyped_variable_is_a_warning_and_others_names_are_not() -> None:
    environment = {"HK_S_SECURE_PROT": "1", "HK_S_SERVICE_HOST": "10.0.0.1", "HK_S_CONFIG": "x"}
    warnings = settle(environment=environment, prefix="HK_S_").warnings
    assert warnings == ("HK_S_SECURE_PROT is set and sets nothing; did you mean HK_S_SECURE_PORT?",)


def test_a_field_without_default_must_be_given() -> None:
    @dataclass(frozen=True)
    class Needy:
        data_dir: str
        port: int = flag(help="The port.")

    with pytest.raises(SettingsError, match="flag --data-dir: must be given"):
        resolve(Needy)


def test_what_an_options_class_refuses_is_a_settings_error() -> None:
    @dataclass(frozen=True)
    class Picky:
        port: int = 0

        def __post_init__(self) -> None:
            raise ValueError("never right")

    with pytest.raises(SettingsError, match="never right"):
        resolve(Picky)


def test_a_class_may_translate_its_config_files_kind(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Configured:
        port: int = 0

        @classmethod
        def read_config(cls, document: Mapping[str, Any]) -> Mapping[str, Any]:
            if document["kind"] != "PortConfiguration":
                raise ValueError(f"no kind {document['kind']!r} is known here")
            return {"port": document["healthz"]["port"]}

    config = tmp_path / "c.json"
    config.write_text('{"kind": "PortConfiguration", "healthz": {"port": 5}}')
    assert resolve(Configured, config=config).options.port == 5
    config.write_text('{"kind": "Other"}')
    with pytest.raises(SettingsError, match="no kind 'Other' is known here"):
        resolve(Configured, config=config)


def test_a_config_file_may_go_before_flags(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Overruling:
        port: int = 0
        name: str = ""

        @classmethod
        def flags_overruled(cls, document: Mapping[str, Any]) -> frozenset[str]:
            return frozenset({"port"}) if "port" in document else frozenset()

    config = tmp_path / "c.json"
    given = [Given("port", "1", "--port"), Given("name", "a", "--name")]
    config.write_text('{"port": 5}')
    found = resolve(Overruling, config=config, given=given)
    assert (found.options.port, found.options.name) == (5, "a")
    assert found.warnings == ("flag --port has no effect: the configuration file goes before it",)
    config.write_text("{}")
    assert resolve(Overruling, config=config, given=given).options.port == 1


def test_secrets_are_not_shown() -> None:
    token = next(value for value in settle("--token=abc").values if value.option.field == "token")
    assert token.value == "abc"
    assert "abc" not in token.option.show(token.value)


def test_classes_that_cannot_be_options_say_why() -> None:
    class NoDataclass:
        pass

    @dataclass
    class Odd:
        value: complex = 0j

    @dataclass
    class Twice:
        a: int = flag(0, name="x")
        b: int = flag(0, name="x")

    for cls, reason in ((NoDataclass, "not a dataclass"), (Odd, "Odd.value"), (Twice, "two fields are the same flag")):
        with pytest.raises(OptionsClassError, match=reason):
            options_of(cls)
