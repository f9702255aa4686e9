"""What Windows options of pods and containers may say.

Source: validateWindowsSecurityContextOptions, validateWindowsHostProcessPod in core validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hyperkube_machinery.errors import FieldError
from hyperkube_machinery.names import dns1123_subdomain

__all__ = ["validate_host_processes", "validate_windows_options"]

Tree = Mapping[str, Any]

_LONGEST_SPEC_KIB, _LONGEST_DOMAIN, _LONGEST_USER = 64, 256, 104
_NETBIOS = r"[^\\/:\*\?\"<>|\.][^\\/:\*\?\"<>|]{0,14}"
_LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_FORBIDDEN = r'"/\:;|=,+*?<>@[]'


def validate_windows_options(options: Tree | None, path: str) -> Iterator[FieldError]:
    if options is None:
        return
    name, spec, user = (
        options.get(field) for field in ("gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName")
    )
    if name is not None:
        yield from (
            FieldError.invalid(f"{path}.gmsaCredentialSpecName", name, text) for text in dns1123_subdomain(name)
        )
    if spec == "":
        yield FieldError.invalid(f"{path}.gmsaCredentialSpec", "", "gmsaCredentialSpec cannot be an empty string")
    elif spec is not None and len(spec.encode()) > _LONGEST_SPEC_KIB * 1024:
        text = f"gmsaCredentialSpec size must be under {_LONGEST_SPEC_KIB} KiB"
        yield FieldError.invalid(f"{path}.gmsaCredentialSpec", spec, text)
    if user is not None:
        at = f"{path}.runAsUserName"
        yield from (FieldError.invalid(at, user, f"runAsUserName{text}") for text in _user_complaints(user))


def _user_complaints(text: str) -> Iterator[str]:
    if not text:
        yield " cannot be an empty string"
        return
    if re.search(r"[\x00-\x1f\x7f]", text):
        yield " cannot contain control characters"
        return
    if text.count("\\") > 1:
        yield " cannot contain more than one backslash"
        return
    domain, separator, user = text.rpartition("\\")
    if len(domain.encode()) >= _LONGEST_DOMAIN:
        yield f"'s Domain length must be under {_LONGEST_DOMAIN} characters"
    if separator and not re.fullmatch(_NETBIOS, domain) and not re.fullmatch(_DOMAIN, domain):
        yield "'s Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "'s User cannot be empty"
    elif len(user.encode()) > _LONGEST_USER:
        yield f"'s User length must not be longer than {_LONGEST_USER} characters"
    if user and not user.strip(". "):
        yield "'s User cannot contain only periods or spaces"
    if any(letter in _FORBIDDEN for letter in user):
        yield f"'s User cannot contain the following characters: {_FORBIDDEN}"


def validate_host_processes(spec: Tree, path: str, *, allow_privileged: bool) -> Iterator[FieldError]:
    """All containers of a pod are processes of the host, or none is."""
    whole = _host_process(spec)
    of_host, count = 0, 0
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(field) or ()):
            own = _host_process(container)
            count += 1
            of_host += bool(whole if own is None else own)
            if whole is not None and own is not None and whole != own:
                at = f"{path}.{field}[{index}].securityContext.windowsOptions.hostProcess"
                text = f"pod hostProcess value must be identical if both are specified, was {str(whole).lower()}"
                yield FieldError.invalid(at, own, text)
    if not of_host:
        return
    if of_host != count:
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield FieldError.invalid(path, "", text)
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        yield FieldError.invalid(f"{path}.hostNetwork", False, text)
    if not allow_privileged:
        yield FieldError.forbidden(path, "hostProcess containers are disallowed by cluster policy")


def _host_process(tree: Tree) -> bool | None:
    value: bool | None = ((tree.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    return value
