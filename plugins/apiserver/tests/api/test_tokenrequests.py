"""Requests for tokens of service accounts: what is given out, on which terms, and that it works until it ends."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from hyperkube_apiserver.authn import SigningKey
from hyperkube_apiserver.authn.jwt import signed

pytestmark = pytest.mark.anyio

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
PATH = f"{ACCOUNTS}/robot/token"
SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ISSUER = "https://issuer.example"


@pytest.fixture
async def account(api: Any) -> Any:
    return await api.create(ACCOUNTS, {"metadata": {"name": "robot"}})


def read(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def who(api: Any, token: str) -> Any:
    """Who the token's holder is; None where it is nobody."""
    reply = await api.call("POST", SELF, {}, token=token)
    if reply.status == 401:
        return None
    assert reply.status == 201
    return reply.json["status"]["userInfo"]


async def refusal(api: Any, spec: Any, path: str = PATH, **metadata: Any) -> tuple[int, str]:
    reply = await api.call("POST", path, {"metadata": metadata, "spec": spec})
    return reply.status, reply.json["message"]


async def test_a_token_is_its_accounts(api: Any, account: Any) -> None:
    answer = await api.create(PATH, {})
    assert (answer["kind"], answer["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
    uid = account["metadata"]["uid"]
    told = answer["metadata"]
    assert (told["name"], told["namespace"], told["uid"]) == ("robot", "default", uid)
    assert "creationTimestamp" in told
    (entry,) = told["managedFields"]
    assert (entry["subresource"], entry["fieldsV1"]) == ("token", {"f:spec": {"f:expirationSeconds": {}}})
    assert answer["spec"] == {"audiences": ["api", ISSUER], "expirationSeconds": 3600, "boundObjectRef": None}
    token = answer["status"]["token"]
    claims = read(token)
    now = int(api.clock.now())
    assert claims == {
        "aud": ["api", ISSUER],
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "iss": ISSUER,
        "jti": claims["jti"],
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "robot", "uid": uid}},
        "sub": "system:serviceaccount:default:robot",
    }
    user = await who(api, token)
    assert (user["username"], user["uid"]) == ("system:serviceaccount:default:robot", uid)
    assert user["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert user["extra"] == {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}


async def test_a_token_ends_with_its_account(api: Any, account: Any) -> None:
    token = (await api.create(PATH, {}))["status"]["token"]
    assert await who(api, token)
    await api.delete(f"{ACCOUNTS}/robot")
    assert await who(api, token) is None
    again = await api.create(ACCOUNTS, {"metadata": {"name": "robot"}})
    assert again["metadata"]["uid"] != account["metadata"]["uid"]
    assert await who(api, token) is None, "another account of the same name is another account"


async def test_a_token_ends_with_its_secret(api: Any, account: Any) -> None:
    await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    ref = {"kind": "Secret", "apiVersion": "v1", "name": "s"}
    token = (await api.create(PATH, {"spec": {"boundObjectRef": ref}}))["status"]["token"]
    assert read(token)["kubernetes.io"]["secret"]["name"] == "s"
    assert await who(api, token)
    await api.delete("/api/v1/namespaces/default/secrets/s")
    assert await who(api, token) is None


async def pod(api: Any, node: str = "", account: str = "robot") -> Any:
    spec = {"serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]}
    body = {"metadata": {"name": "p"}, "spec": {**spec, **({"nodeName": node} if node else {})}}
    return await api.create("/api/v1/namespaces/default/pods", body)


REF = {"kind": "Pod", "apiVersion": "v1", "name": "p"}


async def test_a_token_of_a_pod_tells_of_its_node(api: Any, account: Any) -> None:
    node = await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    made = await pod(api, "n1")
    token = (await api.create(PATH, {"spec": {"boundObjectRef": REF}}))["status"]["token"]
    ours = read(token)["kubernetes.io"]
    assert ours["pod"] == {"name": "p", "uid": made["metadata"]["uid"]}
    assert ours["node"] == {"name": "n1", "uid": node["metadata"]["uid"]}
    extra = (await who(api, token))["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/node-uid"] == [node["metadata"]["uid"]]
    await api.delete("/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0")
    assert await who(api, token) is None


async def test_a_token_of_a_pod_whose_node_is_not_there_names_it(api: Any, account: Any) -> None:
    await pod(api, "n2")
    token = (await api.create(PATH, {"spec": {"boundObjectRef": REF}}))["status"]["token"]
    assert read(token)["kubernetes.io"]["node"] == {"name": "n2"}


async def test_a_token_of_a_node_ends_with_it(api: Any, account: Any) -> None:
    await api.create("/api/v1/nodes", {"metadata": {"name": "n1"}})
    ref = {"kind": "Node", "apiVersion": "v1", "name": "n1"}
    token = (await api.create(PATH, {"spec": {"boundObjectRef": ref}}))["status"]["token"]
    assert (await who(api, token))["extra"]["authentication.kubernetes.io/node-name"] == ["n1"]
    await api.delete("/api/v1/nodes/n1")
    assert await who(api, token) is None


async def test_what_a_token_cant_be_bound_to_is_refused(api: Any, account: Any) -> None:
    def bound(**ref: str) -> Any:
        return {"boundObjectRef": {"apiVersion": "v1", **ref}}

    assert await refusal(api, bound(kind="ConfigMap", name="x")) == (
        400,
        "cannot bind token to object of type /v1, Kind=ConfigMap",
    )
    assert await refusal(api, bound(kind="Pod", name="x", apiVersion="a/v2")) == (
        400,
        "cannot bind token to object of type a/v2, Kind=Pod",
    )
    for kind in ("Pod", "Secret", "Node"):
        assert await refusal(api, bound(kind=kind, name="x")) == (404, f'{kind.lower()}s "x" not found')
    await pod(api, account="default")
    why = 'cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name.'
    assert await refusal(api, bound(kind="Pod", name="p")) == (400, why)
    await api.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
    assert await refusal(api, bound(kind="Secret", name="s", uid="other")) == (
        409,
        'Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (other) does not match '
        "the UID in record. The object might have been deleted and then recreated",
    )


@pytest.mark.parametrize(
    ("seconds", "why"),
    [
        (599, "Invalid value: 599: may not specify a duration less than 10 minutes"),
        (0, "Invalid value: 0: may not specify a duration less than 10 minutes"),
        (2**32 + 1, "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds"),
    ],
)
async def test_a_token_lasts_neither_too_short_nor_too_long(api: Any, account: Any, seconds: int, why: str) -> None:
    told = f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: {why}'
    assert await refusal(api, {"expirationSeconds": seconds}) == (422, told)


async def test_a_token_lasts_as_long_as_asked(api: Any, account: Any) -> None:
    for seconds in (600, 2**32):
        answer = await api.create(PATH, {"spec": {"expirationSeconds": seconds}})
        claims = read(answer["status"]["token"])
        assert claims["exp"] - claims["iat"] == seconds


async def test_the_request_is_for_the_account_in_its_path(api: Any, account: Any) -> None:
    assert await refusal(api, {}, name="other") == (
        422,
        'TokenRequest.authentication.k8s.io "robot" is invalid: metadata.name: Invalid value: "other": must match the '
        "service account name if specified",
    )
    assert (await refusal(api, {}, namespace="other"))[0] == 400
    uid = account["metadata"]["uid"]
    assert await refusal(api, {}, uid="other") == (
        409,
        'Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "robot": the UID in the token request '
        f"(other) does not match the UID of the service account ({uid})",
    )
    assert (await api.create(PATH, {"metadata": {"name": "robot", "uid": uid}}))["status"]["token"]
    missing = await refusal(api, {}, path=PATH.replace("robot", "nobody"))
    assert missing == (404, 'serviceaccounts "nobody" not found')


async def test_a_token_for_another_audience_is_not_for_this_server(api: Any, account: Any) -> None:
    answer = await api.create(PATH, {"spec": {"audiences": ["vault"]}})
    token = answer["status"]["token"]
    assert answer["spec"]["audiences"] == ["vault"]
    assert await who(api, token) is None
    reviews = "/apis/authentication.k8s.io/v1/tokenreviews"
    review = await api.create(reviews, {"spec": {"token": token, "audiences": ["vault", "x"]}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["audiences"] == ["vault"]
    review = await api.create(reviews, {"spec": {"token": token}})
    assert review["status"]["error"].startswith(
        '[invalid bearer token, token audiences ["vault"] is invalid for the target audiences'
    )


async def test_what_is_put_into_pods_unasked_lasts_a_year_and_grows_stale(api: Any, account: Any) -> None:
    await pod(api)
    spec = {"boundObjectRef": REF, "expirationSeconds": 3607}
    answer = await api.create(PATH, {"spec": spec})
    claims = read(answer["status"]["token"])
    assert claims["exp"] - claims["iat"] == 365 * 24 * 3600
    assert claims["kubernetes.io"]["warnafter"] - claims["iat"] == 3607
    assert answer["spec"]["expirationSeconds"] == 3607, "its holder renews it in time"
    for other in ({**spec, "expirationSeconds": 3606}, {**spec, "audiences": ["vault"]}, {"expirationSeconds": 3607}):
        claims = read((await api.create(PATH, {"spec": other}))["status"]["token"])
        assert claims["exp"] - claims["iat"] == other["expirationSeconds"]
        assert "warnafter" not in claims["kubernetes.io"]


async def test_others_can_find_the_key_and_verify(api: Any, account: Any) -> None:
    token = (await api.create(PATH, {}))["status"]["token"]
    reader = (await api.create(PATH, {}))["status"]["token"]  # every account may read them
    configuration = await api.get("/.well-known/openid-configuration", token=reader)
    assert configuration.json["issuer"] == ISSUER == read(token)["iss"]
    assert configuration.json["jwks_uri"] == "https://127.0.0.1:6443/openid/v1/jwks"
    keys = await api.get("/openid/v1/jwks", token=reader)
    assert keys.content_type == "application/jwk-set+json"
    assert ("Cache-Control", "public, max-age=3600") in keys.headers
    header = json.loads(urlsafe_b64decode(token.split(".")[0] + "=="))
    assert [(key["kid"], key["alg"]) for key in keys.json["keys"]] == [(header["kid"], header["alg"])]
    assert (await api.get("/openid/v1/jwks", token="jane-token")).status == 403
    assert (await api.call("POST", "/openid/v1/jwks", {})).status == 405


async def test_a_token_that_is_kept_in_a_secret_ends_with_it(api: Any, account: Any, signing_key: SigningKey) -> None:
    prefix = "kubernetes.io/serviceaccount/"
    claims = {
        "iss": "kubernetes/serviceaccount",
        "sub": "system:serviceaccount:default:robot",
        f"{prefix}namespace": "default",
        f"{prefix}secret.name": "kept",
        f"{prefix}service-account.name": "robot",
        f"{prefix}service-account.uid": account["metadata"]["uid"],
    }
    token = signed(signing_key, claims)
    assert await who(api, token) is None
    metadata = {"name": "kept", "annotations": {"kubernetes.io/service-account.name": "robot"}}
    secret = {"metadata": metadata, "type": "kubernetes.io/service-account-token", "stringData": {"token": token}}
    await api.create("/api/v1/namespaces/default/secrets", secret)
    assert (await who(api, token))["username"] == "system:serviceaccount:default:robot"
    await api.delete("/api/v1/namespaces/default/secrets/kept")
    assert await who(api, token) is None


async def test_no_token_comes_into_the_log(api: Any, account: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1):
        token = (await api.create(PATH, {}))["status"]["token"]
        assert await who(api, token)
        forged = token[:-8] + "AAAAAAAA"
        assert await who(api, forged) is None
        await api.create("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})
        await api.delete(f"{ACCOUNTS}/robot")
        assert await who(api, token) is None
    assert "a bearer token is refused" in caplog.text
    for part in token.split("."):
        assert part not in caplog.text


async def test_asking_for_tokens_takes_a_right(api: Any, account: Any) -> None:
    reply = await api.call("POST", PATH, {}, token="jane-token")
    assert reply.status == 403
    assert 'cannot create resource "serviceaccounts/token" in API group ""' in reply.json["message"]
    assert (await api.get(PATH)).status == 405


async def test_a_kubelet_gets_tokens_for_its_own_pods(api: Any, account: Any) -> None:
    node = {"impersonate_user": "system:node:n1", "impersonate_group": "system:nodes"}
    body = {"spec": {"boundObjectRef": REF}}
    assert (await api.call("POST", PATH, body, **node)).status == 403
    made = await pod(api, "n1")
    body["spec"]["boundObjectRef"] = {**REF, "uid": made["metadata"]["uid"]}
    assert (await api.call("POST", PATH, body, **node)).status == 201
    other = {**node, "impersonate_user": "system:node:n2"}
    assert (await api.call("POST", PATH, body, **other)).status == 403
