"""The handshake against itself, against libp2p's own, and against whoever wants to break it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from noise.connection import Keypair, NoiseConnection

from webrtc_transport.errors import AddressError, NoiseFailed
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.limits import MAX_NOISE_MESSAGE
from webrtc_transport.protocol.noise import NoiseHandshake, make_prologue
from webrtc_transport.protocol.noise_payload import encode_payload
from webrtc_transport.protocol.sdp import Fingerprint

SERVER, CLIENT = Identity.generate(), Identity.generate()
CLIENT_FINGERPRINT = Fingerprint(
    "sha-256", bytes.fromhex("3e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969e2351bdca870")
)
SERVER_FINGERPRINT = Fingerprint(
    "sha-256", bytes.fromhex("30fc9f469c207419dfdd0aab5f27a86c973c94e40548db9375cca2e915973b99")
)
PROLOGUE = make_prologue(CLIENT_FINGERPRINT, SERVER_FINGERPRINT)


class TestPrologue:
    def test_vector_of_the_specification(self):
        assert PROLOGUE.hex() == (
            "6c69627032702d7765627274632d6e6f6973653a"
            "12203e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969e2351bdca870"
            "122030fc9f469c207419dfdd0aab5f27a86c973c94e40548db9375cca2e915973b99"
        )

    def test_both_by_one_hash_function(self):
        sha512 = Fingerprint("sha-512", bytes(64))
        assert make_prologue(sha512, sha512).endswith(b"\x13\x40" + bytes(64))
        with pytest.raises(NoiseFailed, match="sha-256 and by sha-512"):
            make_prologue(CLIENT_FINGERPRINT, sha512)
        with pytest.raises(AddressError):
            make_prologue(Fingerprint("sha-384", bytes(48)), Fingerprint("sha-384", bytes(48)))


def server(**changes) -> NoiseHandshake:
    settings = {"identity": SERVER, "is_server": True, "prologue": PROLOGUE}
    return NoiseHandshake(**(settings | changes))


def client(**changes) -> NoiseHandshake:
    return server(**({"identity": CLIENT, "is_server": False} | changes))


def take(end: NoiseHandshake) -> bytes:
    sent = bytes(end.outbox)
    end.outbox.clear()
    return sent


def finish(listener: NoiseHandshake, dialer: NoiseHandshake, *, cut: int = 10_000) -> None:
    while listener.outbox or dialer.outbox:
        for sender, receiver in ((listener, dialer), (dialer, listener)):
            sent = take(sender)
            for start in range(0, len(sent), cut):
                receiver.receive(sent[start : start + cut])


class TestHandshake:
    @pytest.mark.parametrize("cut", [1, 3, 10_000])
    def test_each_learns_who_the_other_is(self, cut):
        listener, dialer = server(), client(expected=SERVER.peer_id)
        finish(listener, dialer, cut=cut)
        assert listener.is_done
        assert dialer.is_done
        assert listener.remote == CLIENT.public_key
        assert dialer.remote == SERVER.public_key

    def test_the_server_begins_and_says_nothing_of_itself(self):
        assert len(take(server())) == 2 + 32
        assert take(client()) == b""

    def test_progress_is_told(self):
        listener, dialer = server(), client()
        assert listener.progress == "waiting for the peer's answer (message 2 of 3)"
        assert dialer.progress == "waiting for the server to begin (message 1 of 3)"
        dialer.receive(take(listener))
        assert dialer.progress == "waiting for the server's proof (message 3 of 3)"
        listener.receive(take(dialer))
        dialer.receive(take(listener))
        assert listener.progress == dialer.progress == "done"

    def test_what_comes_afterwards_is_dropped(self):
        listener, dialer = server(), client()
        dialer.receive(take(listener))
        listener.receive(take(dialer) + b"more")
        dialer.receive(take(listener) + b"\xff" * 1000)
        dialer.receive(b"\xff" * 1000)
        assert dialer.is_done
        assert not dialer.outbox


class TestSomebodyElse:
    def test_in_the_middle(self):
        listener = server()
        dialer = client(prologue=make_prologue(CLIENT_FINGERPRINT, CLIENT_FINGERPRINT))
        dialer.receive(take(listener))
        with pytest.raises(NoiseFailed, match=r"message 2 of 3 can't be decrypted.*in the middle"):
            listener.receive(take(dialer))
        assert not listener.outbox
        assert not listener.is_done

    def test_the_last_message_changed(self):
        listener, dialer = server(), client()
        dialer.receive(take(listener))
        listener.receive(take(dialer))
        last = bytearray(take(listener))
        last[-1] ^= 1
        with pytest.raises(NoiseFailed, match="message 3 of 3 can't be decrypted"):
            dialer.receive(bytes(last))
        assert dialer.remote is None

    def test_another_peer_than_expected(self):
        listener, dialer = server(), client(expected=CLIENT.peer_id)
        dialer.receive(take(listener))
        listener.receive(take(dialer))
        with pytest.raises(
            NoiseFailed, match=f"the peer is {SERVER.peer_id}, and {CLIENT.peer_id} was expected"
        ):
            dialer.receive(take(listener))
        assert not dialer.is_done

    @pytest.mark.parametrize(
        ("payload", "message"),
        [
            (b"", "lacks the identity key"),
            (encode_payload(CLIENT, bytes(32)), "the signature isn't by"),
            (b"\xff", "malformed"),
        ],
    )
    def test_who_proves_nothing(self, payload, message):
        # The library itself, so that the handshake is right and the payload is not.
        noise = NoiseConnection.from_name(b"Noise_XX_25519_ChaChaPoly_SHA256")
        noise.set_prologue(PROLOGUE)
        noise.set_keypair_from_private_bytes(Keypair.STATIC, X25519PrivateKey.generate().private_bytes_raw())
        noise.set_as_responder()
        noise.start_handshake()
        listener = server()
        noise.read_message(take(listener)[2:])
        answer = bytes(noise.write_message(payload))
        with pytest.raises(NoiseFailed, match=f"doesn't prove who it is: .*{message}"):
            listener.receive(len(answer).to_bytes(2) + answer)
        assert not listener.outbox

    def test_after_a_failure_there_is_nothing_more(self):
        listener = server()
        with pytest.raises(NoiseFailed):
            listener.receive(b"\xff\xff")
        assert not listener.outbox
        with pytest.raises(NoiseFailed, match="failed before"):
            listener.receive(b"\x00")


class TestLengths:
    @pytest.mark.parametrize("length", [0, 31, MAX_NOISE_MESSAGE + 1, 65535])
    def test_a_message_of_no_possible_length_is_refused_before_it_is_there(self, length):
        for end in (server(), client()):
            with pytest.raises(NoiseFailed, match=f"not {length}"):
                end.receive(length.to_bytes(2))

    @pytest.mark.parametrize("length", [32, 33, 48, 95, 96, 112, MAX_NOISE_MESSAGE])
    def test_a_message_too_short_for_its_keys(self, length):
        with pytest.raises(NoiseFailed, match="can't be decrypted"):
            server().receive(length.to_bytes(2) + bytes(range(1, 33)) + bytes(length - 32))

    def test_a_key_of_small_order_is_refused(self):
        with pytest.raises(NoiseFailed):
            client().receive((32).to_bytes(2) + bytes(32))


class TestAnything:
    @settings(max_examples=200)
    @given(st.lists(st.binary(max_size=200), max_size=5), st.booleans())
    def test_any_bytes(self, pieces, is_server):
        end = server() if is_server else client()
        try:
            for piece in pieces:
                end.receive(piece)
        except NoiseFailed:
            pass
        assert not end.is_done

    @given(st.data())
    def test_one_byte_changed_anywhere(self, data):
        ends = listener, dialer = server(), client()
        target = data.draw(st.integers(0, 2))
        try:
            for number in range(3):
                sender, receiver = ends[number % 2], ends[1 - number % 2]
                sent = bytearray(take(sender))
                if number == target and sent:
                    sent[data.draw(st.integers(0, len(sent) - 1))] ^= data.draw(st.integers(1, 255))
                receiver.receive(bytes(sent))
        except NoiseFailed:
            pass
        assert not (listener.is_done and dialer.is_done)
