"""What an audit log tells of requests. What it should tell is recorded from kube-apiserver, here in short."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from hyperkube_apiserver.audit.auditor import AuditLog, AuditMetrics
from hyperkube_apiserver.audit.events import Event
from hyperkube_apiserver.audit.policy import read_policy
from hyperkube_apiserver.requestinfo import request_info
from hyperkube_machinery.serving.messages import Request, Upgrade
from hyperkube_machinery.serving.metrics import Registry

pytestmark = pytest.mark.anyio

Tree = dict[str, Any]

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
HEAD = "kind: Policy\napiVersion: audit.k8s.io/v1\n"
EVERYTHING = HEAD + "rules:\n- level: RequestResponse\n"


class FakeConnection:
    """The far end of a request that came over no socket."""

    peer_certificate = None
    peer_chain: Sequence[bytes] = ()
    peer_address = "127.0.0.1"

    def __init__(self) -> None:
        self.state: Tree = {}


class Kept:
    """A sink that keeps events in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.works = True

    async def process(self, events: Sequence[Event]) -> bool:
        if self.works:
            self.events += events
        return self.works

    async def run(self) -> NoReturn:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    @property
    def stages(self) -> list[str]:
        return [event["stage"] for event in self.events]


@pytest.fixture
def log(api: Any, tmp_path: Path) -> Any:
    """Keeps a log by a policy, and hands over what it keeps."""

    def keep(policy: str) -> Kept:
        file = tmp_path / "policy.yaml"
        file.write_text(policy)
        kept = Kept()
        api.registry = Registry()
        api.auditor = AuditLog(read_policy(file), kept, AuditMetrics(api.registry), api.clock)
        api.audit(api.auditor)
        return kept

    return keep


def level(name: str, **rule: Any) -> str:
    return HEAD + f"omitStages: [RequestReceived]\nrules:\n- {{level: {name}}}\n"


async def test_a_request_is_told_of_when_it_comes_and_when_it_is_answered(api: Any, log: Any) -> None:
    kept = log(EVERYTHING)
    body = {"metadata": {"name": "c"}, "data": {"k": "v"}}
    await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", body, user_agent="me/1", x_forwarded_for="192.0.2.1, odd")
    received, complete = kept.events
    about = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "RequestResponse",
        "requestURI": f"{CONFIG_MAPS}?dryRun=All",
        "verb": "create",
        "user": {"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["192.0.2.1", "127.0.0.1"],
        "userAgent": "me/1",
    }
    assert received.items() >= {**about, "stage": "RequestReceived"}.items()
    assert received["objectRef"] == {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"}
    assert received["stageTimestamp"] == received["requestReceivedTimestamp"]
    assert not {"responseStatus", "requestObject", "responseObject", "annotations"} & set(received)
    assert complete.items() >= {**about, "stage": "ResponseComplete"}.items()
    assert complete["auditID"] == received["auditID"]
    assert complete["objectRef"] == {**received["objectRef"], "name": "c"}
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["requestObject"] == {"kind": "ConfigMap", "apiVersion": "v1", **body}
    assert complete["responseObject"]["metadata"]["uid"]
    assert complete["annotations"] == {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""}
    assert list(complete)[:5] == ["kind", "apiVersion", "level", "auditID", "stage"]


async def test_auditors_are_told_why_a_request_was_allowed(api: Any, log: Any) -> None:
    kept = log(level("Metadata"))
    assert (await api.get("/api", token="jane-token")).status == 200
    assert (await api.get("/metrics", token="jane-token")).status == 403
    allowed, refused = (event["annotations"] for event in kept.events)
    why = 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery" to Group "system:'
    assert allowed["authorization.k8s.io/decision"] == "allow"
    assert allowed["authorization.k8s.io/reason"] == f'{why}authenticated"'
    assert refused == {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Metadata", {"responseStatus"}),
        ("Request", {"responseStatus", "requestObject"}),
        ("RequestResponse", {"responseStatus", "requestObject", "responseObject"}),
    ],
)
async def test_a_level_says_how_much_is_told(api: Any, log: Any, name: str, told: set[str]) -> None:
    kept = log(level(name))
    await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}})
    (event,) = kept.events
    assert {"responseStatus", "requestObject", "responseObject"} & set(event) == told


async def test_of_level_none_nothing_is_told(api: Any, log: Any) -> None:
    kept = log(level("None"))
    await api.get(CONFIG_MAPS)
    assert kept.events == []
    counted = {labels: one.value for labels, one in api.registry._families["apiserver_audit_level_total"].items()}
    assert counted == {("None",): 1}


