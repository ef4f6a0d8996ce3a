"""The DTLS handshake in time: flights out, packets in, and lost flights sent again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from .driver import Driver, TimerHandle
from .dtls import DtlsConnection, DtlsError

FIRST_RETRANSMISSION: Final = 0.1
"""Seconds after which our last flight is sent again. OpenSSL's own timer is 1 s and can't be set."""


class DtlsHandshake:
    """Takes a connection through its handshake.

    :param send: sends datagrams
    :param on_done: told when the peer is who it should be
    :param on_failed: told why it isn't, or what else is wrong; nothing follows
    """

    def __init__(
        self,
        driver: Driver,
        dtls: DtlsConnection,
        send: Callable[[Sequence[bytes]], None],
        on_done: Callable[[], None],
        on_failed: Callable[[DtlsError], None],
    ) -> None:
        self._driver = driver
        self._dtls = dtls
        self._send = send
        self._on_done = on_done
        self._on_failed = on_failed
        self._is_over = False
        self._delay = FIRST_RETRANSMISSION
        self._timer: TimerHandle | None = None

    def start(self, *, is_server: bool) -> None:
        """Say hello, or wait for the peer to do so."""
        if not is_server:
            self._advance()

    def receive(self, datagram: bytes) -> None:
        """Take a datagram of the peer."""
        if not self._is_over:
            self._dtls.feed(datagram)
            self._advance()

    def stop(self) -> None:
        """Do nothing any more."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _advance(self) -> None:
        try:
            flight = self._dtls.handshake()
        except DtlsError as exc:
            self.stop()
            self._send(self._dtls.last_words())
            self._on_failed(exc)
            return
        if flight:
            self._send(flight)
            self._delay = FIRST_RETRANSMISSION
            self._arm()
        if self._dtls.is_connected:
            self.stop()
            self._on_done()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._driver.call_at(self._driver.now() + self._delay, self._retransmit)

    def _retransmit(self) -> None:
        self._send(self._dtls.repeat_flight())
        self._delay *= 2
        self._arm()
