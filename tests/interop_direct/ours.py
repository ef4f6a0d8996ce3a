"""Our own transport as a peer of the foreign ones: a program that speaks their line protocol (README.md).

multistream-select, identify and ping are done here, as far as the programs at the other end need them.
"""

import argparse
import contextlib
import hashlib
import json
import os
import sys
import time

import anyio
import anyio.to_thread

from webrtc_transport import Identity, TransportConfig, WebRTCTransport
from webrtc_transport.errors import StreamReset, StreamTimeout, WebRTCError, describe

MULTISTREAM = "/multistream/1.0.0"
IDENTIFY, PING = "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"
ECHO, DIGEST, RESET = "/echo/1.0.0", "/digest/1.0.0", "/reset/1.0.0"
AGENT = "webrtc-transport"
PING_SIZE = 32


def tell(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


# --- streams with what is read ahead --------------------------------------------------------------------------------


class Buffered:
    """A stream from which exact numbers of bytes are read."""

    def __init__(self, stream):
        self.stream = stream
        self._ahead = b""

    async def read(self, size):
        while len(self._ahead) < size:
            self._ahead += await self.stream.receive()
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        return data

    async def some(self):
        """What there is; empty at the end."""
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        try:
            return await self.stream.receive()
        except anyio.EndOfStream:
            return b""

    async def varint(self):
        value = shift = 0
        while True:
            byte = (await self.read(1))[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    async def line(self):
        return (await self.read(await self.varint())).decode().rstrip("\n")


def varint(value):
    encoded = b""
    while value >= 0x80:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def line(text):
    return varint(len(text) + 1) + text.encode() + b"\n"


def field(number, value):
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def fields(message):
    """The fields of a protobuf message that has nothing but bytes: number and value."""
    found, at = [], 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        number, size = take() >> 3, take()
        found.append((number, message[at : at + size]))
        at += size
    return found


# --- the side that answers ------------------------------------------------------------------------------------------


class Server:
    def __init__(self, identity):
        self._identity = identity
        self._protocols = {
            IDENTIFY: self.identify,
            PING: self.ping,
            ECHO: self.echo,
            DIGEST: self.digest,
            RESET: self.reset,
        }

    async def serve(self, connection):
        peer = str(connection.remote_peer)
        tell(event="connected", peer=peer)
        try:
            await connection.serve(
                self.answer, on_error=lambda _stream, error: sys.stderr.write(f"{error!r}\n")
            )
        finally:
            tell(event="disconnected", peer=peer)

    async def answer(self, stream):
        buffered = Buffered(stream)
        if await buffered.line() != MULTISTREAM:
            stream.reset()
            return
        await stream.send(line(MULTISTREAM))
        while (handler := self._protocols.get(await buffered.line())) is None:
            await stream.send(line("na"))
        name = next(name for name, each in self._protocols.items() if each == handler)
        await stream.send(line(name))
        await handler(buffered)

    async def identify(self, buffered):
        message = field(1, self._identity.public_key.to_protobuf()) + field(6, AGENT.encode())
        message += b"".join(field(3, name.encode()) for name in self._protocols)
        await buffered.stream.send(varint(len(message)) + message)
        await buffered.stream.send_eof()

    async def ping(self, buffered):
        while True:
            await buffered.stream.send(await buffered.read(PING_SIZE))

    async def echo(self, buffered):
        while data := await buffered.some():
            await buffered.stream.send(data)
        await buffered.stream.send_eof()

    async def digest(self, buffered):
        digest = hashlib.sha256()
        while data := await buffered.some():
            digest.update(data)
        await buffered.stream.send(digest.digest())
        await buffered.stream.send_eof()

    async def reset(self, buffered):
        by = await buffered.read(1)
        if by == b"l":
            buffered.stream.reset()
            return
        await buffered.stream.send(by)
        how = "eof"
        try:
            while await buffered.some():
                pass
        except StreamReset:
            how = "reset"
        tell(event="stream-ended", how=how)


async def let_go(stream):
    """Close a stream whose bytes have all arrived."""
    # rust-libp2p never sends FIN_ACK.
    with contextlib.suppress(StreamTimeout):
        await stream.aclose()


# --- the side that asks ---------------------------------------------------------------------------------------------


class Asker:
    def __init__(self, connection):
        self._connection = connection

    async def open(self, protocol):
        stream = await self._connection.open_stream()
        buffered = Buffered(stream)
        await stream.send(line(MULTISTREAM) + line(protocol))
        answers = await buffered.line(), await buffered.line()
        if answers != (MULTISTREAM, protocol):
            raise ValueError(f"the peer answered {answers}")
        return buffered

    async def identify(self):
        started = time.monotonic()
        buffered = await self.open(IDENTIFY)
        message = fields(await buffered.read(await buffered.varint()))
        await let_go(buffered.stream)
        return {
            "agent": next((value.decode() for number, value in message if number == 6), ""),
            "protocols": [value.decode() for number, value in message if number == 3],
            "seconds": time.monotonic() - started,
        }

    async def ping(self):
        buffered = await self.open(PING)
        started, data = time.monotonic(), os.urandom(PING_SIZE)
        await buffered.stream.send(data)
        if await buffered.read(PING_SIZE) != data:
            raise ValueError("the pong is another one")
        seconds = time.monotonic() - started
        buffered.stream.reset()
        return {"seconds": seconds}

    async def echo(self, bytes, chunk):  # noqa: A002 - the protocol's name
        buffered = await self.open(ECHO)
        sent, received, count = hashlib.sha256(), hashlib.sha256(), 0
        started = time.monotonic()

        async def send():
            for start in range(0, bytes, chunk):
                data = os.urandom(min(chunk, bytes - start))
                sent.update(data)
                await buffered.stream.send(data)
            await buffered.stream.send_eof()

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(send)
            while data := await buffered.some():
                received.update(data)
                count += len(data)
        seconds = time.monotonic() - started
        await let_go(buffered.stream)
        return {
            "sent": sent.hexdigest(),
            "received": received.hexdigest(),
            "bytes": count,
            "seconds": seconds,
        }

    async def streams(self, count, at_once):
        limiter, open_streams, started = anyio.CapacityLimiter(at_once), [], time.monotonic()

        async def begin(number):
            async with limiter:
                buffered = await self.open(ECHO)
                data = b"%8d" % number
                await buffered.stream.send(data)
                if await buffered.read(8) != data:
                    raise ValueError("the echo is another one")
                open_streams.append(buffered.stream)

        async with anyio.create_task_group() as task_group:
            for number in range(count):
                task_group.start_soon(begin, number)
        async with anyio.create_task_group() as task_group:
            for stream in open_streams:
                task_group.start_soon(self._finish, stream)
        return {"count": len(open_streams), "seconds": time.monotonic() - started}

    async def _finish(self, stream):
        await stream.send_eof()
        async for _ in stream:
            raise ValueError("there is something after the echo")
        await let_go(stream)

    async def half_close(self, count, chunk):
        started = time.monotonic()
        for _ in range(count):
            buffered = await self.open(DIGEST)
            data = os.urandom(chunk)
            await buffered.stream.send(data)
            await buffered.stream.send_eof()
            if await buffered.read(32) != hashlib.sha256(data).digest():
                raise ValueError("the digest is another one")
            await let_go(buffered.stream)
        return {"count": count, "seconds": time.monotonic() - started}

    async def reset(self, by):
        buffered = await self.open(RESET)
        await buffered.stream.send(by[:1].encode())
        if by == "dialer":
            await buffered.read(1)
            buffered.stream.reset()
            return {}
        try:
            return {"how": "eof" if not await buffered.some() else "data"}
        except StreamReset:
            return {"how": "reset"}

    async def close(self):
        await self._connection.aclose()
        return {}


# --- the program ----------------------------------------------------------------------------------------------------


class Program:
    def __init__(self, transport, task_group):
        self._transport = transport
        self._tasks = task_group
        self._server = Server(transport.identity)
        self._asker = None

    async def listen(self, address):
        listener = await self._transport.listen(address)
        self._tasks.start_soon(listener.serve, self._server.serve)
        return {"addresses": [str(each) for each in listener.addresses]}

    async def dial(self, address):
        started = time.monotonic()
        connection = await self._transport.dial(address)
        seconds = time.monotonic() - started
        self._asker = Asker(connection)
        self._tasks.start_soon(self._server.serve, connection)
        return {"peer": str(connection.remote_peer), "seconds": seconds}

    async def run(self, request):
        number, command = request.pop("id"), request.pop("command")
        try:
            target = self if command in ("listen", "dial") else self._asker
            tell(id=number, result=await getattr(target, command)(**request))
        except Exception as exc:
            tell(id=number, error=f"{type(exc).__name__}: {describe(exc)}")


async def main(version):
    config = TransportConfig(direct_version=f"v{version}", fin_ack_timeout=2)
    async with WebRTCTransport(Identity.generate(), config=config) as transport:
        async with anyio.create_task_group() as task_group:
            program = Program(transport, task_group)
            while text := await anyio.to_thread.run_sync(sys.stdin.readline):
                task_group.start_soon(program.run, json.loads(text))
            task_group.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, default=1)
    parser.add_argument("--backend", default="asyncio")
    arguments = parser.parse_args()
    try:
        anyio.run(main, arguments.version, backend=arguments.backend)
    except* WebRTCError as group:
        sys.exit(describe(group))
