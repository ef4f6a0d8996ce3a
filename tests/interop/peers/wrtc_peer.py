"""libwebrtc as a peer, by its binding to Python."""

import asyncio
from importlib import metadata

import webrtc

from tests.interop.peers.actor import HIGH_WATER, Channel, Connection, run_actor


class WrtcChannel(Channel):
    def __init__(self, channel):
        super().__init__(channel.label)
        self._channel = channel
        channel.buffered_amount_low_threshold = HIGH_WATER // 2
        if channel.ready_state == "open":
            self.opened.set()
        channel.on("open", lambda _: self.opened.set())
        channel.on("message", lambda event: self.deliver(event.data))
        channel.on("bufferedamountlow", lambda _: self.drained.set())
        channel.on("close", lambda _: self.inbox.put_nowait(None))

    @property
    def buffered(self):
        return self._channel.buffered_amount

    def send(self, data):
        self._channel.send(data)

    def close(self):
        self._channel.close()


class WrtcConnection(Connection):
    def __init__(self, *, offerer):
        super().__init__()
        self._connection = webrtc.RTCPeerConnection(webrtc.RTCConfiguration(ice_servers=[]))
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", lambda event: self.on_inbound(WrtcChannel(event.channel)))
        self._gathered = asyncio.Event()
        self._connection.on("icegatheringstatechange", self._gathering_changed)

    async def offer(self):
        # There is no section for data channels without a channel; a negotiated one is told to nobody.
        self._negotiated = self._connection.create_data_channel(
            "", webrtc.RTCDataChannelInit(negotiated=True, id=1000)
        )
        await self._connection.set_local_description(await self._connection.create_offer())
        await self._gathered.wait()
        return self._connection.local_description.sdp

    async def answer(self, sdp):
        await self._connection.set_remote_description(webrtc.RTCSessionDescription("offer", sdp))
        await self._connection.set_local_description(await self._connection.create_answer())
        await self._gathered.wait()
        return self._connection.local_description.sdp

    async def accept(self, sdp):
        await self._connection.set_remote_description(webrtc.RTCSessionDescription("answer", sdp))

    def open(self, label):
        return WrtcChannel(self._connection.create_data_channel(label))

    async def close(self):
        self._connection.close()
        self.end("closed")

    def _gathering_changed(self, _):
        if self._connection.ice_gathering_state == "complete":
            self._gathered.set()

    def _state_changed(self, _):
        state = self._connection.connection_state
        if state == "connected" and not self.connected.done():
            self.connected.set_result(None)
        elif state in ("closed", "failed", "disconnected"):
            self.end(str(state))


if __name__ == "__main__":
    asyncio.run(run_actor(WrtcConnection, metadata.version("wrtc")))