async def test_a_request_object_has_its_defaults_and_not_yet_what_admission_makes_of_it(api: Any, log: Any) -> None:
    kept = log(level("Request"))
    await api.create(
        "/api/v1/namespaces/default/pods",
        {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    )
    sent = kept.events[0]["requestObject"]["spec"]
    assert (sent["restartPolicy"], sent["containers"][0]["imagePullPolicy"]) == ("Always", "Always")
    assert "tolerations" not in sent


async def test_patches_and_delete_options_are_told_as_they_were_sent(api: Any, log: Any) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}})
    kept = log(level("Request"))
    await api.merge(f"{CONFIG_MAPS}/c", {"data": {"k": "v"}})
    applied = b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}\n"
    await api.call("PATCH", f"{CONFIG_MAPS}/c?fieldManager=m", applied, content_type="application/apply-patch+yaml")
    await api.delete(f"{CONFIG_MAPS}/c", {"propagationPolicy": "Background"})
    assert [event["requestObject"] for event in kept.events] == [
        {"data": {"k": "v"}},
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}},
        {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal", "propagationPolicy": "Background"},
    ]
    assert kept.events[2]["responseStatus"]["status"] == "Success"


async def test_a_refusal_is_told_with_its_status(api: Any, log: Any) -> None:
    kept = log(level("Metadata"))
    await api.get(f"{CONFIG_MAPS}/none")
    await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}, "data": 5})
    missing, bad = kept.events
    assert missing["responseStatus"] == {
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "none" not found',
        "reason": "NotFound",
        "details": {"name": "none", "kind": "configmaps"},
        "code": 404,
    }
    assert (bad["responseStatus"]["code"], "requestObject" in bad) == (400, False)


async def test_what_is_forbidden_is_told_with_why(api: Any, log: Any) -> None:
    kept = log(level("Metadata"))
    await api.get(CONFIG_MAPS, token="jane-token")
    (event,) = kept.events
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert event["responseStatus"]["code"] == 403


async def test_a_request_of_nobody_known_is_told_of_once(api: Any, log: Any) -> None:
    kept = log(EVERYTHING)
    await api.get(CONFIG_MAPS, token="wrong")
    (event,) = kept.events
    assert (event["stage"], event["user"], event["responseStatus"]["code"]) == ("ResponseStarted", {}, 401)
    assert "wrong" not in str(event)


async def test_who_acts_as_somebody_else_is_told_with_whom(api: Any, log: Any) -> None:
    kept = log(level("Metadata"))
    await api.get(CONFIG_MAPS, impersonate_user="jane", impersonate_group="g")
    (event,) = kept.events
    assert event["user"]["username"] == "admin"
    assert event["impersonatedUser"] == {"username": "jane", "groups": ["g", "system:authenticated"]}
    assert event["authenticationMetadata"] == {"impersonationConstraint": "impersonate:user-info"}


async def test_a_watch_is_told_of_when_it_begins_and_when_it_ends(api: Any, log: Any) -> None:
    await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}})
    kept = log(EVERYTHING)
    async with api.watch(f"{CONFIG_MAPS}?watch=1") as stream:
        await stream.next()
        assert kept.stages == ["RequestReceived", "ResponseStarted"]
        assert kept.events[1]["responseStatus"] == {"metadata": {}, "code": 200}
    await asyncio.sleep(0)
    assert kept.stages == ["RequestReceived", "ResponseStarted", "ResponseComplete"]


async def test_a_connection_that_becomes_another_protocols_is_told_of_until_it_ends(api: Any, log: Any) -> None:
    kept = log(EVERYTHING)
    info = request_info("POST", "/api/v1/namespaces/default/pods/p/exec", {})
    request = Request("POST", info.path, "", {}, b"", FakeConnection())
    trail = api.auditor.begin(request, info, "id", None, age_seconds=0.0)
    assert trail is not None
    answer = Upgrade(asyncio.Protocol)
    await trail.answered(answer)
    assert kept.stages == ["ResponseStarted"]
    assert kept.events[0]["responseStatus"] == {"metadata": {}, "code": 101}
    answer.protocol().connection_lost(None)
    await asyncio.sleep(0)
    assert kept.stages == ["ResponseStarted", "ResponseComplete"]


async def test_what_is_no_resource_is_told_of_by_its_path(api: Any, log: Any) -> None:
    kept = log(level("RequestResponse"))
    await api.get("/version")
    await api.get("/apis/apps/v1")
    version, discovery = kept.events
    assert (version["requestURI"], version["verb"], "objectRef" in version) == ("/version", "get", False)
    assert "responseObject" not in version
    assert discovery["responseObject"]["kind"] == "APIResourceList"


