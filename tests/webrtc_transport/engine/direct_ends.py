"""Two ends of webrtc-direct in virtual time, a network between them, and what they tell."""

from tests.compliance.engine_ends import CERTIFICATES
from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport import TransportConfig
from webrtc_transport.abc import ChannelEvents, PeerEvents
from webrtc_transport.engine.direct_peer import DirectPeer
from webrtc_transport.engine.dtls import make_context
from webrtc_transport.protocol.ice_controlling import ControllingAgent
from webrtc_transport.protocol.ice_lite import LiteAgent
from webrtc_transport.protocol.sdp import Fingerprint
from webrtc_transport.protocol.stun import PacketKind, classify
from webrtc_transport.protocol.stun_message import StunMessage
from webrtc_transport.protocol.ufrag import Flow, new_credentials

SERVER, CLIENT, MOVED = ("192.0.2.1", 4001), ("198.51.100.7", 50000), ("198.51.100.7", 50001)
CONTEXTS = tuple(make_context(certificate) for certificate in CERTIFICATES)
FINGERPRINTS = tuple(Fingerprint("sha-256", certificate.fingerprint()) for certificate in CERTIFICATES)
CONFIG = TransportConfig(receive_buffer=256 * 1024)


class Messages(ChannelEvents):
    """A channel's messages."""

    def __init__(self, end):
        self.end, self.received, self.is_closed = end, [], False

    def on_message(self, data):
        self.received.append(data)
        self.end.peer.grant(len(data))

    def on_sent(self, size):
        pass

    def on_closed(self):
        self.is_closed = True


class End(PeerEvents):
    """The events of one connection."""

    def __init__(self, peer=None):
        self.peer, self.ended = peer, None
        self.phases = []
        self.inbound = []

    @property
    def is_established(self):
        return "connected" in self.phases

    def on_phase(self, phase):
        assert phase not in self.phases or self.is_established
        assert self.ended is None
        self.phases.append(phase)

    def on_channel(self, channel):
        messages = Messages(self)
        channel.bind(messages)
        self.inbound.append(messages)

    def on_closed(self, reason):
        assert self.ended is None
        self.ended = reason

    def open(self, **settings):
        messages = Messages(self)
        return self.peer.open_channel(messages, **settings), messages


class DirectWire:
    """Carries datagrams between a dialer and a listener of one connection.

    :param loses: told the direction (``"up"`` to the listener) and each datagram
    """

    def __init__(
        self, *, flow=Flow.V2, fingerprint=FINGERPRINTS[0], delay=0.01, loses=lambda *_: False, silence=30.0
    ):
        self.driver = VirtualDriver()
        self.loses = loses
        self.client_address = CLIENT
        self.up, self.down = [], []
        self.gone = []
        self._delay, self._silence = delay, silence
        self._credentials = new_credentials(flow)
        self.listener, self.dialer = End(), End()
        self.accepted = 0
        self.inbound = None
        self.outbound = self._make(
            ControllingAgent(self._credentials, [SERVER], self.driver.now(), consent_timeout=silence),
            self._send_up,
            CONTEXTS[1],
            (fingerprint,),
            lambda _peer: self.dialer,
        )
        self.dialer.peer = self.outbound

    def _make(self, agent, send, context, fingerprints, accept):
        return DirectPeer(
            self.driver,
            agent,
            send,
            local_towards=lambda _remote: SERVER if fingerprints is None else CLIENT,
            context=context,
            fingerprints=fingerprints,
            accept=accept,
            on_gone=self.gone.append,
            config=CONFIG,
        )

    def _accept(self, peer):
        self.accepted += 1
        self.listener.peer = peer
        return self.listener

    def _send_up(self, datagrams, address, **_options):
        assert address == SERVER
        self.up += datagrams
        source = self.client_address
        for data in datagrams:
            if not self.loses("up", data):
                self._later(lambda data=data: self._arrive_up(data, source))
        return True

    def _send_down(self, datagrams, address, **_options):
        self.down += datagrams
        for data in datagrams:
            if not self.loses("down", data) and address == self.client_address:
                self._later(lambda data=data: self.deliver(self.outbound, data, SERVER))
        return True

    def _later(self, callback):
        self.driver.call_at(self.driver.now() + self._delay, callback)

    def _arrive_up(self, data, source):
        if self.inbound is None:
            self.inbound = self._make(
                LiteAgent(self._credentials, self.driver.now(), consent_timeout=self._silence),
                self._send_down,
                CONTEXTS[0],
                None,
                self._accept,
            )
        self.deliver(self.inbound, data, source)

    @staticmethod
    def deliver(peer, data, source):
        if classify(data) is PacketKind.STUN:
            peer.stun_received(StunMessage(data), len(data), source)
        else:
            peer.packet_received(data, source)

    def run(self, until, limit=60.0):
        return self.driver.run(until, limit)

    def connect(self):
        return self.run(lambda: self.listener.is_established and self.dialer.is_established)

    def pass_time(self, seconds):
        due = []
        self.driver.call_at(self.driver.now() + seconds, lambda: due.append(True))
        self.run(lambda: due, limit=seconds + 1)
