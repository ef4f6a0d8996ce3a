"""Signaling over libp2p streams, byte for byte, and what a peer may do wrong on one."""

import json

import anyio
import pytest

from webrtc_signaling.circuit_relay import (
    MAX_MESSAGE_LENGTH,
    CircuitRelayBackend,
    SignalingStream,
    decode_signal,
    encode_signal,
)
from webrtc_signaling.limits import MAX_SESSION_SIGNALS
from webrtc_transport import Identity
from webrtc_transport.errors import (
    ConfigurationError,
    InvalidSignal,
    PeerUnreachable,
    SignalingRejected,
)
from webrtc_transport.protocol.protobuf import encode_message, encode_varint
from webrtc_transport.protocol.signals import (
    Answer,
    Bye,
    Candidate,
    CandidateData,
    DescriptionData,
    Error,
    ErrorData,
    Offer,
)

pytestmark = pytest.mark.anyio

PEER = Identity.generate().peer_id
OFFER = Offer(data=DescriptionData(type="offer", sdp="v=0"))
ANSWER = Answer(data=DescriptionData(type="answer", sdp="v=0"))
LINE = "candidate:1 1 udp 1 10.0.0.1 9 typ host"


def framed(kind, data):
    message = encode_message(kind, data)
    return encode_varint(len(message)) + message


def candidate(line=LINE):
    return Candidate(data=CandidateData(candidate=line, sdpMid="0", sdpMLineIndex=0))


class ScriptedStream(SignalingStream):
    """Hands out what was written down before, in pieces, and notes what is done to it."""

    def __init__(self, *pieces, end="open", peer=PEER):
        self.pieces = list(pieces)
        self.end = end
        self.sent = b""
        self.done = []
        self.peer = peer

    @property
    def remote_peer(self):
        return self.peer

    async def receive(self, max_bytes):
        await anyio.lowlevel.checkpoint()
        if self.pieces:
            piece, rest = self.pieces[0][:max_bytes], self.pieces[0][max_bytes:]
            self.pieces[:1] = [rest] if rest else []
            return piece
        if self.end == "eof":
            raise anyio.EndOfStream
        if self.end == "reset":
            raise anyio.BrokenResourceError
        return await anyio.Event().wait()

    async def send(self, data):
        await anyio.lowlevel.checkpoint()
        if self.end == "reset":
            raise anyio.BrokenResourceError
        self.sent += data

    async def aclose(self):
        self.done.append("close")
        if self.end == "stuck":
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()

    async def reset(self):
        self.done.append("reset")
        await anyio.lowlevel.checkpoint()


async def dialed(stream):
    async def open_stream(peer):
        return stream

    return await CircuitRelayBackend(open_stream).connect(PEER)


async def accepted(stream, handler):
    """Let ``handler`` have the session of an inbound stream."""

    async def open_stream(peer):
        raise AssertionError

    backend = CircuitRelayBackend(open_stream)
    async with anyio.create_task_group() as task_group, backend:
        await task_group.start(backend.serve, handler)
        await backend.handle(stream)
        task_group.cancel_scope.cancel()


class TestMessages:
    """Against bytes written by hand from the specification."""

    def test_an_offer_says_its_type_although_it_is_zero(self):
        assert encode_signal(OFFER) == bytes.fromhex("07 0800 1203 763d30")

    def test_an_answer(self):
        assert encode_signal(ANSWER) == bytes.fromhex("07 0801 1203 763d30")

    def test_a_candidate_is_json(self):
        encoded = encode_signal(candidate())
        assert encoded[1:3] == bytes.fromhex("0802")
        assert json.loads(encoded[5:] if encoded[4] < 0x80 else encoded[6:]) == {
            "candidate": LINE,
            "sdpMid": "0",
            "sdpMLineIndex": 0,
            "usernameFragment": None,
        }

    @pytest.mark.parametrize(
        "signal", [candidate(""), Candidate(data=None), Bye(), Error(data=ErrorData(code="x"))]
    )
    def test_there_is_no_message_for_an_end(self, signal):
        assert encode_signal(signal) is None

    def test_node_s_candidate(self):
        text = (
            '{"candidate":"a=candidate:2 1 UDP 1 10.0.0.1 9 typ host","sdpMLineIndex":null,"sdpMid":"0",'
            '"usernameFragment":null}'
        )
        signal = decode_signal(encode_message(2, text.encode()))
        assert signal.data.candidate.startswith("a=candidate:2")

    @pytest.mark.parametrize("text", ["null", '""', ""])
    def test_the_ends_of_candidates_that_others_send(self, text):
        assert decode_signal(encode_message(2, text.encode())) == Candidate(data=None)

    def test_an_absent_type_is_an_offer(self):
        assert decode_signal(encode_message(None, b"v=0")) == OFFER

    @pytest.mark.parametrize(
        "message",
        [
            encode_message(3, b""),
            encode_message(2, b"{"),
            encode_message(2, b"[1]"),
            encode_message(2, b'{"candidate": 5}'),
            encode_message(2, b'{"candidate":"' + b"x" * 600 + b'"}'),
            encode_message(2, b"[" * 10_000),
            encode_message(0, b"\xff"),
            encode_message(0, b"x" * (2**14 + 1)),
            b"\xff\xff",
            b"\x12\x7f",
        ],
    )
    def test_malformed(self, message):
        with pytest.raises(InvalidSignal):
            decode_signal(message)


