"""ICE agents wired to each other, without anything above them."""

import asyncio
import contextlib
import time

from tests.compliance.engine_ends import Journal, nothing_left
from tests.webrtc_transport.engine.turn_server import PASSWORD, USER
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.ice import IceAgent
from webrtc_transport.engine.ice_session import IceEvents
from webrtc_transport.engine.turn_client import TurnServer
from webrtc_transport.engine.udp_port import UdpPort
from webrtc_transport.portal import AsyncioPortal
from webrtc_transport.protocol.ice_url import IceUrl
from webrtc_transport.protocol.sdp import IceCandidate


class End(IceEvents):
    """An agent, and what it told."""

    def __init__(
        self,
        journal,
        *,
        controlling,
        stun=(),
        turn=(),
        relay_only=False,
        bind=("127.0.0.1",),
        liveness_timeout=30.0,
        gathering_timeout=3.0,
    ):
        self.journal = journal
        self.candidates, self.packets, self.consent = [], [], []
        self.other = None
        self.ufrag, self.pwd = f"ufrag{controlling:d}", f"password{controlling:d}" * 3

        class Agent(IceAgent):
            async def get_component_candidates(self, component, addresses, timeout=gathering_timeout):
                return await super().get_component_candidates(component, addresses, timeout)

        self.agent = Agent(
            self,
            AsyncioDriver(),
            AsyncioPortal(),
            controlling=controlling,
            stun_servers=stun,
            turn_servers=turn,
            relay_only=relay_only,
            bind_addresses=bind,
            liveness_timeout=liveness_timeout,
            ufrag=self.ufrag,
            pwd=self.pwd,
        )

    def on_local_candidate(self, candidate):
        self.candidates.append(candidate)
        if self.other is not None:
            self.other.agent.add_remote(candidate)
        self.journal.notify()

    def on_packet(self, data):
        self.packets.append(data)
        self.journal.notify()

    def on_consent(self, state):
        self.consent.append(state)
        self.journal.notify()

    # Of the session, which isn't there.
    on_nominated = on_ice_failed = on_ice_closed = None

    @property
    def kinds(self):
        return [candidate and candidate.type for candidate in self.candidates]

    @property
    def port(self):
        return self.agent._protocols[0]

    async def gathered(self):
        self.agent.gather()
        await self.journal.until(lambda: None in self.candidates)
        return self.candidates[:-1]

    async def establish(self, **options):
        self.agent.gather()
        async with asyncio.timeout(10):
            await self.agent.establish(self.other.ufrag, self.other.pwd, **options)


@contextlib.asynccontextmanager
async def two(*, a=None, b=None, trickle=True, **both):
    """Two agents that know of each other: ``a`` is controlling."""
    async with nothing_left():
        journal = Journal()
        first = End(journal, **{"controlling": True, **both, **(a or {})})
        second = End(journal, **{"controlling": False, **both, **(b or {})})
        second.ufrag, second.agent._local_username = "other", "other"
        if trickle:
            first.other, second.other = second, first
        try:
            yield first, second
        finally:
            started = time.monotonic()
            await asyncio.gather(first.agent.close(), second.agent.close())
            assert time.monotonic() - started < 1
            first.agent.release()
            second.agent.release()


def introduce(first, second):
    """Let both know of each other, without handing over candidates by themselves."""
    for end, other in ((first, second), (second, first)):
        end.other = other
        end.on_local_candidate = end.candidates.append


async def establish(first, second):
    """Run the checks of both, and return the seconds that they took."""
    started = time.monotonic()
    await asyncio.gather(first.establish(), second.establish())
    return time.monotonic() - started


async def exchange(first, second):
    """Send a packet in each direction."""
    for end, other in ((first, second), (second, first)):
        end.agent.transmit([b"\x16from " + end.ufrag.encode()])
        await end.journal.until(
            lambda end=end, other=other: b"\x16from " + end.ufrag.encode() in other.packets, 2
        )


def turn_url(port, transport="udp", *, password=PASSWORD):
    return TurnServer(IceUrl("turn", "127.0.0.1", port, transport), USER, password)


def stun_url(port, host="127.0.0.1"):
    return IceUrl("stun", host, port, "udp")


def host_candidate(port, host="127.0.0.1", **changes):
    fields = {"foundation": "1", "component": 1, "transport": "udp", "priority": 2130706431, "type": "host"}
    return IceCandidate(address=host, port=port, **{**fields, **changes})


class Nat:
    """Forwards what comes from behind to a server, from an address of its own, and the answers back."""

    def __init__(self, server):
        self._server = server
        self._client = None
        self.inside = UdpPort(AsyncioDriver(), "127.0.0.1", self._outbound)
        self.outside = UdpPort(AsyncioDriver(), "127.0.0.1", self._inbound)

    def _outbound(self, data, address):
        self._client = address
        self.outside.send(data, self._server)

    def _inbound(self, data, _address):
        self.inside.send(data, self._client)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.inside.close()
        self.outside.close()
