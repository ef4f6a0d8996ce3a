"""An engine of ours as a peer. Arguments: the engine's name, and the local address."""

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, datetime

from tests.interop.peers.actor import HIGH_WATER, Channel, Connection, run_actor
from webrtc_transport.abc import ChannelEvents, PeerSettings, SignaledPeerEvents
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import ConnectionClosed
from webrtc_transport.plugins import engine_factory
from webrtc_transport.protocol.certificate import Certificate
from webrtc_transport.protocol.sdp import SessionDescription


class EngineChannel(Channel, ChannelEvents):
    """A channel of the engine, with the events that it tells."""

    def __init__(self, connection, label):
        super().__init__(label)
        self.opened.set()  # it can be sent on at once
        self.channel = None
        self._connection = connection
        self._unsent = 0

    @property
    def buffered(self):
        return self._unsent

    def send(self, data):
        self._unsent += len(data)
        self.channel.send(data)

    def close(self):
        self.channel.close()

    # --- ChannelEvents --------------------------------------------------------------------------------------------

    def on_message(self, data):
        self._connection.received(self, data)

    def on_sent(self, size):
        self._unsent -= size
        if self._unsent <= HIGH_WATER // 2:
            self.drained.set()

    def on_closed(self):
        self._connection.received(self, None)


class EngineConnection(Connection, SignaledPeerEvents):
    """A peer of the engine. ``options`` go into its config."""

    def __init__(self, engine, address, certificate, *, offerer, **options):
        super().__init__()
        config = TransportConfig(engine=engine.name, bind_addresses=(address,), **options)
        settings = PeerSettings(offerer=offerer, certificate=certificate, ice_servers=(), config=config)
        self._candidates = []
        self._gathered = asyncio.Event()
        self._held = None
        self._peer = engine.create_peer(settings, self)

    async def offer(self):
        return await self._description()

    async def answer(self, sdp):
        self._peer.start(SessionDescription.parse(sdp))
        return await self._description()

    async def accept(self, sdp):
        self._peer.start(SessionDescription.parse(sdp))

    async def _description(self):
        self._peer.gather()
        await self._gathered.wait()
        local = self._peer.local_description
        return replace(local, candidates=tuple(self._candidates), end_of_candidates=True).to_sdp()

    def open(self, label):
        channel = EngineChannel(self, label)
        channel.channel = self._peer.open_channel(channel, label=label)
        return channel

    async def close(self):
        self._peer.close(ConnectionClosed("closed by command"))
        await self.ended

    def control(self, reads=None):
        """Stop or go on reading; the answer has the unread bytes, and the largest message that the other end takes."""
        if reads is False and self._held is None:
            self._held = []
        elif reads is True and self._held is not None:
            held, self._held = self._held, None
            for channel, data in held:
                self.received(channel, data)
        return {"unread": self._peer.statistics().unread, "max_message_size": self._peer.max_message_size}

    def received(self, channel, data):
        if self._held is not None:
            self._held.append((channel, data))
        elif data is None:
            channel.inbox.put_nowait(None)
        else:
            channel.deliver(data)
            self._peer.grant(len(data))

    # --- SignaledPeerEvents ---------------------------------------------------------------------------------------

    def on_candidate(self, candidate):
        if candidate is None:
            self._gathered.set()
        else:
            self._candidates.append(candidate)

    def on_phase(self, phase):
        if phase == "connected" and not self.connected.done():
            self.connected.set_result(None)

    def on_channel(self, channel):
        ours = EngineChannel(self, channel.label)
        ours.channel = channel
        channel.bind(ours)
        self.on_inbound(ours)

    def on_closed(self, reason):
        self.end(f"{type(reason).__name__}: {reason}")


async def main(name, address):
    engine = engine_factory(name)()
    certificate = Certificate.generate(now=datetime.now(UTC))

    def connect(**options):
        return EngineConnection(engine, address, certificate, **options)

    await run_actor(connect, name)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
