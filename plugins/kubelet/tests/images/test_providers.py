"""Programs that know credentials of registries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hyperkube_kubelet.images.dockerconfig import Account
from hyperkube_kubelet.images.providerconfig import check_programs, read_providers
from hyperkube_kubelet.images.providers import CredentialProviders
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import pod

pytestmark = pytest.mark.anyio

V1 = "credentialprovider.kubelet.k8s.io/v1"
TOKENS = {"serviceAccountTokenAudience": "registry", "cacheType": "ServiceAccount", "requireServiceAccount": True}


class Accounts:
    """One service account, whose tokens are told apart by their number."""

    def __init__(self, **annotations: str) -> None:
        self.annotations = annotations
        self.tokens = 0

    async def account(self, namespace: str, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": "account-uid", "annotations": self.annotations}}

    async def token(self, pod: Any, audience: str) -> str:
        self.tokens += 1
        return f"{audience}-{self.tokens}"


def provider(**more: Any) -> dict[str, Any]:
    given = {"name": "teller", "matchImages": ["*.example"], "defaultCacheDuration": "1m", "apiVersion": V1}
    return {**given, **more}


def config(path: Path, *providers: dict[str, Any], version: str = "v1") -> Path:
    document = {"kind": "CredentialProviderConfig", "apiVersion": f"kubelet.config.k8s.io/{version}"}
    path.write_text(json.dumps({**document, "providers": providers}))
    return path


class Teller:
    """A program that notes what it is asked and says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._asked, self._answer = folder / "asked", folder / "answer"
        source = f"""#!{sys.executable}
import os, sys
open({str(self._asked)!r}, "a").write(sys.stdin.read() + "\\n")
open({str(self._asked)!r} + ".env", "w").write(" ".join(sys.argv[1:]) + os.environ.get("EXTRA", ""))
text = open({str(self._answer)!r}).read()
sys.stdout.write(text)
sys.stderr.write("cannot say")
sys.exit(0 if text else 3)
"""
        (folder / "teller").write_text(source)
        (folder / "teller").chmod(0o755)
        self.says(auth={"r.example": {"username": "me", "password": "secret"}}, cacheKeyType="Registry")

    def says(self, **answer: Any) -> None:
        document = {"kind": "CredentialProviderResponse", "apiVersion": V1, **answer}
        self._answer.write_text(json.dumps(document) if answer else "")

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._asked.read_text().splitlines()] if self._asked.exists() else []

    @property
    def called_with(self) -> str:
        return (self.folder / "asked.env").read_text()


@pytest.fixture
def teller(tmp_path: Path) -> Teller:
    return Teller(tmp_path)


def reader(teller: Teller, clock: VirtualClock, accounts: Accounts | None = None, **more: Any) -> CredentialProviders:
    providers = read_providers(config(teller.folder / "config.json", provider(**more)))
    check_programs(providers, teller.folder)
    return CredentialProviders(providers, teller.folder, clock, accounts)


async def test_a_program_is_asked_once_for_a_registry(teller: Teller) -> None:
    clock = VirtualClock()
    source = reader(teller, clock, args=["--fast"], env=[{"name": "EXTRA", "value": "x"}])
    [entry] = await source.entries("r.example/app", pod())
    assert (entry.place, entry.credential.credentials.password) == ("r.example", "secret")
    assert entry.credential.source is None
    assert teller.asked == [{"kind": "CredentialProviderRequest", "apiVersion": V1, "image": "r.example/app"}]
    assert teller.called_with == "--fastx"
    assert await source.entries("r.example/other", pod()) == [entry]
    assert len(teller.asked) == 1
    await clock.advance(61)
    await source.entries("r.example/app", pod())
    assert len(teller.asked) == 2
    assert await source.entries("elsewhere.net/app", pod()) == []
    assert len(teller.asked) == 2


@pytest.mark.parametrize(
    ("kind", "duration", "asked"),
    [("Image", None, 2), ("Registry", None, 1), ("Global", "1h", 1), ("Registry", "0s", 3)],
)
async def test_how_long_and_for_what_an_answer_counts(
    teller: Teller, kind: str, duration: str | None, asked: int
) -> None:
    more = {"cacheDuration": duration} if duration else {}
    teller.says(auth={"r.example": {"username": "me", "password": "x"}}, cacheKeyType=kind, **more)
    source = reader(teller, VirtualClock())
    for name in ("app", "app", "other"):
        await source.entries(f"r.example/{name}", pod())
    assert len(teller.asked) == asked


