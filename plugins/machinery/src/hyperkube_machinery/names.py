"""What names, keys and values of objects may look like.

Each function returns what is wrong with a text, as the API server words it; an empty list means nothing is.
Source: k8s.io/apimachinery/pkg/util/validation, k8s.io/apimachinery/pkg/api/validate/content.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, wraps

__all__ = [
    "c_identifier",
    "config_map_key",
    "dns1035_label",
    "dns1123_label",
    "dns1123_subdomain",
    "dns1123_subdomain_caseless",
    "dns1123_subdomain_with_underscore",
    "env_var_name",
    "http_header_name",
    "in_range",
    "label_value",
    "mask_trailing_dash",
    "path_segment",
    "percent",
    "port_name",
    "port_number",
    "qualified_name",
    "regex_error",
    "relaxed_env_var_name",
    "wildcard_dns1123_subdomain",
]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_LABEL_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_LABEL_KEY})?"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_ENV_VAR = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"
_HTTP_HEADER = "[-A-Za-z0-9]+"

_label_re = re.compile(_LABEL)
_subdomain_re = re.compile(_SUBDOMAIN)
_subdomain_underscore_re = re.compile(_SUBDOMAIN_UNDERSCORE)
_label_1035_re = re.compile(_LABEL_1035)
_wildcard_re = re.compile(_WILDCARD)
_label_key_re = re.compile(_LABEL_KEY)
_label_value_re = re.compile(_LABEL_VALUE)
_c_identifier_re = re.compile(_C_IDENTIFIER)
_env_var_re = re.compile(_ENV_VAR)
_config_key_re = re.compile(_CONFIG_KEY)
_percent_re = re.compile(_PERCENT)
_http_header_re = re.compile(_HTTP_HEADER)

_LABEL_ERROR = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_LABEL_KEY_ERROR = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


_MOST_REMEMBERED = 2048
_LONGEST_REMEMBERED = 320  # characters: a domain, a slash and a name

_Check = Callable[[str], list[str]]


def _remembered(check: _Check) -> _Check:
    """`check`, with what it found in the texts of late: names and labels of one workload are the same in each object.

    Two thirds of the time that validating a pod took went into such checks.
    """
    find = lru_cache(maxsize=_MOST_REMEMBERED)(lambda text: tuple(check(text)))

    @wraps(check)
    def remembered(text: str) -> list[str]:
        return list(find(text)) if len(text) <= _LONGEST_REMEMBERED else check(text)

    return remembered


def _size(text: str) -> int:
    """Bytes in UTF-8, which is what the API server counts."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _longer(text: str, limit: int, unit: str = "characters") -> list[str]:
    return [f"must be no more than {limit} {unit}"] if _size(text) > limit else []


