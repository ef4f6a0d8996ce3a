from array import array

import anyio
import pytest

from tests.pairs import connected, read_all
from webrtc_transport import Certificate, Identity, PeerId, PublicKey, WebRTCTransport
from webrtc_transport.arguments import check_max_bytes, check_signaling, check_type, sendable
from webrtc_transport.certificates import save_certificate
from webrtc_transport.errors import ConfigurationError


def test_what_is_of_the_type_passes():
    check_type("port", 3, int, "")
    check_type("port", None, int | None, "")
    check_signaling([])
    check_signaling(("ws://localhost:8765",))
    check_max_bytes(1)


@pytest.mark.parametrize("item", [b"abc", bytearray(b"abc"), memoryview(b"abc"), array("B", b"abc")])
def test_bytes_can_be_sent(item):
    assert sendable(item) == b"abc"


@pytest.mark.parametrize(
    ("misuse", "message"),
    [
        (
            lambda: check_type("port", "x", int | None, "0 picks one"),
            "port has to be int, not str; 0 picks one",
        ),
        (
            lambda: WebRTCTransport(Identity.generate(), signaling=None),
            "signaling has to be a list of URLs or backends, such as ['ws://localhost:8765'], not NoneType",
        ),
        (
            lambda: WebRTCTransport(Identity.generate(), signaling=b"ws://localhost"),
            "signaling has to be a list of URLs or backends, such as ['ws://localhost:8765'], not bytes",
        ),
        (
            lambda: Identity.from_private_key("x"),
            "key has to be Ed25519PrivateKey or EllipticCurvePrivateKey or RSAPrivateKey, not str; "
            "Identity.load(path) reads files, and from_protobuf() messages",
        ),
        (
            lambda: PublicKey("x"),
            "key has to be Ed25519PublicKey or EllipticCurvePublicKey or RSAPublicKey, not str; "
            "PublicKey.from_protobuf() parses libp2p's messages",
        ),
        (
            lambda: Identity.from_protobuf("x"),
            "message has to be bytes, not str; it is libp2p's PrivateKey message",
        ),
        (
            lambda: PublicKey.from_protobuf("x"),
            "message has to be bytes, not str; it is libp2p's PublicKey message",
        ),
        (
            lambda: PeerId.from_string(3),
            "a peer id has to be str, not int; expected one like '12D3KooW…', 'Qm…' or 'bafz…'",
        ),
        (
            lambda: PeerId("12D3KooW"),
            "multihash has to be bytes, not str; PeerId.from_string(text) parses text",
        ),
        (
            lambda: Certificate.from_pem("-----BEGIN"),
            "pem has to be bytes, not str; load_certificate(path) reads a file",
        ),
        (
            lambda: save_certificate("/nonexistent", "x"),
            "certificate has to be Certificate, not str; Certificate.generate(now=…) makes one",
        ),
        (lambda: sendable("x"), "send() takes bytes, not str; encode it first: send(text.encode())"),
        (lambda: sendable(3), "send() takes bytes, not int"),
        (
            lambda: sendable(memoryview(b"abcd")[::2]),
            "send() takes bytes that lie in one piece; pass bytes(item) of this memoryview",
        ),
        (lambda: check_max_bytes("x"), "max_bytes has to be a number of bytes (int), not str"),
    ],
)
def test_a_mistake_is_told_with_what_is_expected(misuse, message):
    with pytest.raises(TypeError) as caught:
        misuse()
    assert str(caught.value) == message


def test_one_url_is_no_list():
    with pytest.raises(ConfigurationError, match=r"pass signaling=\['ws://localhost'\]$"):
        check_signaling("ws://localhost")


def test_secrets_in_a_url_are_not_shown():
    with pytest.raises(ConfigurationError, match=r"pass signaling=\['ws://…@localhost/\?…'\]$"):
        check_signaling("ws://anna:SECRET@localhost/?token=SECRET")


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_at_least_a_byte_is_received(max_bytes):
    with pytest.raises(ValueError, match=f"^max_bytes has to be 1 or more, not {max_bytes}$"):
        check_max_bytes(max_bytes)


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b"ab",
        bytearray(b"ab"),
        array("H"),
        array("H", [1, 2, 3]),
        array("d", [0.5]),
        memoryview(b"abcdef").cast("B", (2, 3)),
        memoryview(bytes(24)).cast("Q", (1, 3)),
    ],
)
def test_the_bytes_of_a_buffer_are_sent_whatever_its_items_are(item):
    view = sendable(item)
    assert bytes(view) == memoryview(item).tobytes()
    assert len(view) == view.nbytes == memoryview(item).nbytes


@pytest.mark.anyio
async def test_a_buffer_of_wide_items_arrives_whole():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        sent = [array("H", range(40)), array("H", [7]) * 40_000, array("H"), array("d", [0.5, 2.0])]

        async def send():
            for item in sent:
                await stream.send(item)
            await stream.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            received = await read_all(await pair.listener.accept_stream())
        assert received == b"".join(item.tobytes() for item in sent)


@pytest.mark.anyio
async def test_a_mistake_costs_a_stream_nothing():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        with pytest.raises(TypeError, match="send\\(\\) takes bytes, not str"):
            await stream.send("text")
        with pytest.raises(TypeError, match="max_bytes has to be a number"):
            await stream.receive("a")
        with pytest.raises(ValueError, match="max_bytes has to be 1 or more"):
            await stream.receive(0)
        await stream.send(b"bytes")
        theirs = await pair.listener.accept_stream()
        assert await theirs.receive() == b"bytes"
