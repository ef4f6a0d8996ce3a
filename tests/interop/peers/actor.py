"""What a peer in Python does by command, whichever library it speaks WebRTC with. ``actor.js`` does the same.

A command is a line of JSON, ``{"id": 1, "do": "send", …}``, and so is its answer, ``{"id": 1, "result": …}`` or
``{"id": 1, "error": "…"}``. Commands run side by side, so answers come in any order:

- ``offer``, ``answer`` (``sdp``): a new connection; the answer has its ``sdp``, with candidates. ``accept`` (``sdp``).
- ``connected``: waits for it. ``close``. ``ended``: waits until the connection is over. ``watch``: opens a channel,
  whose end counts as the connection's too.
- ``open`` (``bytes``): a channel ahead, for the next ``send`` of as many bytes.
- ``send`` (``channels``, ``bytes``, ``size``): on each of several channels at once, and each checked by its hash.
- ``echo`` (``sizes``, ``text``): messages of these sizes there and back.
- ``churn``, ``burst`` (``count``, ``label``): channels one after the other, or at once, with one message each.
- ``progress``: bytes that ``send`` has handed to the library (``handed``), and those that left its buffer (``left``).

The other end does what the label of a channel says: ``sink 1000`` answers 1000 bytes with their hash, ``echo`` sends
back what comes, ``once`` does so once and closes the channel, ``quiet`` does nothing. ``ready`` in front of a label has
libdatachannel's peer say first that it listens, with an empty message.
"""

import asyncio
import hashlib
import json
import struct
import sys
import time
import traceback
from abc import ABC, abstractmethod

HIGH_WATER = 1024 * 1024
"""Bytes unsent at which a sender waits."""

CONNECT_TIMEOUT = 30.0

_BLOCK = bytes(((number * 2654435761) >> 13) & 255 for number in range(65536))


