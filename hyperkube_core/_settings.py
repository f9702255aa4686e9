"""Settings in layers: default < config file < environment < flag, each value knowing which layer it is from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hyperkube_core._errors import HyperkubeError, SettingsError
from hyperkube_core._flags import Given, near
from hyperkube_core._options import ForeignFlag, Option, foreign_flags_of, options_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

DEFAULT = "default"


class Value(NamedTuple):
    """What one option came to, and where from: `default`, `file F`, `environment V` or `flag --F`."""

    option: Option
    value: Any
    source: str


class BadDefault(ValueError):
    """A default of a server's description is wrong; a DescriptionError once its server is known."""


@dataclass(frozen=True, slots=True)
class Settings:
    """An options object and how it came to be."""

    options: Any
    values: tuple[Value, ...]
    warnings: tuple[str, ...] = ()
    """One for each foreign setting that does nothing here; no reason to stop."""

    @property
    def sources(self) -> dict[str, str]:
        """Where each field's value is from."""
        return {value.option.field: value.source for value in self.values}


def resolve(
    cls: type[Any],
    *,
    given: Sequence[Given] = (),
    defaults: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    prefix: str = "",
    config: Path | None = None,
) -> Settings:
    """Fold all layers into an object of `cls`.

    `prefix` begins the names of the variables in `environment` (`HK_APISERVER_`). Raises SettingsError for a value
    that is bad or missing, and for what is set in vain though it would make something safer; BadDefault for one of
    `defaults`.
    """
    fold = _Fold(cls)
    fold.take_defaults(defaults or {})
    if hasattr(cls, "read_config_files"):
        folder = next((item.text for item in reversed(given) if item.flag == "config-dir"), "")
        if config is not None or folder:
            fold.take_files(config, folder)
    elif config is not None:
        fold.take_file(config)
    if environment and prefix:
        fold.take_environment(environment, prefix)
    fold.take_flags(given)
    return fold.finish()


