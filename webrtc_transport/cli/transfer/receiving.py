"""Receiving one file, from whoever may send it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from ...connection import Connection, ConnectionState
from ...errors import ConnectionEnded, StreamError, describe
from ...identity import PeerId
from ...listener import Listener
from ...task_group import bare_task_group
from ..printable import printable
from .display import Display
from .exchange import Exchange, Refused
from .file_names import safe_name
from .messages import VERSION, Digest, Done, InvalidMessage, Offer, Refusal, Resume, Start
from .part_file import BLOCK, PartFile, StorageError

OFFER_TIMEOUT: Final = 20.0
"""Seconds that a peer which has connected gets to offer a file."""

FAREWELL_TIMEOUT: Final = 5.0
"""Seconds for telling a peer that it is over."""

_FIRST_PORTION: Final = 64 * 1024
"""Bytes that are waited for at first; then a block at a time."""

_LOST: Final = (ConnectionEnded, StreamError, anyio.EndOfStream)

_WAITING: Final = "waiting for the sender to go on, without an end; Ctrl-C stops that"

_BUSY: Final = Refusal(code="busy", reason="somebody else is sending")

Admission = Callable[[PeerId, Offer], Awaitable[Refusal | None]]
"""Whether a peer may send what it offers: ``None`` if it may."""


class NotTaken(Exception):
    """What a peer sends isn't taken; the refusal is told to it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


@dataclass(frozen=True)
class Destination:
    """Where the file goes."""

    folder: Path
    name: str | None = None
    """A name in place of the sender's."""
    overwrite: bool = False


@dataclass(frozen=True)
class _Transfer:
    """A transfer that is under way."""

    connection: Connection
    offer: Offer
    scope: anyio.CancelScope

    @property
    def peer(self) -> PeerId:
        return self.connection.remote_peer

    def is_of_the_file(self, offer: Offer) -> bool:
        """Whether ``offer`` may be of the same file; its SHA-256 is known only in the end."""
        return (self.offer.name, self.offer.size) == (offer.name, offer.size)


