"""Two stacks wired to each other without a network, and what they tell."""

import asyncio
from dataclasses import replace

from tests.compliance.engine_ends import ChannelRecord, Journal, settings
from webrtc_transport.engine.description import answer, describe
from webrtc_transport.engine.dtls import DtlsConnection, make_context
from webrtc_transport.engine.native_stack import NativeStack
from webrtc_transport.engine.stack import StackEvents


class ChannelRecords:
    """The channels of a ``stack``, each with what it told: those of the peer in ``inbound``."""

    grants = True

    def on_channel(self, channel):
        record = ChannelRecord(self)
        record.channel = channel
        self.inbound.append(record)
        channel.bind(record)
        self.journal.notify()

    def open(self, *, label="", negotiated_id=None):
        record = ChannelRecord(self)
        record.channel = self.stack.open_channel(record, label, negotiated_id)
        return record


class StackEnd(ChannelRecords, StackEvents):
    """A stack, and what it told."""

    def __init__(self, journal, make_stack, send, local, remote, *, offerer):
        self.journal = journal
        self.told, self.inbound = [], []
        self.closed = False
        self.stack = make_stack(send, offerer, remote, settings(offerer=offerer), self)
        self.peer = self.stack

    def on_secured(self):
        self._tell("secured")

    def on_established(self):
        self._tell("established")

    def on_ended(self, reason):
        self._tell(reason)

    def _tell(self, what):
        assert not self.closed
        self.told.append(what)
        self.journal.notify()

    async def aclose(self):
        self.closed = True
        done = asyncio.Event()
        self.stack.close(done.set)
        await done.wait()


class StackWire:
    """Carries packets between two stacks, but for those that ``loses`` says.

    :param call_soon: of the loop that the stacks run on
    :param offer_changes: falsify what the answerer is told
    """

    def __init__(self, make_stack, call_soon, **offer_changes):
        # The journal's event binds itself to a loop when it is first waited for.
        self.journal = Journal()
        self.loses = lambda _packet: False
        self.packets = []
        self.interface_limit = 65536
        """Larger packets leave in fragments of IP, if they may."""
        self.path_limit = 65536
        """Those vanish on the way."""
        self._call_soon = call_soon
        offer = describe(settings(offerer=True))
        reply = answer(describe(settings(offerer=False)), offer)
        told = replace(offer, **offer_changes)
        self.server = StackEnd(
            self.journal,
            make_stack,
            lambda packets, **options: self._carry(packets, self.client, **options),
            offer,
            reply,
            offerer=True,
        )
        self.client = StackEnd(
            self.journal,
            make_stack,
            lambda packets, **options: self._carry(packets, self.server, **options),
            reply,
            told,
            offerer=False,
        )

    @property
    def ends(self):
        return self.server, self.client

    def start(self):
        for end in self.ends:
            end.stack.start()

    @property
    def is_established(self):
        return all(end.told == ["secured", "established"] for end in self.ends)

    def _carry(self, packets, end, *, may_fragment=False):
        fits = True
        for packet in packets:
            if len(packet) > self.interface_limit and not may_fragment:
                fits = False
                continue
            self.packets.append(packet)
            if not self.loses(packet) and (may_fragment or len(packet) <= self.path_limit):
                self._call_soon(end.stack.packet_received, packet)
        return fits


def native_factory(driver):
    """Makes native stacks on a driver."""

    def make(send_packets, is_server, remote, settings, events):
        context = make_context(settings.certificate)
        return NativeStack(
            driver,
            DtlsConnection(context, is_server=is_server, fingerprints=remote.fingerprints),
            send_packets,
            events,
            is_server=is_server,
            max_message_size=remote.max_message_size,
            config=settings.config,
        )

    return make
