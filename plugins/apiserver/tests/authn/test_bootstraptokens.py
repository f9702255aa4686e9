"""Bootstrap tokens: whom they stand for, and when they don't count."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from hyperkube_apiserver.authn import Authenticator, BootstrapTokens
from hyperkube_machinery.testing.clock import VirtualClock

TOKEN = "abcdef.0123456789abcdef"


def secret(kind: str = "bootstrap.kubernetes.io/token", deleted: bool = False, **changes: str) -> dict[str, Any]:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    metadata = {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    encoded = {key: b64encode(value.encode()).decode() for key, value in data.items() if value}
    return {"metadata": metadata, "type": kind, "data": encoded}


def tokens(found: dict[str, Any] | None) -> BootstrapTokens:
    secrets = {("kube-system", "bootstrap-token-abcdef"): found}
    return BootstrapTokens(lambda *key: secrets.get(key), VirtualClock())


@pytest.mark.parametrize(
    ("found", "groups"),
    [
        (secret(), ("system:bootstrappers",)),
        (secret(expiration="2999-01-01T00:00:00Z"), ("system:bootstrappers",)),
        (
            secret(auth_extra_groups="system:bootstrappers:b,system:bootstrappers:a"),
            ("system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:b"),
        ),
    ],
)
def test_a_token_stands_for_a_bootstrapper(found: dict[str, Any], groups: tuple[str, ...]) -> None:
    identity = tokens(found).find(TOKEN)
    assert identity is not None
    assert identity.name == "system:bootstrap:abcdef"
    assert identity.groups == (*groups, "system:authenticated")


@pytest.mark.parametrize(
    "found",
    [
        None,
        secret(kind="Opaque"),
        secret(deleted=True),
        secret(token_secret="0123456789abcdeX"),
        secret(token_id="ghijkl"),
        secret(expiration="1969-12-31T00:00:00Z"),
        secret(expiration="tomorrow"),
        secret(usage_bootstrap_authentication=""),
        secret(usage_bootstrap_authentication="1"),
        secret(auth_extra_groups="system:masters"),
        secret(auth_extra_groups="system:bootstrappers:a,"),
    ],
)
def test_what_does_not_count_stands_for_nobody(found: dict[str, Any] | None) -> None:
    assert tokens(found).find(TOKEN) is None


@pytest.mark.parametrize("token", ["", "abcdef", "abcdef.short", "ABCDEF.0123456789abcdef", f"{TOKEN}x", f"{TOKEN}\n"])
def test_other_texts_are_no_such_tokens(token: str) -> None:
    assert tokens(secret()).find(token) is None


@pytest.mark.anyio
async def test_reviews_know_them() -> None:
    authenticator = Authenticator(clock=VirtualClock(), bootstrap=tokens(secret()), audiences=("api",))
    review = await authenticator.review(TOKEN, ())
    assert review.identity is not None
    assert (review.identity.name, review.audiences) == ("system:bootstrap:abcdef", ("api",))
    assert (await authenticator.review(TOKEN, ("other",))).identity is None
