"""A libp2p peer on libp2p 0.8.1's own transport, driven by lines of JSON; ../README.md has the protocol.

It runs in a virtual environment of its own, because that transport's extra pins an old aioice.
"""

import argparse
import hashlib
import json
import os
import sys
import time

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.network.stream.exceptions import StreamEOF, StreamError, StreamReset
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.transport.webrtc.config import WebRTCTransportConfig
from libp2p.transport.webrtc.transport import WebRTCDirectTransport
from multiaddr import Multiaddr

ECHO = "/echo/1.0.0"
"""Copies until EOF, then ends its own side."""
DIGEST = "/digest/1.0.0"
"""Reads until EOF, and only then answers, with the SHA-256."""
RESET = "/reset/1.0.0"
"""``l``: the listener resets; ``d``: it echoes that, and tells how the stream ends."""

CHUNK = 16384

EOF_ERRORS = ("Stream closed by remote", "Read side is closed")


def tell(**fields):
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


class Notifee:
    """Tells who comes and goes."""

    async def connected(self, network, conn):
        tell(event="connected", peer=str(conn.muxed_conn.peer_id))

    async def disconnected(self, network, conn):
        tell(event="disconnected", peer=str(conn.muxed_conn.peer_id))

    async def opened_stream(self, network, stream):
        pass

    async def closed_stream(self, network, stream):
        pass

    async def listen(self, network, multiaddr):
        pass

    async def listen_close(self, network, multiaddr):
        pass


async def chunks(stream):
    """What arrives until EOF, which this transport tells by an error of its own."""
    while True:
        try:
            chunk = await stream.read(CHUNK)
        except StreamEOF:
            return
        except StreamError as exc:
            if any(text in str(exc) for text in EOF_ERRORS):
                return
            raise
        if not chunk:
            return
        yield chunk


async def read_all(stream):
    return b"".join([chunk async for chunk in chunks(stream)])


async def read_exactly(stream, size):
    content = b""
    while len(content) < size:
        content += await stream.read(size - len(content))
    return content


async def write(stream, content, chunk):
    for start in range(0, len(content), chunk):
        await stream.write(content[start : start + chunk])


async def how_it_ended(stream):
    try:
        await read_all(stream)
    except StreamReset:
        return "reset"
    except StreamError as exc:
        return f"{type(exc).__name__}: {exc}"
    return "eof"


def serving(handler):
    async def serve(stream):
        try:
            await handler(stream)
        except Exception as exc:
            sys.stderr.write(f"{handler.__name__}: {exc!r}\n")
            await stream.reset()

    return serve


@serving
async def serve_echo(stream):
    async for chunk in chunks(stream):
        await stream.write(chunk)
    await stream.close()


@serving
async def serve_digest(stream):
    content = await read_all(stream)
    await stream.write(hashlib.sha256(content).digest())
    await stream.close()


@serving
async def serve_reset(stream):
    order = await read_exactly(stream, 1)
    if order == b"l":
        await stream.reset()
        return
    await stream.write(order)
    tell(event="stream-ended", how=await how_it_ended(stream))


