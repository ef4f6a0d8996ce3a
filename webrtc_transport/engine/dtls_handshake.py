"""The DTLS handshake in time: flights out, packets in, and lost flights sent again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .driver import Driver, TimerHandle
from .dtls import DtlsConnection, DtlsError

FIRST_RETRANSMISSION: Final = 0.1
"""Seconds after which our last flight is sent again. OpenSSL's own timer is 1 s and can't be set."""

MAX_RETRANSMISSION: Final = 1.0
"""Seconds between two of our flights at most: what RFC 6347 (section 4.2.4.1) begins with."""

MIN_PAUSE: Final = FIRST_RETRANSMISSION / 2
"""Seconds that a server, when it is asked for its last flight, lets pass since it sent it: who asks may be forging."""


class DtlsHandshake:
    """Takes a connection through its handshake.

    The last flight is the server's, and a client that lacks it can say so by repeating its own. A server doesn't wait
    for that: it repeats the flight until :meth:`stop` tells that the client has it.

    :param send: sends datagrams
    :param on_done: told when the peer is who it should be
    :param on_failed: told why it isn't, or what else is wrong; nothing follows
    """

    def __init__(
        self,
        driver: Driver,
        dtls: DtlsConnection,
        send: Callable[[Sequence[bytes]], object],
        on_done: Callable[[], None],
        on_failed: Callable[[DtlsError], None],
    ) -> None:
        self._driver = driver
        self._dtls = dtls
        self._send = send
        self._on_done = on_done
        self._on_failed = on_failed
        self._is_over = False
        self._is_server = False
        self._delay = FIRST_RETRANSMISSION
        self._timer: TimerHandle | None = None
        self._sent_at = 0.0

    def start(self, *, is_server: bool) -> None:
        """Say hello, or wait for the peer to do so."""
        self._is_server = is_server
        if not is_server:
            self._advance()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram of the peer."""
        if not self._is_over:
            self._dtls.feed(datagram)
            self._advance()

    def finished_again(self) -> None:
        """The peer, although we are connected, has sent a Finished: a client that lacks our last flight, if any.

        A client never answers: two ends that did would go on for ever.
        """
        if self._is_over or not self._is_server:
            # OpenSSL may have an answer of its own, which is not to end up in front of the next record.
            self._dtls.last_words()
        elif self._driver.now() - self._sent_at >= MIN_PAUSE:
            self._repeat()

    def stop(self) -> None:
        """Do nothing any more: the peer has our last flight, or it doesn't matter."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _advance(self) -> None:
        try:
            flight = self._dtls.handshake()
        except DtlsError as exc:
            self._fail(exc)
            return
        if flight:
            self._send_flight(flight)
            self._delay = FIRST_RETRANSMISSION
            self._arm()
        if self._dtls.is_connected:
            if not self._is_server:
                self.stop()
            self._on_done()

    def _fail(self, error: DtlsError) -> None:
        self.stop()
        self._send(self._dtls.last_words())
        self._on_failed(error)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        fresh_in = self._dtls.fresh_flight_in()
        delay = self._delay if fresh_in is None else min(self._delay, fresh_in)
        self._timer = self._driver.call_at(self._driver.now() + delay, self._retransmit)

    def _retransmit(self) -> None:
        self._delay = min(2 * self._delay, MAX_RETRANSMISSION)
        if self._repeat():
            self._arm()

    def _repeat(self) -> bool:
        try:
            flight = self._dtls.repeat_flight()
        except DtlsError as exc:
            self._fail(exc)
            return False
        self._send_flight(flight)
        return True

    def _send_flight(self, flight: Sequence[bytes]) -> None:
        self._sent_at = self._driver.now()
        self._send(flight)
