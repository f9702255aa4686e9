"""Reviews of identity: who am I, and whose is this token?

Source: k8s.io/kubernetes/pkg/registry/authentication.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hyperkube_apiserver.authn import Authenticator, Identity
from hyperkube_apiserver.call import Call
from hyperkube_apiserver.handlers.virtual import Creation, Validate
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError
from hyperkube_machinery.timestamps import format_seconds

__all__ = ["GROUP", "identity_reviews"]

GROUP = "authentication.k8s.io"

Tree = dict[str, Any]


def identity_reviews(authenticator: Authenticator, clock: Clock) -> Mapping[str, Creation]:
    """The reviews by resource."""

    async def of_self(call: Call, review: Tree, validate: Validate) -> Tree:
        await validate()
        metadata = {"creationTimestamp": format_seconds(clock.now())}
        return {"metadata": metadata, "status": {"userInfo": _user(call.identity)}}

    async def of_token(call: Call, review: Tree, validate: Validate) -> Tree:
        token = review["spec"].get("token", "")
        if not token:
            raise APIError.bad_request("token is required for TokenReview in authentication")
        await validate()
        outcome = await authenticator.review(token, review["spec"].get("audiences") or (), call.info.path)
        status: Tree = {"user": {}}
        if outcome.error:
            status["error"] = outcome.error
        if outcome.identity is not None:
            status = {"authenticated": True, "user": _user(outcome.identity)}
            if outcome.audiences:
                status["audiences"] = list(outcome.audiences)
        return {**review, "status": status}

    return {"selfsubjectreviews": of_self, "tokenreviews": of_token}


def _user(identity: Identity) -> Tree:
    told: Tree = {
        "username": identity.name,
        "uid": identity.uid,
        "groups": list(identity.groups),
        "extra": {key: list(values) for key, values in identity.extra.items()},
    }
    return {field: value for field, value in told.items() if value}
