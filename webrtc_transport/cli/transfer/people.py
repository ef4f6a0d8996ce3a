"""The two ends of a transfer, as people start them: who they are, and whom they trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import anyio
import typer
from anyio import to_thread

from ...config import TransportConfig
from ...errors import IdentityError, PeerUnreachable
from ...identity import Identity, PeerId
from ...redaction import redacted
from ...transport import WebRTCTransport
from .display import Display
from .messages import Offer, Refusal
from .receiving import Admission, Destination, Receiver
from .sending import Sender
from .short_code import PEER_ID_BEGINNINGS, CodeKeys, ShortCode, is_code_like
from .source_file import SourceFile

_ADDRESS = "/webrtc/p2p/"


class NobodyThere(Exception):
    """Nobody receives under a code or peer id; the text says so, and what helps."""


@dataclass(frozen=True)
class Sending:
    """What to send, and to whom."""

    file: Path
    to: str
    signaling: str
    config: TransportConfig
    identity: Path | None
    retry_for: float


@dataclass(frozen=True)
class Reception:
    """What to receive, and from whom."""

    destination: Destination
    signaling: str
    config: TransportConfig
    identity: Path | None
    """Without one, there is a code."""
    senders: tuple[str, ...] | None
    """Who may send, if there is an identity; ``None`` is anybody."""


async def send_file(sending: Sending, display: Display) -> None:
    """Send the file, and tell how it goes.

    :raises NobodyThere: if nobody receives there
    :raises InvalidCode: if ``to`` is a code with a typing error
    :raises IdentityError: if it is no peer id either
    :raises Exception: as :meth:`~.sending.Sender.send_to` does
    """
    keys = None
    if is_code_like(sending.to):
        keys = await to_thread.run_sync(ShortCode.parse(sending.to).derive)
        peer = keys.identity.peer_id
    else:
        peer = peer_id(sending.to)
    source = SourceFile(sending.file)
    identity = _identity(sending.identity)
    if sending.identity is not None:
        display.say(f"sending as {identity.peer_id}")
    try:
        async with WebRTCTransport(
            identity, signaling=[sending.signaling], config=sending.config
        ) as transport:
            prove = None if keys is None else keys.proof
            sender = Sender(transport, source, display, prove=prove, retry_for=sending.retry_for)
            await sender.send_to(peer)
    except PeerUnreachable:
        what = f"code {sending.to}" if keys is not None else f"peer id {peer}"
        server = redacted(sending.signaling)
        raise NobodyThere(
            f"nobody receives under the {what} at {server}: compare it with what `receive` shows there; "
            f"it has to be running still, with the same --signaling"
        ) from None
    finally:
        source.close()
    display.say(f"{source.name} has arrived; SHA-256 {source.sha256}")


async def receive_file(reception: Reception, display: Display) -> None:
    """Receive a file, and tell how it goes. The code and the file's place go to standard output.

    :raises IdentityError: if one of the senders is no peer id
    :raises Exception: as :meth:`~.receiving.Receiver.receive` does
    """
    folder = reception.destination.folder
    if not await anyio.Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no folder; make it, or choose another one with --output")
    if reception.identity is None:
        code = ShortCode.generate()
        keys = await to_thread.run_sync(code.derive)
        identity, admit, invitation = keys.identity, by_code(keys), str(code)
    else:
        identity = _identity(reception.identity)
        admit, invitation = by_peer_id(reception.senders), str(identity.peer_id)
    receiver = Receiver(reception.destination, admit, display, any_may_go_on=reception.identity is None)
    async with WebRTCTransport(
        identity, signaling=[reception.signaling], config=reception.config
    ) as transport:
        listener = await transport.listen("/webrtc")
        display.say("ready; on the other machine, with the same --signaling:")
        typer.echo(f"webrtc-transport send FILE {invitation}")
        path = await receiver.receive(listener)
    display.say("complete, and its SHA-256 is right")
    typer.echo(path)


def by_code(keys: CodeKeys) -> Admission:
    """Who knows the code may send."""

    async def admit(peer: PeerId, offer: Offer) -> Refusal | None:
        if offer.proof is not None and keys.is_proof(offer.proof, peer):
            return None
        return Refusal(code="proof", reason="no proof that the sender knows the code")

    return admit


def by_peer_id(senders: tuple[str, ...] | None) -> Admission:
    """These peers may send; ``None`` is any.

    :raises IdentityError: if one is no peer id
    """
    allowed = None if senders is None else set(map(peer_id, senders))

    async def admit(peer: PeerId, _offer: Offer) -> Refusal | None:
        if allowed is None or peer in allowed:
            return None
        return Refusal(code="declined", reason=f"{peer} is not among those that may send")

    return admit


def peer_id(text: str) -> PeerId:
    """The peer id that somebody typed, or copied with the rest of an address.

    :raises IdentityError: if it is none
    """
    text = text.removeprefix(_ADDRESS)
    try:
        return PeerId.from_string(text)
    except IdentityError:
        if not text.startswith(PEER_ID_BEGINNINGS):
            raise
        raise IdentityError(f"{text[:64]!r} is a broken peer id: copy it again, to its end") from None


def _identity(path: Path | None) -> Identity:
    if path is None:
        return Identity.generate()
    try:
        return Identity.load_or_create(path)
    except IdentityError as exc:
        cure = "restore the file, or name another one with --identity, for another peer id"
        raise IdentityError(f"{path}: {exc.__context__ or exc}; {cure}") from None