class Peer:
    """The commands."""

    def __init__(self, version, nursery):
        key_pair = create_new_key_pair()
        config = WebRTCTransportConfig(webrtc_direct_dial_version=version)
        transport = WebRTCDirectTransport(key_pair.private_key, config)
        self._host = new_host(key_pair=key_pair, transports=[transport])
        self._host.get_network().register_notifee(Notifee())
        for protocol, handler in ((ECHO, serve_echo), (DIGEST, serve_digest), (RESET, serve_reset)):
            self._host.set_stream_handler(protocol, handler)
        self._nursery = nursery
        self._remote = None
        self._running = None

    async def _run(self, addresses, task_status=trio.TASK_STATUS_IGNORED):
        with trio.CancelScope() as scope:
            async with self._host.run(listen_addrs=addresses):
                task_status.started(scope)
                await trio.sleep_forever()

    async def listen(self, address):
        self._running = await self._nursery.start(self._run, [Multiaddr(address)])
        own = f"/p2p/{self._host.get_id()}"
        listening = [str(each) for each in self._host.get_addrs()]
        return {"addresses": [each if each.endswith(own) else each + own for each in listening]}

    async def dial(self, address):
        if self._running is None:
            self._running = await self._nursery.start(self._run, [])
        info = info_from_p2p_addr(Multiaddr(address))
        started = time.perf_counter()
        await self._host.connect(info)
        self._remote = info.peer_id
        return {"peer": str(info.peer_id), "seconds": time.perf_counter() - started}

    async def identify(self):
        started = time.perf_counter()
        stream = await self._open(IDENTIFY)
        answer = parse_identify_response(await read_all(stream))
        seconds = time.perf_counter() - started
        return {"agent": answer.agent_version, "protocols": list(answer.protocols), "seconds": seconds}

    async def ping(self):
        (microseconds,) = await PingService(self._host).ping(self._remote, 1)
        return {"seconds": microseconds / 1e6}

    async def echo(self, chunk, **size):
        content = os.urandom(size["bytes"])
        echoed = bytearray()
        started = time.perf_counter()
        stream = await self._open(ECHO)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, stream, content, chunk)
            # It can't end its side alone, and so counts what comes back.
            while len(echoed) < len(content):
                echoed += await stream.read(CHUNK)
        seconds = time.perf_counter() - started
        await stream.close()
        sent, received = (hashlib.sha256(each).hexdigest() for each in (content, echoed))
        return {"sent": sent, "received": received, "bytes": len(echoed), "seconds": seconds}

    async def streams(self, count, at_once):
        """All of them are open, and each has been answered once, before the first one ends.

        At most ``at_once`` of them wait for their first answer.
        """
        started = time.perf_counter()
        places = trio.Semaphore(at_once)
        opened, failed = [], []

        async def first_answer(text):
            async with places:
                try:
                    stream = await self._open(ECHO)
                    await stream.write(text)
                    assert await read_exactly(stream, len(text)) == text
                    opened.append(stream)
                except Exception as exc:
                    failed.append(repr(exc))

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(first_answer, b"stream %d" % number)
        async with trio.open_nursery() as nursery:
            for stream in opened:
                nursery.start_soon(stream.close)
        if failed:
            raise RuntimeError(f"{len(failed)} of {count} streams: {failed[0]}")
        return {"count": count, "seconds": time.perf_counter() - started}

    async def half_close(self, count, chunk):
        started = time.perf_counter()
        content = os.urandom(100_000)
        expected = hashlib.sha256(content).digest()
        for _ in range(count):
            stream = await self._open(DIGEST)
            await write(stream, content, chunk)
            await stream.close_write()
            answer = await read_all(stream)
            if answer != expected:
                raise RuntimeError(f"{len(answer)} bytes of answer, not the digest")
            await stream.close()
        return {"count": count, "seconds": time.perf_counter() - started}

    async def reset(self, by):
        stream = await self._open(RESET)
        await stream.write(by[:1].encode())
        if by == "dialer":
            await read_exactly(stream, 1)
            await stream.reset()
            return {}
        return {"how": await how_it_ended(stream)}

    async def close(self):
        await self._host.disconnect(self._remote)
        return {}

    def stop(self):
        if self._running is not None:
            self._running.cancel()

    async def _open(self, protocol):
        return await self._host.new_stream(self._remote, [protocol])


async def answer(peer, request):
    number, command = request.pop("id"), request.pop("command")
    try:
        result = await getattr(peer, command)(**request)
    except Exception as exc:
        causes = [repr(exc), *(repr(each) for each in getattr(exc, "exceptions", ()))]
        tell(id=number, error="; ".join(causes))
    else:
        tell(id=number, result=result)


async def main(version):
    async with trio.open_nursery() as nursery:
        peer = Peer(version, nursery)
        pending = b""
        async with trio.open_nursery() as commands, trio.lowlevel.FdStream(os.dup(0)) as requests:
            async for received in requests:
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    commands.start_soon(answer, peer, json.loads(line))
            commands.cancel_scope.cancel()
        peer.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=int, choices=(1, 2), default=1)
    trio.run(main, parser.parse_args().version)
