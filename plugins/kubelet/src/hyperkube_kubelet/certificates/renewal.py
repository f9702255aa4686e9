"""Keeps a certificate from ending: another is asked for when 70 to 90 % of its life are over.

Source: k8s.io/client-go/util/certificate/certificate_manager.go.
"""

from __future__ import annotations

import ipaddress
import logging
import math
from collections.abc import Callable
from random import random
from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hyperkube_kubelet.certificates.issuing import NotIssued, Wanted, issued
from hyperkube_kubelet.certificates.store import BadPair, Pair, PairStore
from hyperkube_machinery.backoff import Backoff
from hyperkube_machinery.client import Client, ClientError
from hyperkube_machinery.clock import Clock
from hyperkube_machinery.errors import APIError

__all__ = ["Renewal", "due", "lacks"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 60.0
"""How often it is looked whether the names are still right, and the time is."""
_WAIT_SECONDS = 15 * 60.0
_LEAST_SECONDS = 10.0
"""Between two renewals, for certificates whose life is mostly over when they are issued, since they are backdated."""


def due(pair: Pair, part: float) -> float:
    """When it is renewed, in seconds since the epoch; `part` of its life is over then."""
    return pair.begins + (pair.ends - pair.begins) * part


def lacks(pair: Pair, wanted: Wanted) -> str:
    """What a certificate does not say that it should; "" where it does."""
    certificate = pair.certificate
    names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names[-1:] != [wanted.common_name]:
        return f"it is not {wanted.common_name}'s"
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        there = set()
    else:
        there = {*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))}
    missing = [name for name in wanted.names if _plain(name) not in there]
    return f"it does not name {', '.join(missing)}" if missing else ""


def _plain(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


class Renewal:
    """One certificate, as long as the kubelet runs."""

    def __init__(
        self,
        store: PairStore,
        wanted: Callable[[], Wanted | None],
        clock: Clock,
        *,
        pair: Pair | None,
        at_once: bool = False,
        renewed: Callable[[Pair], None],
        chance: Callable[[], float] = random,
    ) -> None:
        """`wanted` says what it is to be, None while that is not known; `renewed` is called with each new one.

        `pair` is the one that there is; `at_once`: whether it is another's, and only good to ask with.
        """
        self.pair = pair
        self.failures = 0
        self._replaced: Callable[[float], None] = lambda seconds: None
        self._store = store
        self._wanted = wanted
        self._clock = clock
        self._at_once = at_once
        self._renewed = renewed
        self._chance = chance
        self._part = self._drawn()

    def _drawn(self) -> float:
        return 0.7 + 0.2 * self._chance()

    def on_replaced(self, handler: Callable[[float], None]) -> None:
        """Have `handler` called with the age of each certificate that another one takes the place of."""
        self._replaced = handler

    @property
    def seconds_left(self) -> float:
        """Until the certificate ends; infinite where there is none."""
        return math.trunc(self.pair.ends - self._clock.now()) if self.pair is not None else math.inf

    async def run(self, client: Client) -> NoReturn:
        """Renew whenever it is due, until cancelled."""
        backoff = Backoff(self._clock, first=2.0, longest=32.0, jitter=0.1)
        while True:
            wanted = self._wanted()
            seconds = self._seconds_to_wait(wanted)
            if wanted is None or seconds > 0:
                await self._clock.sleep(min(seconds, _LOOK_SECONDS))
            elif await self._renew(client, wanted):
                backoff.reset()
                await self._clock.sleep(_LEAST_SECONDS)
            else:
                self.failures += 1
                await self._clock.sleep(backoff.next())

    def _seconds_to_wait(self, wanted: Wanted | None) -> float:
        if wanted is None:
            return 1.0
        if self.pair is None or self._at_once:
            return 0.0
        if why := lacks(self.pair, wanted):
            log.info("the certificate for %s is renewed: %s", wanted.usage, why)
            return 0.0
        return due(self.pair, self._part) - self._clock.now()

    async def _renew(self, client: Client, wanted: Wanted) -> bool:
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            pem = await issued(client, self._clock, wanted, key, seconds=_WAIT_SECONDS)
            pair = self._store.update(pem, key, now=self._clock.now())
        except (APIError, ClientError, NotIssued, TimeoutError, BadPair, OSError) as exc:
            log.warning("cannot renew the certificate for %s: %s", wanted.usage, exc)
            return False
        if self.pair is not None:
            self._replaced(self._clock.now() - self.pair.begins)
        self.pair, self._at_once, self._part = pair, False, self._drawn()
        log.info("there is a new certificate for %s, good until %s", wanted.usage, pair.certificate.not_valid_after_utc)
        self._renewed(pair)
        return True
