"""A filter in the kernel that lets through what comes to a socket from some sources, and drops the rest unread.

It is a program of classic BPF, attached to the socket (socket(7), SO_ATTACH_FILTER; the language is described in the
kernel's ``networking/filter.rst``), which needs no privilege. Such a program has no tables and no loops. So the sources
are hashed into buckets, with a key that is made anew for each socket, and the set of buckets that pass is laid out as
a decision tree: 13 comparisons per datagram at most, however many sources are known.

Where the kernel takes no filter, everything is read, and refused by the demultiplexer.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
import sys
from array import array
from collections.abc import Collection, Iterable
from typing import Final

from ..protocol.load_shedding import Share
from ..protocol.stun_message import Address

BUCKETS: Final = 8192
"""Of a thousand sources each has one, and one stranger in nine is taken for one of them. The program for more wouldn't
fit into what older kernels have for the options of a socket: 20 KiB, with the filter before (net.core.optmem_max)."""

_WORD: Final = 32
_SHIFT: Final = 32 - (BUCKETS - 1).bit_length()
_MASK: Final = 0xFFFFFFFF

_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
"""From asm-generic/socket.h; the socket module doesn't name them."""

_UNSUPPORTED: Final = frozenset(
    {errno.EACCES, errno.EINVAL, errno.ENOPROTOOPT, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
)
"""What the kernel says if it has no such filters, or the sandbox that we are in allows none. Anything else, such as
ENOMEM, passes."""

_NETWORK_HEADER: Final = 0xFFF00000
"""Added to an offset: from the IP header, not from that of UDP (linux/filter.h: SKF_NET_OFF)."""

_SOURCES: Final = {
    socket.AF_INET: (_NETWORK_HEADER + 12,),
    socket.AF_INET6: tuple(_NETWORK_HEADER + at for at in (8, 12, 16, 20)),
}
"""Where the words of a source address are in the IP header (RFC 791, section 3.1, and RFC 8200, section 3)."""

# From linux/bpf_common.h: the operations that the program needs, by the names of the kernel's assembler.
_LD_WORD: Final = 0x20
_LD_HALF: Final = 0x28
_LD_VALUE: Final = 0x00
_LD_STORED: Final = 0x60
_STORE: Final = 0x02
_TAX: Final = 0x07
_ADD_X: Final = 0x0C
_MUL: Final = 0x24
_AND: Final = 0x54
_MOD: Final = 0x94
_LSH_X: Final = 0x6C
_RSH: Final = 0x74
_JA: Final = 0x05
_JEQ: Final = 0x15
_JGE: Final = 0x35
_JSET_X: Final = 0x4D
_RET: Final = 0x06

_MAX_JUMP: Final = 255
"""Instructions that a conditional jump can pass over."""

_Instruction = tuple[int, int, int, int]
_INSTRUCTION: Final = struct.Struct("=HBBI")
_PROGRAM: Final = struct.Struct("@HP")

_DROP: Final[_Instruction] = (_RET, 0, 0, 0)
_PASS: Final[_Instruction] = (_RET, 0, 0, _MASK)


class SourceFilter:
    """The filter of one socket.

    :param sock: a UDP socket of one family
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._key = secrets.randbits(32) | 1
        self._is_attached = False
        self._buckets: dict[Address, int] = {}
        """Of the sources that were known last: to hash one takes longer than all else that is done with it."""
        self.is_supported = sys.platform == "linux"
        """Whether the kernel may take a filter, as far as is known."""
        self.part_known = 0.0
        """The part of all sources that passes as known."""

    def allow(self, known: Iterable[Address], share: Share) -> None:
        """Let only ``known`` sources through, and the others of ``share``.

        :raises OSError: if the kernel doesn't do that; all come through then. Unless :attr:`is_supported` has become
            false, it may do so the next time.
        """
        if not self.is_supported:
            raise OSError(errno.ENOSYS, "there are no socket filters here")
        before = self._buckets
        self._buckets = {
            source: before[source] if source in before else self._bucket(*source) for source in known
        }
        buckets = set(self._buckets.values())
        self.part_known = len(buckets) / BUCKETS
        program = array("B", b"".join(_INSTRUCTION.pack(*step) for step in self._program(buckets, share)))
        address, size = program.buffer_info()
        option = _PROGRAM.pack(size // _INSTRUCTION.size, address)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
        except OSError as exc:
            self.is_supported = exc.errno not in _UNSUPPORTED
            self.allow_all()
            raise
        self._is_attached = True

    def allow_all(self) -> None:
        """Let everything through."""
        self._buckets = {}
        if self._is_attached:
            self._is_attached = False
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def _bucket(self, host: str, port: int) -> int:
        packed = socket.inet_pton(self._socket.family, host.partition("%")[0])
        value = 0
        for word in (*struct.unpack(f"!{len(packed) // 4}I", packed), port):
            value = (value + word) * self._key & _MASK
        return value >> _SHIFT

    def _program(self, buckets: Collection[int], share: Share) -> list[_Instruction]:
        words = [0] * (BUCKETS // _WORD)
        for bucket in buckets:
            words[bucket // _WORD] |= 1 << bucket % _WORD
        loads = [(_LD_WORD, 0, 0, at) for at in _SOURCES[self._socket.family]] + [(_LD_HALF, 0, 0, 0)]
        program: list[_Instruction] = [(_LD_VALUE, 0, 0, 0)]
        for load in loads:
            program += [(_TAX, 0, 0, 0), load, (_ADD_X, 0, 0, 0), (_MUL, 0, 0, self._key)]
        program += [
            (_RSH, 0, 0, _SHIFT),
            (_STORE, 0, 0, 0),
            (_MOD, 0, 0, share.count),
            (_JEQ, 0, 1, share.index),
            _PASS,
            # X is the bit of the bucket, A the number of the word that it is in.
            (_LD_STORED, 0, 0, 0),
            (_AND, 0, 0, _WORD - 1),
            (_TAX, 0, 0, 0),
            (_LD_VALUE, 0, 0, 1),
            (_LSH_X, 0, 0, 0),
            (_TAX, 0, 0, 0),
            (_LD_STORED, 0, 0, 0),
            (_RSH, 0, 0, _WORD.bit_length() - 1),
        ]
        return [*program, *_tree(words, 0, 0), (_JSET_X, 0, 1, 0), _PASS, _DROP]


def _tree(words: list[int], first: int, after: int) -> list[_Instruction]:
    """Load one of ``words`` by its number, and go on behind the ``after`` instructions that follow.

    :param first: the number of the first one
    """
    if not any(words):
        return [_DROP]
    if len(words) == 1:
        return [(_LD_VALUE, 0, 0, words[0]), (_JA, 0, 0, after)]
    half = len(words) // 2
    upper = _tree(words[half:], first + half, after)
    lower = _tree(words[:half], first, after + len(upper))
    if len(lower) <= _MAX_JUMP:
        return [(_JGE, len(lower), 0, first + half), *lower, *upper]
    return [(_JGE, 0, 1, first + half), (_JA, 0, 0, len(lower)), *lower, *upper]
