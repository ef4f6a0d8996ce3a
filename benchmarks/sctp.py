"""How much CPU a packet costs two SCTP associations back to back: no sockets, no DTLS, and no time but a modelled one.

Prints a line per case; the time is of both ends, and of this loop.
"""

import argparse
import heapq
import random
import time
from dataclasses import dataclass

from webrtc_transport.protocol.sctp.association import Association
from webrtc_transport.protocol.sctp.events import Ended, Established, MessageReceived
from webrtc_transport.protocol.sctp.settings import CONGESTION_CONTROLS, AssociationSettings

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Case:
    """What to move, over which link. Sizes are bytes, times seconds."""

    name: str
    total: int
    message: int
    loss: float = 0.0
    delay: float = 0.0001


CASES = [
    Case("16 KiB messages", 32 * MIB, 16 * KIB),
    Case("100-byte messages", 2 * MIB, 100),
    Case("16 KiB messages, 1 % loss", 4 * MIB, 16 * KIB, loss=0.01),
    Case("16 KiB messages, 1 % loss, 50 ms", 4 * MIB, 16 * KIB, loss=0.01, delay=0.025),
]


def run(case: Case, settings: AssociationSettings) -> str:  # noqa: C901 - one loop, read from top to bottom
    """Move the data; returns a line of results."""
    rng = random.Random(1)  # noqa: S311 - losses that repeat
    sender, receiver = Association(settings), Association(settings)
    ends = (sender, receiver)
    link: list[tuple[float, int, int, bytes]] = []
    now, count, received, queued = 0.0, 0, 0, 0
    is_ready = False
    payload = rng.randbytes(case.message)
    sender.connect(now)
    receiver.connect(now)
    begin = time.process_time()
    while received < case.total:
        while is_ready and queued < case.total and sender.queued < 256 * KIB:
            sender.send(1, 53, payload)
            queued += case.message
        for number, end in enumerate(ends):
            for packet in end.transmit(now):
                count += 1
                if rng.random() >= case.loss:
                    heapq.heappush(link, (now + case.delay, count, 1 - number, packet))
            events, end.events = end.events, []
            for event in events:
                if isinstance(event, MessageReceived):
                    received += len(event.data)
                    end.consume(len(event.data), now)
                elif isinstance(event, Established):
                    is_ready = is_ready or end is sender
                elif isinstance(event, Ended):
                    return f"{case.name}: {event.reason}"
        now = max(now, min([t for end in ends if (t := end.timer) is not None] + [at for at, *_ in link[:1]]))
        while link and link[0][0] <= now:
            _, _, number, packet = heapq.heappop(link)
            ends[number].receive(packet, now)
        for end in ends:
            if end.timer is not None and end.timer <= now:
                end.handle_timer(now)
    elapsed = time.process_time() - begin
    messages = case.total / case.message
    return (
        f"{case.name}: {elapsed * 1e6 / count:.1f} us per packet, {elapsed * 1e6 / messages:.1f} us per message, "
        f"{elapsed * 1e3 / (case.total / MIB):.1f} ms per MiB, {case.total / now / 1e6:.2f} MB/s of modelled time"
    )


def main() -> None:
    """Run all cases several times, the best counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--congestion", choices=sorted(CONGESTION_CONTROLS), default="cubic")
    parser.add_argument("--packet-size", type=int, default=1160)
    arguments = parser.parse_args()
    size = arguments.packet_size
    settings = AssociationSettings(
        congestion=CONGESTION_CONTROLS[arguments.congestion], packet_size=size, max_packet_size=size
    )
    for case in CASES:
        print(run(case, settings), flush=True)


if __name__ == "__main__":
    main()
