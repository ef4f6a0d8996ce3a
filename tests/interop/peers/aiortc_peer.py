"""aiortc as a peer, by its own API."""

import asyncio

import aiortc
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.interop.peers.actor import HIGH_WATER, Channel, Connection, run_actor


class AiortcChannel(Channel):
    def __init__(self, channel):
        super().__init__(channel.label)
        self._channel = channel
        channel.bufferedAmountLowThreshold = HIGH_WATER // 2
        if channel.readyState == "open":
            self.opened.set()
        channel.on("open", self.opened.set)
        channel.on("message", self._received)
        channel.on("bufferedamountlow", self.drained.set)
        channel.on("close", lambda: self.inbox.put_nowait(None))

    @property
    def buffered(self):
        return self._channel.bufferedAmount

    def _received(self, data):
        # Who takes it may change after this object is made.
        self.deliver(data)

    def send(self, data):
        self._channel.send(data)

    def close(self):
        self._channel.close()


class AiortcConnection(Connection):
    def __init__(self, *, offerer):
        super().__init__()
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.on("connectionstatechange", self._state_changed)
        self._connection.on("datachannel", lambda channel: self.on_inbound(AiortcChannel(channel)))

    async def offer(self):
        # There is no section for data channels without a channel; a negotiated one is told to nobody.
        self._connection.createDataChannel("", negotiated=True, id=1000)
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._connection.localDescription.sdp

    async def answer(self, sdp):
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._connection.localDescription.sdp

    async def accept(self, sdp):
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    def open(self, label):
        return AiortcChannel(self._connection.createDataChannel(label))

    async def close(self):
        await self._connection.close()

    def _state_changed(self):
        state = self._connection.connectionState
        # Its connection is connected before its association is.
        if state == "connected":
            self._task = asyncio.ensure_future(self._associated())
        elif state in ("closed", "failed"):
            self.end(state)

    async def _associated(self):
        while self._connection.sctp.state != "connected":
            await asyncio.sleep(0.005)
        if not self.connected.done():
            self.connected.set_result(None)


if __name__ == "__main__":
    asyncio.run(run_actor(AiortcConnection, aiortc.__version__))