class TestSessions:
    async def test_dialing(self):
        answer, trickled = encode_signal(ANSWER), encode_signal(candidate())
        stream = ScriptedStream(*(bytes([byte]) for byte in answer + trickled), end="eof")
        session = await dialed(stream)
        assert session.authenticated
        assert session.uses_init_channel
        assert session.remote_peer == PEER
        await session.send(OFFER)
        await session.send(candidate())
        await session.send(candidate(""))
        assert stream.sent == encode_signal(OFFER) + encode_signal(candidate())
        assert await session.receive() == ANSWER
        assert await session.receive() == candidate()
        with pytest.raises(anyio.EndOfStream):
            await session.receive()
        await session.aclose()
        await session.aclose()
        assert stream.done == ["close"]
        for use in (session.send(OFFER), session.receive()):
            with pytest.raises(anyio.ClosedResourceError):
                await use

    async def test_listening(self):
        stream = ScriptedStream(encode_signal(OFFER) + encode_signal(candidate()))

        async def handler(session):
            assert await session.receive() == OFFER
            await session.send(ANSWER)
            assert await session.receive() == candidate()

        await accepted(stream, handler)
        assert stream.sent == encode_signal(ANSWER)
        assert stream.done == ["close"]

    async def test_a_failure_resets_the_stream(self):
        stream = ScriptedStream()
        session = await dialed(stream)
        await session.send(Error(data=ErrorData(code="connect-failed")))
        await session.aclose()
        assert stream.done == ["reset"]
        assert stream.sent == b""

    async def test_a_stream_that_can_not_be_closed_is_reset(self, monkeypatch):
        monkeypatch.setattr("webrtc_signaling.circuit_relay.CLOSE_TIMEOUT", 0.01)
        stream = ScriptedStream(end="stuck")
        await (await dialed(stream)).aclose()
        assert stream.done == ["close", "reset"]

    async def test_a_stream_that_is_reset_says_so(self):
        session = await dialed(ScriptedStream(end="reset"))
        with pytest.raises(SignalingRejected, match="has reset the signaling stream"):
            await session.receive()
        session = await dialed(ScriptedStream(end="reset"))
        with pytest.raises(SignalingRejected, match="has reset the signaling stream"):
            await session.send(OFFER)

    async def test_somebody_else_answers(self):
        stream = ScriptedStream(peer=Identity.generate().peer_id)
        with pytest.raises(SignalingRejected, match="in place of"):
            await dialed(stream)
        assert stream.done == ["reset"]

    async def test_no_way_to_the_peer(self):
        async def open_stream(peer):
            raise PeerUnreachable("no relay")

        with pytest.raises(PeerUnreachable):
            await CircuitRelayBackend(open_stream).connect(PEER)

    async def test_nobody_listens(self):
        stream = ScriptedStream()
        await CircuitRelayBackend(None).handle(stream)
        assert stream.done == ["reset"]

    async def test_one_serves(self):
        async def handler(session):
            raise AssertionError

        backend = CircuitRelayBackend(None)
        async with anyio.create_task_group() as task_group:
            await task_group.start(backend.serve, handler)
            with pytest.raises(anyio.BusyResourceError):
                await backend.serve(handler)
            task_group.cancel_scope.cancel()

    def test_it_has_no_url(self):
        with pytest.raises(ConfigurationError, match="has no URL"):
            CircuitRelayBackend.from_url("relay://x", None)


GARBAGE = {
    "garbage": b"\x05hello",
    "a length without end": b"\x80\x80\x80\x80\x80",
    "a length that isn't the shortest": b"\x80\x00",
    "far too long": encode_varint(MAX_MESSAGE_LENGTH + 1),
    "longest length": encode_varint(2**62),
    "a candidate before the description": encode_signal(candidate()),
    "an unknown type": framed(3, b""),
}


class TestBadInput:
    """Each is a named error, and the stream is reset."""

    @pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
    async def test_before_the_description(self, sent):
        dialer, listener = ScriptedStream(sent), ScriptedStream(sent)
        with pytest.raises(InvalidSignal):
            await (await dialed(dialer)).receive()

        async def handler(session):
            with pytest.raises(InvalidSignal):
                await session.receive()

        await accepted(listener, handler)
        assert dialer.done == listener.done == ["reset"]

    @pytest.mark.parametrize(
        "sent",
        [*GARBAGE.values(), encode_signal(OFFER), encode_signal(ANSWER)],
        ids=[*GARBAGE, "a second offer", "an answer"],
    )
    async def test_after_the_description(self, sent):
        if sent == encode_signal(candidate()):
            return
        stream = ScriptedStream(encode_signal(ANSWER) + sent)
        session = await dialed(stream)
        assert await session.receive() == ANSWER
        with pytest.raises(SignalingRejected) as caught:
            await session.receive()
        assert caught.value.code == "invalid-signal"
        assert stream.done == ["reset"]

    async def test_the_wrong_description(self):
        with pytest.raises(InvalidSignal, match="'offer' where the answer is due"):
            await (await dialed(ScriptedStream(encode_signal(OFFER)))).receive()

    async def test_an_end_inside_of_a_message(self):
        stream = ScriptedStream(encode_signal(ANSWER)[:-1], end="eof")
        with pytest.raises(InvalidSignal, match="inside of a message"):
            await (await dialed(stream)).receive()
        assert stream.done == ["reset"]

    async def test_thousands_of_candidates(self):
        stream = ScriptedStream(encode_signal(ANSWER) + encode_signal(candidate()) * 5000)
        session = await dialed(stream)
        with pytest.raises(SignalingRejected, match=f"more than {MAX_SESSION_SIGNALS}"):
            for _ in range(5000):
                await session.receive()
        assert stream.done == ["reset"]
        # What came after stays where it was.
        assert len(stream.pieces[0]) > 4000 * len(encode_signal(candidate()))
