"""Peers of an engine, wired to each other by the test, and a record of what they tell."""

import asyncio
import contextlib
import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from webrtc_transport.abc import ChannelEvents, PeerSettings, SignaledPeerEvents
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import ConnectionClosed
from webrtc_transport.protocol.certificate import Certificate

CERTIFICATES = tuple(Certificate.generate(now=datetime.now(UTC)) for _ in range(2))
"""Of the offerer and of the answerer; making them takes longer than a connection."""

CLOSED = ConnectionClosed("the test is over")


def settings(*, offerer=True, **changes):
    """What a peer is built with: loopback, and ``changes`` of the config."""
    config = TransportConfig(**{"bind_addresses": ("127.0.0.1",), **changes})
    servers = config.ice_servers
    assert isinstance(servers, tuple)
    return PeerSettings(
        offerer=offerer, certificate=CERTIFICATES[not offerer], ice_servers=servers, config=config
    )


@contextlib.asynccontextmanager
async def nothing_left(within=2.0):
    """Check that the block leaves no task, timer or file descriptor; what is under way may take a moment to end."""
    before = _census()
    yield
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while _excess(before):
                await asyncio.sleep(0.005)
    assert not _excess(before), f"left behind, by kind: {_excess(before)}"


def _census():
    # uvloop's timers can't be counted.
    timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return {
        "tasks": len(asyncio.all_tasks()),
        "files": len(_open_files()),
        "timers": sum(not timer.cancelled() for timer in timers),
    }


def _open_files():
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    # uvloop keeps one of its own, and the folder that is read here is another.
    return [name for name in found if name != "/dev/null" and not name.startswith("/proc/")]


def _excess(before):
    # The timer of the loop in nothing_left() itself is one that is allowed for.
    now, allowed = _census(), {"timers": 1}
    return {kind: now[kind] - before[kind] for kind in now if now[kind] > before[kind] + allowed.get(kind, 0)}


class Journal:
    """Wakes the test when something has been told."""

    def __init__(self):
        self._changed = asyncio.Event()

    def notify(self):
        self._changed.set()

    async def until(self, condition, within=10.0):
        """Wait for ``condition``, and return the seconds that it took.

        :raises TimeoutError: if it takes more than ``within`` seconds
        """
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > within:
                msg = f"what was waited for did not happen within {within} s"
                raise TimeoutError(msg)
            self._changed.clear()
            # Statistics change without being told.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await self._changed.wait()
        return time.monotonic() - started

    async def until_still(self, value, span=0.3, within=20.0):
        """Wait until ``value()`` hasn't changed for ``span`` seconds, and return it."""
        started = time.monotonic()
        while time.monotonic() - started < within:
            before = value()
            try:
                await self.until(lambda before=before: value() != before, span)
            except TimeoutError:
                return before
        msg = f"it has not been still within {within} s"
        raise TimeoutError(msg)


class ChannelRecord(ChannelEvents):
    """One end of a channel."""

    def __init__(self, end):
        self.end = end
        self.channel = None
        self.messages = []
        self.received = self.sent = self.closed = 0
        self.digest = hashlib.sha256()
        self.keeps_messages = True
        self.grants = end.grants

    def on_message(self, data):
        assert not self.closed, "a message after the channel's end"
        assert not self.end.closed, "a message after the peer's end"
        self.received += len(data)
        self.digest.update(data)
        if self.keeps_messages:
            self.messages.append(data)
        if self.grants:
            self.end.peer.grant(len(data))
        self.end.journal.notify()

    def on_sent(self, size):
        assert size > 0
        assert not self.end.closed, "a credit after the peer's end"
        self.sent += size
        self.end.journal.notify()

    def on_closed(self):
        assert not self.end.closed, "a channel's end after the peer's"
        self.closed += 1
        self.end.journal.notify()


class End(SignaledPeerEvents):
    """One end of a connection: its peer, and what it told."""

    def __init__(self, engine, journal, *, offerer=True, grants=True, **changes):
        self.journal = journal
        self.grants = grants
        self.candidates = []
        self.phases = []
        self.inbound = []
        self.closed = []
        self.on_phase_told = lambda _phase: None
        self.refuses_channels = False
        self.other = None
        self.peer = engine.create_peer(settings(offerer=offerer, **changes), self)

    # --- SignaledPeerEvents --------------------------------------------------------------------------------

    def on_candidate(self, candidate):
        assert not self.closed
        self.candidates.append(candidate)
        if self.other is not None:
            self.other.peer.add_remote_candidate(candidate)
        self.journal.notify()

    def on_phase(self, phase):
        assert not self.closed, f"phase {phase} after the end"
        self.phases.append(phase)
        self.on_phase_told(phase)
        self.journal.notify()

    def on_channel(self, channel):
        assert not self.closed
        if self.refuses_channels:
            channel.close()
            return
        record = ChannelRecord(self)
        record.channel = channel
        self.inbound.append(record)
        channel.bind(record)
        self.journal.notify()

    def on_closed(self, reason):
        self.closed.append(reason)
        self.journal.notify()

    # --- for tests ------------------------------------------------------------------------------------------------

    @property
    def is_connected(self):
        return "connected" in self.phases

    def open(self, **options):
        record = ChannelRecord(self)
        record.channel = self.peer.open_channel(record, **options)
        return record

    async def close(self, reason=CLOSED):
        self.peer.close(reason)
        return await self.journal.until(lambda: self.closed, 2)


def wire(offerer, answerer):
    """Hand candidates over as they are told."""
    offerer.other, answerer.other = answerer, offerer


def start(offerer, answerer, **offer_changes):
    """Exchange the descriptions. ``offer_changes`` falsify what the answerer is told."""
    wire(offerer, answerer)
    answerer.peer.start(replace(offerer.peer.local_description, **offer_changes))
    offerer.peer.start(answerer.peer.local_description)
    for end in (offerer, answerer):
        end.peer.gather()


@contextlib.asynccontextmanager
async def two_ends(engine, *, other_engine=None, offerer_grants=True, answerer_grants=True, **changes):
    """Two peers that haven't begun to connect; they are closed at the end."""
    journal = Journal()
    offerer = End(engine, journal, offerer=True, grants=offerer_grants, **changes)
    answerer = End(other_engine or engine, journal, offerer=False, grants=answerer_grants, **changes)
    try:
        yield offerer, answerer
    finally:
        for end in (offerer, answerer):
            end.peer.close(CLOSED)
        await journal.until(lambda: offerer.closed and answerer.closed, 3)
    assert len(offerer.closed) == len(answerer.closed) == 1


@contextlib.asynccontextmanager
async def connected_ends(engine, **options):
    """Two peers that are connected."""
    async with two_ends(engine, **options) as (offerer, answerer):
        start(offerer, answerer)
        await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)
        yield offerer, answerer