class Receiver:
    """Takes one file, over as many connections as it takes.

    While the connection of a transfer is alive, only a sender of the same file takes its place: it was started again,
    and its old connection isn't known to be dead yet.

    :param any_may_go_on: whether that may be another peer; whoever was replaced has to wait, so that two senders of one
        file don't throw each other out in turns. Else only the same peer may
    """

    def __init__(
        self, destination: Destination, admit: Admission, display: Display, *, any_may_go_on: bool
    ) -> None:
        self._destination = destination
        self._admit = admit
        self._display = display
        self._any_may_go_on = any_may_go_on
        self._current: _Transfer | None = None
        self._replaced: set[PeerId] = set()
        self._turn = anyio.Lock()
        self._over = anyio.Event()
        self._path: Path | None = None
        self._failure: StorageError | None = None

    async def receive(self, listener: Listener) -> Path:
        """Wait for the file. Returns where it is.

        :raises StorageError: if it can't be written
        :raises SignalingError: if nobody can reach us any more
        """
        async with bare_task_group() as task_group:
            task_group.start_soon(listener.serve, self._serve)
            await self._over.wait()
            task_group.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        assert self._path is not None
        return self._path

    async def _serve(self, connection: Connection) -> None:
        """One connection: it brings the file, or a part of it, or nothing."""
        peer = connection.remote_peer
        try:
            with anyio.fail_after(OFFER_TIMEOUT):
                stream = await connection.accept_stream()
                exchange = Exchange(stream)
                offer = await exchange.receive(Offer)
        except (*_LOST, TimeoutError, InvalidMessage, Refused) as exc:
            self._display.say(f"{peer} offered no file: {describe(exc)}")
            return
        try:
            await self._take(connection, exchange, offer)
        except NotTaken as exc:
            self._display.say(f"not taken from {peer}: {exc}")
            await self._answer(exchange, exc.refusal)
        except StorageError as exc:
            self._failure = exc
            await self._answer(exchange, Refusal(code="storage", reason="it can't be stored"))
        except InvalidMessage as exc:
            self._display.say(f"{peer} breaks the protocol: {exc}")
            await self._answer(exchange, Refusal(code="protocol", reason=str(exc)[:200]))
        except (*_LOST, Refused) as exc:
            self._display.say(f"interrupted: {describe(exc)}; {_WAITING}")
            return
        try:
            # What was said last has to arrive.
            with anyio.move_on_after(FAREWELL_TIMEOUT):
                await stream.aclose()
        finally:
            if self._is_settled:
                self._over.set()

    @property
    def _is_settled(self) -> bool:
        return self._path is not None or self._failure is not None

    async def _answer(self, exchange: Exchange, refusal: Refusal) -> None:
        try:
            await exchange.send(refusal)
        except _LOST as exc:
            self._display.say(f"it is gone: {describe(exc)}")

    async def _take(self, connection: Connection, exchange: Exchange, offer: Offer) -> None:
        if offer.version != VERSION:
            raise NotTaken(
                Refusal(code="version", reason=f"version {VERSION} of the exchange is spoken here")
            )
        peer = connection.remote_peer
        if refusal := await self._admit(peer, offer):
            raise NotTaken(refusal)
        replaced = self._current
        if replaced is not None:
            if not self._may_replace(replaced, peer, offer):
                raise NotTaken(_BUSY)
            replaced.scope.cancel()
        async with self._turn:
            if self._is_settled:
                raise NotTaken(Refusal(code="busy", reason="another file has come meanwhile"))
            with anyio.CancelScope() as scope:
                self._current = _Transfer(connection, offer, scope)
                try:
                    await self._fetch(connection, exchange, offer, replaced)
                finally:
                    self._current = None

    def _may_replace(self, current: _Transfer, peer: PeerId, offer: Offer) -> bool:
        is_same_peer = current.peer == peer
        if current.connection.state is not ConnectionState.CONNECTED:
            return is_same_peer or self._any_may_go_on
        if not current.is_of_the_file(offer):
            return False
        return is_same_peer or (self._any_may_go_on and peer not in self._replaced)

    async def _fetch(
        self, connection: Connection, exchange: Exchange, offer: Offer, replaced: _Transfer | None
    ) -> None:
        """Everything after the offer. What has arrived is kept, whatever happens."""
        target = self._destination.folder / (self._destination.name or safe_name(offer.name))
        if self._destination.overwrite and target.is_dir():
            raise StorageError(f"{target} is a folder; name another file with --output")
        part = await to_thread.run_sync(PartFile.open, target, offer.size)
        try:
            while await to_thread.run_sync(part.catch_up):
                pass
            await exchange.send(Resume(offset=part.offset, sha256=part.sha256))
            start = await exchange.receive(Start)
            if start.offset != part.offset:
                if start.offset:
                    raise InvalidMessage(f"start: at {start.offset}, in place of {part.offset} or 0")
                if replaced is not None and replaced.is_of_the_file(offer):
                    # Another file of that name and size: the one that was under way comes back.
                    raise NotTaken(_BUSY)
                self._display.say(f"{printable(str(part.path))} is of another file; it stays as it is")
                part.close()
                part = await to_thread.run_sync(lambda: PartFile.open(target, offer.size, fresh=True))
            if replaced is not None and replaced.peer != connection.remote_peer:
                self._replaced.add(replaced.peer)
            part.check_space(offer.size)
            if part.offset:
                self._display.say(f"going on with {printable(str(part.path))}")
            await self._fetch_data(connection, exchange, part, offer)
            digest = await exchange.receive(Digest)
            if digest.sha256 != part.sha256:
                part.discard()
                raise NotTaken(Refusal(code="mismatch", reason="the SHA-256 of what arrived is another one"))
            self._path = await to_thread.run_sync(
                lambda: part.finish(target, overwrite=self._destination.overwrite)
            )
            if self._path.name != offer.name:
                self._display.say(f"saved as {self._path.name}")
        finally:
            part.close()
        try:
            await exchange.send(Done())
        except _LOST as exc:
            self._display.say(f"the file is here; the sender left before it heard of that: {describe(exc)}")

    async def _fetch_data(
        self, connection: Connection, exchange: Exchange, part: PartFile, offer: Offer
    ) -> None:
        with self._display.transfer("receiving", offer.name, part.offset, offer.size, connection) as advance:
            portion = _FIRST_PORTION
            while missing := offer.size - part.offset:
                data = await exchange.receive_data(min(portion, missing))
                await to_thread.run_sync(part.append, data)
                advance(len(data))
                portion = BLOCK
