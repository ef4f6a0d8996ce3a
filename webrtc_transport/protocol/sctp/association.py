"""An SCTP association for data channels, without I/O (RFC 9260, over DTLS as RFC 8261 has it).

In come packets, messages to send, and the time; out go packets, events, and when to come again. One rule for every
driver: after calls that change something, send what :meth:`Association.transmit` returns, then act on
:attr:`Association.events` and empty it, and on :meth:`Association.take_sent`, and call
:meth:`Association.handle_timer` when :attr:`Association.timer` says so. A driver that drains a socket calls ``receive``
for each packet and ``transmit`` once: that makes one acknowledgement for all of them. What :meth:`Association.receive`
brought is among the events at once; all else that happened is by the next ``transmit``.

Both ends of a data-channel association send INIT, so the set-up knows no client and no server. The states, and what
leads from one to the next, are in :mod:`.states`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from .events import Event, InboundStreamsReset, OutboundStreamsReset
from .inbound import Inbound
from .lifecycle import Lifecycle
from .packet import CauseCode
from .sender import MAX_TIMEOUTS, Sender
from .settings import AssociationSettings
from .states import SENDING, TAKING, State
from .stream_reset import StreamResetter
from .transmitter import Transmitter


class Association:
    """One end of an association.

    :param random: gives random bytes
    """

    def __init__(self, settings: AssociationSettings, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self.events: list[Event] = []
        """What has happened. The owner takes it away."""
        self._has_reported_end = False
        self._settings = settings
        tsn = int.from_bytes(random(4))
        self._sender = Sender(tsn, settings.congestion(settings.packet_size), settings.max_in_flight)
        self._transmitter = Transmitter(settings, self._sender, random)
        self._lifecycle = Lifecycle(self._transmitter)
        self._inbound = Inbound(settings, random, self._lifecycle, self._sender, self._transmitter)

    # --- what the owner does --------------------------------------------------------------------------------------

    def connect(self, now: float) -> None:
        """Begin the set-up. Both ends do; one is enough."""
        self._inbound.handshake.begin(now)

    def send(self, stream_id: int, ppid: int, data: bytes) -> None:
        """Queue a message. It is sent once the association is established.

        After a shutdown has begun, by whichever end, nothing is taken any more: :class:`.Ended` follows.
        """
        assert data, "SCTP has no empty messages (RFC 9260, section 6.9); RFC 8831 puts a byte in their place"
        if self._lifecycle.state in TAKING:
            self._sender.queue.put(stream_id, ppid, data)

    def consume(self, size: int, now: float) -> None:
        """The application has read ``size`` bytes of messages: the peer may send as many more."""
        if self._inbound.receiver is not None:
            self._inbound.receiver.consume(size, now)

    def reset_stream(self, stream_id: int) -> None:
        """End one of our streams, after what is queued on it (RFC 6525).

        What is sent on it afterwards waits until the peer has confirmed, and belongs to the stream's next life.
        """
        self._sender.queue.end(stream_id)

    def shutdown(self, now: float) -> None:
        """End the association when everything has arrived (RFC 9260, section 9.2)."""
        if self._inbound.shutdown is not None:
            self._inbound.shutdown.begin(now)
        elif not self.is_ended:
            self._lifecycle.end("closed before it was established", is_orderly=True)

    def abort(self, reason: str = "") -> None:
        """End the association at once; what is under way may be lost.

        :param reason: tells the peer what has failed; without, it takes the end for a close
        """
        if not self.is_ended:
            self._lifecycle.abort(reason)

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where the association stands."""
        return self._lifecycle.state

    @property
    def is_ended(self) -> bool:
        """Whether it is over: nothing is taken or sent any more."""
        return self._lifecycle.ended is not None

    @property
    def unread(self) -> int:
        """Bytes of messages that the application hasn't read."""
        return self._inbound.receiver.unread if self._inbound.receiver is not None else 0

    @property
    def window(self) -> int:
        """Bytes of messages that may wait to be read."""
        return self._settings.window

    @property
    def queued(self) -> int:
        """Bytes of messages that were never sent."""
        return self._sender.queue.size

    @property
    def in_flight(self) -> int:
        """Bytes of messages that were sent and not acknowledged."""
        return self._sender.flight_size

    @property
    def is_hurried(self) -> bool:
        """Whether the pace has left something, or the path is probed. All else is due in :data:`.PROBE_MARGIN` at the
        earliest, after a :meth:`transmit` that has left no acknowledgement, or may be as late as that.
        """
        transmitter = self._transmitter
        return transmitter.send_at is not None or transmitter.path_mtu.timer is not None

    def take_oversized(self) -> list[bytes]:
        """Packets that :meth:`transmit` would have given, but that IP has to fragment on this path."""
        oversized, self._transmitter.oversized = self._transmitter.oversized, []
        return oversized

    def refused(self, size: int, now: float) -> None:
        """The interface takes no packets of ``size`` bytes, the largest of those that :meth:`transmit` gave last."""
        self._transmitter.refused(size, now)

    def has_output(self, now: float) -> bool:
        """Whether :meth:`transmit` may have something to send after :meth:`receive`, if all its events are messages.

        Most packets call for nothing: an acknowledgement waits for company.
        """
        receiver = self._inbound.receiver
        if (
            receiver is None
            or self._lifecycle.ended
            or self._sender.has_more
            or self._transmitter.has_control
        ):
            return True
        if self._sender.queue.ended:
            # The last message of a stream that is to end has left.
            return True
        return receiver.timer is not None and now >= receiver.timer

    @property
    def smoothed_rtt(self) -> float | None:
        """Seconds."""
        return self._sender.rto.smoothed

    @property
    def timer(self) -> float | None:
        """When :meth:`handle_timer` is to be called; ``None`` if nothing is due."""
        if self._lifecycle.ended:
            return None
        inbound, path_mtu = self._inbound, self._transmitter.path_mtu
        due = self._transmitter.send_at
        for part in (
            *(self._lifecycle, self._sender, path_mtu),
            *(inbound.receiver, inbound.resetter, inbound.liveness),
        ):
            if part is not None and part.timer is not None and (due is None or part.timer < due):
                due = part.timer
        return due

    # --- packets in -----------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, now: float) -> None:
        """Take a packet. One that is malformed, or isn't for this association, is ignored."""
        if self._lifecycle.ended is None:
            self._inbound.receive(packet, now)
            self._report()

    # --- time, and packets out ------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self.is_ended:
            return
        self._lifecycle.handle_timer(now)
        if self._sender.timer is not None and now >= self._sender.timer:
            self._sender.handle_timer(now)
        resetter, liveness = self._inbound.resetter, self._inbound.liveness
        if resetter is not None:
            resetter.handle_timer(now)
        if liveness is not None:
            self._transmitter.bundle(liveness.handle_timer(now))
            self._transmitter.probe_path(now)
        self._give_up()

    def _give_up(self) -> None:
        """End if something was tried for long enough."""
        resetter, liveness = self._inbound.resetter, self._inbound.liveness
        failure, is_lost = None, True
        if self._sender.timeouts > MAX_TIMEOUTS:
            failure = "the peer does not acknowledge any more"
        elif liveness is not None and liveness.is_lost:
            failure = f"the peer has not answered for {liveness.timeout:g} s"
        elif resetter is not None:
            failure, is_lost = resetter.failure, False
        if failure is not None and not self.is_ended:
            self._lifecycle.fail(CauseCode.USER_INITIATED_ABORT, failure, is_lost=is_lost)

    def transmit(self, now: float) -> list[bytes]:
        """The packets to be sent now."""
        inbound, transmitter, lifecycle = self._inbound, self._transmitter, self._lifecycle
        receiver, resetter, queue = inbound.receiver, inbound.resetter, self._sender.queue
        if receiver is None or resetter is None or lifecycle.ended is not None:
            self._report()
            return transmitter.take_packets()
        is_sending = lifecycle.state in SENDING
        if is_sending and (queue.ended or resetter.is_busy):
            self._request_resets(resetter, now)
            if self.is_ended:
                self._report()
                return transmitter.take_packets()
        return transmitter.transmit(receiver, now, is_sending=is_sending)

    def take_sent(self) -> dict[int, int]:
        """Queued payload, by stream, that :meth:`transmit` has sent for the first time since this was called last."""
        queue = self._sender.queue
        taken, queue.taken = queue.taken, {}
        return taken

    def _request_resets(self, resetter: StreamResetter, now: float) -> None:
        queue = self._sender.queue
        if queue.ended:
            resetter.request(queue.ended)
            queue.ended = []
        requests = resetter.output(self._sender.last_tsn, now)
        if requests:
            self._transmitter.bundle(requests)
        elif resetter.failure is not None:
            self._give_up()

    # --- events ---------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Turn what the parts have to tell into events."""
        inbound, ended = self._inbound, self._lifecycle.ended
        receiver, resetter = inbound.receiver, inbound.resetter
        if inbound.established is not None:
            self.events.append(inbound.established)
            inbound.established = None
        if receiver is not None and receiver.messages:
            self.events += receiver.messages
            receiver.messages.clear()
        if resetter is not None and (resetter.deferred or resetter.inbound_reset or resetter.outbound_reset):
            # After the messages, which precede the end of their stream.
            self._report_resets(resetter)
        if ended is not None and not self._has_reported_end:
            self.events.append(ended)
            self._has_reported_end = True

    def _report_resets(self, resetter: StreamResetter) -> None:
        receiver = self._inbound.receiver
        assert receiver is not None
        resetter.check_deferred()
        if resetter.inbound_reset:
            for stream_id in resetter.inbound_reset:
                receiver.reset_stream(stream_id)
            self.events.append(InboundStreamsReset(tuple(resetter.inbound_reset)))
            resetter.inbound_reset.clear()
        if resetter.outbound_reset:
            for stream_id in resetter.outbound_reset:
                self._sender.queue.restart(stream_id)
            self.events.append(OutboundStreamsReset(tuple(resetter.outbound_reset)))
            resetter.outbound_reset.clear()
