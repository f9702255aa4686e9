"""What an EncryptionConfiguration may say, and which resources it means."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hyperkube_apiserver.encryption.rules import KeyServices, Rules
from hyperkube_apiserver.encryption.rules import read_rules as read_rules_with
from hyperkube_apiserver.encryption.terms import EncryptionConfigurationError
from hyperkube_machinery.serving.metrics import Registry
from hyperkube_machinery.testing.clock import VirtualClock

KEY = base64.b64encode(bytes(range(32))).decode()
HEAD = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
GCM = f"{{aesgcm: {{keys: [{{name: one, secret: {KEY}}}]}}}}"


def read_rules(path: Path, **how: Any) -> Rules:
    return read_rules_with(path, KeyServices(VirtualClock(), Registry(), "here"), **how)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "encryption.yaml"
    path.write_text(text)
    return path


def resources(names: str, providers: str = f"[{GCM}, {{identity: {{}}}}]") -> str:
    return f"{HEAD}resources:\n- resources: {names}\n  providers: {providers}\n"


def service(*several: dict[str, Any], **changes: Any) -> str:
    told = [{"name": "a", "endpoint": "unix:///x", **one} for one in several or (changes,)]
    return resources("[secrets]", json.dumps([{"kms": one} for one in told]))


@pytest.mark.parametrize(
    ("names", "group", "resource", "meant"),
    [
        ("[secrets]", "", "secrets", True),
        ("[secrets]", "", "configmaps", False),
        ("[secrets]", "apps", "secrets", False),
        ("[deployments.apps]", "apps", "deployments", True),
        ("['*.apps']", "apps", "statefulsets", True),
        ("['*.apps']", "", "pods", False),
        ("['*.']", "", "pods", True),
        ("['*.']", "apps", "deployments", False),
        ("['*.*']", "example.com", "widgets", True),
        ("[widgets.example.com]", "example.com", "widgets", True),
    ],
)
def test_which_resources_are_meant(tmp_path: Path, names: str, group: str, resource: str, meant: bool) -> None:
    rules = read_rules(write(tmp_path, resources(names)))
    assert (rules.transformer(group, resource) is not None) is meant


def test_the_first_rule_that_fits_counts(tmp_path: Path) -> None:
    text = resources("[configmaps]", "[{identity: {}}]") + f"- resources: ['*.*']\n  providers: [{GCM}]\n"
    rules = read_rules(write(tmp_path, text))
    plain, other = rules.transformer("", "configmaps"), rules.transformer("", "secrets")
    assert plain is not None
    assert other is not None
    assert plain.encrypt(b"v", b"") == b"v"
    assert other.encrypt(b"v", b"").startswith(b"k8s:enc:aesgcm:v1:one:")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a: [", "error decoding encryption provider configuration file"),
        ("kind: Pod", 'no kind "Pod" is registered for version ""'),
        (HEAD, "resources: Required value: at least one resources is required"),
        (HEAD + "resources: 1", "resources: must be a list of objects"),
        (HEAD + "extra: 1\nresources: []", 'strict decoding error: unknown field "extra"'),
        (resources("[]"), r"resources\[0\].resources: Required value: at least one resources\[0\].resources is"),
        (resources("[secrets]", "[]"), r"resources\[0\].providers: Required value"),
        (resources("[Secrets]"), "resource name should not contain capital letters"),
        (resources("['*']"), "to encrypt all the resources from core API group or"),
        (resources("[events.events.k8s.io]"), "Use 'events' instead in the config file"),
        (resources("[a.extensions]"), "'extensions' group has been removed"),
        (resources("[apiserveripinfo]"), "resources which do not have REST API/s cannot be encrypted"),
        (resources("['secrets.*']"), "encrypting the same resource across groups is not supported"),
        (resources("[secrets, secrets]"), "the same resource cannot be specified multiple times"),
        (resources("[secrets, '*.']"), "using overlapping resources"),
        (resources("[secrets, '*.*']"), "using overlapping resources"),
        (resources("[secrets]", "[{}]"), "provider does not contain any of the expected providers"),
        (resources("[secrets]", f"[{{identity: {{}}, aesgcm: {{keys: [{{name: a, secret: {KEY}}}]}}}}]"), "split into"),
        (resources("[secrets]", "[{aesgcm: {keys: []}}]"), r"aesgcm.keys: Required value: at least one keys is"),
        (resources("[secrets]", "[{aesgcm: {keys: [{name: a}]}}]"), "secret is a mandatory field for a key"),
        (resources("[secrets]", f"[{{aescbc: {{keys: [{{secret: {KEY}}}]}}}}]"), "name is a mandatory field for a key"),
        (resources("[secrets]", "[{aesgcm: {keys: [{name: a, secret: '%'}]}}]"), "secrets must be base64 encoded"),
        (
            resources("[secrets]", "[{aesgcm: {keys: [{name: a, secret: AAAA}]}}]"),
            r'"REDACTED": secret is not of the expected length, got 3, expected one of \[16 24 32\]',
        ),
        (resources("[secrets]", "[{other: {}}]"), r'unknown field "resources\[0\].providers\[0\].other"'),
        (resources("[secrets]", "[{identity: }]"), "provider does not contain any of the expected providers"),
        (resources("[secrets]", f"[{{aesgcm: {{keys: [{{name: {KEY}, name: a}}]}}}}]"), "already set in map"),
        (resources("[secrets]", "[{aesgcm: {keys: [{name: a, secret: 7}]}}]"), "secret: must be a string"),
        (service(), r"KMSv1 is deprecated and will only receive.*Use KMSv2 instead\.  Set --feature-gates=KMSv1=true"),
        (service(apiVersion="v3"), "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"),
        (service(apiVersion="v2", name=""), "name is a mandatory field for a provider"),
        (service(apiVersion="v2", name="a:b"), "invalid KMS provider name a:b, must not contain ':'"),
        (service(apiVersion="v2", timeout="0s"), 'timeout: Invalid value: "0s": timeout should be a positive value'),
        (service(apiVersion="v2", cachesize=7), "cachesize: Invalid value: 7: cachesize is not supported in v2"),
        (service(apiVersion="v1", cachesize=0), "cachesize should be a positive value, or negative to disable"),
        (service(apiVersion="v2", endpoint=""), 'endpoint: Invalid value: "": endpoint is a mandatory field for a kms'),
        (service(apiVersion="v2", endpoint="tcp://x"), 'unsupported scheme "tcp" for KMS provider'),
        (service({"apiVersion": "v2"}, {"apiVersion": "v2"}), "duplicate KMS provider name a, names must be unique"),
        (resources("['*.*']") + f"- resources: [secrets]\n  providers: [{GCM}]\n", "is masked by earlier rule"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(EncryptionConfigurationError, match=words) as raised:
        read_rules(write(tmp_path, text))
    assert KEY not in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(EncryptionConfigurationError, match="No such file"):
        read_rules(tmp_path / "none")
