"""Whether this node takes pods, and gives them what they ask for; acts on what is decided.

a pod is new ─▶ does it fit? ─ yes ─▶ its worker begins
└ no ─▶ it has failed; others make room for one that is critical
a pod asks for more ─▶ does it fit? ─ yes ─▶ its worker resizes it
└ no ─▶ it is tried again when others go
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from hyperkube_kubelet.admission import Rejection, admit, rejections
from hyperkube_kubelet.allocation.allocations import resize_order
from hyperkube_kubelet.podresources import is_critical
from hyperkube_kubelet.pods.directory import PodDirectory
from hyperkube_kubelet.pods.roster import Roster
from hyperkube_kubelet.pods.tools import Tools
from hyperkube_kubelet.pods.worker import Stage
from hyperkube_kubelet.podspec import Tree, described, is_terminal, phase_of, status_of
from hyperkube_kubelet.preemption import MESSAGE, REASON, preempted
from hyperkube_kubelet.status.generate import rejected_status
from hyperkube_machinery import meta
from hyperkube_machinery.client import ClientError
from hyperkube_machinery.errors import APIError

__all__ = ["Judge"]

log = logging.getLogger(__name__)


class Judge:
    """Judges pods by what the node has, beside what all others were given of it."""

    def __init__(
        self,
        tools: Tools,
        directory: PodDirectory,
        roster: Roster,
        do: Callable[[Coroutine[Any, Any, None]], None],
        *,
        node: Callable[[], Tree],
        fetch_node: Callable[[], Awaitable[Tree]] | None,
        refuses: Callable[[Tree], Rejection | None],
    ) -> None:
        """`do` has something done beside; the others are as the sync loop has them."""
        self._tools = tools
        self._directory = directory
        self._roster = roster
        self._do = do
        self._node = node
        self._fetch_node = fetch_node
        self._refuses = refuses
        self._crowded: dict[str, set[str]] = {}  # uids of critical pods, and of those that make room for them

    def judge(self, pod: Tree) -> None:
        """Begin a pod that is new to the node, or let it have failed where the node does not take it."""
        self._judge(pod, self._node(), again=self._fetch_node is not None)

    def _judge(self, pod: Tree, node: Tree, *, again: bool = False) -> None:
        """`again`: whether to ask for the node first, which may have been given a label that the pod was bound for."""
        status = status_of(pod)
        known = is_terminal(status) or meta.deletion_timestamp(pod) is not None or phase_of(status) == "Running"
        rejection = None if known else self._refuses(pod) or self._fits(pod, node)
        if rejection is None:
            self._tools.allocations.admit(pod)
            if self._tools.objects is not None:
                self._tools.objects.expire(meta.namespace(pod))
            self._roster.begin(pod)
            self.resize(pod)  # it may ask for more than an earlier kubelet has given it
        elif again and rejection.reason == "NodeAffinity":
            self._do(self._judge_again(pod))
        elif is_critical(pod) and rejection.short is not None:
            self._make_room(pod, node)
        else:
            self._reject(pod, rejection)

    async def _judge_again(self, pod: Tree) -> None:
        """By the node as it is now."""
        assert self._fetch_node is not None
        try:
            node = await self._fetch_node()
        except (APIError, ClientError) as exc:
            log.warning("the node can't be read anew: %s", exc)
            node = self._node()
        latest = self._directory.get(meta.uid(pod))
        if latest is not None and self._roster.get(meta.uid(pod)) is None:
            self._judge(latest, node)

    def _reject(self, pod: Tree, rejection: Rejection) -> None:
        log.info("pod %s is rejected: %s", described(pod), rejection.message)
        self._tools.counts.rejections.labels(rejection.reason).inc()
        self._tools.recorder.event(pod, "Warning", rejection.reason, rejection.message)
        message = f"Pod was rejected: {rejection.message}"
        self._tools.writer.set(pod, rejected_status(pod, rejection.reason, message), alive=False)

    def _fits(self, pod: Tree, node: Tree, *, as_asked: bool = False) -> Rejection | None:
        """Why the node can't take a pod, with what it was given before or else `as_asked`, beside all others."""
        return admit(pod if as_asked else self._tools.allocations.of(pod), node, self._others(pod))

    def _others(self, pod: Tree) -> list[Tree]:
        """The other active pods, with what they were given."""
        given = self._tools.allocations.of
        return [given(one) for one in self._roster.active() if meta.uid(one) != meta.uid(pod)]

    # Critical pods.

    def _make_room(self, pod: Tree, node: Tree) -> None:
        """End pods that a critical one takes the place of; it is judged again when all of them have ended."""
        given, others = self._tools.allocations.of(pod), self._others(pod)
        chosen = preempted(given, list(rejections(given, node, others)), others)
        if isinstance(chosen, Rejection):
            self._reject(pod, chosen)
            return
        self._crowded[meta.uid(pod)] = {meta.uid(victim) for victim in chosen}
        for victim in chosen:
            worker = self._roster.get(meta.uid(victim))
            if worker is not None and worker.stage is Stage.SYNCING:
                self._tools.recorder.event(victim, "Warning", REASON, MESSAGE)
                grace = int(victim["spec"].get("terminationGracePeriodSeconds", 30))
                worker.evict(REASON, MESSAGE, grace, disrupted=True)

    def made_room(self) -> None:
        """A pod has ended: see who waited for that."""
        active = {meta.uid(pod) for pod in self._roster.active()}
        for uid in [uid for uid, victims in self._crowded.items() if not victims & active]:
            del self._crowded[uid]
            latest = self._directory.get(uid)
            if latest is not None and self._roster.get(uid) is None:
                self._judge(latest, self._node())
        self.retry_resizes()

    # Resizes.

    def resize(self, pod: Tree) -> None:
        """Give a pod what it asks for by now, if the node has it."""
        worker = self._roster.get(meta.uid(pod))
        if worker is None or worker.stage is not Stage.SYNCING or is_terminal(status_of(pod)):
            return
        if self._tools.allocations.resize(pod, lambda one: self._fits(one, self._node(), as_asked=True)):
            worker.wake()

    def retry_resizes(self) -> None:
        """See whether what was put off fits by now."""
        pods = [pod for uid in self._tools.allocations.pending if (pod := self._directory.get(uid)) is not None]
        for pod in resize_order(pods, self._tools.allocations):
            self.resize(pod)
