"""What those who run the server see of requests: metrics, names, limits, refusals, compression."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from typing import Any

import pytest

from hyperkube_apiserver.operations.inflight import InFlight
from hyperkube_machinery.serving.exposition import exposition

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def config_map(name: str, text: str = "") -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"text": text}}


async def metrics(api: Any) -> dict[str, float]:
    """Samples by name and labels."""
    text = b"".join([piece async for piece in exposition(api.api.instruments.registry)]).decode()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    }


def request_total(verb: str, code: int, scope: str = "resource", **labels: str) -> str:
    found = {"dry_run": "", "group": "", "version": "v1", "resource": "configmaps", "subresource": "", **labels}
    client = found.pop("system_client", "")
    told = ",".join(f'{name}="{value}"' for name, value in found.items())
    return (
        f'apiserver_request_total{{verb="{verb}",{told},scope="{scope}",component="apiserver",code="{code}",'
        f'system_client="{client}"}}'
    )


async def test_requests_are_counted_as_upstream_labels_them(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    await api.call("POST", CONFIG_MAPS, config_map("a"))
    await api.call("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("b"))
    await api.get(f"{CONFIG_MAPS}/a", user_agent="kube-scheduler/v1.36.2 (linux/amd64)")
    await api.get(f"{CONFIG_MAPS}/missing")
    await api.get(CONFIG_MAPS)
    await api.get("/api/v1/configmaps")
    await api.merge(f"{CONFIG_MAPS}/a", {"data": {"x": "y"}})
    await api.put(f"{CONFIG_MAPS}/a", config_map("a"))
    await api.delete(f"{CONFIG_MAPS}/a")
    await api.delete(CONFIG_MAPS)
    await api.get("/api/v1/namespaces/default/pods/p/log")
    found = await metrics(api)
    for name in (
        request_total("POST", 201),
        request_total("POST", 409),
        request_total("POST", 201, dry_run="All"),
        request_total("GET", 200, system_client="kube-scheduler"),
        request_total("GET", 404),
        request_total("LIST", 200, "namespace"),
        request_total("LIST", 200, "cluster"),
        request_total("PATCH", 200),
        request_total("PUT", 200),
        request_total("DELETE", 200),
        request_total("DELETE", 200, "namespace"),
    ):
        assert found[name] == 1, name


async def test_a_request_is_timed_and_an_answer_to_a_read_is_weighed(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a", "x" * 5000))
    await api.get(f"{CONFIG_MAPS}/a")
    found = await metrics(api)
    rest = 'group="",version="v1",resource="configmaps",subresource="",scope="resource",component="apiserver"'
    assert found[f'apiserver_request_duration_seconds_count{{verb="GET",dry_run="",{rest}}}'] == 1
    assert found[f'apiserver_request_sli_duration_seconds_bucket{{verb="GET",{rest},le="0.05"}}'] == 1
    assert found[f'apiserver_response_sizes_bucket{{verb="GET",{rest},le="1000"}}'] == 0
    assert found[f'apiserver_response_sizes_bucket{{verb="GET",{rest},le="10000"}}'] == 1
    assert not [name for name in found if name.startswith("apiserver_response_sizes") and '"POST"' in name]


async def test_what_nothing_is_served_at_makes_no_labels(api: Any) -> None:
    before = len(await metrics(api))
    for number in range(20):
        await api.get(f"/api/v1/namespaces/default/unknown{number}")
        await api.get(f"/apis/group{number}.example/v1/things")
        await api.get(f"{CONFIG_MAPS}/a/sub{number}")
        await api.call(f"M{number}", CONFIG_MAPS)
        await api.get(CONFIG_MAPS, token=f"guess-{number}")
    assert len(await metrics(api)) - before < 60  # those of authentication and authorization, whatever was asked for


async def test_a_watch_is_counted_while_it_lasts_and_told_of_when_it_ends(
    api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rest = 'group="",version="v1",resource="configmaps",subresource="",scope="namespace",component="apiserver"'
    open_now = f'apiserver_longrunning_requests{{verb="WATCH",{rest}}}'
    with caplog.at_level(logging.INFO - 3, logger="hyperkube_apiserver.operations"):
        async with api.watch(f"{CONFIG_MAPS}?watch=1") as stream:
            await api.create(CONFIG_MAPS, config_map("a"))
            await stream.next()
            found = await metrics(api)
            assert found[open_now] == 1
            assert request_total("WATCH", 200, "namespace") not in found
            events = '{group="",version="v1",resource="configmaps"}'
            assert found[f"apiserver_watch_events_total{events}"] == 1
            assert found[f"apiserver_watch_events_sizes_count{events}"] == 1
            assert [vars(record)["verb"] for record in caplog.records] == ["POST"]
    found = await metrics(api)
    assert found[open_now] == 0
    assert found[request_total("WATCH", 200, "namespace")] == 1
    assert [vars(record)["verb"] for record in caplog.records] == ["POST", "WATCH"]


async def test_senders_and_decisions_are_counted(api: Any) -> None:
    before = await metrics(api)
    await api.get(CONFIG_MAPS)
    await api.get(CONFIG_MAPS, token="wrong")
    await api.get(CONFIG_MAPS, token="jane-token")
    found = await metrics(api)
    grown = {
        name: found[name] - before.get(name, 0)
        for name in (
            'authentication_attempts{result="success"}',
            'authentication_attempts{result="failure"}',
            'authenticated_user_requests{username="admin"}',
            'authenticated_user_requests{username="other"}',
            'authorization_attempts_total{result="allowed"}',
            'authorization_attempts_total{result="no-opinion"}',
        )
    }
    assert list(grown.values()) == [2, 1, 1, 1, 1, 1]


async def test_what_is_stored_is_told_by_resource(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    found = await metrics(api)
    stored = found['apiserver_resource_objects{group="",resource="configmaps"}']
    assert stored == len((await api.get("/api/v1/configmaps")).json["items"])
    assert found['apiserver_storage_objects{resource="configmaps"}'] == stored
    assert found['apiserver_storage_objects{resource="clusterroles.rbac.authorization.k8s.io"}'] > 10
    assert found['etcd_requests_total{operation="create",group="",resource="configmaps"}'] >= 1


async def test_admission_is_timed_by_step_and_outcome(api: Any) -> None:
    await api.create(CONFIG_MAPS, config_map("a"))
    await api.call("POST", "/api/v1/namespaces/missing/configmaps", config_map("a"))
    found = await metrics(api)
    name = "apiserver_admission_step_admission_duration_seconds_count"
    refused = found[f'{name}{{type="admit",operation="CREATE",rejected="true"}}']
    passed = found[f'{name}{{type="validate",operation="CREATE",rejected="false"}}']
    assert refused == 1
    assert passed >= 1


async def test_deprecated_kinds_that_are_asked_for_are_told(api: Any) -> None:
    await api.get(CONFIG_MAPS)
    await api.get("/api/v1/namespaces/default/endpoints")
    told = {name: value for name, value in (await metrics(api)).items() if "deprecated" in name}
    labels = 'group="",version="v1",resource="endpoints",subresource="",removed_release=""'
    assert told == {f"apiserver_requested_deprecated_apis{{{labels}}}": 1}


async def test_every_answer_has_a_name_of_its_own_or_the_one_it_was_given(api: Any) -> None:
    replies = [await api.get(CONFIG_MAPS), await api.get("/nowhere"), await api.get(CONFIG_MAPS, token="wrong")]
    names = [dict(reply.headers)["Audit-Id"] for reply in replies]
    assert all(UUID.fullmatch(name) for name in names)
    assert len(set(names)) == 3
    assert dict((await api.get(CONFIG_MAPS, audit_id="mine")).headers)["Audit-Id"] == "mine"


async def test_secrets_in_a_query_are_not_logged(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO - 3, logger="hyperkube_apiserver.operations"):
        await api.get(f"{CONFIG_MAPS}?limit=1&access_token=hush&token=hush", audit_id="x" * 100)
    told = vars(caplog.records[0])
    assert told["URI"] == f"{CONFIG_MAPS}?limit=1&access_token=<redacted>&token=<redacted>"
    assert told["audit-ID"] == "x" * 64


class TestInFlight:
    @pytest.fixture
    async def full(self, api: Any) -> Any:
        """An API in which one write takes for ever, where no more than one may be in flight."""
        api.desk.in_flight.writes.limit = 1
        blocked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        create = api.store.create

        begun = asyncio.Event()

        async def wait(*args: Any, **more: Any) -> Any:
            begun.set()
            await blocked
            return await create(*args, **more)

        api.store.create = wait
        task = asyncio.create_task(api.call("POST", CONFIG_MAPS, config_map("slow")))
        await begun.wait()
        yield api
        blocked.set_result(None)
        assert (await task).status == 201
        assert api.desk.in_flight.running == 0

    async def test_one_too_many_is_told_to_come_again(self, full: Any) -> None:
        reply = await full.call("POST", CONFIG_MAPS, config_map("b"), token="jane-token")
        assert (reply.status, reply.body) == (429, b"Too many requests, please try again later.\n")
        assert dict(reply.headers)["Retry-After"] == "1"
        assert reply.content_type == "text/plain; charset=utf-8"
        found = await metrics(full)
        assert found[request_total("POST", 429)] == 1
        assert [value for name, value in found.items() if name.startswith("apiserver_request_terminations_total")] == [
            1
        ]

    async def test_reads_and_long_running_requests_are_not_held_up_by_writes(self, full: Any) -> None:
        assert (await full.get(CONFIG_MAPS)).status == 200
        async with full.watch(f"{CONFIG_MAPS}?watch=1"):
            assert full.desk.in_flight.reads.running == 0

    async def test_masters_are_never_turned_away(self, full: Any) -> None:
        assert (await full.delete(f"{CONFIG_MAPS}/missing")).status == 404

    async def test_what_is_told_is_the_peak_of_the_last_period(self, full: Any) -> None:
        name = 'apiserver_current_inflight_requests{request_kind="mutating"}'
        full.desk.in_flight.settle()
        assert (await metrics(full))[name] == 1


def test_no_limit_is_none() -> None:
    in_flight = InFlight(reads=0, writes=0)
    assert all(in_flight.writes.enter(()) for _ in range(1000))


async def test_after_the_delay_requests_are_sent_away_and_probes_are_not(api: Any) -> None:
    api.desk.lifecycle.refuse(retry=False)
    reply = await api.get(CONFIG_MAPS)
    assert (reply.status, reply.json["reason"]) == (503, "ServiceUnavailable")
    assert reply.json["message"] == "apiserver is shutting down"
    assert dict(reply.headers)["Retry-After"] == "1"
    assert (await api.get("/metrics")).status != 503
    assert (await api.get(CONFIG_MAPS, user_agent="kube-apiserver/v1.36.2")).status == 200
    api.desk.lifecycle.refuse(retry=True)
    reply = await api.get(CONFIG_MAPS)
    assert (reply.status, reply.body) == (429, b"The apiserver is shutting down, please try again later.\n")
    assert (dict(reply.headers)["Retry-After"], dict(reply.headers)["Connection"]) == ("5", "close")


async def test_a_long_answer_is_compressed_for_who_takes_it(api: Any) -> None:
    for number in range(3):
        await api.create(CONFIG_MAPS, config_map(f"big-{number}", "x" * 50_000))
    plain = await api.get(CONFIG_MAPS)
    packed = await api.get(CONFIG_MAPS, accept_encoding="gzip")
    headers = dict(packed.headers)
    assert (headers["Content-Encoding"], headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert json.loads(gzip.decompress(packed.body)) == plain.json
    assert "Content-Encoding" not in dict(plain.headers)
    small = await api.get(f"{CONFIG_MAPS}/big-0", accept_encoding="gzip")
    assert "Content-Encoding" not in dict(small.headers)