def regex_error(message: str, pattern: str, *examples: str) -> str:
    """`message` with the pattern that was missed, and examples of what would have met it."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    # The comma before "or" is upstream's.
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def in_range(value: int, low: int, high: int) -> list[str]:
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def port_number(value: int) -> list[str]:
    return in_range(value, 1, 65535)


@_remembered
def dns1123_label(text: str) -> list[str]:
    errors = _longer(text, 63)
    if not _label_re.fullmatch(text):
        if _subdomain_re.fullmatch(text):
            errors.append("must not contain dots")
        else:
            errors.append(regex_error(_LABEL_ERROR, _LABEL, "my-name", "123-abc"))
    return errors


@_remembered
def dns1123_subdomain(text: str) -> list[str]:
    errors = _longer(text, 253)
    if not _subdomain_re.fullmatch(text):
        errors.append(regex_error(_SUBDOMAIN_ERROR, _SUBDOMAIN, "example.com"))
    return errors


def dns1123_subdomain_caseless(text: str) -> list[str]:
    errors = _longer(text, 253, "bytes")
    if not _subdomain_re.fullmatch(text.lower()):
        message = (
            "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        errors.append(regex_error(message, _SUBDOMAIN, "Example.com"))
    return errors


def dns1123_subdomain_with_underscore(text: str) -> list[str]:
    errors = _longer(text, 253)
    if not _subdomain_underscore_re.fullmatch(text):
        message = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        errors.append(regex_error(message, _SUBDOMAIN_UNDERSCORE, "example.com"))
    return errors


def wildcard_dns1123_subdomain(text: str) -> list[str]:
    errors = _longer(text, 253)
    if not _wildcard_re.fullmatch(text):
        message = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        errors.append(regex_error(message, _WILDCARD, "*.example.com"))
    return errors


@_remembered
def dns1035_label(text: str) -> list[str]:
    errors = _longer(text, 63)
    if not _label_1035_re.fullmatch(text):
        message = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        errors.append(regex_error(message, _LABEL_1035, "my-name", "abc-123"))
    return errors


@_remembered
def qualified_name(text: str) -> list[str]:
    """A label's key: a name of at most 63 bytes, behind an optional DNS subdomain and a slash."""
    pattern_error = regex_error(_LABEL_KEY_ERROR, _LABEL_KEY, "MyName", "my.name", "123-abc")
    parts = text.split("/")
    if len(parts) > 2:
        hint = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {pattern_error} {hint}"]
    errors: list[str] = []
    name = parts[-1]
    if len(parts) == 2:
        prefix = parts[0]
        if not prefix:
            errors.append("prefix part must be non-empty")
        else:
            errors += [f"prefix part {message}" for message in _longer(prefix, 253, "bytes")]
            if not _subdomain_re.fullmatch(prefix):
                errors.append("prefix part " + regex_error(_SUBDOMAIN_ERROR, _SUBDOMAIN, "example.com"))
    if not name:
        errors.append("name part must be non-empty")
    else:
        errors += [f"name part {message}" for message in _longer(name, 63, "bytes")]
    if not _label_key_re.fullmatch(name):
        errors.append(f"name part {pattern_error}")
    return errors


@_remembered
def label_value(text: str) -> list[str]:
    errors = _longer(text, 63, "bytes")
    if not _label_value_re.fullmatch(text):
        message = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        errors.append(regex_error(message, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def path_segment(text: str) -> list[str]:
    """What kinds need whose names are free but stand in a URL's path (roles, for one)."""
    if text == ".":
        return ["may not be '.'"]
    if text == "..":
        return ["may not be '..'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]


@_remembered
def c_identifier(text: str) -> list[str]:
    if _c_identifier_re.fullmatch(text):
        return []
    message = (
        "a valid C identifier must start with alphabetic character or '_', "
        "followed by a string of alphanumeric characters or '_'"
    )
    return [regex_error(message, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


@_remembered
def env_var_name(text: str) -> list[str]:
    errors: list[str] = []
    if not _env_var_re.fullmatch(text):
        message = (
            "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', "
            "and must not start with a digit"
        )
        errors.append(regex_error(message, _ENV_VAR, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return errors + _upward(text)


@_remembered
def relaxed_env_var_name(text: str) -> list[str]:
    """Any printable ASCII but `=`: what environment variables of containers may be called."""
    if not text:
        return ["environment variable name must be non-empty"]
    if all(" " <= char <= "~" and char != "=" for char in text):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


@_remembered
def config_map_key(text: str) -> list[str]:
    """Keys of config maps and secrets, which become file names."""
    errors = _longer(text, 253)
    if not _config_key_re.fullmatch(text):
        message = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        errors.append(regex_error(message, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return errors + _upward(text)


def _upward(text: str) -> list[str]:
    if text == ".":
        return ["must not be '.'"]
    if text == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if text.startswith("..") else []


@_remembered
def port_name(text: str) -> list[str]:
    errors = _longer(text, 15)
    if not re.fullmatch("[-a-z0-9]+", text):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        errors.append("must contain at least one letter (a-z)")
    if "--" in text:
        errors.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def percent(text: str) -> list[str]:
    if _percent_re.fullmatch(text):
        return []
    message = "a valid percent string must be a numeric string followed by an ending '%'"
    return [regex_error(message, _PERCENT, "1%", "93%")]


def http_header_name(text: str) -> list[str]:
    if _http_header_re.fullmatch(text):
        return []
    return [
        regex_error("a valid HTTP header must consist of alphanumeric characters or '-'", _HTTP_HEADER, "X-Header-Name")
    ]


def mask_trailing_dash(prefix: str) -> str:
    """A generateName as it is checked: with what will follow its dash."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