class _Fold:
    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.options = options_of(cls)
        self.by_flag = {option.flag: option for option in self.options}
        self.values = {
            option.field: Value(option, option.default, DEFAULT)
            for option in self.options
            if option.default is not dataclasses.MISSING
        }
        self.warnings: dict[str, None] = {}  # ordered, and once each
        self._refusals: dict[str, SettingsError] = {}  # by their text: once each
        self._foreign: Mapping[str, ForeignFlag] | None = None
        self._overruled: Collection[str] = ()  # the flags that the config file goes before

    def foreign(self, flag: str) -> ForeignFlag | None:
        if self._foreign is None:
            self._foreign = foreign_flags_of(self.cls)
        return self._foreign.get(flag)

    def take_defaults(self, defaults: Mapping[str, Any]) -> None:
        by_field = {option.field: option for option in self.options}
        for field, value in defaults.items():
            option = by_field.get(field)
            if option is None:
                raise BadDefault(f"its defaults: there is no option {field!r}" + _perhaps(near(field, by_field)))
            if isinstance(value, str):
                try:
                    value = option.parse(value)
                except (ValueError, ArithmeticError) as exc:
                    raise BadDefault(f"its defaults: invalid value of {field!r}: {exc}") from exc
            self.values[field] = Value(option, value, DEFAULT)

    def take_file(self, path: Path) -> None:
        from hyperkube_core._configfile import read

        source = f"file {path}"
        document: Mapping[str, Any] = read(path)
        self._overrule([(path, document)])
        translate = getattr(self.cls, "read_config", None)
        if translate is not None:
            document = _translated(translate, document, source)
        self._take_document(document, source)

    def take_files(self, path: Path | None, folder: str) -> None:
        """The file and those of the folder, which the class itself makes one of."""
        from hyperkube_core._configfile import dropins, read

        source = " and ".join(f"{what} {where}" for what, where in (("file", path), ("folder", folder)) if where)
        files = [(path, read(path))] if path is not None else []
        files += [(file, read(file)) for file in dropins(folder)] if folder else []
        self._overrule(files)
        self._take_document(_translated(self.cls.read_config_files, files, source), source)

    def _overrule(self, files: Iterable[tuple[Path, Mapping[str, Any]]]) -> None:
        overruled = getattr(self.cls, "flags_overruled", None)
        if overruled is not None:
            self._overruled = {flag for _, document in files for flag in overruled(document)}

    def _take_document(self, document: Mapping[str, Any], source: str) -> None:
        names = {_key(name): option for option in self.options for name in (option.field, option.flag)}
        for key, value in document.items():
            option = names.get(_key(key))
            if option is not None:
                where = f"{source}, {key}"
                self.values[option.field] = Value(option, _convert(option.load, value, key, where), source)
            elif not self._take_foreign(_dashed(key), str(value), source, key):
                near_misses = near(_dashed(key), self.by_flag)
                raise SettingsError(key, source, f"unknown setting {key!r}" + _perhaps(near_misses))

    def take_environment(self, environment: Mapping[str, str], prefix: str) -> None:
        for name, text in environment.items():
            if not name.startswith(prefix):
                continue
            flag, source = name[len(prefix) :].lower().replace("_", "-"), f"environment {name}"
            option = self.by_flag.get(flag)
            if option is not None:
                value = _convert(option.parse, text, name, source)
                self.values[option.field] = Value(option, value, source)
            elif flag and flag != "config" and not self._take_foreign(flag, text, source, name):
                # Others may own variables that begin alike (Kubernetes itself makes SERVICE_HOST ones), so a
                # stranger is no error; what looks like a typing error is worth a word.
                near_misses = near(flag, self.by_flag)
                if near_misses:
                    meant = prefix + near_misses[0].upper().replace("-", "_")
                    self.warnings[f"{name} is set and sets nothing; did you mean {meant}?"] = None

    def take_flags(self, given: Iterable[Given]) -> None:
        collected: dict[str, Any] = {}
        for item in given:
            option = self.by_flag.get(item.flag)
            if option is None:
                self._take_foreign(item.flag, item.text, f"flag {item.written}", item.written)
                continue
            source = f"flag {item.written}"
            value = _convert(option.parse, item.text, item.written, source)
            if item.flag in self._overruled:
                self.warnings[f"{source} has no effect: the configuration file goes before it"] = None
                continue
            # Gates are set one by one, whatever else is replaced by a flag as a whole.
            if option.kind.name == "feature-gates":
                collected.setdefault(item.flag, self.values[option.field].value)
            if option.kind.collects and item.flag in collected:
                before = collected[item.flag]
                value = {**before, **value} if isinstance(value, dict) else (*before, *value)
            collected[item.flag] = value
            self.values[option.field] = Value(option, value, source)

    def _take_foreign(self, flag: str, text: str, source: str, name: str) -> bool:
        foreign = self.foreign(flag)
        if foreign is None:
            return False
        if text in foreign.agrees:
            return True
        if foreign.treatment == "refused":
            refusal = SettingsError(name, source, f"refused: {foreign.reason}")
            self._refusals[str(refusal)] = refusal
            return True
        self.warnings[f"{source} has no effect: {foreign.reason}"] = None
        return True

    def finish(self) -> Settings:
        if self._refusals:  # all at once: command lines from elsewhere may have many
            raise _joined(list(self._refusals.values()))
        for option in self.options:
            if option.field not in self.values:
                raise SettingsError(option.flag, f"flag --{option.flag}", "must be given")
        values = tuple(self.values[option.field] for option in self.options)
        try:
            options = self.cls(**{value.option.field: value.value for value in values})
        except HyperkubeError:
            raise
        except (TypeError, ValueError) as exc:
            raise SettingsError("", "settings", str(exc)) from exc
        return Settings(options, values, tuple(self.warnings))


def _joined(errors: Sequence[SettingsError]) -> SettingsError:
    """The first of `errors`, telling of the others too, one a line."""
    first, *others = errors
    message = str(first).removeprefix(f"{first.source}: ")
    return SettingsError(first.setting, first.source, "\n".join((message, *map(str, others))))


def _convert(convert: Callable[[Any], Any], value: Any, setting: str, source: str) -> Any:
    try:
        return convert(value)
    except (ValueError, ArithmeticError) as exc:
        raise SettingsError(setting, source, f"invalid value: {exc}") from exc


def _translated(translate: Callable[[Any], Mapping[str, Any]], document: Any, source: str) -> Mapping[str, Any]:
    """What a config file's kind (`KubeletConfiguration`) says in the words of the options class."""
    try:
        return translate(document)
    except (ValueError, TypeError, KeyError) as exc:
        raise SettingsError("config", source, str(exc)) from exc


def _dashed(key: str) -> str:
    """`secure-port` for `secure_port` and `securePort`."""
    text = "".join(f"-{c.lower()}" if c.isupper() else c for c in key)
    return text.replace("_", "-").strip("-")


def _key(name: str) -> str:
    """All ways to write a setting's name are one: `tlsCertFile`, `tls-cert-file`, `tls_cert_file`."""
    return name.replace("-", "").replace("_", "").lower()


def _perhaps(near_misses: tuple[str, ...]) -> str:
    return f"; did you mean {near_misses[0]!r}?" if near_misses else ""
