"""Which images are removed, and when."""

from __future__ import annotations

import pytest

from hyperkube_kubelet.counting import Counts
from hyperkube_kubelet.garbage.errors import GarbageLeft
from hyperkube_kubelet.garbage.images import (
    ImageCollector,
    ImageRules,
    Record,
    bytes_to_free,
    old,
    recorded,
    removable,
    used_ids,
)
from hyperkube_kubelet.runtime.errors import RuntimeFailure
from hyperkube_kubelet.runtime.values import Container, Image
from hyperkube_kubelet.stats.figures import Filesystem
from hyperkube_kubelet.telling import node_reference
from hyperkube_machinery.testing.clock import VirtualClock

from ..builders import container, run
from ..pods.harness import Heard

pytestmark = pytest.mark.anyio

GI = 1 << 30


def image(name: str, *, size: int = GI, pinned: bool = False) -> Image:
    return Image(
        id=f"sha256:{name}",
        tags=(f"docker.io/library/{name}:1",),
        digests=(f"docker.io/library/{name}@sha256:0",),
        size=size,
        pinned=pinned,
    )


def disk(percent_free: int) -> Filesystem:
    return Filesystem(at=1.0, available_bytes=percent_free * GI, capacity_bytes=100 * GI)


@pytest.mark.parametrize(
    ("by", "used"),
    [
        ({"image_id": "sha256:web"}, {"sha256:web"}),
        ({"image_ref": "docker.io/library/web@sha256:0"}, {"sha256:web"}),
        ({}, set()),
    ],
)
def test_an_image_is_used_by_a_container_however_it_is_called(by: dict[str, str], used: set[str]) -> None:
    user = run(container(image="other:1"))
    changed = Container(**{**{name: getattr(user, name) for name in user.__slots__}, **by})
    assert used_ids([image("web"), image("idle")], [changed]) == used


def test_those_that_ended_use_their_image_too() -> None:
    assert used_ids([image("web")], [run(container(image="docker.io/library/web:1"), "exited")]) == {"sha256:web"}


def test_the_longest_unused_go_first_and_those_that_are_pinned_or_used_never() -> None:
    records = {
        "late": Record(first_seen=1, last_used=50, size=1, pinned=False),
        "never": Record(first_seen=2, last_used=0, size=1, pinned=False),
        "never-and-older": Record(first_seen=1, last_used=0, size=1, pinned=False),
        "pinned": Record(first_seen=0, last_used=0, size=1, pinned=True),
        "used": Record(first_seen=0, last_used=60, size=1, pinned=False),
    }
    assert removable(records, {"used"}) == ["never-and-older", "never", "late"]


def test_what_is_known_of_images_follows_what_there_is() -> None:
    first = recorded({}, [image("a"), image("b")], {"sha256:a"}, 10.0)
    assert (first["sha256:a"].last_used, first["sha256:b"].last_used) == (10.0, 0.0)
    later = recorded(first, [image("a")], set(), 20.0)
    assert later == {"sha256:a": Record(10.0, 10.0, GI, False)}


@pytest.mark.parametrize(
    ("percent_free", "wanted"),
    [(50, 0), (16, 0), (15, 5 * GI), (5, 15 * GI)],
)
def test_a_full_disk_is_emptied_down_to_the_low_threshold(percent_free: int, wanted: int) -> None:
    assert bytes_to_free(disk(percent_free), ImageRules(high_percent=85, low_percent=80)) == wanted


def test_a_disk_without_a_size_is_none() -> None:
    with pytest.raises(ValueError, match="invalid capacity 0 on image filesystem"):
        bytes_to_free(Filesystem(at=1.0), ImageRules())


@pytest.mark.parametrize(("now", "found"), [(99.0, []), (100.0, []), (101.0, ["idle"]), (141.0, ["idle", "late"])])
def test_the_old_go_once_it_was_looked_at_for_so_long(now: float, found: list[str]) -> None:
    records = {"idle": Record(0, 0, 1, False), "late": Record(0, 40, 1, False)}
    assert old(records, ["idle", "late"], ImageRules(most_age=100), now=now, began=0.0) == found


class Shelf:
    """Images, and containers that use them."""

    def __init__(self, *images: Image) -> None:
        self.there = list(images)
        self.running: list[Container] = []
        self.failing: set[str] = set()

    async def images(self) -> list[Image]:
        return self.there

    async def containers(self) -> list[Container]:
        return self.running

    async def remove_image(self, reference: str) -> None:
        if reference in self.failing:
            raise RuntimeFailure(f"{reference} is busy")
        self.there = [one for one in self.there if one.id != reference]

    @property
    def names(self) -> list[str]:
        return [one.id.removeprefix("sha256:") for one in self.there]


class Stage:
    def __init__(self, rules: ImageRules, *images: Image, percent_free: int = 50) -> None:
        self.clock = VirtualClock()
        self.shelf = Shelf(*images)
        self.free = percent_free
        self.heard = Heard()
        self.counts = Counts()
        self.collector = ImageCollector(
            rules,
            self.shelf,  # type: ignore[arg-type]
            self.disk,
            self.heard,
            node_reference("n"),
            self.clock,
            self.counts,
        )

    async def disk(self) -> Filesystem:
        return disk(self.free)


async def test_images_go_until_there_is_room_enough() -> None:
    stage = Stage(ImageRules(), *(image(name, size=3 * GI) for name in "abcd"), percent_free=15)
    await stage.collector.look()
    await stage.clock.advance(121)
    stage.shelf.running = [run(container(image="docker.io/library/a:1"))]
    await stage.collector.collect()  # 5 GiB are wanted
    assert stage.shelf.names == ["a", "d"]
    assert stage.counts.images_removed.labels("space").value == 2


async def test_a_young_image_stays() -> None:
    stage = Stage(ImageRules(least_age=120), image("young"), percent_free=1)
    await stage.collector.look()
    await stage.clock.advance(119)
    with pytest.raises(GarbageLeft):
        await stage.collector.collect()
    assert stage.shelf.names == ["young"]


async def test_too_little_room_is_told() -> None:
    stage = Stage(ImageRules(least_age=0), image("small", size=GI), percent_free=10)
    with pytest.raises(GarbageLeft) as failed:
        await stage.collector.collect()
    assert str(failed.value) == stage.heard.message("FreeDiskSpaceFailed")
    assert str(failed.value) == (
        "Insufficient free disk space on the node's image filesystem (90% of 100.0 GiB used). Failed to free"
        f" sufficient space by deleting unused images (freed {GI} bytes). Investigate disk usage, as it could be used"
        " by active images, logs, volumes, or other data."
    )


async def test_one_image_that_cannot_be_removed_keeps_no_other() -> None:
    stage = Stage(ImageRules(least_age=0), image("a"), image("b"), percent_free=10)
    stage.shelf.failing = {"sha256:a"}
    with pytest.raises(GarbageLeft, match="sha256:a is busy"):
        await stage.collector.collect()
    assert stage.shelf.names == ["a"]


async def test_all_that_nobody_uses_go_when_it_is_asked_for() -> None:
    stage = Stage(ImageRules(least_age=0), image("a"), image("b"), image("pause", pinned=True))
    stage.shelf.running = [run(container(image="docker.io/library/b:1"))]
    await stage.collector.remove_unused()
    assert stage.shelf.names == ["b", "pause"]


async def test_the_old_go_though_there_is_room() -> None:
    stage = Stage(ImageRules(most_age=3600), image("idle"))
    await stage.collector.look()
    await stage.clock.advance(3601)
    await stage.collector.collect()
    assert stage.shelf.names == []
    assert stage.counts.images_removed.labels("age").value == 1
