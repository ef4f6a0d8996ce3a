"""Servers as processes, what stands before them, and clients that count what is lost."""

import asyncio
import contextlib
import itertools
import signal
from collections import Counter

import anyio

from tests.processes import running
from tests.webrtc_signaling.backends import backend
from tests.webrtc_signaling.command import command, environment, port_of
from tests.webrtc_signaling.samples import ANSWER, OFFER, candidate
from webrtc_signaling.channel import ReliableChannel
from webrtc_signaling.messages import Envelope
from webrtc_signaling.session_book import SessionBook
from webrtc_signaling.testing.meeting import serving
from webrtc_transport.errors import SignalingError
from webrtc_transport.identity import Identity

DIALS_PER_MINUTE = 200
START_TIMEOUT = 120
DEADLINE = 45
"""Seconds in which a dial connects or fails by name: the grace time of a peer that never returns, and some."""


class Servers:
    """Two processes of ``webrtc-signaling serve``, either of which can be killed and started again."""

    def __init__(self, redis_url):
        self._arguments = ("--port", "0", "--redis", redis_url, "--log-level", "debug")
        self.ports = [None, None]
        self._processes = [None, None]
        self._stacks = [contextlib.ExitStack(), contextlib.ExitStack()]
        self.logs = []

    async def start(self, number):
        process = self._stacks[number].enter_context(
            running(command("serve", *self._arguments), env=environment())
        )
        self._processes[number] = process
        line = await anyio.to_thread.run_sync(process.read_line, START_TIMEOUT)
        self.ports[number] = port_of(line)

    async def end(self, number, signum):
        process, self._processes[number] = self._processes[number], None
        if process is not None:
            process.send_signal(signum)
            await anyio.to_thread.run_sync(process.stop, None)
            self.ports[number] = None
            self.logs.append(process.errors())
            self._stacks[number].close()

    @contextlib.asynccontextmanager
    async def both(self):
        try:
            for number in range(2):
                await self.start(number)
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                for number in range(2):
                    await self.end(number, signal.SIGTERM)


@contextlib.asynccontextmanager
async def front(servers, preferred):
    """A load balancer: connections go to the ``preferred`` server, and to the other one while that is away."""
    tasks = set()

    async def pipe(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        task = asyncio.current_task()
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        for port in (servers.ports[preferred], servers.ports[1 - preferred]):
            if port is None:
                continue
            with contextlib.suppress(OSError):
                upstream = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pipe(reader, upstream[1]), pipe(upstream[0], writer))
                return
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        try:
            yield f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        finally:
            for task in tasks:
                task.cancel()


class Ledger:
    """What clients have sent, what servers have acknowledged of it, and what has arrived."""

    def __init__(self, monkeypatch):
        self.acknowledged, self.arrived, self.failed = set(), set(), set()
        self.outcomes = Counter()
        self.wrong = []
        ledger = self

        class Channel(ReliableChannel):
            def acknowledge(self, ack):
                before = {id(message): message for message in self.unacknowledged}
                super().acknowledge(ack)
                for message in self.unacknowledged:
                    del before[id(message)]
                ledger.acknowledged.update(_key(message) for message in before.values())

        receive, receive_failure = SessionBook.receive, SessionBook.receive_failure

        def received(book, message):
            if isinstance(message, Envelope):
                ledger.arrived.add(_key(message))
            receive(book, message)

        def failed(book, failure):
            ledger.failed.add(failure.session)
            receive_failure(book, failure)

        monkeypatch.setattr("webrtc_signaling.client.ReliableChannel", Channel)
        monkeypatch.setattr(SessionBook, "receive", received)
        monkeypatch.setattr(SessionBook, "receive_failure", failed)

    @property
    def lost(self):
        """Messages that were acknowledged, and neither arrived, nor did their sender hear of it."""
        return {key for key in self.acknowledged - self.arrived if key[2] not in self.failed}


def _key(envelope):
    return envelope.sender, envelope.recipient, envelope.session, envelope.index


async def answer(ledger, session):
    """The listener's part of a round."""
    async with session:
        try:
            expected = [OFFER, candidate(1), candidate(2)]
            got = [await session.receive() for _ in expected]
            if got != expected:
                ledger.wrong.append(got)
            await session.send(ANSWER)
            await session.send(candidate(3))
            with contextlib.suppress(anyio.EndOfStream):
                ledger.wrong.append(await session.receive())
        except (SignalingError, anyio.EndOfStream) as exc:
            ledger.outcomes[f"listener: {type(exc).__name__}"] += 1


async def dial(ledger, caller, peer, *, stay):
    """The dialer's part; without ``stay`` it only says what it has to, and goes."""
    try:
        with anyio.fail_after(DEADLINE):
            async with await caller.connect(peer) as session:
                for signal_ in (OFFER, candidate(1), candidate(2)):
                    await session.send(signal_)
                if stay:
                    got = [await session.receive(), await session.receive()]
                    if got != [ANSWER, candidate(3)]:
                        ledger.wrong.append(got)
            ledger.outcomes["connected" if stay else "said"] += 1
    except SignalingError as exc:
        ledger.outcomes[type(exc).__name__] += 1
    except TimeoutError:
        ledger.outcomes["HUNG"] += 1


async def dial_amid(servers, ledger, rounds, mishaps):
    """Make ``rounds`` dials, 200 a minute, from peers of one server to peers of both.

    :param mishaps: what happens to the servers meanwhile
    """
    dialers, listeners = [Identity.generate() for _ in range(3)], [Identity.generate() for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(front(servers, number)) for number in range(2)]
        for number, identity in enumerate(listeners):
            entered = await stack.enter_async_context(backend(urls[number % 2], identity))
            await stack.enter_async_context(serving(entered, lambda session: answer(ledger, session)))
        callers = [await stack.enter_async_context(backend(urls[0], identity)) for identity in dialers]
        async with anyio.create_task_group() as mishap_group:
            mishap_group.start_soon(mishaps, servers)
            async with anyio.create_task_group() as dials:
                choice = itertools.product(callers, listeners)
                for number in range(rounds):
                    caller, listener = next(choice, None) or next(
                        choice := itertools.product(callers, listeners)
                    )
                    stay = number % 5 != 0
                    dials.start_soon(
                        lambda *args: dial(*args[:3], stay=args[3]), ledger, caller, listener.peer_id, stay
                    )
                    await anyio.sleep(60 / DIALS_PER_MINUTE)
            mishap_group.cancel_scope.cancel()
        # What was said by those who went has to arrive, too.
        with anyio.move_on_after(DEADLINE):
            while ledger.lost:
                await anyio.sleep(0.1)