async def test_on_behalf_of_a_pods_account(teller: Teller) -> None:
    attributes = {
        **TOKENS,
        "requiredServiceAccountAnnotationKeys": ["a/b"],
        "optionalServiceAccountAnnotationKeys": ["c"],
    }
    accounts = Accounts(**{"a/b": "1"})
    source = reader(teller, VirtualClock(), accounts, tokenAttributes=attributes)
    owner = pod(serviceAccountName="builder")
    [entry] = await source.entries("r.example/app", owner)
    assert entry.credential.source == Account("account-uid", "default", "builder")
    [asked] = teller.asked
    assert (asked["serviceAccountToken"], asked["serviceAccountAnnotations"]) == ("registry-1", {"a/b": "1"})
    await source.entries("r.example/app", owner)
    assert len(teller.asked) == 1  # by the account, not by its token
    assert await source.entries("r.example/app", pod()) == []  # without an account
    accounts.annotations.clear()
    assert await source.entries("r.example/app", owner) == []


async def test_a_token_is_no_password_unless_it_may_be(teller: Teller, caplog: pytest.LogCaptureFixture) -> None:
    teller.says(auth={"r.example": {"username": "me", "password": "registry-1"}}, cacheKeyType="Registry")
    source = reader(teller, VirtualClock(), Accounts(), tokenAttributes=TOKENS)
    assert await source.entries("r.example/app", pod(serviceAccountName="builder")) == []
    assert "returned the service account token as the password" in caplog.text
    open_ = reader(teller, VirtualClock(), Accounts(), tokenAttributes={**TOKENS, "cacheType": "Token"})
    assert len(await open_.entries("r.example/app", pod(serviceAccountName="builder"))) == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "error execing credential provider plugin teller for image r.example/app: exit status 3: cannot say"),
        ({"apiVersion": "x/v1", "auth": {}}, "did not match expected apiVersion"),
        ({"kind": "Other"}, "error decoding credential provider plugin response from stdout"),
        ({"auth": {"r.example": "secret"}}, "error decoding credential provider plugin response from stdout"),
        ({"auth": {}}, "did not return a valid cacheKeyType: None"),
    ],
)
async def test_a_program_that_fails_is_logged_without_secrets(
    teller: Teller, caplog: pytest.LogCaptureFixture, answer: dict[str, Any], words: str
) -> None:
    teller.says(**answer)
    assert await reader(teller, VirtualClock()).entries("r.example/app", pod()) == []
    assert words in caplog.text
    assert "secret" not in caplog.text


def test_a_folder_of_files_is_one_configuration(tmp_path: Path) -> None:
    config(tmp_path / "b.yaml", provider(name="second"))
    config(tmp_path / "a.json", provider(name="first"), version="v1beta1")
    (tmp_path / "notes.txt").write_text("no")
    assert [one.name for one in read_providers(tmp_path)] == ["first", "second"]
    config(tmp_path / "c.yml", provider(name="first"))
    with pytest.raises(ValueError, match='duplicate provider name "first"'):
        read_providers(tmp_path)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"name": "a/b"}, "provider name cannot be empty"),
        ({"apiVersion": "v9"}, 'apiVersion: Unsupported value: "v9"'),
        ({"matchImages": []}, "at least 1 item in matchImages is required"),
        ({"defaultCacheDuration": None}, "defaultCacheDuration: Required value"),
        ({"defaultCacheDuration": "-1s"}, "must be greater than or equal to 0"),
        ({"matchimages": []}, "matchimages: unknown field"),
        ({"tokenAttributes": {**TOKENS, "cacheType": ""}}, "cacheType: Unsupported value"),
        ({"tokenAttributes": {**TOKENS, "requireServiceAccount": None}}, "requireServiceAccount: Required value"),
        ({"tokenAttributes": TOKENS, "apiVersion": f"{V1}beta1"}, "only supported for credentialprovider.kubelet"),
        (
            {
                "tokenAttributes": {
                    **TOKENS,
                    "requiredServiceAccountAnnotationKeys": ["a"],
                    "optionalServiceAccountAnnotationKeys": ["a"],
                }
            },
            "annotation keys cannot be both required and optional",
        ),
    ],
)
def test_what_a_configuration_must_not_say(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_providers(config(tmp_path / "config.json", provider(**more)))


def test_programs_must_be_there(tmp_path: Path) -> None:
    providers = read_providers(config(tmp_path / "config.json", provider()))
    with pytest.raises(ValueError, match="teller did not exist"):
        check_programs(providers, tmp_path)
    with pytest.raises(ValueError, match=r"plugin binary directory .* did not exist"):
        check_programs(providers, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no configuration files found"):
        read_providers(tmp_path / "empty")
