"""Sends connectivity checks of webrtc-direct from sources that it makes up, at a rate: what a flood looks like.

    python -m benchmarks.peers.spoofer <port> <checks per second> <seconds>

Every check is well-formed and authentic, and comes from an address in 127.0.0.0/8 and a port that change each time. It
needs root: the packets are made here, headers and all, and 64 leave with one system call (sendmmsg(2)), so that the
sender takes little from whom it floods. At the end it prints how many have left.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
import time
from typing import Final

from webrtc_transport.protocol.stun_message import TRANSACTION_ID_LENGTH, binding_request
from webrtc_transport.protocol.ufrag import Flow, new_credentials

BATCH: Final = 64
"""Packets per system call."""

DIFFERENT: Final = 16_384
"""Checks that are made beforehand. Their sources are new each time that they are sent."""

_IP: Final = struct.Struct("!BBHHHBBH4s4s")
_UDP: Final = struct.Struct("!HHHH")
_SOURCE_AT: Final = 12
_PORT_AT: Final = _IP.size
_PRIORITY: Final = 0x6E7FFFFF


class _Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """``struct msghdr``."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """``struct mmsghdr``."""

    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


def make_packet(port: int, flow: Flow) -> bytes:
    """A check in an IPv4 packet to ``port``. The kernel fills in the checksum of IP; that of UDP may be left out."""
    credentials = new_credentials(flow)
    check = binding_request(
        os.urandom(TRANSACTION_ID_LENGTH),
        username=credentials.username,
        password=credentials.server.password.encode(),
        priority=_PRIORITY,
        tie_breaker=int.from_bytes(os.urandom(8)),
    )
    length = _UDP.size + len(check)
    loopback = socket.inet_aton("127.0.0.1")
    ip = _IP.pack(0x45, 0, _IP.size + length, 0, 0, 64, socket.IPPROTO_UDP, 0, loopback, loopback)
    return ip + _UDP.pack(0, port, length, 0) + check


class Flood:
    """All packets, one behind the other in one piece of memory, each in a place of the same size."""

    def __init__(self, port: int) -> None:
        packets = [make_packet(port, Flow.V1 if number % 2 else Flow.V2) for number in range(DIFFERENT)]
        self._stride = max(map(len, packets))
        self._memory = bytearray(b"".join(packet.ljust(self._stride, b"\0") for packet in packets))
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._target = ctypes.create_string_buffer(
            struct.pack("=H", socket.AF_INET) + bytes(2) + socket.inet_aton("127.0.0.1") + bytes(8), 16
        )
        self._vectors = (_Vector * DIFFERENT)()
        self._messages = (_Message * DIFFERENT)()
        for number, packet in enumerate(packets):
            self._vectors[number] = _Vector(start + number * self._stride, len(packet))
            vector = ctypes.pointer(self._vectors[number])
            target = ctypes.addressof(self._target)
            self._messages[number].header = _Header(target, 16, vector, 1, None, 0, 0)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self._send = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._next = 0
        self.sent = 0

    def send_batch(self) -> None:
        """Send the next packets, or fewer if the kernel takes no more."""
        if self._next == 0:
            self._change_sources()
        first = ctypes.byref(self._messages, self._next * ctypes.sizeof(_Message))
        sent = self._send(self._socket.fileno(), first, BATCH, 0)
        if sent < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self.sent += sent
        self._next = (self._next + BATCH) % DIFFERENT

    def _change_sources(self) -> None:
        # 127.x.y.z, and a port; each byte of all packets at once.
        for at in (_SOURCE_AT + 1, _SOURCE_AT + 2, _SOURCE_AT + 3, _PORT_AT, _PORT_AT + 1):
            self._memory[at :: self._stride] = os.urandom(DIFFERENT)


def main(port: int, rate: float, seconds: float) -> None:
    flood = Flood(port)
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        if flood.sent < elapsed * rate:
            flood.send_batch()
        else:
            time.sleep(BATCH / rate)
    print(json.dumps({"sent": flood.sent, "seconds": elapsed}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
