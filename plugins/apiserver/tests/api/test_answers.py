"""How answers look whatever they are about: headers, times, and what is made of a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def cache_control(reply: Any) -> list[str]:
    return [value for name, value in reply.headers if name == "Cache-Control"]


async def test_each_answer_says_once_whether_it_may_be_kept(api: Any) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    assert cache_control(await api.get("/apis", accept=accept)) == ["public"]
    for path in ("/apis", "/version", "/nowhere", CONFIG_MAPS, f"{CONFIG_MAPS}/none"):
        assert cache_control(await api.get(path)) == ["no-cache, private"], path


async def test_an_answer_that_comes_too_late_is_dressed_like_any_other(api: Any) -> None:
    writing = asyncio.Event()
    create = api.store.create

    async def never(*args: Any, **kwargs: Any) -> None:
        writing.set()
        await asyncio.Event().wait()

    api.store.create = never
    try:
        late = asyncio.create_task(api.call("POST", CONFIG_MAPS, {"metadata": {"name": "x"}}, user_agent="curl/8"))
        await writing.wait()
        await api.clock.advance(61)
        reply = await late
    finally:
        api.store.create = create
    assert (reply.status, reply.json["reason"]) == (504, "Timeout")
    assert reply.json["message"] == "Timeout: request did not complete within the allotted timeout"
    assert cache_control(reply) == ["no-cache, private"]
    assert reply.body.startswith(b"{\n"), "indented for curl"


async def test_a_limit_means_nothing_to_a_list_of_any_age(api: Any) -> None:
    for name in "abc":
        await api.create(CONFIG_MAPS, {"metadata": {"name": name}})
    for query in ("limit=1&resourceVersion=0", "limit=1&resourceVersion=0&resourceVersionMatch=NotOlderThan"):
        reply = await api.get(f"{CONFIG_MAPS}?{query}")
        assert [item["metadata"]["name"] for item in reply.json["items"]] == ["a", "b", "c"]
        assert "continue" not in reply.json["metadata"]


async def test_rows_of_the_past_show_the_age_of_the_moment(api: Any) -> None:
    before = await api.store.revision()
    await api.create(CONFIG_MAPS, {"metadata": {"name": "x"}})
    ages = []
    for _ in range(2):
        async with api.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={before}", accept=TABLE) as stream:
            ages.append((await stream.next())["object"]["rows"][0]["cells"][-1])
        await api.clock.advance(7)
    assert ages == ["0s", "7s"]


async def test_a_warning_about_any_field_is_one_header(api: Any) -> None:
    body = {"metadata": {"name": "x"}, "evil\r\nSet-Cookie: a=b": 1, "日本\u0000\u2028": 2}
    reply = await api.call("POST", CONFIG_MAPS, body)
    assert reply.status == 201
    assert len(reply.warnings) == 2
    assert not any(character in text for text in reply.warnings for character in "\r\n\0\u2028")


async def test_a_long_answer_in_yaml_leaves_others_their_turns(api: Any) -> None:
    data = {f"key-{index}": "x" * 40 for index in range(3000)}
    for name in "abc":
        await api.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": data})
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    other = asyncio.create_task(take_turns())
    await asyncio.sleep(0)
    reply = await api.get(CONFIG_MAPS, accept="application/yaml")
    other.cancel()
    assert (reply.status, reply.content_type) == (200, "application/yaml")
    assert reply.body.count(b"x" * 40) == 9000
    assert turns > 10


async def test_what_go_programs_keep_as_bytes_comes_back_as_go_wrote_it(api: Any) -> None:
    """Upstream's daemon set controller makes revision after revision where it finds its own changed."""
    path = "/apis/apps/v1/namespaces/default/controllerrevisions"
    data = b'{"b":"a \\u0026\\u0026 b \\u003c c \\u003e d\\u2028\\u2029","a":{"z":1,"$patch":"replace"}}'
    body = b'{"metadata":{"name":"go"},"data":%b,"revision":1}' % data
    made = await api.call("POST", path, body)
    assert made.status == 201, made.body
    for reply in (made, await api.get(f"{path}/go"), await api.get(path)):
        assert b'"data":' + data in reply.body
    async with api.watch(f"{path}?watch=1&resourceVersion=0") as stream:
        await stream.next()
        assert b'"data":' + data in stream.frames[0]
    changed = await api.merge(f"{path}/go", b'{"revision":2}')
    assert b'"data":' + data in changed.body
    await api.delete(f"{path}/go")
