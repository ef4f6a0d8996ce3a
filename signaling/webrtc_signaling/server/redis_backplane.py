"""A :class:`~.backplane.Backplane` over Redis: a stream for each server, and a directory of keys that expire."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from itertools import chain, islice
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from webrtc_transport.errors import InvalidSignal, describe
from webrtc_transport.redaction import redacted

from .backplane import Backplane, BackplaneEvents, Outflow
from .directory import parse_move
from .frames import MAX_ENTRY_SIZE, Frame, pack
from .redis_commands import INBOX, MOVES, Answered, Ask, Command, claim, ignore, locate, release
from .redis_entries import complaining, entries_in, take
from .redis_failures import FAILURES, PAUSE, Pauses, Refusals, loses_connection
from .supervision import cancel, guarded

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_HEARTBEAT: Final = 2.0
_INBOX_TTL: Final = 6.0
"""Seconds; a heartbeat may be late by two."""

_LEAST_CLAIM_TTL: Final = 60.0
"""Seconds for which a claim holds at least. It is made again thrice in that time."""

_TIMEOUT: Final = 3.0
"""Seconds for one answer of Redis, and for a connection to it."""

_BLOCK: Final = 1.0
"""Seconds that a read waits for something; less than the time-out."""

_SETTLING: Final = 3 * _HEARTBEAT
"""Seconds after Redis was away in which it may not know clients whose servers have yet to come back to it."""

_MAX_INBOX: Final = 1024
"""Entries in the inbox of a server that doesn't read; older ones are dropped, and come again. 256 MiB at most."""

_MAX_QUEUED: Final = 100_000
"""Frames, questions and flows that wait for Redis. Further ones are dropped, and come again. A frame is some 200 bytes,
and what the flows have is bounded where it is kept, by the setting ``max_total_queued_bytes``."""

_MAX_COMMANDS: Final = 128
"""Commands in one pipeline: 32 MiB at most, and some milliseconds of Redis's time."""

_READ_COUNT: Final = 16
"""Entries that are read at once; 4 MiB at most, unless somebody else writes them."""


