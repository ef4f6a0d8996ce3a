"""What each pair of peers is put through: one function per cell of the matrix.

Each takes a :class:`Pair`, and raises when the pair doesn't do what is asked of it.
"""

import signal
from dataclasses import dataclass

from tests.interop_direct.peers import MIB, Peer, PeerKind

STREAMS = 200
ONE_BY_ONE = 10
SILENCE_TIMEOUT = 60
"""For the far side to notice that nothing comes any more; go-libp2p's own bound is 30 s."""


@dataclass(frozen=True)
class Pair:
    """Two peers that run; the first one listens."""

    listener: Peer
    dialer: Peer
    listener_kind: PeerKind
    dialer_kind: PeerKind

    @property
    def largest_write(self):
        """What both can read: the dialer reads its own frames again when they are echoed."""
        return min(self.listener_kind.largest_write, self.dialer_kind.largest_write)

    def connect(self):
        """Dial; returns the dialer's figures."""
        address = self.listener.listen()
        dialed = self.dialer.dial(address)
        assert address.endswith(f"/p2p/{dialed['peer']}")
        return dialed


def identify_and_ping(pair):
    pair.connect()
    identified = pair.dialer.run("identify")
    assert "/echo/1.0.0" in identified["protocols"], identified
    assert identified["agent"], identified
    assert pair.dialer.run("ping")["seconds"] >= 0


def echo(pair, size=10 * MIB):
    pair.connect()
    echoed = pair.dialer.run("echo", timeout=60, bytes=size, chunk=pair.largest_write)
    assert echoed["bytes"] == size
    assert echoed["received"] == echoed["sent"]


def echo_in_full_frames(pair):
    pair.connect()
    echoed = pair.dialer.run("echo", timeout=60, bytes=10 * MIB, chunk=65536)
    assert echoed["received"] == echoed["sent"]


def streams(pair):
    pair.connect()
    at_once = pair.listener_kind.burst
    assert pair.dialer.run("streams", count=STREAMS, at_once=at_once)["count"] == STREAMS


def streams_in_one_burst(pair):
    pair.connect()
    assert pair.dialer.run("streams", count=STREAMS, at_once=STREAMS)["count"] == STREAMS


def half_close(pair):
    pair.connect()
    assert pair.dialer.run("half_close", count=ONE_BY_ONE, chunk=pair.largest_write)["count"] == ONE_BY_ONE


def reset_by_listener(pair):
    pair.connect()
    assert pair.dialer.run("reset", by="listener")["how"] == "reset"


def reset_by_dialer(pair):
    pair.connect()
    pair.dialer.run("reset", by="dialer")
    assert pair.listener.wait_for_event("stream-ended")["how"] == "reset"


def dialer_closes(pair):
    pair.connect()
    pair.listener.wait_for_event("connected")
    pair.dialer.run("close")
    pair.listener.wait_for_event("disconnected", pair.listener_kind.end_timeout)


def listener_ends(pair):
    pair.connect()
    pair.listener.wait_for_event("connected")
    pair.listener.end()
    pair.dialer.wait_for_event("disconnected", pair.dialer_kind.end_timeout)


def dialer_is_killed(pair):
    pair.connect()
    pair.listener.wait_for_event("connected")
    pair.dialer.send_signal(signal.SIGKILL)
    pair.listener.wait_for_event("disconnected", SILENCE_TIMEOUT)


def listener_is_killed(pair):
    pair.connect()
    pair.listener.wait_for_event("connected")
    pair.listener.send_signal(signal.SIGKILL)
    pair.dialer.wait_for_event("disconnected", SILENCE_TIMEOUT)


CELLS = (
    identify_and_ping,
    echo,
    echo_in_full_frames,
    streams,
    streams_in_one_burst,
    half_close,
    reset_by_listener,
    reset_by_dialer,
    dialer_closes,
    listener_ends,
    dialer_is_killed,
    listener_is_killed,
)


SILENT = (dialer_is_killed, listener_is_killed)
"""Those that wait for a peer to be missed."""


def smoke(pair):
    """The least that shows that two peers understand each other."""
    pair.connect()
    assert "/echo/1.0.0" in pair.dialer.run("identify")["protocols"]
    echoed = pair.dialer.run("echo", bytes=100_000, chunk=pair.largest_write)
    assert echoed["received"] == echoed["sent"]
