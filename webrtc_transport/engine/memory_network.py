"""A network in memory, whose faults a test scripts, and what peers send over it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.certificate import Certificate
from ..protocol.sdp import IceCandidate

# --- packets ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """An ICE check: proves by the password that its sender knows the description."""

    ufrag: str
    pwd: str
    candidate: IceCandidate


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """The response to a check."""

    candidate: IceCandidate


@dataclass(frozen=True, slots=True)
class Hello:
    """The DTLS handshake."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Init:
    """The SCTP handshake: how many bytes the sender takes before it reads."""

    window: int


@dataclass(frozen=True, slots=True)
class ConsentCheck:
    """Asks for a sign of life."""


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """A sign of life."""


@dataclass(frozen=True, slots=True)
class GoodBye:
    """The sender closes the connection."""


@dataclass(frozen=True, slots=True)
class Open:
    """The sender opened a channel."""

    stream_id: int
    label: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a channel."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """The sender sends nothing more on a channel."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The receiver has read ``size`` bytes."""

    size: int


SetupPacket = Check | CheckAnswer | Hello | Init | ConsentCheck | ConsentAnswer | GoodBye
ChannelPacket = Open | Message | Reset | Grant
Packet = SetupPacket | ChannelPacket


# --- the network -----------------------------------------------------------------------------------------------------


class MemoryNetwork:
    """Carries packets between ports, which may be in different event loops and threads.

    The model is one reliable, ordered link in each direction of each pair of peers. A packet is under way for
    ``delay`` seconds and up to ``jitter`` more. With the probability ``loss`` it is lost and sent again after
    ``retransmission`` seconds, as often as it takes; what was sent after it waits for it. So loss and jitter show
    as delay and as nothing else: neither packet size, nor bandwidth, nor congestion is modelled. Only what a real
    stack doesn't repeat either, a consent check, is lost when it is lost.

    :param delay: seconds, one way; it may be changed at any time, like the next three
    :param jitter: seconds
    :param loss: from 0 to less than 1
    :param retransmission: seconds
    :param seed: of the random numbers, so that a run can be repeated
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
        retransmission: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.delay = delay
        self.jitter = jitter
        self.loss = loss
        self.retransmission = retransmission
        self._random = random.Random(seed)  # noqa: S311 - hides nothing
        self._lock = threading.Lock()
        self._drops = 0
        self._is_cut = False
        self._ports: dict[str, MemoryPort] = {}

    @property
    def is_cut(self) -> bool:
        """Whether nothing gets through."""
        return self._is_cut

    def drop(self, count: int = 1) -> None:
        """Lose the next ``count`` transmissions, whosever they are."""
        with self._lock:
            self._drops += count

    def cut(self) -> None:
        """Let nothing through any more: to each peer the other is silent."""
        self._is_cut = True

    def restore(self) -> None:
        """Let everything through again, first what has been repeated in vain meanwhile."""
        self._is_cut = False
        for port in self._all_ports():
            port.call(port.flush)

    def close(self) -> None:
        """End every connection, as if each peer had closed it."""
        for port in self._all_ports():
            port.call(port.end)

    def attach(
        self, address: str, receive: Callable[[Packet], None], on_end: Callable[[], None]
    ) -> MemoryPort:
        """Attach a port in the running event loop: ``receive`` is called there with what is sent to ``address``."""
        port = MemoryPort(self, address, receive, on_end)
        with self._lock:
            self._ports[address] = port
        return port

    # --- for the ports --------------------------------------------------------------------------------------------

    def detach(self, address: str) -> None:
        """Forget a port."""
        with self._lock:
            self._ports.pop(address, None)

    def find(self, address: str) -> MemoryPort | None:
        """The port at ``address``."""
        with self._lock:
            return self._ports.get(address)

    def latency(self, *, repeat: bool) -> float | None:
        """Seconds that a packet of now takes; ``None`` if it is lost and not repeated."""
        with self._lock:
            seconds = self.delay + self._random.uniform(0.0, self.jitter)
            while self._is_next_lost():
                if not repeat:
                    return None
                seconds += self.retransmission
        return seconds

    def _is_next_lost(self) -> bool:
        if self._drops:
            self._drops -= 1
            return True
        return self._random.random() < self.loss

    def _all_ports(self) -> list[MemoryPort]:
        with self._lock:
            return list(self._ports.values())


class MemoryPort:
    """Where one peer is attached. All but :meth:`call` is for the event loop that it was made in."""

    def __init__(
        self,
        network: MemoryNetwork,
        address: str,
        receive: Callable[[Packet], None],
        on_end: Callable[[], None],
    ) -> None:
        self.end = on_end
        self._network = network
        self._address = address
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[tuple[str, Packet]] = deque()
        self._under_way: deque[tuple[float, Packet]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def send(self, address: str, packet: Packet, *, repeat: bool = True) -> None:
        """Send a packet to the port at ``address``; to nobody, if there is none.

        :param repeat: whether it is sent again when it is lost, or the network is cut
        """
        if self._is_closed:
            return
        if self._network.is_cut or self._unsent:
            if repeat:
                self._unsent.append((address, packet))
            return
        self._transmit(address, packet, repeat=repeat)

    def flush(self) -> None:
        """Send what could not be sent while the network was cut."""
        while self._unsent and not self._network.is_cut:
            address, packet = self._unsent.popleft()
            self._transmit(address, packet, repeat=True)

    def close(self) -> None:
        """Send and receive nothing any more."""
        self._is_closed = True
        self._network.detach(self._address)
        self._unsent.clear()
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()

    def call(self, func: Callable[[], None]) -> None:
        """Run ``func`` in the port's event loop soon, in order. For use in any thread."""
        # A loop that has ended is like a process that was killed: it doesn't answer.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(func)

    def _transmit(self, address: str, packet: Packet, *, repeat: bool) -> None:
        port = self._network.find(address)
        latency = self._network.latency(repeat=repeat)
        if port is not None and latency is not None:
            port.call(lambda: port.arrive(packet, latency))

    def arrive(self, packet: Packet, latency: float) -> None:
        """Take a packet that is under way for ``latency`` seconds, but comes after those that were sent before it."""
        if self._is_closed:
            return
        due = self._loop.time() + latency
        if self._under_way:
            self._under_way.append((max(due, self._under_way[-1][0]), packet))
        else:
            self._under_way.append((due, packet))
            self._deliver()

    def _deliver(self) -> None:
        while self._under_way:
            due, packet = self._under_way[0]
            if due > self._loop.time():
                self._timer = self._loop.call_at(due, self._deliver)
                return
            self._under_way.popleft()
            self._receive(packet)