class RedisBackplane(Backplane):
    """Joins the servers that have the Redis at ``url`` in common.

    :param grace: seconds for which clients keep their registration without a connection
    """

    def __init__(self, url: str, *, grace: float) -> None:
        self.server = secrets.token_urlsafe(16)
        self._inbox = f"{INBOX}{self.server}"
        self._shown_url = redacted(url)
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            # Whoever asks, asks again by itself.
            retry=Retry(NoBackoff(), 0),
        )
        self._claim_ttl = max(_LEAST_CLAIM_TTL, 2 * grace)
        self._commands: list[Command] = []
        self._frames: defaultdict[str, list[Frame]] = defaultdict(list)
        self._outflows: defaultdict[str, dict[Outflow, None]] = defaultdict(dict)
        self._queued = 0
        self._awake = asyncio.Event()
        self._ready = False
        self._was_ready = False
        self._last_entry: bytes | str = "0-0"
        self._trusted_at = 0.0
        """When the directory is to be believed that somebody isn't there."""
        self._claims_due_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Task[None] | None = None
        """The one that goes on. Redis's client may take the cancellation of another one for a time-out of its own."""
        self._refusals = Refusals(self._shown_url)
        self._heartbeat_refusal: str | None = None
        """Why Redis takes no heartbeat of ours, so that the others don't know that we are there."""
        self._is_broken = False
        """Whether one of the tasks has ended by an error. The others end, too: without it we are no member."""

    def is_ready(self) -> bool:
        return self._ready and not self._is_broken

    def fault(self) -> str | None:
        if self._is_broken:
            return "the exchange with Redis has ended by an error, which is in the log; restart the server"
        if self._heartbeat_refusal is not None:
            return f"Redis refuses what keeps the server in the cluster: {self._heartbeat_refusal}"
        return None if self._ready else "Redis can't be reached"

    @contextlib.asynccontextmanager
    async def joined(self, events: BackplaneEvents) -> AsyncIterator[None]:
        """Be one of the servers while the context is open.

        :raises ConnectionError: if Redis can't be reached
        """
        try:
            try:
                await self._heartbeat(events)
            except FAILURES as exc:
                cure = "start it, and check address, user and password in the setting redis"
                raise ConnectionError(
                    f"can't use Redis at {self._shown_url}: {describe(exc).rstrip('.')}; {cure}"
                ) from None
            _logger.info("joined the servers at Redis %s as %s", self._shown_url, self.server)
            self._start(self._write(events))
            self._start(self._read(events))
            yield
        finally:
            self._listener = None
            # The heartbeat may begin another one meanwhile.
            while self._tasks:
                await cancel(self._tasks, again_after=PAUSE)
            await self._leave(events)

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._is_broken = True
            _logger.error("the exchange with Redis %s has ended", self._shown_url, exc_info=error)

    # --- what is asked for --------------------------------------------------------------------------------------------

    def claim(self, peer: str, instance: str, *, proven: bool, stamp: int | None) -> None:
        self._ask(*claim(self.server, peer, instance, proven=proven, stamp=stamp, ttl=self._claim_ttl))

    def release(self, peer: str) -> None:
        self._ask(*release(self.server, peer))

    def locate(self, peer: str) -> None:
        self._ask(*locate(peer, self._is_trusted))

    def send(self, server: str, frame: Frame) -> None:
        if self._has_room():
            self._frames[server].append(frame)

    def send_from(self, server: str, outflow: Outflow) -> None:
        if outflow not in self._outflows.get(server, ()) and self._has_room():
            self._outflows[server][outflow] = None

    def _ask(self, ask: Ask, answered: Answered = ignore) -> None:
        if self._has_room():
            self._commands.append((ask, answered))

    def _has_room(self) -> bool:
        if not self.is_ready() or self._queued >= _MAX_QUEUED:
            return False
        self._queued += 1
        self._awake.set()
        return True

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _write(self, events: BackplaneEvents) -> None:
        loop, pauses = asyncio.get_running_loop(), Pauses()
        beat_at = loop.time() + _HEARTBEAT
        while not self._is_broken:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(beat_at):
                    await self._awake.wait()
            self._awake.clear()
            try:
                if loop.time() >= beat_at:
                    await self._beat(events)
                    beat_at = loop.time() + _HEARTBEAT
                await self._flush(events)
            except FAILURES as exc:
                self._lost(exc)
                await asyncio.sleep(pauses.after_loss(loop.time()))
                beat_at = loop.time()

    async def _beat(self, events: BackplaneEvents) -> None:
        try:
            await self._heartbeat(events)
            self._heartbeat_refusal = None
        except ResponseError as exc:
            if loses_connection(exc):
                raise
            self._refusals.tell(exc)
            self._heartbeat_refusal = describe(exc)

    async def _heartbeat(self, events: BackplaneEvents) -> None:
        """Say that we are there, and see who is."""
        watched: list[str] = []
        with guarded("watch other servers"):
            watched += events.watched()
        pipe = self._redis.pipeline(transaction=False)
        pipe.pexpire(self._inbox, round(_INBOX_TTL * 1000))
        for server in watched:
            pipe.exists(f"{INBOX}{server}")
        is_known, *are_there = await pipe.execute()
        now = asyncio.get_running_loop().time()
        if not is_known:
            pipe.xadd(self._inbox, {"from": self.server})
            pipe.pexpire(self._inbox, round(_INBOX_TTL * 1000))
            await pipe.execute()
            self._last_entry = "0-0"
        if not (is_known and self._ready):
            self._restored(events, now)
        if self._is_trusted():
            for server, is_there in zip(watched, are_there, strict=True):
                if not is_there:
                    with guarded("give up a server that has gone"):
                        events.on_server_gone(server)
        if now >= self._claims_due_at:
            self._claims_due_at = now + self._claim_ttl / 3
            with guarded("claim its clients"):
                events.claims_due()

    def _restored(self, events: BackplaneEvents, now: float) -> None:
        if self._was_ready:
            self._trusted_at = now + _SETTLING
            _logger.warning("Redis %s is back", self._shown_url)
        self._ready = self._was_ready = True
        self._refusals.forget()
        self._claims_due_at = now
        if self._listener is not None:
            self._listener.cancel()
        self._listener = self._start(self._listen(events))
        with guarded("tell Redis what it may have forgotten"):
            events.on_restored()

    def _lost(self, error: Exception) -> None:
        if self._ready:
            _logger.warning(
                "Redis %s: %s; peers of other servers have to wait until it is back",
                self._shown_url,
                describe(error),
            )
        self._ready = False
        for queue in (self._commands, self._frames, self._outflows):
            queue.clear()
        self._queued = 0

    def _is_trusted(self) -> bool:
        return asyncio.get_running_loop().time() >= self._trusted_at

    async def _flush(self, events: BackplaneEvents) -> None:
        """Send what is queued; what comes meanwhile is the next batch."""
        asked, self._commands = self._commands, []
        frames, self._frames = self._frames, defaultdict(list)
        outflows, self._outflows = self._outflows, defaultdict(dict)
        self._queued = 0
        commands = chain(asked, self._entries(frames, outflows))
        while some := list(islice(commands, _MAX_COMMANDS)):
            pipe = self._redis.pipeline(transaction=False)
            for ask, _ in some:
                ask(pipe)
            answers = await pipe.execute(raise_on_error=False)
            for (_, answered), answer in zip(some, answers, strict=True):
                if isinstance(answer, Exception):
                    self._failed(answer)
                    continue
                with complaining():
                    answered(events, answer)

    def _failed(self, error: Exception) -> None:
        """One command was. What it was for comes again: frames, claims and questions all do.

        :raises Exception: this, if the connection is lost
        """
        if loses_connection(error):
            raise error
        with complaining():
            if "WRONGTYPE" in str(error):
                raise InvalidSignal("a key of another kind")
            self._refusals.tell(error)

    def _entries(
        self, frames: Mapping[str, list[Frame]], outflows: Mapping[str, dict[Outflow, None]]
    ) -> Iterator[Command]:
        """One after the other: what the flows have is encoded when it is their turn."""
        for server in frames.keys() | outflows.keys():
            flowing = chain.from_iterable(outflow.frames() for outflow in outflows.get(server, ()))
            for entry in pack(chain(frames.get(server, ()), flowing)):
                yield self._entry(server, entry)

    def _entry(self, server: str, entry: bytes) -> Command:
        def ask(pipe: Pipeline) -> None:
            pipe.xadd(
                f"{INBOX}{server}",
                {"from": self.server, "frames": entry},
                maxlen=_MAX_INBOX,
                nomkstream=True,
            )

        def answered(events: BackplaneEvents, answer: object) -> None:
            if answer is None and self._is_trusted():
                events.on_server_gone(server)

        return ask, answered

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _read(self, events: BackplaneEvents) -> None:
        while not self._is_broken:
            try:
                answer: object = await self._redis.xread(
                    {self._inbox: self._last_entry}, count=_READ_COUNT, block=round(_BLOCK * 1000)
                )
            except FAILURES as exc:
                await self._pause(exc)
                continue
            taken = 0
            for self._last_entry, fields in entries_in(answer):
                taken += take(events, fields)
                if taken >= MAX_ENTRY_SIZE:
                    # Others have their turn between. Small entries are taken together: so is then what clients get.
                    taken = 0
                    await asyncio.sleep(0)
            if answer:
                self._ask(self._trim)

    def _trim(self, pipe: Pipeline) -> None:
        pipe.xtrim(self._inbox, minid=self._last_entry, approximate=False)

    async def _listen(self, events: BackplaneEvents) -> None:
        while self._is_listener():
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(MOVES)
                    # What was said before, nobody has heard. The answers tell it, too.
                    with guarded("claim its clients"):
                        events.claims_due()
                    while self._is_listener():
                        message = await pubsub.get_message(timeout=_BLOCK)
                        if message is not None:
                            with complaining():
                                events.on_location(*parse_move(message["data"]))
            except FAILURES as exc:
                await self._pause(exc)

    def _is_listener(self) -> bool:
        return self._listener is asyncio.current_task() and not self._is_broken

    async def _pause(self, error: Exception) -> None:
        # A loss the heartbeat notices, too, and says so.
        if not loses_connection(error):
            self._refusals.tell(error)
        await asyncio.sleep(PAUSE)

    async def _leave(self, events: BackplaneEvents) -> None:
        """Let the others know at once."""
        with contextlib.suppress(*FAILURES):
            if self._ready:
                await self._flush(events)
                await self._redis.delete(self._inbox)
        with contextlib.suppress(*FAILURES):
            await self._redis.aclose()