def make_message(number, size):
    """Message ``number`` of a transfer: no two are alike."""
    blocks = _BLOCK * (size // len(_BLOCK)) + _BLOCK[: size % len(_BLOCK)]
    return struct.pack("!L", number) + blocks[4:] if size >= 4 else blocks


class Channel(ABC):
    """A data channel of some library."""

    def __init__(self, label):
        self.label = label
        self.inbox = asyncio.Queue()
        """Its messages, and ``None`` at its end."""
        self.deliver = self.inbox.put_nowait
        """Takes each message."""
        self.opened = asyncio.Event()
        self.drained = asyncio.Event()
        """Set when few bytes are left in its buffer."""

    @property
    @abstractmethod
    def buffered(self):
        """Bytes handed over, and not sent yet."""

    @abstractmethod
    def send(self, data):
        """Send one message."""

    @abstractmethod
    def close(self):
        """Close the channel."""

    async def has_room(self):
        """Wait until there is little in its buffer."""
        while self.buffered > HIGH_WATER:
            self.drained.clear()
            await self.drained.wait()


class Connection(ABC):
    """A peer connection of some library."""

    def __init__(self):
        self.on_inbound = None
        """Called with each channel of the other end."""
        loop = asyncio.get_running_loop()
        self.connected = loop.create_future()
        self.ended = loop.create_future()
        """Done with the reason."""

    def end(self, reason):
        """The connection is over."""
        if not self.ended.done():
            self.ended.set_result(reason)
        if not self.connected.done():
            self.connected.set_exception(ConnectionError(reason))
            self.connected.exception()

    @abstractmethod
    async def offer(self):
        """An SDP with all candidates."""

    @abstractmethod
    async def answer(self, sdp):
        """An SDP with all candidates, to this offer."""

    @abstractmethod
    async def accept(self, sdp):
        """Take the answer."""

    @abstractmethod
    def open(self, label):
        """Open a channel."""

    @abstractmethod
    async def close(self):
        """Close the connection, and tell the other end."""


class Actor:
    """Carries commands out, with connections that ``connect(offerer=…, **options)`` makes."""

    def __init__(self, connect):
        self._connect = connect
        self._connection = None
        self._handed = 0
        self._senders = set()
        self._asks_ready = False
        self._opened = []

    async def run(self, command):
        """Carry one command out, and return the answer."""
        number, name = command.pop("id"), command.pop("do")
        try:
            return {"id": number, "result": await getattr(self, f"do_{name}")(**command)}
        except Exception:
            return {"id": number, "error": traceback.format_exc()}

    async def do_offer(self, **options):
        await self._make(offerer=True, **options)
        return {"sdp": await self._connection.offer()}

    async def do_answer(self, sdp, **options):
        await self._make(offerer=False, **options)
        return {"sdp": await self._connection.answer(sdp)}

    async def _make(self, *, asks_ready=False, **options):
        if self._connection is not None:
            await self._connection.close()
        self._handed, self._senders, self._opened = 0, set(), []
        self._asks_ready = asks_ready
        self._connection = self._connect(**options)
        self._connection.on_inbound = self._serve

    async def do_accept(self, sdp):
        await self._connection.accept(sdp)

    async def do_connected(self):
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await asyncio.shield(self._connection.connected)

    async def do_close(self):
        if self._connection is not None:
            await self._connection.close()

    async def do_watch(self):
        channel = await self._open("quiet")
        connection = self._connection

        async def watch():
            await self._finish(channel, closes=False)
            connection.end("its channel is closed")

        self._watch = asyncio.ensure_future(watch())

    async def do_ended(self):
        return {"reason": await asyncio.shield(self._connection.ended)}

    async def do_progress(self):
        return {
            "handed": self._handed,
            "left": self._handed - sum(channel.buffered for channel in self._senders),
        }

    async def do_control(self, **options):
        """What only our own peers do."""
        return self._connection.control(**options)

    async def do_open(self, bytes):  # noqa: A002 - the name in the protocol
        self._opened.append(await self._open(f"sink {bytes}"))

    async def do_send(self, channels, bytes, size):  # noqa: A002 - the name in the protocol
        started = time.perf_counter()
        await asyncio.gather(*(self._send(bytes, size) for _ in range(channels)))
        return {"seconds": time.perf_counter() - started}

    async def _send(self, total, size):
        channel = self._opened.pop() if self._opened else await self._open(f"sink {total}")
        self._senders.add(channel)
        digest = hashlib.sha256()
        for number, at in enumerate(range(0, total, size)):
            message = make_message(number, min(size, total - at))
            digest.update(message)
            await channel.has_room()
            channel.send(message)
            self._handed += len(message)
        answer = await channel.inbox.get()
        assert answer is not None, "the channel ended before the digest came"
        assert as_bytes(answer) == digest.hexdigest().encode(), "the receiver has something else"
        self._senders.discard(channel)
        await self._finish(channel)

    async def do_echo(self, sizes, text=False):
        channel = await self._open("echo")
        sent = [make_message(number, size) for number, size in enumerate(sizes)]
        if text:
            sent = [f"{number} ä".ljust(size, "ö") for number, size in enumerate(sizes)]
        for message in sent:
            channel.send(message)
        for message in sent:
            back = await channel.inbox.get()
            assert back is not None, "the channel ended before all came back"
            assert as_bytes(back) == as_bytes(message), f"of {len(message)} bytes, another one came back"
        await self._finish(channel)

    async def do_churn(self, count, label):
        for number in range(count):
            await self._greet(label, number)

    async def do_burst(self, count, label):
        await asyncio.gather(*(self._greet(label, number) for number in range(count)))

    async def _greet(self, label, number):
        channel = await self._open(label)
        message = make_message(number, 64)
        channel.send(message)
        back = await channel.inbox.get()
        assert back == message, f"channel {number}: {back!r} where its message is due"
        await self._finish(channel, closes=label != "once")

    async def _open(self, label):
        channel = self._connection.open(f"ready {label}" if self._asks_ready else label)
        await channel.opened.wait()
        if self._asks_ready:
            assert not await channel.inbox.get(), "a message where an empty one is due"
        return channel

    async def _finish(self, channel, *, closes=True):
        if closes:
            channel.close()
        item = await channel.inbox.get()
        assert item is None, "a message where the end of the channel is due"

    def _serve(self, channel):
        """Do what the label of a channel says."""
        kind, _, total = channel.label.partition(" ")
        digest, received = hashlib.sha256(), 0

        def sink(data):
            nonlocal received
            digest.update(data)
            received += len(data)
            if received == int(total):
                channel.send(digest.hexdigest().encode())

        def once(data):
            channel.send(data)
            channel.close()

        kinds = {"sink": sink, "echo": channel.send, "once": once, "quiet": lambda _: None}
        channel.deliver = kinds[kind]


def as_bytes(data):
    """Text is UTF-8."""
    return data.encode() if isinstance(data, str) else data


def write_line(value):
    """One line of output."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def run_actor(connect, version):
    """Carry the commands on standard input out, until it ends."""
    actor = Actor(connect)
    tasks = set()
    reader = asyncio.StreamReader(limit=1024 * 1024)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    async def run(command):
        write_line(await actor.run(command))

    write_line({"id": 0, "result": {"version": version}})
    async for line in reader:
        task = loop.create_task(run(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    for task in tasks:
        task.cancel()
    await actor.do_close()
    transport.close()