async def test_managed_fields_can_be_left_out(api: Any, log: Any) -> None:
    kept = log(HEAD + "omitManagedFields: true\nomitStages: [RequestReceived]\nrules: [{level: RequestResponse}]\n")
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"k": "v"}})
    await api.put(f"{CONFIG_MAPS}/c", made)
    await api.get(CONFIG_MAPS)
    await api.get(CONFIG_MAPS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert "managedFields" not in str(kept.events)
    assert made["metadata"]["managedFields"], "clients are told all the same"


async def test_the_annotations_of_admission_are_told(api: Any, log: Any) -> None:
    labels = {"pod-security.kubernetes.io/audit": "restricted"}
    await api.create("/api/v1/namespaces", {"metadata": {"name": "n", "labels": labels}})
    kept = log(level("Metadata"))
    body = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api.create("/api/v1/namespaces/n/pods", body)
    told = kept.events[0]["annotations"]
    assert told["pod-security.kubernetes.io/enforce-policy"] == "privileged:latest"
    assert told["pod-security.kubernetes.io/audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest"'
    )


async def test_what_is_not_to_be_used_any_more_is_marked(api: Any, log: Any) -> None:
    kept = log(level("Metadata"))
    await api.get("/api/v1/namespaces/default/endpoints")
    assert kept.events[0]["annotations"]["k8s.io/deprecated"] == "true"


async def test_a_request_that_cannot_be_told_of_is_refused_where_that_is_wanted(api: Any, log: Any) -> None:
    kept = log(EVERYTHING)
    kept.works = False
    reply = await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})
    assert reply.status == 500
    assert b"failed to store audit event" in reply.body
    assert api.registry._families["apiserver_audit_requests_rejected_total"].labels().value == 1
    kept.works = True
    assert (await api.get(f"{CONFIG_MAPS}/c")).status == 404


async def test_an_answer_that_takes_too_long_is_told_of_as_such(api: Any, log: Any, monkeypatch: Any) -> None:
    kept = log(level("Metadata"))

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(api.api.hub, "fresh", never)
    asking = asyncio.create_task(api.get(f"{CONFIG_MAPS}/c?timeout=5s"))
    for _ in range(5):
        await asyncio.sleep(0)
    await api.clock.advance(6)
    assert (await asking).status == 504
    assert [(event["stage"], event["responseStatus"]["code"]) for event in kept.events] == [("ResponseComplete", 504)]


async def test_a_client_that_goes_away_is_told_of(api: Any, log: Any, monkeypatch: Any) -> None:
    kept = log(EVERYTHING)

    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(api.api.hub, "fresh", never)
    asking = asyncio.create_task(api.get(f"{CONFIG_MAPS}/c"))
    for _ in range(5):
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await asyncio.sleep(0)
    assert kept.stages == ["RequestReceived", "ResponseComplete"]
    assert kept.events[1]["responseStatus"]["message"] == "Connection closed early"


async def test_a_server_that_fails_says_so(api: Any, log: Any, monkeypatch: Any) -> None:
    kept = log(EVERYTHING)

    async def fail() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(api.api.hub, "fresh", fail)
    with pytest.raises(RuntimeError):
        await api.get(f"{CONFIG_MAPS}/c")
    assert kept.stages == ["RequestReceived", "Panic"]
    status = kept.events[1]["responseStatus"]
    assert (status["code"], status["reason"], "boom" in status["message"]) == (500, "InternalError", True)


async def test_events_are_counted(api: Any, log: Any) -> None:
    log(EVERYTHING)
    await api.get(CONFIG_MAPS)
    assert api.registry._families["apiserver_audit_event_total"].labels().value == 2


async def test_an_answer_in_protobuf_is_told_as_the_object_that_it_is(api: Any, log: Any) -> None:
    kept = log(EVERYTHING)
    accept = "application/vnd.kubernetes.protobuf"
    tree = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"b": "c"}}
    await api.call("POST", CONFIG_MAPS, tree, accept=accept)
    await api.get(f"{CONFIG_MAPS}/none", accept=accept)
    made, missing = (event for event in kept.events if event["stage"] == "ResponseComplete")
    assert (made["responseObject"]["kind"], made["responseObject"]["data"]) == ("ConfigMap", {"b": "c"})
    assert (missing["responseStatus"]["reason"], missing["responseStatus"]["code"]) == ("NotFound", 404)
